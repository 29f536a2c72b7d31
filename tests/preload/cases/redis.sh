# SPDX-License-Identifier: MIT
# redis-server under redis-benchmark, then known data and its digest.
#
# redis-server is linked with jemalloc, so it also tests that two allocators in
# one process keep apart.
case $1 in
needs) echo redis-server redis-benchmark redis-cli timeout ;;
seen) echo redis-server redis-benchmark redis-cli ;;
prepare) ;;
work)
	timeout 60 redis-server --port 0 --unixsocket "$PWD/sock" --save "" \
		--enable-debug-command yes --activedefrag no \
		--loglevel warning >server.log 2>&1 &
	server=$!
	cli="redis-cli -s sock"
	n=0
	until $cli ping >pong 2>&1; do
		n=$((n + 1))
		[ $n -lt 100 ] || { cat server.log; exit 1; }
		sleep 0.1
	done
	cat pong
	redis-benchmark -s "$PWD/sock" -n 6000 -r 5000 -d 200 -q \
		-t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset \
		>benchmark 2>&1 || exit 1
	grep -c 'requests per second' benchmark
	$cli flushall
	awk 'BEGIN { for (i = 0; i < 20000; i++) {
		printf "SET k%d %s\r\n", i, sprintf("%0*d", i % 300 + 1, i)
		printf "RPUSH l%d v%d\r\n", i % 100, i
		printf "HSET h%d f%d %d\r\n", i % 50, i % 500, i
		printf "ZADD z %d m%d\r\n", i * 7919 % 10007, i % 3000 } }' |
		$cli --pipe | grep -v '^All data'
	$cli dbsize
	$cli debug digest
	$cli --raw lrange l7 0 3
	$cli memory malloc-stats >/dev/null
	$cli memory purge
	$cli set big "$(printf '%0100000d' 7)"
	$cli strlen big
	$cli shutdown nosave
	wait $server
	echo "server: $?"
	grep -iE 'crash|assert|segmentation' server.log
	true
	;;
esac
