#!/bin/sh
# What ends a run on a GPU half-way: full memory, a faulting kernel, a loss that is no number, fp16's scale at its
# minimum. Each is one message and the documented exit status; the stages finished before are whole, and the next run
# takes them and ends with the bytes of a run without fault.
# usage: test_faults.sh PROGRAM CONFIG DIRECTORY
set -u
program=$1 config=$2 dir=$3
rm -rf "$dir"
mkdir -p "$dir"
fail() { echo "test_faults: $1"; [ -z "${2-}" ] || cat "$2"; exit 1; }

# run NAME STATUS ARGUMENTS...: into $dir/NAME/run, for a run takes finished stages from the store beside it
run() {
	name=$1 status=$2
	shift 2
	"$program" run "$config" --out "$dir/$name/run" "$@" >"$dir/$name.txt" 2>"$dir/$name.err" </dev/null
	got=$?
	[ $got -eq "$status" ] || fail "$name: exit status $got, must be $status" "$dir/$name.err"
	[ "$status" -eq 0 ] || [ "$(grep -c '^pipeline: ' "$dir/$name.err")" -eq 1 ] ||
		fail "$name: not one message" "$dir/$name.err"
}

# says NAME TEXT
says() { grep -qF -- "$2" "$dir/$1.err" || fail "$1: no message '$2'" "$dir/$1.err"; }

# finished NAME STAGE...: these and no others, as the clean run has made them; nothing half-done is left
finished() {
	name=$1
	shift
	[ "$(cd "$dir/$name/run" && echo [0-9]* .[0-9]*)" = "$* .[0-9]*" ] ||
		fail "$name: stages $(ls -A "$dir/$name/run")" "$dir/$name.err"
	for stage; do
		cmp "$dir/$name/run/$stage/model.safetensors" "$dir/clean/run/$stage/model.safetensors" ||
			fail "$name: $stage differs from the clean run's"
	done
}

# goes_on NAME STAGE...: the same again without the fault takes these stages and makes the others
goes_on() {
	name=$1
	shift
	run "$name" 0
	for stage; do
		grep -q "^$stage: up to date" "$dir/$name.err" || fail "$name: $stage was made again" "$dir/$name.err"
	done
	finished "$name" 01-teacher 02-student 03-prune 04-quantize
}

run clean 0

# Memory: one of the allocations of the second stage, wherever they are.
for n in 40 60 80 100 120; do
	export SIMT_FAIL_CALL=cudaMalloc@$n
	rm -rf "$dir/memory"
	run memory 1
	says memory "the GPU's memory is full: "
	says memory " MiB free"
	[ ! -e "$dir/memory/run/01-teacher" ] || break
done
unset SIMT_FAIL_CALL
says memory "stage student: "
finished memory 01-teacher
goes_on memory 01-teacher

# A kernel of quantization: the error surfaces later, at a call that has nothing to do with it, unless launches block.
export SIMT_FAIL_KERNEL=fake_quant_backward
run kernel 5
says kernel "stage quantize: "
says kernel "an illegal memory access was encountered (last kernel launched: "
says kernel "with CUDA_LAUNCH_BLOCKING=1 the message names the one at fault"
finished kernel 01-teacher 02-student 03-prune
export CUDA_LAUNCH_BLOCKING=1
run kernel 5
says kernel "kernel fake_quant_backward: an illegal memory access was encountered"
finished kernel 01-teacher 02-student 03-prune
unset SIMT_FAIL_KERNEL CUDA_LAUNCH_BLOCKING
goes_on kernel 01-teacher 02-student 03-prune

# A learning rate that no net survives: the loss is no number at the same step and node as on the CPU.
wild="--set stages.student.optimizer=sgd --set stages.student.lr=1000 --set stages.student.clip_norm=0"
run nan 1 $wild
says nan "stage student: epoch 1, step "
says nan ": the loss is NaN; the first node that is not finite is 'fc"
finished nan 01-teacher
run nan-cpu 1 $wild --set device.train=cpu
[ "$(grep '^pipeline:' "$dir/nan.err")" = "$(grep '^pipeline:' "$dir/nan-cpu.err")" ] ||
	fail "the CPU says it in other words: $(cat "$dir/nan-cpu.err")" "$dir/nan.err"
goes_on nan 01-teacher

# Weights of about 40 in three layers, distilled at the highest temperature: the gradient of the first layer is too
# large for f16 at every scale, while inputs of 1/100 keep the values of the forward pass in range.
run scale 1 --set data.mean=[0] --set data.std=[100] --set stages.student.batch_size=1024 --set stages.student.lr=20 \
	--set stages.student.schedule=constant --set stages.student.warmup=0 --set stages.prune.precision=fp16 \
	--set stages.prune.lr=0 --set stages.prune.batch_size=1 --set stages.prune.teacher=teacher \
	--set stages.prune.temperature=100 --set stages.prune.alpha=1
says scale "stage prune: precision fp16: the loss scale has fallen to 1: epoch 1, step 17: "
says scale "the first gradient that is not finite is that of 'fc1.weight'"
[ -e "$dir/scale/run/02-student/checkpoint_info.json" ] && [ ! -e "$dir/scale/run/03-prune" ] ||
	fail "scale: stages $(ls -A "$dir/scale/run")"
echo "full memory, a faulting kernel, NaN and fp16's least scale end with one message, and what was finished is kept"
