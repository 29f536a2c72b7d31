#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each mistake of progs/mistakes.c must end by SIGABRT with one line that says
# what was done, at which address, and what lies there.
#
# usage: mistakes.sh LIBRARY PROGRAM
set -u

LIBRARY=$1
PROGRAM=$2
unset LD_PRELOAD PAGEHEAP
[ -e "$LIBRARY" ] || { echo "SKIPPED: $LIBRARY is not built"; exit 77; }
TMP=$(mktemp -d) || exit 1
trap 'rm -rf "$TMP"' EXIT
failed=0

line='^pageheap: [a-z_ ]+ 0x[0-9a-f]+ \((not in a span in use|span 0x[0-9a-f]+, [0-9]+ pages?, .*)\)$'
for mistake in $("$PROGRAM"); do
	LD_PRELOAD=$LIBRARY "$PROGRAM" "$mistake" >"$TMP/out" 2>"$TMP/err"
	status=$?
	# The shell may add a line of its own about the signal.
	grep '^pageheap: ' "$TMP/err" >"$TMP/said"
	if [ "$status" -ne 134 ] || [ "$(wc -l <"$TMP/said")" -ne 1 ] ||
		! grep -Eq "$line" "$TMP/said" || [ -s "$TMP/out" ]; then
		echo "FAILED: $mistake: exit status $status, not 134, or not one line"
		cat "$TMP/out" "$TMP/err"
		failed=1
	else
		echo "$mistake: $(cat "$TMP/said")"
	fi
done
exit $failed
