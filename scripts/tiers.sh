# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2034  # RUNNER is for count_ctest
#
# The tiers of checks: each builds one configuration and runs the tests that
# make sense in it.  Sourced after lib.sh by scripts/test and .ci/run.

# tier PRESET NAME-OF-TESTS CTEST-OPTION... -- CMAKE-OPTION...
tier() {
	local preset=$1 ctest_options=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		ctest_options+=("$1")
		shift
	done
	[ $# -eq 0 ] || shift
	# Time-outs are for tests that hang, not for machines that are busy.
	if ! build "$preset" -DPH_TEST_TIMEOUT=240 "$@"; then
		fail "$preset: does not build"
		return 1
	fi
	count_ctest "$preset" "build/$preset" "${ctest_options[@]}"
}

tier_release() { tier release -L core -- -DPH_BUILD_TESTS=ON; }
tier_dev() { tier dev -L core; }

# Sanitizers: the suites that run inside one process of ours.
in_process='^(unit|prop|oom|death|stress|fuzz|trace)\.'

# The sanitizers of gcc 12 and clang 14 reserve addresses that kernels with 32
# random bits may give to something else: their tests run without randomisation
# where the system lets us switch it off.
fixed_addresses() {
	if setarch "$(uname -m)" -R true 2>/dev/null; then
		RUNNER=(setarch "$(uname -m)" -R)
	fi
}

tier_asan() {
	local RUNNER=()
	fixed_addresses
	tier asan -L core -R "$in_process"
}

tier_tsan() {
	local RUNNER=()
	fixed_addresses
	tier tsan -L core -R "$in_process"
}

# Both compilers, warnings as errors, all targets; all errors, not the first.
build_werror() {
	local cc=$1 dir=build/werror-$1 keep_going=(-k)
	[ "${CMAKE_GENERATOR:-}" != Ninja ] || keep_going=(-k 0)
	run_quiet "$dir.log" cmake -S . -B "$dir" -DCMAKE_C_COMPILER="$cc" \
		-DCMAKE_BUILD_TYPE=RelWithDebInfo -DPH_WERROR=ON &&
		run_quiet "$dir.log" cmake --build "$dir" -j "$JOBS" \
			-- "${keep_going[@]}" &&
		run_quiet "$dir.log" cmake -S . -B "$dir" -DPH_DEBUG=ON &&
		run_quiet "$dir.log" cmake --build "$dir" -j "$JOBS" \
			-- "${keep_going[@]}"
}

tier_werror() {
	check "gcc without warnings, release and debug" build_werror gcc
	check "clang without warnings, release and debug" build_werror clang
}

tier_clang() {
	if build_werror clang; then
		pass
	else
		fail "clang: warnings or errors"
		return
	fi
	count_ctest clang build/werror-clang -L core
}

# valgrind replaces malloc in the program it runs, so malloc/ is left out; a
# test that valgrind cannot run is named, with the reason, in
# tests/valgrind.skip.
tier_valgrind() {
	local program name reason status=0 options
	options=(--error-exitcode=99 --leak-check=full --quiet
		--errors-for-leak-kinds=definite --trace-children=no
		--suppressions=tests/valgrind.supp)
	build dev || {
		fail "valgrind: dev does not build"
		return
	}
	# Asking ctest, since the directory keeps programs of deleted tests.
	for name in $(ctest --test-dir build/dev -N -R '^unit\.' |
		sed -n 's/^ *Test *#[0-9]*: //p'); do
		program=build/dev/tests/$name
		case $name in unit.malloc.*) continue ;; esac
		reason=$(grep "^$name: " tests/valgrind.skip)
		if [ -n "$reason" ]; then
			skip "valgrind: $reason"
			continue
		fi
		# Tests run in children, some of which are meant to die:
		# valgrind goes with a fork, and Check sees its exit status.
		if run_quiet "build/valgrind/$name.log" env \
			PH_VALGRIND=1 CK_DEFAULT_TIMEOUT=600 timeout 600 \
			valgrind "${options[@]}" "$program"; then
			pass
		else
			fail "valgrind: $name"
			status=1
		fi
	done
	return $status
}

# tier_fuzz RUNS: every fuzzer for that many inputs.
tier_fuzz() {
	local RUNNER=()
	fixed_addresses
	tier fuzz -R '^fuzz\.' -- -DPH_FUZZ_RUNS="$1" -DPH_TEST_TIMEOUT=900
}

tier_aarch64() {
	local dir=build/aarch64 line names=none
	say "building aarch64"
	if ! run_quiet build/aarch64-sysroot.log scripts/aarch64-sysroot; then
		fail "aarch64: no system root"
		return 1
	fi
	if ! run_quiet $dir.log cmake -S . -B $dir \
		-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake \
		-DCMAKE_BUILD_TYPE=RelWithDebInfo -DPH_DEBUG=ON \
		-DPH_TEST_TIMEOUT=480 ||
		! run_quiet $dir.log cmake --build $dir -j "$JOBS"; then
		fail "aarch64: does not build"
		return 1
	fi
	while read -r line; do
		skip "aarch64: $line"
		names="$names|${line%%: *}"
	done < <(grep -v '^#' tests/emulator.skip)
	count_ctest aarch64 $dir -L core -E "^($names)\$" \
		-R '^(unit|prop|oom|trace|fuzz)\.'
}

# The long tests of the release build: real programs, large inputs.
tier_long() {
	if ! grep -q 'PH_BUILD_TESTS:BOOL=ON' build/release/CMakeCache.txt; then
		build release -DPH_BUILD_TESTS=ON || {
			fail "long tests: release does not build"
			return 1
		}
	fi
	if ctest --test-dir build/release -N -L long | grep -q 'Tests: 0'; then
		skip "long tests: there are none"
		return
	fi
	count_ctest long build/release -L long
}

# ---------------------------------------------------------------------------
# Reading, not running

c_files() { git ls-files 'src/*.[ch]' 'include/*.h' 'tools/*.[ch]' \
	'tests/*.[ch]' 'bench/*.[ch]' 'examples/*.[ch]'; }

shell_files() {
	git grep -lE '^#!.*(bash|/sh)' -- scripts .ci tests tools bench docs
	git ls-files 'scripts/*.sh'
}

lint_format() { c_files | xargs clang-format --dry-run -Werror; }

# Our own files; tests only where they are compiled (the compilation database
# has no entry for consumers and preload programs).  One file at a time: clang
# 14's va_list check carries state from file to file.
lint_tidy() {
	[ -f build/werror-clang/compile_commands.json ] ||
		build_werror clang || return 1
	c_files | grep -E '^(src|tools)/.*\.c$' |
		xargs -P "$JOBS" -n 1 clang-tidy -p build/werror-clang --quiet
}

lint_cppcheck() {
	c_files | grep -E '^(src|tools|bench)/.*\.c$' |
		xargs cppcheck --quiet --std=c11 --inline-suppr -j "$JOBS" \
			--enable=warning,performance,portability \
			--suppressions-list=scripts/cppcheck.supp \
			--error-exitcode=1 -Isrc -Iinclude -D__x86_64__ \
			-D__GNUC__ -D__linux__ -DSIZE_MAX=~0UL -DUINT64_MAX=~0UL
}

lint_shell() { shell_files | sort -u | xargs shellcheck -x -S warning; }

tier_lint() {
	check "layers" scripts/check-layers
	check "layers, self-test" scripts/check-layers --self-test
	check "clang-format" lint_format
	check "clang-tidy" lint_tidy
	check "cppcheck" lint_cppcheck
	check "shellcheck" lint_shell
}
