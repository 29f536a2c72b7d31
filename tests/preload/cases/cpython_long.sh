# SPDX-License-Identifier: MIT
# A part of CPython's own tests (Debian: libpython3.11-testsuite), every object
# on malloc.  What is compared is each test's verdict, without its duration.
TESTS="test_json test_dict test_list test_bytes test_set test_array test_deque
	test_threading test_fork1 test_subprocess test_gc test_weakref
	test_memoryview test_struct test_re test_unicode test_long test_sort
	test_thread test_queue test_pickle test_zlib test_io test_descr
	test_generators test_copy test_heapq test_ctypes test_bigmem"
case $1 in
needs) echo python3 ;;
seen) echo python3 ;;
prepare)
	python3 -c 'import test.test_json, test.test_dict' || {
		echo "install libpython3.11-testsuite"
		exit 77
	}
	;;
work)
	PYTHONHASHSEED=0
	PYTHONMALLOC=malloc
	export PYTHONHASHSEED PYTHONMALLOC
	# shellcheck disable=SC2086
	python3 -m test -v $TESTS >full.log 2>&1
	status=$?
	# One line a test, in any order, with its verdict if that is not "ok".
	# What a test prints itself comes between the two, and is left out.
	sed -En 's/^(test\w* \(.*\)) \.\.\. (FAIL|ERROR|skipped.*|expected failure)$/\1: \2/p
		t
		s/^(test\w* \(.*\)) \.\.\. .*/\1/p
		/^(FAIL|ERROR|expected failure)/p' full.log |
		sed 's/0x[0-9a-f]*/ADDRESS/g' | sort | uniq -c
	grep -E '^(== Tests result|Result:|Tests result:)' full.log
	[ "$status" -eq 0 ] || tail -n 60 full.log
	exit "$status"
	;;
esac
