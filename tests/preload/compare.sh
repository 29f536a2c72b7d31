#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command without the drop-in, with it by LD_PRELOAD, and with it by
# `pageheap run`, and compares what comes out.
#
# usage: compare.sh TOOL LIBRARY STATUS COMMAND [ARGUMENT ...]
#        compare.sh TOOL LIBRARY CASE
#
# With COMMAND: its exit status must be STATUS, its standard output the same
# each time.
#
# With CASE, a script of cases/: it is called as
#	CASE needs      prints the programs that it needs; one that is missing
#	                skips the test, aloud
#	CASE seen       prints names of programs that the report must show with
#	                allocations, so that a run without the heap cannot pass
#	CASE prepare    makes its input in the current directory, once
#	CASE work       runs in a copy of that directory, whose path is the same
#	                each time; standard output and error and all files that
#	                it leaves in ./out are compared; its status must be 0
#
# Exit status 0: alike; 1: not; 77: skipped.
set -u

TOOL=$1
LIBRARY=$2
shift 2
unset LD_PRELOAD PAGEHEAP PAGEHEAP_LIBRARY PYTHONMALLOC
# Debian's programs before others of the same name, which may be wrappers.
PATH=/usr/bin:/bin:$PATH
LC_ALL=C
export PATH LC_ALL
TMP=$(mktemp -d) || exit 1
trap 'rm -rf "$TMP"' EXIT
failed=

fail() {
	echo "FAILED: $*"
	failed=1
}

skip() {
	echo "SKIPPED: $*"
	exit 77
}

[ -e "$LIBRARY" ] || skip "$LIBRARY is not built"

case $1 in
*.sh)
	CASE=$1
	want=0
	set -- sh "$CASE" work
	for program in $(sh "$CASE" needs); do
		command -v "$program" >/dev/null || skip "$program is missing"
	done
	seen=$(sh "$CASE" seen)
	;;
*)
	CASE=
	want=$1
	shift
	seen=$(basename "$1")
	;;
esac

mkdir "$TMP/input"
if [ -n "$CASE" ]; then
	(cd "$TMP/input" && sh "$CASE" prepare) >"$TMP/prepare.log" 2>&1
	status=$?
	[ "$status" -ne 77 ] || skip "$(cat "$TMP/prepare.log")"
	if [ "$status" -ne 0 ]; then
		cat "$TMP/prepare.log"
		echo "FAILED: $CASE prepare"
		exit 1
	fi
fi

# way, command...: runs in a fresh copy of the input, keeps the results.
run() {
	way=$1
	shift
	cp -a "$TMP/input" "$TMP/work"
	mkdir -p "$TMP/work/out" "$TMP/$way"
	(cd "$TMP/work" && exec "$@") >"$TMP/$way/stdout" 2>"$TMP/$way/stderr"
	status=$?
	mv "$TMP/work/out" "$TMP/$way/out"
	rm -rf "$TMP/work"
	if [ "$status" -ne "$want" ]; then
		fail "$way: exit status $status, not $want"
		tail -n 20 "$TMP/$way/stdout" "$TMP/$way/stderr"
	fi
}

# way: its results are those of the bare run
same() {
	for what in stdout out ${CASE:+stderr}; do
		diff -r "$TMP/bare/$what" "$TMP/$1/$what" >"$TMP/diff" 2>&1 ||
			{
				fail "$1: $what differs from the bare run"
				head -n 40 "$TMP/diff"
			}
	done
}

run bare "$@"
# A program that cannot do without the heap what it should proves nothing.
[ -z "$failed" ] || exit 1
run preload env "LD_PRELOAD=$LIBRARY" "$@"
same preload
run tool "$TOOL" run --quiet --library "$LIBRARY" \
	--json "$TMP/report.json" -- "$@"
same tool
# shellcheck disable=SC2086  # words of $seen are arguments
[ -z "$seen" ] || python3 - "$TMP/report.json" $seen <<'PY' || failed=1
import json, os, sys
report = json.load(open(sys.argv[1]))
names = {}
for p in report["processes"]:
    for name in (os.path.basename(p["exe"]),
                 os.path.basename(p["command"].split(" ")[0])):
        names[name] = max(names.get(name, 0), p["gauges"]["page_allocs"])
for name in sys.argv[2:]:
    if names.get(name, 0) == 0:
        print(f"FAILED: {name} made no page allocation on the heap; "
              f"seen: {names}")
        sys.exit(1)
print("on the heap:", ", ".join(f"{n} ({c} page allocations)"
                                for n, c in sorted(names.items())))
if report["lost_processes"]:
    print("processes without a slot:", report["lost_processes"])
PY
if [ -n "$failed" ]; then
	exit 1
fi
echo "alike: ${CASE:-$*}"
