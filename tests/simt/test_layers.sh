#!/bin/sh
# Whole runs of layers.yaml with the CUDA backend on the host runtime: plan refuses nothing, losses follow the CPU's, and
# two runs in different lane orders give the same bytes.
# usage: test_layers.sh PROGRAM CONFIG DIRECTORY
set -u
program=$1 config=$2 dir=$3
rm -rf "$dir"
mkdir -p "$dir"
fail() { echo "test_layers: $1"; [ -z "${2-}" ] || cat "$2"; exit 1; }

sed "s|texts.csv|$dir/texts.csv|" "$config" >"$dir/layers.yaml"
echo text,label >"$dir/texts.csv"
i=0
while [ $i -lt 24 ]; do
	i=$((i + 1))
	printf 'sales w%d go up and rise,good\nsales w%d go down and fall in all of the towns,bad\nw%d stay,fine\n' $i $((i % 7)) $i
done >>"$dir/texts.csv"

run() { # NAME SEED ARGUMENTS...
	name=$1 seed=$2
	shift 2
	SIMT_SEED=$seed "$program" run "$dir/layers.yaml" --out "$dir/$name/run" "$@" >"$dir/$name.txt" 2>&1 ||
		fail "$name failed" "$dir/$name.txt"
}

# follow STAGE TOLERANCE: every train and validation loss, relative
follow() {
	log=logs/${1}_training.csv
	paste -d, "$dir"/cuda/run/[0-9]*-"$1/$log" "$dir"/cpu/run/[0-9]*-"$1/$log" | awk -F, -v tol="$2" -v what="$1" '
	NR > 1 {
		for (c = 2; c <= 3; c++) {
			d = ($c - $(c + 7)) / $(c + 7)
			rows++
			if (!(d * d <= tol * tol)) { print what ": " $c ", must be " $(c + 7); bad = 1 }
		}
	}
	END { exit bad || rows == 0 }' || fail "cuda and cpu differ by more than $2"
}

"$program" plan "$dir/layers.yaml" --out "$dir/planned/run" >"$dir/plan.txt" 2>&1 || fail "plan refuses it" "$dir/plan.txt"
run cpu 1 --set device.train=cpu
run cuda 1
run again 3
follow teacher 5e-4
follow student 5e-4
follow related 5e-4
follow quantize 1e-2 # an integer may become its neighbour
for stage in 01-teacher 02-student 03-related 04-quantize; do
	cmp "$dir/cuda/run/$stage/model.safetensors" "$dir/again/run/$stage/model.safetensors" || fail "two runs differ in $stage"
done
echo "runs agree: cpu, cuda; twice the same"
