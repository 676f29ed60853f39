# predict, evaluate and inspect with models of texts, of one class and of labels, on data that they have never seen.
. "$(dirname "$0")/lib.sh"

# Words that decide, words that do not: "up" and "rise" are good, "down" and "fall" bad, "flat" is fine.
i=0
printf 'text,label\n' >train.csv
printf 'text,angry,loud\n' >labels.csv
while [ $i -lt 60 ]; do
	printf 'sales w%d go up and rise,good\nsales w%d go down and fall,bad\nsales w%d stay flat,fine\n' $i $i $i >>train.csv
	printf 'what w%d shame,1,0\nwhat w%d SHOUTING,0,1\nwhat w%d SHOUTING shame,1,1\nwhat w%d day,0,0\n' $i $i $i $i >>labels.csv
	i=$((i + 1))
done
cat >t.yaml <<'END'
name: t
seed: 3
threads: 1
data: {source: csv, path: train.csv}
models:
  m: {family: bag, dim: 16, hidden: [8], input: {vocabulary_size: 500, longest: 16}}
stages:
  model: {kind: train, model: m, epochs: 6, batch_size: 8, lr: 0.02}
  quantize: {input: model, method: static}
END
sed 's/^name: t/name: l/; s/path: train.csv/path: labels.csv, labels: [angry, loud]/' t.yaml >l.yaml
works run t.yaml
works run l.yaml
# A ship rule over labels whose thresholds are searched, with texts that are timed as they come.
works run l.yaml --out runs/ruled --set task.search_thresholds=true --set stages.quantize.method=auto \
	--set 'stages.quantize.attempts=[static, mixed]' --set stages.quantize.accept.max_drop=100 \
	--set stages.quantize.accept.max_latency_ms=1000 --set 'stages.quantize.sensitivity_bits=[8, 2]'
check "its verdict has a latency" "$tool" json runs/ruled/02-quantize/checkpoint_info.json \
	acceptance.attempts.0.latency_ms acceptance.attempts.0.input_latency_ms
check "the table has every layer at each number of bits" \
	[ "$(cut -d , -f 1,2 runs/ruled/02-quantize/sensitivity.csv | sort -u | wc -l)" -eq 7 ]
model=runs/t/01-model
int8=runs/t/02-quantize
labels=runs/l/02-quantize
snapshot | grep -v -e "^runs " -e .store >all

# predict: arguments, files, pipes
works predict $int8 "sales go up" "sales go down" --text "--flat"
check "texts are answered" [ "$(cut -f 1,3 out | tr '\t\n' '= ')" = "--flat=fine sales go up=good sales go down=bad " ]
works predict $int8 "sales go up" --top 3
check "all classes" grep -qE "^sales go up	2	good	[01]\.[0-9]{4}(	(bad|fine)	0\.[0-9]{4}){2}$" out
works predict $int8 --json "sales go up"
cp out out.json
check "JSON has text, class and probabilities" "$tool" json out.json 0.text 0.class 0.class_name 0.probabilities.2
works predict $labels "what shame" "what day"
check "labels that are given, and all probabilities" grep -qE "^what shame	angry	angry [01]\.[0-9]{4}	loud [01]\.[0-9]{4}$" out
check "no label" grep -qE "^what day	-	angry " out
refuses 2 "--top is of one class" predict $labels --top 2 "what shame"
works predict $labels --json "what shame"
cp out out.json
check "JSON has the labels" "$tool" json out.json 0.labels.0 0.probabilities.loud
printf 'sales go up\n\n' >empty.txt
works predict $int8 --json --file empty.txt
check "JSON marks the text without a token, and no other" [ "$(grep -c '"without_token":true' out)" -eq 1 ]
check "it is the empty one" grep -q '^{"text":"","without_token":true,' out
printf 'sales go up\r\n\nsales \377 go down\nsales\tgo\033[31m down\n' >lines.txt
stops 3 "1 of 4 inputs could not be answered" predict $int8 --file lines.txt
contains err "lines.txt:3: byte 7, 0xff, is not UTF-8"
contains err "1 of 3 texts is without a token"
check "lines are answered in their order, harmless" \
	[ "$(cut -f 1,3 out | tail -n 1)" = "$(printf 'sales\\tgo\\x1b[31m down\tbad')" ]
