# SPDX-License-Identifier: MIT
# Many small processes: a build by make and a shell loop.
case $1 in
needs) echo make sh sed ;;
seen) echo make sed ;;
prepare)
	{
		echo 'all: out/all'
		i=0
		while [ $i -lt 60 ]; do
			echo "out/all: out/f$i"
			printf 'out/f%d: ; echo %d | sed "s/^/file /" >$@\n' $i $i
			i=$((i + 1))
		done
		printf 'out/all: ; cat out/f* >$@\n'
	} >Makefile
	;;
work) make -s -j4 && wc -l <out/all ;;
esac
