#!/bin/sh
# Whole runs of tiny.yaml (train, distill, prune, QAT) with the CUDA backend on the host runtime: losses follow the CPU's,
# two runs in different lane orders give the same bytes, half precision and TF32 work, a checkpoint of one device goes on
# on the other, and what a machine lacks is one clear message with the documented exit status.
# usage: test_run.sh PROGRAM CONFIG DIRECTORY
set -u
program=$1 config=$2 dir=$3
rm -rf "$dir"
mkdir -p "$dir"
fail() { echo "test_run: $1"; [ -z "${2-}" ] || cat "$2"; exit 1; }

# run NAME SEED ARGUMENTS...: into $dir/NAME/run, for a run takes finished stages from the store beside it
run() {
	name=$1 seed=$2
	shift 2
	SIMT_SEED=$seed "$program" run "$config" --out "$dir/$name/run" "$@" >"$dir/$name.txt" 2>&1 || fail "$name failed" "$dir/$name.txt"
}

# follow NAME OTHER TOLERANCE [STAGE...]: every train and validation loss of two runs, relative
follow() {
	a=$dir/$1/run b=$dir/$2/run names="$1 and $2" tolerance=$3
	shift 3
	[ $# -gt 0 ] || set -- teacher student prune quantize
	for stage; do
		log=logs/${stage}_training.csv
		paste -d, "$a"/[0-9]*-"$stage/$log" "$b"/[0-9]*-"$stage/$log" |
			awk -F, -v tol="$tolerance" -v what="$names: $stage" '
			NR > 1 {
				for (c = 2; c <= 3; c++) {
					d = ($c - $(c + 7)) / $(c + 7)
					rows++
					if (!(d * d <= tol * tol)) { print what ": " $c ", must be " $(c + 7); bad = 1 }
				}
			}
			END { exit bad || rows == 0 }' || fail "$names differ by more than $tolerance"
	done
}

# same NAME OTHER: all weights and masks, byte by byte
same() {
	for stage in 01-teacher 02-student 03-prune 04-quantize; do
		cmp "$dir/$1/run/$stage/model.safetensors" "$dir/$2/run/$stage/model.safetensors" || fail "$1 and $2 differ in $stage"
	done
}

# refuse STATUS TEXT VARIABLE=VALUE ARGUMENTS...
refuse() {
	status=$1 text=$2 variable=$3
	shift 3
	env "$variable" "$program" run "$config" --out "$dir/refused/run" "$@" >"$dir/refused.txt" 2>&1
	got=$?
	[ $got -eq "$status" ] || fail "$variable: exit status $got, must be $status" "$dir/refused.txt"
	grep -q "$text" "$dir/refused.txt" || fail "$variable: no message '$text'" "$dir/refused.txt"
}

run cpu 1 --set device.train=cpu
run cuda 1
run again 2
same cuda again
# The teacher's first epoch is 17 updates; what follows starts from rounding errors that training has made larger.
follow cuda cpu 5e-4

half="--set stages.teacher.precision=bf16 --set stages.student.precision=bf16 --set stages.prune.precision=bf16
	--set stages.quantize.precision=bf16"
run bf16 1 $half
follow bf16 cpu 5e-3
run fp16 1 $(printf '%s' "$half" | sed 's/bf16/fp16/g')
follow fp16 cpu 5e-3
run fp16-again 3 $(printf '%s' "$half" | sed 's/bf16/fp16/g')
same fp16 fp16-again

tf32=$(printf '%s' "$half" | sed 's/bf16/tf32/g')
run tf32 1 $tf32
follow tf32 cpu 5e-3
grep -q '"precision":	*"tf32"' "$dir/tf32/run/04-quantize/checkpoint_info.json" || fail "no training.precision tf32"
cmp -s "$dir/tf32/run/01-teacher/model.safetensors" "$dir/cuda/run/01-teacher/model.safetensors" && fail "tf32 is fp32"

# The later stages from the other device's teacher.
sed '/^  teacher:$/,/^  student:$/{/^  student:$/!d}' "$config" >"$dir/later.yaml"
goes_on() { # NAME TRAINED DEVICE
	teacher=$dir/$2/run/01-teacher
	run "$1" 1 --set stages.student.teacher="$teacher" --set stages.prune.input="$teacher" \
		--set stages.evaluate.inputs='[student, prune, quantize]' --set device.train="$3"
}
whole=$config config=$dir/later.yaml
goes_on cuda-then-cpu cuda cpu
goes_on cpu-then-cuda cpu cuda
config=$whole
follow cuda-then-cpu cpu 5e-4 student prune quantize
follow cpu-then-cuda cpu 5e-4 student prune quantize

refuse 5 "no CUDA-capable device is detected" SIMT_DEVICES=0
refuse 5 "CUDA driver version is insufficient for CUDA runtime version" SIMT_DRIVER=11080
refuse 5 "CUDA driver none" SIMT_DRIVER=0
refuse 5 "GPU 0 .* has compute capability 7.0, at least 8.0 is needed" SIMT_CAPABILITY=7
refuse 5 "cuda: there is no GPU 2: 1 GPU is visible (CUDA_VISIBLE_DEVICES chooses)" SIMT_DEVICES=1 --set device.gpu=2
refuse 5 "cuda: there is no GPU 2: 2 GPUs are visible" SIMT_DEVICES=2 --set device.gpu=2
[ ! -e "$dir/refused/run" ] || fail "work was done before the device was found missing"
refuse 1 "; not even 1 (accumulate: 64) would fit, for which " SIMT_MEMORY=60000000
[ ! -e "$dir/refused/run/01-teacher" ] || fail "work was done before memory was found short"

# A GPU with room for a fourth of the student's batch: refused before any work with advice that can be followed, and what
# was finished stays as it is.
cat >"$dir/memory.yaml" <<'END'
name: memory
seed: 7
threads: 1
device: {train: cuda}
data: {source: digits}
models:
  narrow: {family: mlp, hidden: [8]}
  wide: {family: mlp, hidden: [1024]}
stages:
  teacher: {kind: train, model: narrow, epochs: 1, batch_size: 64}
  student: {kind: distill, model: wide, teacher: teacher, epochs: 1, batch_size: 1024}
END
tiny=$config
config=$dir/memory.yaml room=SIMT_MEMORY=138412032
refuse 1 "stage student: training with 1024 samples at a time needs 2[0-9].[0-9] MiB of memory on cuda, 12.0 MiB are " $room
[ ! -e "$dir/refused/run/01-teacher" ] || fail "work was done before memory was found short"
advice=$(sed -n 's/.*; 256 would fit: set accumulate: \([0-9]*\) (batch_size stays 1024).*/\1/p' "$dir/refused.txt")
[ "$advice" = 4 ] || fail "no advice to accumulate 4 micro-batches" "$dir/refused.txt"
(export "${room?}" && run room 1 --set "stages.student.accumulate=$advice") || exit 1
cat "$dir"/room/run/*/*.safetensors >"$dir/before"
for shape in batch_size=4096 accumulate=2; do
	env $room "$program" run "$config" --out "$dir/room/run" --set stages.student.$shape >"$dir/room.txt" 2>&1 &&
		fail "a training that does not fit was run: $shape" "$dir/room.txt"
	cat "$dir"/room/run/*/*.safetensors | cmp - "$dir/before" || fail "a refused run has changed finished stages"
done
env $room "$program" plan "$config" --out "$dir/planned/run" >"$dir/plan.txt" 2>&1 && fail "plan does not say that it cannot run"
grep -q "MiB of memory on cuda: training " "$dir/plan.txt" || fail "plan does not show the memory" "$dir/plan.txt"
SIMT_DEVICES=0 "$program" plan "$config" --out "$dir/planned/run" >"$dir/plan.txt" 2>&1 ||
	fail "plan needs the GPU that the run will have" "$dir/plan.txt"
grep -q "cannot run it: cuda: no usable GPU: no CUDA-capable device is detected" "$dir/plan.txt" ||
	fail "plan does not say what it lacks" "$dir/plan.txt"
config=$tiny
SIMT_DEVICES=0 "$program" run "$config" --out "$dir/auto/run" --set device.train=auto >"$dir/auto.txt" 2>&1 ||
	fail "auto does not fall back to the CPU" "$dir/auto.txt"
grep -q "training on cpu" "$dir/auto.txt" || fail "auto does not say that it chose the CPU" "$dir/auto.txt"
same auto cpu
SIMT_DEVICES=2 run second 1 --set device.gpu=1
same second cuda
grep -q "training on cuda (config), GPU 1: host" "$dir/second.txt" || fail "the GPU is not named" "$dir/second.txt"
tr -d '\n\t ' <"$dir/second/run/01-teacher/checkpoint_info.json" | grep -q '"gpu":{[^}]*"index":1,' ||
	fail "checkpoint_info.json does not name the GPU"
SIMT_DEVICES=2 "$program" doctor --json | tr -d '\n\t ' | grep -q '"index":0,.*"index":1,.*"usable":true' ||
	fail "doctor does not list both GPUs"
SIMT_DEVICES=0 "$program" doctor | grep -q "no CUDA-capable device" || fail "doctor does not say what is missing"
echo "runs agree: cpu, cuda, bf16, fp16, tf32; each twice the same; devices and memory that are missing are named"
