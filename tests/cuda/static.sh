#!/bin/sh
# What nvcc alone can say about the kernels, without a GPU: they compile for sm_80, sm_90 and PTX without a warning or a
# spill, the PTX has no float atomics and no approximate or fused arithmetic where quantization is exact, and no kernel
# needs more registers or shared memory than cuda/budget.txt allows. 77 (skipped) where there is no nvcc.
# usage: static.sh ROOT [--write]      --write: make cuda/budget.txt anew
set -eu
cd "$1"
write=${2:-}
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
[ -x "$nvcc" ] || { echo "there is no nvcc: skipped"; exit 77; }
command -v c++filt >/dev/null 2>&1 || { echo "there is no c++filt: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One source: ptxas' report on both GPUs, and PTX. Options as in cuda/cuda.cmake.
cat >"$work/compile.sh" <<'END'
set -eu
name=$(basename "$3" .cu)
common="-std=c++17 -I. -Iengine -fmad=false -Werror all-warnings -Xcompiler -Wall,-Wextra"
"$1" $common -Xptxas -v,-warn-spills,-Werror -fatbin -o "$2/$name.fatbin" \
	-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 "$3" 2>"$2/$name.log" ||
	{ cat "$2/$name.log"; exit 1; }
"$1" $common -ptx -arch=compute_80 -o "$2/$name.ptx" "$3" 2>&1
END
ls cuda/*.cu | xargs -P 2 -n 1 sh "$work/compile.sh" "$nvcc" "$work" || { echo "the kernels do not compile"; exit 1; }

bad=0
if grep -nE '(^|[^a-z])(atom|red)\.[a-z.]*(f16|bf16|f32|f64)' "$work"/*.ptx; then
	echo "float atomics: sums would depend on the order of threads"
	bad=1
fi
for name in fake_quant fake_attention requant quantize dequant rq; do
	[ -f "$work/$name.ptx" ] || continue
	if grep -nE '\.approx|\.ftz|div\.full' "$work/$name.ptx"; then
		echo "$name.cu: approximate arithmetic where integers must be exact"
		bad=1
	fi
	# The residual and the powers of attention are fmas by definition (engine/quant/arith.h); nothing else is.
	if [ $name != requant ] && [ $name != fake_attention ] && grep -n 'fma\.rn\.f32' "$work/$name.ptx"; then
		echo "$name.cu: a product and a sum are fused"
		bad=1
	fi
done

# kernel threads, from the PTX; kernel sm registers shared, from ptxas.
cat "$work"/*.ptx | awk '
	/\.entry/ { sub(/.*\.entry[ \t]+/, ""); sub(/\(.*/, ""); entry = $1; print "T", entry, 0 }
	/\.maxntid/ { gsub(/,/, " "); print "T", entry, $2 * ($3 ? $3 : 1) * ($4 ? $4 : 1) }' >"$work/facts"
cat "$work"/*.log | awk '
	/Compiling entry function/ { split($0, q, "\047"); entry = q[2]; sm = q[4] }
	/Used [0-9]+ registers/ {
		registers = shared = 0
		for (i = 1; i < NF; i++) {
			if ($(i + 1) ~ /^registers/) registers = $i
			if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
		}
		print "R", entry, sm, registers, shared
	}' >>"$work/facts"

# Occupancy: what of the 64 warps of a multiprocessor fit, by registers (four parts of 16384, given to warps by 256),
# shared memory (164 and 228 KiB, 1 KiB of each block reserved) and 32 blocks. Dynamic shared memory is not counted.
awk '
	function low(a, b) { return a < b ? a : b }
	$1 == "T" { if ($3 > threads[$2] + 0) threads[$2] = $3 }
	$1 == "R" { n++; name[n] = $2; sm[n] = $3; registers[n] = $4; shared[n] = $5 }
	END {
		for (i = 1; i <= n; i++) {
			t = threads[name[i]]
			if (t == 0) { print name[i] " has no __launch_bounds__" > "/dev/stderr"; t = 1024 }
			warps = int((t + 31) / 32)
			fit = 4 * int(16384 / (int((registers[i] * 32 + 255) / 256) * 256))
			blocks = low(32, int(low(64, fit) / warps))
			blocks = low(blocks, int((sm[i] == "sm_80" ? 164 : 228) * 1024 / (shared[i] + 1024)))
			printf "%s %s %d %d %d %d%%\n", name[i], sm[i], t, registers[i], shared[i], 100 * blocks * warps / 64
		}
	}' "$work/facts" 2>"$work/missing" | sort -k1,1 -k2,2 | c++filt -p | awk '
	{ n = NF; sm = $(n - 4); t = $(n - 3); r = $(n - 2); s = $(n - 1); o = $n; NF = n - 5
	  printf "%-6s %7d %9d %9d %9s  %s\n", sm, t, r, s, o, $0 }' | sort -k6 -k1,1 >"$work/table"

[ ! -s "$work/missing" ] || { cat "$work/missing"; bad=1; }

version=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
if [ "$write" = --write ]; then
	{
		echo "# The most that each kernel may need: threads of a block, registers of a thread, bytes of static shared memory;"
		echo "# occupancy follows. Compared by tests/cuda/static.sh, made by its --write with nvcc $version"
		echo "# gpu    threads registers    shared occupancy  kernel"
		cat "$work/table"
	} >cuda/budget.txt
	echo "cuda/budget.txt: $(wc -l <"$work/table") rows"
	exit $bad
fi
made_by=$(sed -n 's/^# .*nvcc \([0-9.]*\)$/\1/p' cuda/budget.txt)
[ -n "$made_by" ] || { echo "cuda/budget.txt does not say which nvcc it is of"; exit 1; }
if [ "$made_by" != "$version" ]; then
	echo "cuda/budget.txt is of nvcc $made_by, this is $version: registers are not compared"
	exit $bad
fi
awk '
	/^#/ { next }
	{ key = $1; for (i = 6; i <= NF; i++) key = key " " $i }
	FNR == NR { threads[key] = $2; registers[key] = $3; shared[key] = $4; next }
	!(key in threads) { print "not in cuda/budget.txt: " key; bad = 1; next }
	$2 != threads[key] || $3 > registers[key] || $4 > shared[key] {
		printf "%s: %d threads, %d registers, %d bytes of shared memory; the budget is %d, %d, %d\n", key, $2, $3, $4,
			threads[key], registers[key], shared[key]
		bad = 1
	}
	{ delete threads[key] }
	END { for (key in threads) { print "in cuda/budget.txt, but no kernel: " key; bad = 1 }; exit bad }
' cuda/budget.txt "$work/table" || bad=1
exit $bad