status=0
"$program" predict $int8 <lines.txt >out 2>err || status=$?
check "standard input is read where nothing is named" [ $status -eq 3 ]
check "and answered" [ "$(wc -l <out)" -eq 3 ]
printf 'up %.0s' $(seq 1 40) >long.txt
works predict $int8 --file long.txt
contains err "1 of 1 texts is longer than the 16 tokens that the model reads"
printf 'id,text\n1,"sales, go up"\n2,\n' >some.csv
works predict $int8 --file some.csv
mv out lower
cp some.csv SOME.CSV
works predict $int8 --file SOME.CSV
check "a suffix counts in any case" cmp out lower
check "a column of a table" [ "$(cut -f 1 out | head -n 1)" = "sales, go up" ]
refuses 3 "some.csv:1: no column 'txet'; there are: id, text" predict $int8 --file some.csv --column txet
refuses 2 "--column needs --file" predict $int8 --column text
refuses 3 "none.txt: No such file" predict $int8 --file none.txt
works predict $int8 --split test --rows 0
check "a row has its place and the truth" grep -qE "^train.csv:[0-9]+	[012]	(bad|fine|good)	[01]\.[0-9]{4}	(right|bad|fine|good)$" out
mkfifo pipe
("$program" predict $int8 >answers 2>err <pipe) &
exec 3>pipe
echo "sales go up" >&3
check "an answer does not wait for the next line" wait_for [ -s answers ]
exec 3>&-
wait

# evaluate: another order, fewer classes, unknown ones, seen samples
printf 'sentence\tclass\nthey go up\tgood\nthey go down\tbad\n' >new.tsv
works evaluate $int8 $model --data new.tsv
contains err "new.tsv has no sample of 1 of the model's 3 classes: fine"
check "all of it is tested, by name" grep -qE "^good .* 1$" out
contains out "accuracy (primary)"
contains out "95 % interval"
printf '{"text": "they go up", "label": 2}\n{"text": "down", "label": 0}\n{"text": "flat", "label": 1}\n' >new.jsonl
works evaluate $int8 --data new.jsonl
contains err "taken as positions of the model's classes: 0 = bad, 1 = fine, 2 = good"
# from 1, as labels of a training are with data.classes
printf 'text,label\nthey go up,3\ndown,1\nflat,2\n' >from1.csv
works evaluate $int8 --data from1.csv
contains err "taken as positions of the model's classes: 1 = bad, 2 = fine, 3 = good"
cp out of_from1
works evaluate $int8 --data new.jsonl
check "the same answers" [ "$(grep primary out)" = "$(grep primary of_from1)" ]
printf 'they go up@good\nthey fall@bad\n' >new.txt
works evaluate $int8 --data new.txt --json
cp out out.json
check "JSON has all figures" "$tool" json out.json models.0.test.per_class.2.f1 models.0.seen.validation \
	data.splits.test.sha256
works evaluate $int8 --data train.csv
contains err "of the 180 test samples were in its training split"
works evaluate $int8/model.safetensors --data train.csv
contains err "of the 180 test samples were in its training split"
printf 'text,label\nsales up,good\nsales fall,bad\nsales flat,fine\n' >val.csv
sed 's/path: train.csv/path: ., train: train.csv, val: val.csv, test_fraction: 0/; s/^name: t/name: w/; s/epochs: 6/epochs: 1/' t.yaml |
	sed '/quantize:/d' >w.yaml
