#!/usr/bin/env bash
# The first hour with a GPU: builds with the CUDA backend, runs what needs a GPU (every op and whole training steps
# against the reference, golden values), times training steps and, where PyTorch and Nsight Systems are installed, puts
# PyTorch and the share of time of each kernel beside them. Writes one Markdown file; a part that fails is in it as a
# failure and makes the script fail in the end.
# usage: gpu_check.sh [FILE.md]        default: gpu_check.md in the build folder
set -uo pipefail
cd "$(dirname "$0")/.."
build=build/gpu
out=${1:-$build/gpu_check.md}
mkdir -p $build
failed=0

# part TITLE COMMAND...: a section with the command's output; its status is kept.
part() {
	local title=$1 status
	shift
	echo "== $title" >&2
	{
		printf '\n## %s\n\n`%s`\n\n' "$title" "$*"
		"$@" >$build/part.log 2>&1
		status=$?
		sed 's/\x1b\[[0-9;]*m//g' $build/part.log | tail -n 200 | sed 's/^/    /'
		printf '\n%s\n' "$([ $status = 0 ] && echo passed || echo "**FAILED** (status $status)")"
	} >>"$out"
	[ $status = 0 ] || failed=1
	return $status
}

# markdown TITLE COMMAND...: the command's output is Markdown already.
markdown() {
	local title=$1
	shift
	echo "== $title" >&2
	printf '\n## %s\n\n' "$title" >>"$out"
	"$@" >>"$out" 2>$build/part.log && return
	failed=1
	{ printf '\n**FAILED**\n\n'; sed 's/^/    /' $build/part.log; } >>"$out"
}

commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
{
	echo "# GPU check"
	echo
	echo "Commit $commit, $(date -u +%Y-%m-%dT%H:%M:%SZ), $(uname -srm)."
} >"$out"

part "Build" sh -c "cmake -S . -B $build -DCMAKE_BUILD_TYPE=RelWithDebInfo '-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O3 -g1' \
	-DPIPELINE_CUDA=ON -DPIPELINE_BENCH=ON && cmake --build $build -j\$(nproc)" ||
	{ echo "the build failed: see $out" >&2; exit 1; }
part "Device" $build/pipeline doctor
$build/pipeline doctor --json 2>/dev/null | tr -d ' \n\t' | grep -q '"cuda":{"usable":true' ||
	{ printf '\n**No usable GPU**: nothing below was run.\n' >>"$out"; echo "no usable GPU: see $out" >&2; exit 1; }

for name in ops golden train; do
	part "Test cuda_$name" $build/tests/cuda_$name
done
part "Static checks" sh tests/cuda/static.sh .
markdown "Training steps" $build/bench/bench_gpu_train 200
markdown "PyTorch" scripts/gpu_torch.py
if command -v nsys >/dev/null 2>&1; then
	part "Kernels (Nsight Systems)" sh -c "nsys profile -o $build/steps --force-overwrite true \
		$build/bench/bench_gpu_train 20 && nsys stats --report cuda_gpu_kern_sum $build/steps.nsys-rep"
else
	printf '\n## Kernels\n\nNsight Systems (nsys) is not installed: no times per kernel.\n' >>"$out"
fi
echo "$out"
exit $failed
