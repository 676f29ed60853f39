#!/bin/sh
# Whole runs of tiny.yaml (train, distill, prune, QAT) with the CUDA backend on the host runtime: losses follow the CPU's,
# two runs in different lane orders give the same bytes, half precision works, and what a machine lacks is one clear
# message with the documented exit status.
# usage: test_run.sh PROGRAM CONFIG DIRECTORY
set -u
program=$1 config=$2 dir=$3
rm -rf "$dir"
mkdir -p "$dir"
fail() { echo "test_run: $1"; [ -z "${2-}" ] || cat "$2"; exit 1; }

# run NAME SEED ARGUMENTS...: into $dir/NAME/run, for a run takes finished stages from its neighbours
run() {
	name=$1 seed=$2
	shift 2
	SIMT_SEED=$seed "$program" run "$config" --out "$dir/$name/run" "$@" >"$dir/$name.txt" 2>&1 || fail "$name failed" "$dir/$name.txt"
}

# follow NAME OTHER TOLERANCE: every train and validation loss of two runs, relative
follow() {
	for log in 01-teacher/logs/teacher 02-student/logs/student 03-prune/logs/prune 04-quantize/logs/quantize; do
		paste -d, "$dir/$1/run/${log}_training.csv" "$dir/$2/run/${log}_training.csv" |
			awk -F, -v tol="$3" -v what="$1 and $2: $log" '
			NR > 1 {
				for (c = 2; c <= 3; c++) {
					d = ($c - $(c + 7)) / $(c + 7)
					rows++
					if (!(d * d <= tol * tol)) { print what ": " $c ", must be " $(c + 7); bad = 1 }
				}
			}
			END { exit bad || rows == 0 }' || fail "$1 does not follow $2 within $3"
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

refuse 5 "no CUDA-capable device is detected" SIMT_DEVICES=0
refuse 5 "CUDA driver version is insufficient for CUDA runtime version" SIMT_DRIVER=11080
refuse 5 "compute capability 7.0" SIMT_CAPABILITY=7
[ ! -e "$dir/refused/run/01-teacher" ] || fail "work was done before the device was found missing"
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
refuse 1 "stage 'student': training with 1024 samples at a time needs 2[0-9].[0-9] MiB of memory on cuda, 12.0 MiB are " $room
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
echo "runs agree: cpu, cuda, bf16, fp16; each twice the same; devices and memory that are missing are named"