works run w.yaml
works evaluate runs/w/01-model --data train.csv --json
cp out out.json
check "all samples were for training" grep -q '"train":[[:space:]]*180' out.json
rm runs/w/01-model/data_prints.bin
works evaluate runs/w/01-model --data train.csv
contains err "180 of the 180 test samples were in its training split"
works evaluate runs/w/01-model --data val.csv
contains err "3 of the 3 test samples were in its validation split"
works evaluate runs/w/01-model --data new.jsonl
contains err "data_prints.bin is missing: samples that it was trained on are not known"
mkfifo runs/w/01-model/data_prints.bin
ends_with 4 "data_prints.bin: is a FIFO, not a file" evaluate runs/w/01-model --data new.jsonl
rm -r runs/w
printf 'text,label\nthey go up,great\n' >odd.csv
refuses 3 "odd.csv:2: the data has the class 'great', which the model does not know; it knows: bad, fine, good" \
	evaluate $int8 --data odd.csv
refuses 3 "odd.csv:1: no column 'words'; there are: text, label" evaluate $int8 --data odd.csv --text-column words
refuses 3 "a sample has any of several labels, the model answers with one class" \
	evaluate $int8 --data labels.csv --labels angry,loud
works evaluate $labels --data labels.csv
check "every label has its figures" grep -qE "^loud +1\.0000 " out
refuses 3 "the model knows the label 'loud', for which --labels names no column" \
	evaluate $labels --data labels.csv --labels angry
refuses 3 "labels.csv:1: no column 'quiet'" evaluate $labels --data labels.csv --labels quiet,loud
refuses 2 "--labels must be names of columns divided by commas" evaluate $labels --data labels.csv --labels angry,,loud
refuses 2 "--text-column, --pair-column, --label and --labels are of .csv, .tsv and .jsonl files" evaluate $int8 --data new.txt --label x
mkdir folder
refuses 3 "the model takes texts of up to 16 tokens" evaluate $int8 --data folder

# inspect
works inspect $int8
contains out "texts of up to 16 tokens of a vocabulary of "
contains out "lowercase true"
contains out "3: bad, fine, good"
works inspect $labels
contains out "2: angry (from 0.5), loud (from 0.5)"
works inspect $labels --json
cp out out.json
check "JSON has input and task" "$tool" json out.json input.description input.vocabulary.tokens task.class_names.1

snapshot | grep -v -e "^runs " -e .store >after
check "no command touched the run" cmp all after

# Transfer texts: what is in the data set is left out, test texts with a warning, and what is in the files is in the key.
cut -d, -f1 train.csv | sed 1d >transfer.txt
printf 'orders go up\n\norders fall\norders fall\n' >>transfer.txt
cat >s.yaml <<'END'
name: s
seed: 3
threads: 1
data: {source: csv, path: train.csv}
models:
  m: {family: bag, dim: 8, hidden: [4], input: {vocabulary_size: 500, longest: 16}}
stages:
  student: {kind: distill, model: m, teacher: runs/t/01-model, transfer: [transfer.txt], epochs: 1, batch_size: 8}
END
works plan s.yaml
check "the plan says what is left out" \
	grep -qE "2 of 184 transfer texts; left out: [1-9][0-9]* test, [1-9][0-9]* validation, [1-9][0-9]* training, 1 repeated, 1 empty" out
contains out "the teacher's logits: once for each of 120 samples, 1.4 KiB, kept in the store"
works run s.yaml
check "so does the run" grep -qE "^warning: 2 of 184 transfer texts; left out: [1-9][0-9]* test" err
cp runs/s/01-student/checkpoint_info.json out.json
check "and the checkpoint" "$tool" json out.json transfer.texts transfer.left_out_test transfer.sha256
printf 'nine lines\n' >>transfer.txt
works run s.yaml
check "another text makes another stage" grep -q "^01-student: distill" err
printf '\norders fall\n' >>transfer.txt
works run s.yaml
check "what is left out makes none" grep -q "^01-student: up to date" err
refuses 2 "transfer has no effect with alpha 0" run s.yaml --out runs/a --set stages.student.alpha=0
refuses 3 "absent.txt: no such file or folder" run s.yaml --out runs/a --set stages.student.transfer=[absent.txt]
refuses 2 "transfer_text has no effect" run s.yaml --out runs/a --set stages.student.transfer=[] \
	--set stages.student.transfer_text=x
finish
