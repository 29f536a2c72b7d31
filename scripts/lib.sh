# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2034  # the package lists are used by those who source
#
# What scripts/test, scripts/demo and .ci/run share: installing packages,
# building a preset, running checks and adding up their results.
#
# A script sources this file, calls stages, and ends with finish.  Results of
# single tests and of whole checks go into the same three counters; what was
# skipped is named with its reason and never counted as passed.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1

# Make works as well; an existing build directory keeps what it has.
if command -v ninja >/dev/null 2>&1; then
	export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
fi
JOBS=${JOBS:-$(nproc)}

# What ctest is run under; see fixed_addresses in tiers.sh.
RUNNER=()

PKGS_BUILD="gcc libc6-dev cmake ninja-build pkg-config zlib1g-dev"
PKGS_TEST="$PKGS_BUILD g++ clang check python3 git"
PKGS_LINT="clang-format clang-tidy cppcheck shellcheck"
PKGS_CHECKERS="clang valgrind gcc-aarch64-linux-gnu g++-aarch64-linux-gnu
	libc6-dev-arm64-cross qemu-user-static"
# Programs that the preload tests run on the heap.
PKGS_PROGRAMS=$(cat tests/preload/packages.txt)
PKGS_PROGRAMS_LONG=$(cat tests/preload/packages-long.txt)

npassed=0
nfailed=0
nskipped=0
failures=()
skips=()
started=$SECONDS

say() { printf '== %s\n' "$*"; }

pass() { npassed=$((npassed + 1)); }

fail() {
	nfailed=$((nfailed + 1))
	failures+=("$1")
	printf 'FAILED: %s\n' "$1"
}

skip() {
	nskipped=$((nskipped + 1))
	skips+=("$1")
	printf 'SKIPPED: %s\n' "$1"
}

# ---------------------------------------------------------------------------
# Packages

# The packages of the arguments that are not installed.
missing_packages() {
	local package
	for package in "$@"; do
		# A program may come from elsewhere, as node and python3 often
		# do; then its package is not needed.
		case $package in
		nodejs) command -v node >/dev/null 2>&1 && continue ;;
		redis-server | sqlite3 | lua5.4 | perl | git)
			command -v "$package" >/dev/null 2>&1 && continue ;;
		esac
		dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null |
			grep -qx installed || printf '%s\n' "$package"
	done
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		return 127
	fi
}

apt_updated=
apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" \
		</dev/null
}

# need_packages NAME...: installs what is missing, and does nothing (and asks
# for no rights) when all is there.
need_packages() {
	local missing
	missing=$(missing_packages "$@" | sort -u | tr '\n' ' ')
	[ -n "${missing// /}" ] || return 0
	say "installing $missing"
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "This is not a Debian system. Please install the" \
			"equivalent of: $missing" >&2
		return 1
	fi
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
		echo "Neither root nor sudo: please have these packages" \
			"installed: $missing" >&2
		return 1
	fi
	if [ -z "$apt_updated" ]; then
		apt_get update >/tmp/pageheap-apt.$$ 2>&1 ||
			cat /tmp/pageheap-apt.$$ >&2
		apt_updated=1
	fi
	# shellcheck disable=SC2086
	if ! apt_get install --no-install-recommends $missing \
		>/tmp/pageheap-apt.$$ 2>&1; then
		cat /tmp/pageheap-apt.$$ >&2
		rm -f /tmp/pageheap-apt.$$
		echo "Could not install: $missing" >&2
		return 1
	fi
	rm -f /tmp/pageheap-apt.$$
	export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
}

# ---------------------------------------------------------------------------
# Building and testing

# run_quiet LOG COMMAND...: shows the end of the log when the command fails.
run_quiet() {
	local log=$1
	shift
	mkdir -p "$(dirname "$log")"
	"$@" >"$log" 2>&1 </dev/null && return 0
	tail -n 60 "$log"
	echo "(the whole log: $log)"
	return 1
}

# build PRESET [CMAKE-OPTION...]: configures and builds build/PRESET.
build() {
	local preset=$1
	shift
	say "building $preset"
	run_quiet "build/$preset.configure.log" \
		cmake --preset "$preset" "$@" &&
		run_quiet "build/$preset.build.log" \
			cmake --build --preset "$preset" -j "$JOBS"
}

# count_ctest NAME DIR CTEST-OPTION...: runs ctest and adds up its results.
count_ctest() {
	local name=$1 dir=$2 junit counts
	shift 2
	junit=$PWD/build/$name.junit.xml
	mkdir -p build
	rm -f "$junit"
	say "testing $name"
	"${RUNNER[@]}" ctest --test-dir "$dir" --output-on-failure -j "$JOBS" \
		--no-tests=error --output-junit "$junit" "$@" </dev/null \
		>"build/$name.ctest.log" 2>&1 ||
		sed -n '/^ *Start/d; p' "build/$name.ctest.log" |
		grep -vE '\.\. +Passed ' | tail -n 120
	if ! counts=$(scripts/ctest-summary "$junit"); then
		tail -n 30 "build/$name.ctest.log"
		fail "$name: ctest left no results"
		return 1
	fi
	add_counts "$name" "$counts"
}

# Lines of scripts/ctest-summary: "passed N", "failed NAME", "skipped NAME: ..".
add_counts() {
	local name=$1 kind rest bad=0 p=0 f=0 s=0
	while read -r kind rest; do
		case $kind in
		passed)
			p=$rest
			npassed=$((npassed + rest))
			;;
		failed)
			f=$((f + 1))
			bad=1
			fail "$name: $rest"
			;;
		skipped)
			s=$((s + 1))
			skip "$name: $rest"
			;;
		esac
	done <<<"$2"
	say "$name: $p passed, $f failed, $s skipped"
	return $bad
}

# check NAME COMMAND...: a check that is one command; counts as one.
check() {
	local name=$1 log
	shift
	log=build/check.${name//[^A-Za-z0-9]/-}.log
	say "$name"
	if run_quiet "$log" "$@"; then
		pass
	else
		fail "$name"
	fi
}

# stage NAME FUNCTION: runs it and prints its seconds.
stage() {
	local name=$1 begun=$SECONDS status=0
	shift
	"$@" || status=$?
	printf -- '-- %s: %d s\n' "$name" $((SECONDS - begun))
	return $status
}

# Prints what failed and what was skipped, then the line that counts.
finish() {
	local line
	echo
	for line in "${skips[@]+"${skips[@]}"}"; do
		printf 'skipped: %s\n' "$line"
	done
	for line in "${failures[@]+"${failures[@]}"}"; do
		printf 'failed: %s\n' "$line"
	done
	printf 'took %d s\n' $((SECONDS - started))
	printf '%d passed, %d failed, %d skipped\n' \
		"$npassed" "$nfailed" "$nskipped"
	[ "$nfailed" -eq 0 ] && [ "$npassed" -gt 0 ]
}
