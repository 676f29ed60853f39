#!/bin/sh
# Installs what is missing, builds pipeline and runs the main job: distill -> prune -> quantize on the embedded digits.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh
cmake --preset release -DBUILD_TESTING=OFF
cmake --build --preset release --parallel "$(nproc)"
exec build/release/pipeline run configs/kd_prune_quant.yaml
