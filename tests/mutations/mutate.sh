#!/bin/sh
# Makes each change of mutations.txt to a copy of the tree, one at a time, builds the tests that the line names and runs
# them until one notices; what none notices is tried once more under the sanitizers. Prints the table of mutations.md;
# fails if a change goes unnoticed, or if one that is said to change nothing is noticed. Not part of the tests, for it
# takes long; --check is: each line fits the sources, and its tests exist.
# usage: mutate.sh DIRECTORY [PATTERN]     lines that match an extended regular expression, e.g. '^engine/quant'
#        mutate.sh --check
# The directory keeps the copy and its builds for the next time; one run at a time.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/mutations
separator=$(printf '\037')

# list PATTERN: number, file, text, instead, tests, what
list() {
	awk -F ' [|] ' -v OFS="$separator" -v pattern="$1" '/^#/ || /^$/ { next }
	{ n++ }
	$0 ~ pattern { print n, $1, $2, $3, $4, $5 }' "$here/mutations.txt"
}

# mutate FILE TEXT INSTEAD
mutate() { FUNCTION='' TEXT=$2 COUNT=1 INSTEAD=$3 awk -f "$root/tests/simt/mutate.awk" "$root/$1"; }

[ "${1-}" != --check ] || { cd "$root" && exec awk -f tests/mutations/check.awk tests/mutations/mutations.txt; }

# targets TEST: what has to be built for it
targets() {
	case $1 in
	cli_*) echo pipeline cli_tool ;;
	ranks_many) echo ranks_one_of_many ;;
	*) target=${1%%:*} && echo "${target%%_[SA][SV][EX]*}" ;; # on a lesser CPU: cpu_ops_AVX2
	esac
}

# complaint BUILD TEST: the first claim that does not hold, or how the test ended; nothing if it passes. TEST:CLAIMS runs
# those claims only, of tests that take long.
complaint() {
	out=$dir/log.txt
	unset TEST_CLAIMS
	case $2 in *:*) export TEST_CLAIMS="${2#*:}" ;; esac
	# A loop without end stops by its processor time: ctest takes tests out of the group that timeout would end.
	# shellcheck disable=SC3045 # every sh that we know has it
	(ulimit -t 60 && timeout 400 ctest --test-dir "$1" -R "^${2%%:*}\$" --output-on-failure --no-tests=error) >"$out" 2>&1 && return
	{ grep -m1 -oE 'ERROR: (Address|Leak|Thread|Undefined)Sanitizer: [a-zA-Z-]+|runtime error: .*' "$out" ||
		sed -n 's/^\[  FAILED  \] \([a-z][A-Za-z0-9_]*\)$/\1/p' "$out" | grep -m1 . ||
		grep -m1 -oE 'Assertion .* failed|Exception: [A-Za-z]+|^(FAIL|failed|cli).*|Timeout' "$out" ||
		echo failed; } | cut -c1-90
}

# The first of the tests that notices the change, and how.
noticed() {
	for build in "$dir/plain" "$dir/sanitized"; do
		for test; do
			# shellcheck disable=SC2046
			cmake --build "$build" --target $(targets "$test") >"$dir/build.txt" 2>&1 || { echo "(does not compile)" && return; }
			why=$(complaint "$build" "$test")
			[ -z "$why" ] || { echo "\`${test%%:*}: $why\`$([ "$build" = "$dir/plain" ] || echo ' (sanitized)')" && return; }
		done
	done
	echo "**nothing**"
}

# configure BUILD OPTIONS
configure() {
	build=$1
	shift
	[ -f "$build/build.ninja" ] || cmake -G Ninja -S "$tree" -B "$build" -DBUILD_TESTING=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
		-DPIPELINE_WERROR=OFF -DPIPELINE_CUDA=OFF "$@" >"$dir/configure.txt" 2>&1 || { cat "$dir/configure.txt" && exit 1; }
}

dir=$1 pattern=${2-.} tree=$1/tree
mkdir -p "$tree"
exec 9>"$dir/lock"
flock -n 9 || { echo "$dir is in use" && exit 1; }
(cd "$root" && tar cf - --exclude='./build*' --exclude=./runs --exclude=./.git .) | tar xf - -C "$tree"
# Objects of an earlier run may be mutated ones.
[ ! -f "$dir/mutated.txt" ] || (cd "$tree" && xargs touch <"$dir/mutated.txt")
configure "$dir/plain" "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O2"
configure "$dir/sanitized" "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1 -g1" -DPIPELINE_SANITIZE=ON
: >"$dir/table.txt"
list "$pattern" | while IFS=$separator read -r n file text instead tests what; do
	echo "$file" >>"$dir/mutated.txt"
	mutate "$file" "$text" "$instead" >"$tree/$file"
	# shellcheck disable=SC2086
	why=$(noticed $tests </dev/null 9>&-)
	case $what in
	"same: "*)
		[ "$why" = "**nothing**" ] && why="the same: ${what#*; }" || why="**said to be the same:** $why"
		what=${what#same: } what=${what%%;*}
		;;
	esac
	echo "| $n | \`$file\` | $what | $why |" | tee -a "$dir/table.txt"
	cp "$root/$file" "$tree/$file"
done
! grep -E '\*\*nothing\*\*|does not compile|said to be the same' "$dir/table.txt" >/dev/null
