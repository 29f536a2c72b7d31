#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Tests of `pageheap run` on a stand-in for the drop-in (fake_preload.c), so
# that every number of the report is known beforehand.
#
# usage: test_run.sh TOOL FAKE PROGRAMS
#   TOOL      bin/pageheap
#   FAKE      the stand-in library
#   PROGRAMS  directory of programs, static, own_malloc, own_prefixed
set -u

TOOL=$1
FAKE=$2
PROGRAMS=$3
P=$PROGRAMS/run_programs
unset PAGEHEAP PAGEHEAP_LIBRARY LD_PRELOAD PYTHONMALLOC
TMP=$(mktemp -d) || exit 1
trap 'rm -rf "$TMP"' EXIT
# Report files go where we can count them.
XDG_RUNTIME_DIR=$TMP/run
export XDG_RUNTIME_DIR
mkdir "$XDG_RUNTIME_DIR"
failures=0
checks=0

run() {
	"$TOOL" run --library "$FAKE" "$@" >"$TMP/out" 2>"$TMP/err"
	status=$?
}

ok() {
	checks=$((checks + 1))
}

bad() {
	failures=$((failures + 1))
	checks=$((checks + 1))
	echo "FAILED: $*"
	echo "--- standard output"
	cat "$TMP/out"
	echo "--- standard error"
	cat "$TMP/err"
	echo "---"
}

# what, expected status
status_is() {
	if [ "$status" -eq "$2" ]; then ok; else bad "$1: exit status $status, not $2"; fi
}

# what, extended regular expression: a line of standard error matches
says() {
	if grep -Eq -- "$2" "$TMP/err"; then ok; else bad "$1: no line matches '$2'"; fi
}

says_not() {
	if grep -Eq -- "$2" "$TMP/err"; then bad "$1: a line matches '$2'"; else ok; fi
}

# what, count of lines of standard error
lines_are() {
	n=$(wc -l <"$TMP/err")
	if [ "$n" -eq "$2" ]; then ok; else bad "$1: $n lines, not $2"; fi
}

# what, expression of python on d (the parsed file), which must be true
json_is() {
	if python3 - "$TMP/report.json" "$2" <<'PY'
import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"))
p = d["processes"]
sys.exit(0 if eval(sys.argv[2]) else 1)
PY
	then ok; else bad "$1: JSON is not: $2"; cat "$TMP/report.json"; fi
}

no_report_file_left() {
	if [ -z "$(ls -A "$XDG_RUNTIME_DIR")" ]; then ok; else bad "$1: a report file is left"; fi
}

# --- exit statuses --------------------------------------------------------

run -- "$P" exit 0
status_is "exit 0" 0
says "exit 0" "^pageheap: run_programs \(pid [0-9]+\): exit 0 after "
lines_are "exit 0" 5
run "$P" exit 42
status_is "exit 42" 42
says "exit 42" ": exit 42 after "
run "$P" _exit 7
status_is "_exit 7" 7
says "_exit 7" ": exit 7 by _exit"
run "$P" signal 11
status_is "signal" 139
says "signal" ": killed by signal 11 \(Segmentation fault\)"
run nosuchprogram
status_is "not found" 127
lines_are "not found" 1
says "not found" "^pageheap: cannot run 'nosuchprogram': no such program$"
run "$TMP/nosuch/file"
status_is "path not found" 127
echo text >"$TMP/plain"
run "$TMP/plain"
status_is "not executable" 126
lines_are "not executable" 1
run "$TMP"
status_is "a directory" 126
run "$P" leader 9
status_is "leader ends first" 9
no_report_file_left "exit statuses"

# --- usage ----------------------------------------------------------------

for args in "--nosuch $P" "--json" "" "--report" "--library" "--reports $P"; do
	# shellcheck disable=SC2086
	"$TOOL" run $args >"$TMP/out" 2>"$TMP/err"
	status=$?
	status_is "usage '$args'" 125
	lines_are "usage '$args'" 1
	says "usage '$args'" "^pageheap: run: .*; see pageheap run --help$"
done
"$TOOL" >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "no command" 125
"$TOOL" nosuch >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "unknown command" 125
says "unknown command" "unknown command 'nosuch'"
for args in --help --version "run --help"; do
	# shellcheck disable=SC2086
	"$TOOL" $args >"$TMP/out" 2>"$TMP/err"; status=$?
	status_is "$args" 0
	lines_are "$args" 0
	if [ -s "$TMP/out" ]; then ok; else bad "$args prints nothing"; fi
	# shellcheck disable=SC2086
	"$TOOL" $args >/dev/full 2>"$TMP/err"; status=$?
	status_is "$args to a full device" 125
