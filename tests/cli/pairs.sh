# Pairs of texts from a table to integers: what takes them says so, and each meets the other kind with a way out.
. "$(dirname "$0")/lib.sh"

# Whether the second text has the first one's word.
i=0
printf 'sentence1\tsentence2\tlabel\n' >pairs.tsv
printf 'text,label\n' >single.csv
while [ $i -lt 48 ]; do
	printf 'the cat w%d\ta cat\tsame\nthe cat w%d\ta dog\tother\nthe dog w%d\ta dog\tsame\nthe dog w%d\ta cat\tother\n' $i $i $i $i >>pairs.tsv
	printf 'cat %d,same\ndog %d,other\n' $i $i >>single.csv
	i=$((i + 1))
done
cat >t.yaml <<'END'
name: t
seed: 3
threads: 1
data: {source: csv, path: pairs.tsv, augment: {token_drop: 0.05}}
models:
  m: {family: encoder, layers: 1, hidden: 16, heads: 2, ffn: 16, positions: 16, token_types: 2, dropout: 0,
      input: {vocabulary_size: 300, longest: 16}}
  bag: {family: bag, dim: 8, hidden: [8], input: {vocabulary_size: 300, longest: 16}}
stages:
  teacher: {kind: train, model: m, epochs: 2, batch_size: 16, lr: 0.005}
  student: {kind: distill, model: m, teacher: teacher, init: teacher_layers, epochs: 1, batch_size: 16, lr: 0.002,
            method: hidden, transfer: [more.txt]}
  static: {kind: quantize, input: student, method: static}
  dynamic: {kind: quantize, input: student, method: dynamic}
  bag: {kind: train, model: bag, epochs: 1, batch_size: 16, lr: 0.01}
  evaluate: {inputs: [teacher, student, static, dynamic, bag]}
END
printf 'the cat\tno cat\nthe cat w1\ta cat\nno dog\tthe dog\n' >more.txt
works run t.yaml
check "what was found is said" grep -q 'found: pairs.tsv (first text: sentence1, second text: sentence2)' err
check "integers are those of the simulation" grep -q 'simulated against executed: 0 of' err
check "transfer pairs are not those of the splits" grep -q '2 of 3 transfer pairs' err
int8=runs/t/03-static
check "the checkpoint says what it takes" "$tool" json $int8/checkpoint_info.json input.pairs model_spec.pairs data.pairs
works verify $int8

# predict: arguments, lines, columns
works predict $int8 --text "the cat" --pair "a cat" --text "the cat" --pair "a	dog"
check "pairs are answered" [ "$(cut -f 1,2 out | tr '\t\n' '= ')" = 'the cat=a cat the cat=a\tdog ' ]
cp out first
works predict $int8 --text "the cat" --pair "a cat" --json
check "both texts are named" grep -q '"text":"the cat","text_pair":"a cat"' out
printf 'the cat\ta cat\nthe cat\ta dog\n' >lines.txt
works predict $int8 --file lines.txt
check "lines are pairs" [ "$(head -n 1 out)" = "$(head -n 1 first)" ]
"$program" predict $int8 <lines.txt >piped
check "so are those of a pipe" cmp -s out piped
works predict $int8 --file pairs.tsv --column sentence2 --pair-column sentence1
check "columns are named in any order" [ "$(head -n 1 out | cut -f 1,2)" = "$(printf 'a cat\tthe cat w0')" ]
works predict $int8 --split test --rows 0-0
refuses 2 "takes pairs of texts; --pair gives the second one of each --text" predict $int8 --text "a"
refuses 2 "each --pair follows the --text whose second text it is" predict $int8 --pair "a" --text "b"
refuses 2 "'a' is one; --text A --pair B gives two" predict $int8 "a"
printf 'the cat\ta cat\n \nthe cat\ta dog\n' >blank.txt
works predict $int8 --file blank.txt
check "a blank line is an empty pair" [ "$(sed -n '1p;3p' out)" = "$(head -n 1 first && sed -n 2p piped)" ]
contains err "1 of 3 pairs is without a token"
printf 'one\nx\0y\tz\na\tb\tc\n' >bad.txt
"$program" predict $int8 --file bad.txt >out 2>err || true
check "each bad line is named" [ "$(grep -c -e 'bad.txt:1: no tab; a pair is two texts with one tab between them' \
	-e 'bad.txt:2: byte 2 is NUL' -e 'bad.txt:3: more than one tab' err)" -eq 3 ]
refuses 3 "single.csv:1: pairs of texts are wanted, and one column is not known" predict $int8 --file single.csv

# evaluate, on data of both kinds
works evaluate $int8 --data pairs.tsv
works evaluate $int8 --data pairs.tsv --text-column sentence2 --pair-column sentence1
refuses 3 "pairs of texts are wanted" evaluate $int8 --data single.csv
sed 's/^name: t/name: s/; s/path: pairs.tsv/path: single.csv/; /^  student/,$d' t.yaml >s.yaml
works run s.yaml
single=runs/s/01-teacher
refuses 3 "which column is the text" evaluate $single --data pairs.tsv
works evaluate $single --data pairs.tsv --text-column sentence1
refuses 2 "--pair-column has no effect: the model takes no pairs of texts" evaluate $single --data pairs.tsv --pair-column sentence2
refuses 2 "takes single texts; --pair and --pair-column are of pairs" predict $single --text a --pair b
sed '/^models/,$d' t.yaml >q.yaml
printf 'stages:\n  q: {kind: quantize, input: runs/s/01-teacher, method: static}\n' >>q.yaml
refuses 2 "this is a pair of texts; the option text of the data, alone, names the column of a single text" plan q.yaml --out runs/q

# A model of the one kind begins one of the other; a table of one type has no second.
sed '/^models/,$d' t.yaml >p.yaml
printf 'models: {m: {pretrained: runs/s/01-teacher}}\nstages: {tuned: {kind: train, model: m, epochs: 1, batch_size: 16}}\n' >>p.yaml
works run p.yaml --out runs/p
check "it takes what its data have" "$tool" json runs/p/01-tuned/checkpoint_info.json input.pairs
sed 's/token_types: 2/token_types: 1/' t.yaml >one.yaml
refuses 2 "token_types is 1, pairs of texts need 2" plan one.yaml --out runs/one

# export and import
works export runs/t/01-teacher --hf hf
works import hf --out again --pairs
check "import says what it takes" grep -q 'takes pairs of texts of up to 16 tokens' out
works predict runs/t/01-teacher --file lines.txt
cp out before
works predict again --file lines.txt
check "the same answers" cmp -s before out
finish
