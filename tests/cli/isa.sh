# One checkpoint on CPUs of other kinds: what runs as integers gives the same bytes, and slow integers are said to be.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
sed -i '/^  evaluate/d' t.yaml
works run t.yaml
quantized=runs/t/04-quantize
works predict $quantized --split test --json
cp out first

# On CPUs that can multiply in bf16 this variable would make FP32 models do so.
works predict runs/t/01-teacher --split test --json
cp out fp32
export ONEDNN_DEFAULT_FPMATH_MODE=BF16
works predict runs/t/01-teacher --split test --json
check "FP32 stays FP32, whatever oneDNN's variables say" cmp out fp32
unset ONEDNN_DEFAULT_FPMATH_MODE

for isa in SSE41 AVX2 AVX2_VNNI AVX512_CORE AVX512_CORE_VNNI; do
	ONEDNN_MAX_CPU_ISA=$isa
	export ONEDNN_MAX_CPU_ISA
	works predict $quantized --split test --json
	check "$isa: the predictions are the same bytes" cmp out first
done

ONEDNN_MAX_CPU_ISA=AVX2
works bench $quantized --runs 3 --warmup 1 --throughput-runs 1
contains out "this CPU has no VNNI: integers are as exact as with it, but slower"
works doctor
contains out "without VNNI: exact, but slower than with it"
works run t.yaml --set seed=4 --out slow
contains err "this CPU has no VNNI"
finish
