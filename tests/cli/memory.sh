# Memory that oneDNN does not get: the run ends with a message, or goes on, and never by a signal.
. "$(dirname "$0")/lib.sh"

library=$build_dir/tests/cli/libcli_refuse_memory.so
if [ ! -e "$library" ]; then
	echo "not with sanitizers: they have an allocator of their own"
	exit 77
fi
cat >t.yaml <<'END'
name: t
seed: 3
threads: 1
data: {source: digits}
models: {m: {family: cnn, conv: [4], hidden: [8]}}
stages:
  train: {model: m, epochs: 1}
  quantize: {method: static}
  evaluate: {latency_runs: 1, latency_warmup: 1, throughput_runs: 1}
END
works run t.yaml --out whole/t

# How the program does with the setting: 0, or one of its own errors.
refused() { # NAME=VALUE ARGUMENT...
	setting=$1
	shift
	checks=$((checks + 1))
	status=0
	env LD_PRELOAD="$library" "$setting" GOMP_SPINCOUNT=5000 "$program" "$@" >out 2>err </dev/null || status=$?
	if [ $status -ge 128 ]; then
		problem "ended by a signal ($status) with $setting: pipeline $*"
	elif [ $status -ne 0 ] && ! grep -q '^pipeline: ' err; then
		problem "status $status without a message with $setting: pipeline $*"
	elif grep -q 'that it does not report' err; then
		problem "an exception that the reserve does not prevent with $setting: pipeline $*"
	fi
}

each() { # STEPS ARGUMENT...
	steps=$1
	shift
	refused REFUSE_COUNT="$work/count" "$@"
	n=$(cat count)
	check "oneDNN allocates in: pipeline $*" [ "$n" -gt 20 ]
	for i in $(seq "$steps"); do
		for setting in REFUSE_AT REFUSE_FROM; do
			rm -rf o
			refused $setting=$((n * i / (steps + 1))) "$@"
		done
	done
}
each 12 run t.yaml --out o/t
each 5 evaluate whole/t/02-quantize
each 5 bench whole/t/02-quantize --runs 1 --warmup 0 --throughput-runs 1
each 5 predict whole/t/01-train --split test --rows 0-3
# Pointers that oneDNN does not look at.
REFUSE_MALLOC=1
export REFUSE_MALLOC
refused REFUSE_COUNT="$work/count" predict whole/t/01-train --split test --rows 0-3
n=$(cat count)
unnoticed=0
for i in 1 $((n / 3)) $((2 * n / 3)); do
	refused REFUSE_AT=$i predict whole/t/01-train --split test --rows 0-3
	grep -q 'has used a null pointer' err && unnoticed=$((unnoticed + 1))
done
check "some of $n null pointers are used, and said to be: $unnoticed" [ $unnoticed -gt 0 ]
unset REFUSE_MALLOC

# Pages of generated code: one that is missing is served from the reserve, and without any the run ends with a message.
REFUSE_PAGES=1
export REFUSE_PAGES
refused REFUSE_COUNT="$work/count" run t.yaml --out o/t
n=$(cat count)
check "kernels are generated" [ "$n" -gt 20 ]
for i in 1 2 3 4 5 6 7 8; do
	rm -rf o
	refused REFUSE_AT=$((n * i / 9)) run t.yaml --out o/t
	check "page $((n * i / 9)) of $n comes from the reserve" [ $status -eq 0 ]
	check "the same bytes" cmp whole/t/02-quantize/model.safetensors o/t/02-quantize/model.safetensors
	rm -rf o
	refused REFUSE_FROM=$((n * i / 9)) run t.yaml --out o/t
done
# The last kernels of wide convolutions are made where nobody can be told that it failed, and called all the same.
works run t.yaml --out wide/t --set models.m.conv=[64,64] --set stages.train.batch_size=512
refused REFUSE_COUNT="$work/count" predict wide/t/02-quantize --split test
n=$(cat count)
for i in 0 1 2 3 4 5; do
	refused REFUSE_FROM=$((n - i)) predict wide/t/02-quantize --split test
done
unset REFUSE_PAGES

# What one failed allocation does not end has the bytes of a run with memory.
refused REFUSE_COUNT="$work/count" run t.yaml --out o/t
n=$(cat count)
rm -rf o
refused REFUSE_AT=$((n / 2)) run t.yaml --out o/t
if [ $status -eq 0 ]; then
	check "the same bytes" cmp whole/t/02-quantize/model.safetensors o/t/02-quantize/model.safetensors
fi
finish