done
"$TOOL" run --library /nosuch/lib.so "$P" >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "library missing" 125
lines_are "library missing" 1
cp "$FAKE" "$TMP/a b.so"
"$TOOL" run --library "$TMP/a b.so" "$P" >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "library with a blank" 125
PAGEHEAP_LIBRARY=$FAKE "$TOOL" run "$P" exit 3 >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "PAGEHEAP_LIBRARY" 3
mkdir "$TMP/p" "$TMP/p/bin" "$TMP/p/lib"
cp "$TOOL" "$TMP/p/bin/pageheap"
"$TMP/p/bin/pageheap" run "$P" exit 4 >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "no library beside the tool" 125
cp "$FAKE" "$TMP/p/lib/libpageheap-malloc.so"
"$TMP/p/bin/pageheap" run "$P" exit 4 >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "library beside the tool" 4

# --- the program's surroundings -------------------------------------------

echo "in" | "$TOOL" run --library "$FAKE" cat >"$TMP/out" 2>"$TMP/err"
if [ "$(cat "$TMP/out")" = in ]; then ok; else bad "standard input and output"; fi
# shellcheck disable=SC2016
LD_PRELOAD=$FAKE run sh -c 'echo "$LD_PRELOAD"'
if [ "$(cat "$TMP/out")" = "$FAKE:$FAKE" ]; then ok; else bad "LD_PRELOAD is prepended to"; fi
PAGEHEAP=print=0,report=/x,foo=1, run sh -c 'echo "$PAGEHEAP"'
if grep -Eq '^print=0,foo=1,report=/.*/pageheap-run\.[0-9]+\.[0-9a-f]{16}$' "$TMP/out"; then ok; else bad "PAGEHEAP is appended to"; fi
run sh -c 'stat -c "%a %s" "${PAGEHEAP#report=}"'
if grep -Eq '^600 [0-9]+$' "$TMP/out"; then ok; else bad "mode of the report file"; fi
run sh -c 'cat /proc/self/status'
cat /proc/self/status >"$TMP/bare"
for set in SigBlk SigIgn; do
	if [ "$(grep "^$set" "$TMP/out")" = "$(grep "^$set" "$TMP/bare")" ]; then ok; else bad "$set is inherited"; fi
done
run sh -c 'ls /proc/self/fd | wc -l'
n=$(sh -c 'ls /proc/self/fd | wc -l')
if [ "$(cat "$TMP/out")" = "$n" ]; then ok; else bad "descriptors leak"; fi
XDG_RUNTIME_DIR=/nosuch run "$P" exit 0
status_is "no XDG_RUNTIME_DIR" 0
XDG_RUNTIME_DIR=$TMP/with,comma; mkdir "$XDG_RUNTIME_DIR"
run sh -c 'echo "$PAGEHEAP"'
status_is "a comma in the directory" 0
if grep -q with,comma "$TMP/out"; then bad "a comma in the directory"; else ok; fi
XDG_RUNTIME_DIR=$TMP/run
(ulimit -f 64; run "$P" exit 5; exit "$status"); status=$?
status_is "small ulimit -f" 5
# shellcheck disable=SC3045
(ulimit -v 65536; run "$P" exit 6; exit "$status"); status=$?
status_is "small ulimit -v" 6
printf 'exit 11\n' >"$TMP/noshebang"; chmod +x "$TMP/noshebang"
run "$TMP/noshebang"
status_is "script without #!" 11
"$TOOL" run --quiet --library "$FAKE" "$P" exit 8 2>"$TMP/err"; status=$?
status_is "--quiet" 8
lines_are "--quiet" 0

# --- signals --------------------------------------------------------------

"$TOOL" run --library "$FAKE" "$P" signals >"$TMP/out" 2>"$TMP/err" &
pid=$!
i=0
while ! grep -q ready "$TMP/out" && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
for want in 15 1 2 10; do
	kill -$want $pid
	i=0
	while ! grep -qx "$want" "$TMP/out" && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
	if grep -qx "$want" "$TMP/out"; then ok; else bad "signal $want is not passed on"; fi
done
kill -s USR2 $pid
wait $pid; status=$?
status_is "signals" 0
no_report_file_left "signals"
"$TOOL" run --library "$FAKE" --json "$TMP/report.json" sleep 60 >"$TMP/out" 2>"$TMP/err" &
pid=$!
sleep 0.3
kill -s TERM $pid
wait $pid; status=$?
status_is "SIGTERM" 143
says "SIGTERM" "killed by signal 15"
json_is "SIGTERM" 'd["program"]["signal"] == 15 and d["program"]["exit_status"] is None'
no_report_file_left "SIGTERM"

# --- numbers --------------------------------------------------------------

