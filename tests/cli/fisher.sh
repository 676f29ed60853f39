# prune by Fisher information in a run: widths that only the data decides, and a table of times that is measured once.
. "$(dirname "$0")/lib.sh"

i=0
printf 'text,label\n' >train.csv
while [ $i -lt 60 ]; do
	printf 'sales w%d go up and rise,good\nsales w%d go down and fall,bad\n' $i $i >>train.csv
	i=$((i + 1))
done
cat >t.yaml <<'END'
name: t
seed: 3
threads: 1
data: {source: csv, path: train.csv}
models:
  m: {family: encoder, layers: 2, hidden: 16, heads: 2, ffn: 24, input: {vocabulary_size: 500, longest: 16}}
stages:
  model: {kind: train, model: m, epochs: 2, batch_size: 8, lr: 0.01}
  prune: {method: fisher, sparsity: 0.5, epochs: 0, fisher_samples: 32}
  quantize: {method: static}
  evaluate: {latency: false}
END
widths() { "$program" plan t.yaml --json | tr -d ' \n\t' | grep -oE '"model_spec":\{[^}]*"width[^]]*\]' | sed -n "$1p"; }
works plan t.yaml
contains out "the data says which, and at most what is here now is left"
contains out "MiB of memory on cpu to score weights or units"
"$program" plan t.yaml --set stages.prune.fisher_samples=16 --json >few
"$program" plan t.yaml --set stages.prune.fisher_samples=64 --json >many
held() { tr -d ' \n\t' <"$1" | sed 's/.*"scoring_memory_bytes":\([0-9]*\).*/\1/'; }
# Two layers of 2 heads and 24 units: a float for each of 48 more samples.
check "gradients of all samples count" [ $(($(held many) - $(held few))) -eq $((2 * (2 + 24) * 4 * 48)) ]
widths 1 >model
widths 3 >planned
check "planned with what there is at most" cmp model planned
works run t.yaml
contains err "by the gradients of 32 samples"
widths 2 >cut
widths 3 >next
check "the widths of a finished stage are known" [ "$(cat cut)" != "$(cat model)" ]
check "and those of what comes after it" cmp cut next
works run t.yaml
contains err "02-prune: up to date"
contains err "04-evaluate: up to date"

sed 's/sparsity: 0.5/target: {latency_ms: 5000, tokens: 8}/; s/^name: t/name: fast/' t.yaml >fast.yaml
works run fast.yaml
contains err "nothing is removed"
check "the table is part of the stage" "$tool" json runs/fast/02-prune/latency_table.json rest_ms blocks_ms.heads blocks_ms.ffn \
	program_commit predicted_ms measured_ms units cpu tokens
cp runs/fast/02-prune/latency_table.json once.json
works run fast.yaml
contains err "02-prune: up to date"
check "it is measured once" cmp once.json runs/fast/02-prune/latency_table.json
sed 's/latency_ms: 5000/latency_ms: 0.000001/' fast.yaml >never.yaml
stops 2 "target.latency_ms 1e-06 cannot be reached" run never.yaml --out runs/never
contains err "ms are the least on this machine"
sed 's/tokens: 8/tokens: 17/' fast.yaml >long.yaml
refuses 2 "long.yaml:9:" plan long.yaml
contains err "target.tokens is 17, the model takes texts of up to 16"
finish
