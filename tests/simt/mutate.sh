#!/bin/sh
# Takes a barrier, a bound, a mask or a wait away from a copy of cuda/, one at a time (mutations.txt), and says which test
# notices: first the op suite, then the same under the thread sanitizer, then training steps, then whole runs. Not part of
# the tests, for it takes an hour; README.md has the last table.
# usage: mutate.sh DIRECTORY [FIRST [LAST]]     lines of mutations.txt that are no comments, counted from 1
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$1 first=${2-1} last=${3-9999}
tree=$dir/tree build=$dir/build
mkdir -p "$tree"
(cd "$root" && tar cf - --exclude=./build --exclude=./runs --exclude=./.git .) | tar xf - -C "$tree"
cmake -S "$tree" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O2 -g1" \
	-DPIPELINE_WERROR=OFF -DPIPELINE_CUDA=OFF >"$dir/configure.txt" 2>&1
make_tests() { cmake --build "$build" --target simt_ops simt_race_ops simt_train pipeline_on_host -j2 >"$dir/build.txt" 2>&1; }
make_tests

# The first test that fails, and the first line that it says; "nothing" if all pass.
noticed() {
	make_tests || { echo "the compiler"; return; }
	for name in simt_ops simt_race_ops simt_train simt_run; do
		case $name in
		simt_race_ops) set -- setarch -R "$build/tests/simt/$name" ;;
		simt_run) set -- "$root/tests/simt/test_run.sh" "$build/tests/simt/pipeline_on_host" "$root/tests/simt/tiny.yaml" \
			"$dir/run" ;;
		*) set -- "$build/tests/simt/$name" ;;
		esac
		if ! timeout 900 "$@" >"$dir/test.txt" 2>&1; then
			why=$(grep -m1 -oE 'data race|simt: .*|runtime error.*|cuda: .*|test_run: .*' "$dir/test.txt" | cut -c1-90)
			echo "$name: $why"
			return
		fi
	done
	echo nothing
}

n=0
grep -v '^#' "$root/tests/simt/mutations.txt" >"$dir/mutations.txt"
while IFS= read -r line; do
	n=$((n + 1))
	[ $n -ge "$first" ] && [ $n -le "$last" ] || continue
	file=${line%%|*} what=${line##*|} rest=${line#*|}
	script=${rest%|*}
	cp "$tree/cuda/$file" "$dir/original"
	sed -i "$script" "$tree/cuda/$file"
	if cmp -s "$dir/original" "$tree/cuda/$file"; then
		echo "| $n | $file | $what | (the script changes nothing) |"
		continue
	fi
	echo "| $n | $file | $what | $(noticed </dev/null) |"
	cp "$dir/original" "$tree/cuda/$file"
done <"$dir/mutations.txt"