run "$P" exit 0
says "peak" "^  peak     heap 2\.0 MiB"
says "at end" "heap 1\.5 MiB of RSS .*: in use 1\.0 MiB, free 512\.0 KiB; returned 2\.5 MiB"
says "live" "^  live     92 objects of 99\.1 KiB in 7 spans; 10 more of 160 B cached"
says "pages" "^  pages    1,234 allocations, 1,000 frees, 1 growth; 0 B scavenged in 0 ranges"
run "$P" _exit 0
says "live of a sudden end" "^  live     102 objects of 99\.2 KiB in 7 spans, those cached by threads included"
FAKE_PEAK=104857600 run --json "$TMP/report.json" "$P" rss 200
says "share" "heap 100\.0 MiB = (4[89]|50) % of the process's peak RSS of 20[0-9]\.[0-9] MiB"
json_is "share" 'p[0]["rss"]["source"] == "waited" and 200 << 20 < p[0]["rss"]["peak_bytes"] < 210 << 20'
json_is "share" 'p[0]["rss"]["final_bytes"] < 20 << 20'
FAKE_PEAK=1099511627776 run "$P" exit 0
says "more heap than RSS" "heap 1\.0 TiB, above the process's peak RSS of"
FAKE_HUGE=1 run --report --json "$TMP/report.json" "$P" exit 0
status_is "largest gauges" 0
json_is "largest gauges" 'p[0]["gauges"]["page_allocs"] == 2**64 - 1'

# --- trees ----------------------------------------------------------------

run --json "$TMP/report.json" sh -c "$P exit 1; $P _exit 2; $P signal 9; exec $P exit 5"
status_is "a shell" 5
json_is "a shell" 'sum(x["exe"].endswith("/run_programs") for x in p) == 4'
json_is "exec" '[x["end"] for x in p if x["pid"] == d["program"]["pid"]] == ["exec", "exit"]'
json_is "exec" 'p[p[0]["successor"]]["pid"] == p[0]["pid"] and p[p[0]["successor"]]["exit_status"] == 5'
json_is "sudden ends" '[x["end"] for x in p if x["command"].endswith("signal 9")] == ["sudden"]'
run --json "$TMP/report.json" "$P" forks 30
status_is "forks" 0
json_is "forks" 'len(p) == 31 and sum(x["forked"] for x in p) == 30'
run --json "$TMP/report.json" sh -c 'sleep 30 & sleep 0.3; exit 0'
status_is "a daemon" 0
says "a daemon" "^pageheap: sleep .*: still running$"
json_is "a daemon" '[x["end"] for x in p if x["command"] == "sleep 30" and not x["forked"]] == ["running"]'
python3 -c 'import json, os, sys
for x in json.load(open(sys.argv[1]))["processes"]:
    if x["end"] == "running": os.kill(x["pid"], 9)' "$TMP/report.json"
# shellcheck disable=SC2016
run --json "$TMP/report.json" sh -c '"$1" signal 15; sleep 0.2; "$1" rss 1; exit 0' sh "$P"
json_is "sampling" '[x["rss"]["source"] for x in p if "rss 1" in x["command"] and "/run_programs" in x["exe"]] == ["sampled"]'
i=0; script=
while [ $i -lt 30 ]; do script="$script FAKE_PEAK=$((i * 1000000)) $P exit 0;"; i=$((i + 1)); done
run sh -c "$script"
n=$(grep -c '^  peak ' "$TMP/err")
if [ "$n" -eq 20 ]; then ok; else bad "many images: $n blocks, not 20"; fi
n=$(grep -c '^pageheap: .*(pid' "$TMP/err")
# The shell may fork before each exec or not.
if [ "$n" -ge 31 ]; then ok; else bad "many images: $n of 31 or more"; fi
says "many images" "^pageheap: in all 31 programs and "
run --report sh -c "$script"
n=$(grep -c '^  peak ' "$TMP/err")
if [ "$n" -ge 31 ]; then ok; else bad "--report: $n blocks, not 31 or more"; fi

# --- what cannot be seen --------------------------------------------------

run env -i "$P" rss 1
says "env -i" "became run_programs by exec, which did not load the library"
run --json "$TMP/report.json" sh -c "env -u LD_PRELOAD sh -c '(sleep 0.1; LD_PRELOAD=$FAKE $P exit 0; true); true'; true"
says "a gap in the tree" "^pageheap: not counted: process [0-9]+, parent of run_programs"
FAKE_EMPTY=1 run "$P" exit 0
says "a slot never filled" "did not load libpageheap-malloc.so"
says "a slot never filled" "not counted: 1 process"
cp "$P" "$TMP/notalib.so"
"$TOOL" run --library "$TMP/notalib.so" "$P" exit 0 >"$TMP/out" 2>"$TMP/err"; status=$?
status_is "a library that does not load" 0
says "a library that does not load" "^pageheap: $P did not load libpageheap-malloc.so|^pageheap: .*\.\.\. did not load"

