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

address='0x[0-9a-f]+'
nothing='\(not in a span in use\)'
small="span $address, 1 page, class 9, 112 bytes"

# mistake: what the line must say behind "pageheap: "
expected() {
	case $1 in
	double_small | double_threads)
		echo "double free of $address \($small, object [0-9]+\)" ;;
	# The span may be gone by then, with all of its objects free.
	double_later)
		echo "(double|invalid) free of $address \((not in a span in use|$small, object [0-9]+)\)" ;;
	interior)
		echo "invalid free inside $address \($small, 16 bytes into object [0-9]+\)" ;;
	interior_large)
		echo "invalid free inside $address \(span $address, 123 pages, large object\)" ;;
	double_large | stack | foreign | small_number | kernel)
		echo "invalid free of $address $nothing" ;;
	realloc_freed | realloc_foreign)
		echo "invalid realloc of $address $nothing" ;;
	usable_foreign)
		echo "invalid usable size of $address $nothing" ;;
	*)
		echo "no expectation for $1" ;;
	esac
}

for mistake in $("$PROGRAM"); do
	LD_PRELOAD=$LIBRARY "$PROGRAM" "$mistake" >"$TMP/out" 2>"$TMP/err"
	status=$?
	# The shell may add a line of its own about the signal.
	grep '^pageheap: ' "$TMP/err" >"$TMP/said"
	if [ "$status" -ne 134 ] || [ "$(wc -l <"$TMP/said")" -ne 1 ] ||
		! grep -Eqx "pageheap: $(expected "$mistake")" "$TMP/said" ||
		[ -s "$TMP/out" ]; then
		echo "FAILED: $mistake: exit status $status, not 134, or not the line"
		echo "expected: pageheap: $(expected "$mistake")"
		cat "$TMP/out" "$TMP/err"
		failed=1
	else
		echo "$mistake: $(cat "$TMP/said")"
	fi
done
exit $failed
