#!/bin/sh
# Takes a barrier, a bound, a mask or a wait away from a copy of cuda/, one at a time (mutations.txt), and says which test
# notices: the op suite, the same under the thread sanitizer, training steps, a GPU that fails, bytes moved, whole runs;
# the tests that a file is named after come first, and a test's first complaint is enough. Prints the table of
# mutations.md; fails if one goes unnoticed. Not part of the tests, for it takes long; --check is: each line fits the
# sources, and no barrier is missing.
# usage: mutate.sh DIRECTORY [PATTERN [JOBS]]     lines that match an extended regular expression, e.g. '^loss'
#        mutate.sh --check
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/simt
separator=$(printf '\037')

# list PATTERN: number, file, function, text, how often, instead, what
list() {
	awk -F ' [|] ' -v OFS="$separator" -v pattern="$1" '/^#/ || /^$/ { next }
	{
		n++
		if ($0 !~ pattern)
			next
		count = $3 ~ /^[0-9]:/ ? substr($3, 1, 1) : 1
		sub(/^[0-9]:/, "", $3)
		print n, $1, $2, $3, count, $4, $5
	}' "$here/mutations.txt"
}

# mutate FILE FUNCTION TEXT COUNT INSTEAD
mutate() { FUNCTION=$2 TEXT=$3 COUNT=$4 INSTEAD=$5 awk -f "$here/mutate.awk" "$root/cuda/$1"; }

check() {
	list . | {
		lines=0 barriers=0 bad=0
		while IFS=$separator read -r n file function text count instead what; do
			lines=$((lines + 1))
			case $text in __sync*) barriers=$((barriers + 1)) ;; esac
			mutate "$file" "$function" "$text" "$count" "$instead" >/dev/null && [ -n "$what" ] ||
				{ echo "mutations.txt: $file, $function: no '$text'" && bad=1; }
		done
		all=$(cat "$root"/cuda/*.cu "$root"/cuda/*.cuh | grep -cE '__sync(threads|warp)[a-z_]*\(')
		[ "$barriers" -eq "$all" ] || { echo "mutations.txt: $barriers of $all barriers" && bad=1; }
		echo "$lines mutations"
		exit $bad
	}
}
[ "${1-}" != --check ] || { check && exit 0 || exit 1; }

# complaint TEST [OP]: the first line that tells what is wrong; nothing if the test passes
complaint() {
	case $1 in
	simt_run) set -- "$here/test_run.sh" "$build/tests/simt/pipeline_on_host" "$here/tiny.yaml" "$build/run" ;;
	simt_traffic) set -- "$build/tests/simt/simt_traffic" "$root/cuda/traffic.txt" ;;
	simt_race_ops) set -- setarch -R "$build/tests/simt/$1" ${2+"*$2*"} ;;
	*) set -- "$build/tests/simt/$1" ${2+"*$2*"} ;;
	esac
	{ timeout 600 "$@" 2>&1 || echo "test_run: exit status $?" 2>/dev/null; } |
		grep -m1 -oE 'data race|^ERROR: .*|simt: .*|runtime error.*|^cuda: .*|ERROR .*|test_run: .*' | cut -c1-90
}

# The first test that notices what was done to $file, and how.
noticed() {
	case $file in
	half.cuh | common.c) op=add ;;
	tiles.cuh | map_dropout.cuh) op=attention ;;
	map_loss.*) op=_loss ;;
	*.cuh) op= ;;
	common.cu) op=linear ;;
	activation.cu) op=gelu ;;
	device.c) op=upload ;;
	queue.c) op=reading ;;
	*) op=${file%.*} ;;
	esac
	case $file in
	*.c) tries="simt_ops:$op simt_device simt_ops simt_train simt_traffic simt_run" ;; # only kernels have threads that race
	*) tries="${op:+simt_ops:$op simt_race_ops:$op} simt_ops simt_race_ops simt_train simt_device simt_traffic simt_run" ;;
	esac
	for try in $tries; do
		test=${try%:*}
		target=$test
		[ "$test" != simt_run ] || target=pipeline_on_host
		cmake --build "$build" --target "$target" -j2 >"$build/log.txt" 2>&1 || { echo "(does not compile)" && return; }
		case $try in
		*:*) why=$(complaint "$test" "$op") ;;
		*) why=$(complaint "$test") ;;
		esac
		[ -z "$why" ] || { echo "\`$test: $why\`" && return; }
	done
	echo "**nothing**"
}

# work JOB: every JOBSth line, in a tree of its own
work() {
	tree=$dir/$1/tree build=$dir/$1/build file=none.cuh
	mkdir -p "$tree"
	(cd "$root" && tar cf - --exclude='./build*' --exclude=./runs --exclude=./.git .) | tar xf - -C "$tree"
	touch "$tree"/cuda/* # objects of an earlier run are mutated ones
	cmake -S "$tree" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O2 -g1" \
		-DPIPELINE_WERROR=OFF -DPIPELINE_CUDA=OFF >"$dir/$1/configure.txt" 2>&1
	[ "$1" -gt 0 ] || why=$(noticed)
	[ "$1" -gt 0 ] || [ "$why" = "**nothing**" ] || { echo "| 0 | | unchanged sources do not pass | $why |" && return; }
	list "$pattern" | while IFS=$separator read -r n file function text count instead what; do
		[ $((n % jobs)) -eq "$1" ] || continue
		mutate "$file" "$function" "$text" "$count" "$instead" >"$tree/cuda/$file"
		echo "| $n | \`${function%%(*}\` in \`$file\` | $what | $(noticed </dev/null) |"
		cp "$root/cuda/$file" "$tree/cuda/$file"
	done
}

dir=$1 pattern=${2-.} jobs=${3-1} job=0
while [ $job -lt "$jobs" ]; do
	mkdir -p "$dir/$job"
	work $job >"$dir/$job/table.txt" &
	job=$((job + 1))
done
wait
{
	echo "| | function | what is taken away | first noticed by |"
	echo "| --- | --- | --- | --- |"
	cat "$dir"/[0-9]*/table.txt | sort -t '|' -k 2n
} >"$dir/table.txt"
cat "$dir/table.txt"
! grep -E '\*\*nothing\*\*|does not compile|do not pass' "$dir/table.txt" >/dev/null