# --- refusals and notes ---------------------------------------------------

cp "$P" "$TMP/setuid"; chmod 4755 "$TMP/setuid"
run "$TMP/setuid" exit 0
status_is "set-uid" 125
lines_are "set-uid" 1
says "set-uid" "^pageheap: refusing '.*/setuid': .* is set-uid"
cp "$P" "$TMP/setgid"; chmod 2755 "$TMP/setgid"
run "$TMP/setgid" exit 0
status_is "set-gid" 125
says "set-gid" "is set-gid"
cp "$P" "$TMP/caps"
if setcap cap_net_raw+ep "$TMP/caps" 2>/dev/null; then
	run "$TMP/caps" exit 0
	status_is "capabilities" 125
	says "capabilities" "has file capabilities"
else
	echo "skipped: file capabilities (setcap is missing or not permitted)"
fi
run "$PROGRAMS/run_static"
status_is "static" 125
lines_are "static" 1
says "static" "is statically linked"
printf '#!%s/run_static\n' "$PROGRAMS" >"$TMP/script"; chmod +x "$TMP/script"
run "$TMP/script"
status_is "script of a static interpreter" 125
printf '#!/usr/bin/env -S sh -u\nexit 12\n' >"$TMP/script2"; chmod +x "$TMP/script2"
run "$TMP/script2"
status_is "script by env -S" 12
printf '#!%s\n' "$TMP/script2" >"$TMP/script3"; chmod +x "$TMP/script3"
run "$TMP/script3"
status_is "script of a script" 12
printf '#!/nosuch/interpreter\n' >"$TMP/script4"; chmod +x "$TMP/script4"
run "$TMP/script4"
status_is "script of nothing" 126
lines_are "script of nothing" 1
# An ELF header and nothing behind it; then another machine's.
head -c 70 "$P" >"$TMP/short"; chmod +x "$TMP/short"
run "$TMP/short"
status_is "cut ELF file" 125
python3 - "$P" "$TMP/foreign" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[18:20] = b"\x02\x00"
open(sys.argv[2], "wb").write(data)
PY
chmod +x "$TMP/foreign"
run "$TMP/foreign"
status_is "another architecture" 125
says "another architecture" "another architecture"
run "$PROGRAMS/run_own_malloc"
says "own malloc" "note: run_own_malloc carries its own malloc \(it exports '(malloc|free)'\)"
run "$PROGRAMS/run_own_prefixed"
says "own je_malloc" "note: run_own_prefixed carries its own malloc \(it exports 'je_malloc'\)"
"$TOOL" run --quiet --library "$FAKE" "$PROGRAMS/run_own_malloc" >"$TMP/out" 2>"$TMP/err"
lines_are "own malloc, --quiet" 0
run "$P" exit 0
says_not "no malloc of its own" "note:"

# --- JSON -----------------------------------------------------------------

run --json "$TMP/nosuch/file" touch "$TMP/ran"
status_is "JSON in no directory" 125
if [ -e "$TMP/ran" ]; then bad "the program ran all the same"; else ok; fi
odd=$(printf 'a"b\\c\td\377e\303\251')
run --json "$TMP/report.json" sh -c : "$odd"
# shellcheck disable=SC2016
json_is "odd bytes" 'd["program"]["arguments"][3] == "a\"b\\c\td\ufffde\u00e9"'
json_is "schema" 'd["schema_version"] == 1 and len(d["class_bytes"]) == 68 and d["lost_processes"] == 0'
json_is "gauges" 'len(p[0]["gauges"]["class_objects"]) == 68 and p[0]["gauges"]["class_objects"][2] == 100'
if [ "$(ls "$TMP"/report.json*)" = "$TMP/report.json" ]; then ok; else bad "a temporary file is left"; fi
"$TOOL" run --library "$FAKE" --quiet --json /dev/stdout "$P" pid >"$TMP/out" 2>"$TMP/err"
if head -1 "$TMP/out" | grep -Eq '^[0-9]+ [0-9]+$' && grep -q schema_version "$TMP/out"; then ok; else bad "--json /dev/stdout"; fi
ln -s report.json "$TMP/link.json"
run --json "$TMP/link.json" "$P" exit 0
if [ -h "$TMP/link.json" ]; then ok; else bad "a symbolic link is replaced"; fi
no_report_file_left "all"

echo "$checks checks, $failures failed"
[ "$failures" -eq 0 ]
