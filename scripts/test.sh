#!/bin/sh
# Installs what is missing, builds everything, benchmarks too, with warnings as errors, and passes all tests: the release
# build, then the same tests under the address, undefined-behaviour and leak sanitizers.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh --test
for preset in release asan; do
	echo "== $preset"
	cmake --preset "$preset" -DBUILD_TESTING=ON -DPIPELINE_BENCH=ON
	cmake --build --preset "$preset" --parallel "$(nproc)"
	ctest --preset "$preset" --parallel "$(nproc)"
done
