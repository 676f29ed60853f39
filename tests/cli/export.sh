# A pruned encoder as a folder of transformers, with zeros or with pruned_heads, and back.
. "$(dirname "$0")/lib.sh"

cp -r "$source_dir/tests/exchange/folders/bert" folder
i=0
printf 'text,label\n' >texts.csv
while [ $i -lt 20 ]; do
	printf 'the film is good w%d,positive\na play w%d,neutral\nbad war w%d !,negative\n' $i $i $i >>texts.csv
	i=$((i + 1))
done
works import folder --out whole
works export whole --hf again
check "a whole model gets no zeros" [ "$(cat out)" = "whole -> again" ]
cat >t.yaml <<'END'
name: t
seed: 3
threads: 1
data: {source: csv, path: texts.csv, classes: [negative, neutral, positive]}
stages:
  cut: {kind: prune, input: ./whole, method: structured, sparsity: 0.67, round_to: 1, min_units: 1, exclude: [layer1.*], epochs: 0}
END
works run t.yaml
cut=runs/t/01-cut
# Of 3 heads of 4 in a row of 12 one is left, of 20 units 7 (rounded up).
works export $cut --hf zeros
contains out "$cut -> zeros"
contains out "zeros added: $((2 * (3 * (4 * 12 + 4) + 12 * 4) + 13 * 25)), for heads (2) and feed-forward units (13) that layers lack; the model computes the same"
check "no head is named" eval '! grep -q pruned_heads zeros/config.json'
works export $cut --hf named --pruned-heads
contains out "zeros added: $((13 * 25)), for heads (0) and feed-forward units (13)"
contains out "heads left out: 2; config.json names them as pruned_heads, which transformers reads before version 5 only"
check "they are named" grep -q pruned_heads named/config.json
for form in zeros named; do
	works import $form --out $form-back
	works predict $form-back "the film is good" "a long story of war" "unreal !"
	cp out $form-said
done
works predict $cut "the film is good" "a long story of war" "unreal !"
check "both answer as the pruned model" eval 'cmp out zeros-said && cmp out named-said'
check "the named one is smaller" [ "$(wc -c <named/model.safetensors)" -lt "$(wc -c <zeros/model.safetensors)" ]
# Thresholds of labels have no place there: what is lost is said.
sed '1s/.*/text,a,b/; s/,positive/,1,0/; s/,neutral/,0,1/; s/,negative/,1,1/' texts.csv >sets.csv
cat >s.yaml <<'END'
name: s
seed: 3
threads: 1
data: {source: csv, path: sets.csv, text: text, labels: [a, b]}
task: {threshold: [0.2, 0.5]}
models: {m: {pretrained: ./whole}}
stages:
  m: {kind: train, model: m, epochs: 1, batch_size: 16, lr: 0.001}
END
works run s.yaml
works export runs/s/01-m --hf sets
contains out "left out, for config.json has no place for them: the thresholds of 'a' (0.2), 'b' (0.5)"
refuses 2 "zeros is there already; export writes a new folder" export $cut --hf zeros
refuses 2 "export: --hf DIR is missing" export $cut --pruned-heads
finish
