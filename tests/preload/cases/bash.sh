# SPDX-License-Identifier: MIT
# bash: arrays, pipes, subshells, here-documents and job control.
case $1 in
needs) echo bash sort wc ;;
seen) echo bash sort ;;
prepare)
	cat >script <<'BASH'
set -u
declare -A count
for i in {1..20000}; do
	word=w$((i * 7919 % 997))
	count[$word]=$((${count[$word]:-0} + 1))
done
for word in "${!count[@]}"; do echo "$word ${count[$word]}"; done | sort | tail -n 5
list=()
for i in {1..5000}; do list+=("item $i"); done
echo "${#list[@]} ${list[-1]} ${list[@]:100:3}"
long=$(printf 'x%.0s' {1..100000}); echo ${#long} ${#long//x/yy}
for i in 1 2 3 4 5; do (echo "subshell $i"; exit $i); echo "status $?"; done
while read -r a b; do echo "$b $a"; done <<END
one two
three four
END
for i in {1..20}; do sleep 0.01 & done; wait; echo "waited $?"
seq 1 30000 | while read -r n; do ((sum += n)); [ "$n" = 30000 ] && echo "$sum"; done
trap 'echo trapped; exit 7' TERM
kill -TERM $$
BASH
	;;
work)
	bash script
	[ $? -eq 7 ]
	;;
esac
