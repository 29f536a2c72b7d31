# SPDX-License-Identifier: MIT
# Small programs in 256 MiB of address space.
case $1 in
needs) echo bash ls perl python3 ;;
seen) echo little bash ls perl python3 ;;
prepare) touch a b c ;;
work)
	# shellcheck disable=SC3045
	ulimit -v 262144
	set -e
	"$PROGS/little"
	ls
	bash -c 'for i in {1..1000}; do a[$i]=$i; done; echo ${#a[@]}'
	perl -e 'my @a = (1) x 100000; print scalar(@a), "\n"'
	python3 -c 'print(len([str(i) for i in range(100000)]))'
	sort </dev/null
	;;
esac
