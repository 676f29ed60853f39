#!/bin/sh
# pipeline report: its files and their field names, its figures, what happens without gnuplot, folders that are not its own,
# full disks, and texts whose numbers are checked.
. "$(dirname "$0")/lib.sh"

# the fields of FILE.csv, or the members of the first object of FILE.json
has_columns() { # FILE NAME,...
	checks=$((checks + 1))
	[ "$(head -n 1 "$1")" = "$2" ] || problem "$1 has the columns $(head -n 1 "$1"), want $2"
}

base_config >t.yaml
for s in 1 2; do
	works run t.yaml --set seed=$s --out runs/r$s
done

works report runs/r1 --out one
contains out 'one/report.html'
has_columns one/benchmark_results.csv model_name,num_parameters,size_mb,macro_f1,accuracy,per_class_f1,cpu_latency_ms_median,cpu_latency_ms_p95,cpu_throughput_sps,device
has_columns one/logs/teacher_training.csv epoch,train_loss,val_f1
has_columns one/ablation_summary.csv pipeline,model,metric,mean,std,min,max,n,model_size_mb,inference_latency_p50_ms
for stage in baseline after_kd after_pruning after_quantization final; do
	check "results_$stage.json" test -s one/results_$stage.json
	for field in stage model_size_mb num_parameters trainable_parameters sparsity_percent accuracy_exact accuracy_per_label \
		f1_macro f1_weighted f1_micro precision_macro recall_macro hamming_loss per_label_f1 per_label_precision \
		per_label_recall per_label_accuracy roc_auc_macro roc_auc_per_label priority_weighted_f1 inference_latency_mean_ms \
		inference_latency_p50_ms inference_latency_p95_ms inference_latency_p99_ms throughput_samples_per_sec \
		peak_memory_mb size_compression_ratio speedup_ratio; do
		checks=$((checks + 1))
		head -n 1 one/results_$stage.csv | tr , '\n' | grep -qx $field || problem "results_$stage.csv lacks $field"
	done
done
check "one row a stage" test "$(wc -l <one/results_baseline.csv)" -eq 2
check "all models" test "$(wc -l <one/results_all.csv)" -eq 5
for field in training training_time test_accuracy test_loss comparison fp32 int8 size_mb accuracy loss inference_time_ms \
	compression_ratio size_reduction_percent accuracy_drop_percent speedup timestamp; do
	contains one/comparison_results.json "\"$field\":"
done
for field in bit_width num_rounds fraction_train local_epochs batch_size learning_rate training_time_seconds \
	final_test_accuracy final_test_loss results_per_round round train_loss train_accuracy test_loss test_accuracy \
	compression_metrics timestamp; do
	contains one/training_results.json "\"$field\":"
done
check "peak memory is there" awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "peak_memory_mb") c = i } NR > 1 && $c < 1 { exit 1 }' one/results_all.csv

works report runs/r1 runs/r2 --baseline teacher --out two
contains two/compare.md 'baseline'
contains two/comparison_results.json '"run":	"t seed=2"'
check "loss curves of the first run" test -s two/figures/loss_curves.dat
if command -v gnuplot >/dev/null 2>&1; then
	for figure in pareto_latency pareto_size size_bars f1_degradation latency_boxes loss_curves weight_histogram error_histogram; do
		check "$figure.png" test -s two/figures/$figure.png
		contains two/figures/$figure.svg '</svg>'
	done
fi
# along an axis of numbers, in their order; shares may be in per cent; an axis of words is what tells curves apart
cat >along.yaml <<'END'
base: t.yaml
axes:
  sparsity: {50 %: {stages.prune.sparsity: 0.5}, 30 %: {stages.prune.sparsity: 0.3}}
  by: {size: {stages.prune.scope: global}, layer: {stages.prune.scope: layer}}
seeds: [1, 2]
END
works sweep along.yaml
works report runs/along --out along
checks=$((checks + 1))
[ "$(awk '/^[0-9]/ { printf "%s %s %d,", $1, $5, $3 <= $2 && $2 <= $4 }' along/figures/axis_1.dat | tr -d '"')" = \
	"30 size 1,50 size 1,30 layer 1,50 layer 1," ] || problem "axis_1.dat: $(cat along/figures/axis_1.dat)"
contains along/figures/axis_1.dat '"layer / quantize"'
contains along/figures/axis_1.gp 'using 1:2:3:4 with yerrorlines'
check "no curve along words" test ! -e along/figures/axis_2.dat
# a federation: its rounds
cat >fed.yaml <<'END'
name: fed
seed: 1
threads: 1
data: {source: digits}
models: {net: {family: mlp, hidden: [8]}}
stages:
  clients: {kind: federate, model: net, clients: 4, rounds: 3, fraction: 0.5, local_epochs: 2, batch_size: 32, lr: 0.002}
  evaluate:
END
works plan fed.yaml --set stages.clients.batch_size=4096
contains out "batch_size 4096 is more than some clients have samples"
check "no word of an epoch that no client has" eval '! grep -q "passes over them" out'
works run fed.yaml --set stages.clients.batch_size=4096 --out fed
check "nor in the run" eval '! grep -q "passes over them" err'
works run fed.yaml --out fed
works report fed --out federated
check "rounds in the log" [ "$(cut -d, -f1 federated/logs/clients_training.csv | tr '\n' ' ')" = "epoch 1 2 3 " ]
tr -d '\n\t' <federated/training_results.json >flat
contains flat '"num_rounds":3,"fraction_train":0.5,"local_epochs":2,'
contains flat '"round":3,"train_loss":'
contains flat '"test_split_of_rounds":"validation"'
check "loss curves of rounds" grep -q '^3 ' federated/figures/loss_curves.dat

# what was not measured is no 0
works run fed.yaml --set stages.evaluate.throughput_runs=0 --out slow
works report slow --out unmeasured
for file in unmeasured/benchmark_results.csv slow/02-evaluate/benchmark_results.csv; do
	check "no throughput in $file" awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { exit $(at["cpu_throughput_sps"]) != "" || $(at["cpu_latency_ms_median"]) <= 0 }' $file
done
tr -d '\n\t' <unmeasured/results_baseline.json >flat
contains flat '"throughput_samples_per_sec":null'
tr -d '\n\t' <slow/02-evaluate/evaluation.json >flat
contains flat '"throughput_sps":null'
works bench slow/01-clients --runs 3 --warmup 0 --throughput-runs 0
contains out ' -          -'

# the same again, into its own folder
works report runs/r1 runs/r2 --out two

mkdir nothing
# a link in the place of a figure is not written through, and no figure of before stands in for one that is not drawn
echo mine >precious
ln -sf "$work/precious" two/figures/pareto_size.svg
works report runs/r1 runs/r2 --out two
check "what a link leads to" [ "$(cat precious)" = mine ]
check "no link is left" test ! -L two/figures/pareto_size.svg
(PATH=$work/nothing && "$program" report runs/r1 runs/r2 --out two >out 2>err)
check "no figure of before" test ! -e two/figures/pareto_size.svg

# without gnuplot: data and scripts, and it is said
(PATH=$work/nothing && "$program" report runs/r1 --out plain >out 2>err)
contains err 'gnuplot is not installed: figures/ holds the data (.dat) and the scripts (.gp)'
check "data" test -s plain/figures/pareto_size.dat
check "script" test -s plain/figures/pareto_size.gp
check "no picture" test ! -e plain/figures/pareto_size.svg
contains plain/report.html 'gnuplot is not installed'

# marked runs are told
cp -r runs/r1 runs/bad
echo x >>runs/bad/05-evaluate/evaluation.json
works report runs/r2 runs/bad --out marked
contains err 'runs/bad: changed: runs/bad/05-evaluate/evaluation.json: was changed since it was written'
contains marked/report.html 'was changed since it was written'
ends_with 4 'no run has results; 1 of 1 is damaged' report runs/bad --out none
contains none/report.html '0 finished'

# what only a checkpoint's description holds is missed with a word
cp -r runs/r1 lost
echo x >>lost/04-quantize/checkpoint_info.json
works report lost --out without
contains err 'no peak memory: lost/04-quantize/checkpoint_info.json: was changed since it was written'

# names of others are one line without what a terminal obeys, in every table alike
cp -r runs/r1 named
unseal named/run.json
sed -i 's/"name":	"t"/"name":	"t\\u001b[31m\\nx"/' named/run.json
works report named --out named_report
for f in named_report/*.csv; do
	check "$f" [ -z "$(tr -d '\n[:print:]' <"$f")" ]
done
contains named_report/compare.csv 't?[31m?x'
contains named_report/ablation_summary.csv 't?[31m?x'

# folders of others, and folders that cannot be written
mkdir mine
echo kept >mine/results_all.csv
refuses 2 "mine holds files and no report.json" report runs/r1 --out mine
check "what was there is there" grep -q kept mine/results_all.csv
refuses 2 "--out DIR is missing" report runs/r1
refuses 2 "there is no such folder" report nowhere --out new
check "nothing was made" test ! -e new
echo file >file
ends_with 1 "file: is not a folder" report runs/r1 --out file
if [ "$(id -u)" -ne 0 ]; then
	mkdir sealed
	chmod 500 sealed
	ends_with 1 "Permission denied" report runs/r1 --out sealed
fi
# a disk that is full: no file may be longer than some blocks
cp -r two was
status=0
(ulimit -f 2 && "$program" report runs/r1 runs/r2 --out two >out 2>err) || status=$?
check "a full disk is an error" test $status -eq 1
check "with one message" test "$(grep -c '^pipeline: ' err)" -eq 1
check "that names the file" grep -q '^pipeline: two/' err
check "the page is whole" cmp two/report.html was/report.html
check "nothing half-written is left" test -z "$(find two -name '*.part')"

# ---- report --check ----
"$program" compare runs/r1 runs/r2 --baseline teacher --format json >kept.json
mean=$("$program" compare runs/r1 runs/r2 --format csv | awk -F, '$2 == "prune" { printf "%.2f", 100 * $6 }')
cat >text.md <<END
# T

<!-- check kept.json rows
row model = model
skip model = other*
acc = mean*100
bytes = bytes
smaller = ^bytes/bytes
-->

| model | acc | bytes | smaller |
| --- | --: | --: | --: |
END
"$program" compare runs/r1 runs/r2 --format csv | awk -F, 'NR == 2 { b = $12 } NR > 1 && $2 ~ /prune|teacher/ { n = $10; printf "| %s | %.2f | %s | %.2fx |\n", $2, 100 * $6, n, first ? first / n : 1; first = first ? first : n }' >>text.md
echo '| other net | 12.34 | | |' >>text.md
works report --check text.md
contains out '6 numbers, of 1 tables and 0 in sentences, are those of their files'
# a figure that is wrong by one in its last digit
sed "s/| $mean |/| $(echo "$mean" | awk '{ printf "%.2f", $1 + 0.01 }') |/" text.md >wrong.md
ends_with 6 'wrong.md: 1 of 6 numbers are not those of their files' report --check wrong.md
contains err "wrong.md:14: acc: the text has"
# fewer digits are right if they are rounded
sed "s/| $mean |/| $(echo "$mean" | awk '{ printf "%.0f", $1 }') |/" text.md >round.md
works report --check round.md
sed 's/| prune |/| prone |/' text.md >row.md
refuses 2 'row.md:14: no row of kept.json is this one' report --check row.md
sed 's/^acc = /akk = /' text.md >column.md
refuses 2 "the table has no column 'akk'" report --check column.md
sed 's/kept.json/gone.json/' text.md >gone.md
refuses 1 'gone.json' report --check gone.md
sed '/^-->/d' text.md >open.md
ends_with 2 "open.md" report --check open.md
sed '/^|/d' text.md >empty.md
refuses 2 'no table with rows follows' report --check empty.md
echo '# nothing' >free.md
refuses 2 'so there is nothing to check' report --check free.md
refuses 2 'takes a file and nothing else' report runs/r1 --check text.md
sed "s/^acc = .*/acc = nothing*100/" text.md >field.md
ends_with 6 '2 of 6' report --check field.md
contains err 'kept.json has no such number'

# What could hide a wrong number is an error.
echo '{"rows": [{"model": "a", "acc": 0.95, "n": 5, "k": 1234}, {"model": "b", "acc": 0.5, "n": 7, "k": 7}]}' >rows.json
table() { # RULE HEAD ROWS
	printf '<!-- check rows.json rows\nrow model = model\n%b\n-->\n\n| model | %b |\n| --- | --- |\n%b\n' "$@" >small.md
}
table 'k = k' k '| a | 1,234 |'
works report --check small.md
table 'k = k' k '| a | 12,34 |'
ends_with 6 '2 of 2 numbers' report --check small.md
contains err "small.md:8: k: '12,34' has more numbers than are checked"
table 'acc = acc*100' acc '| a | 0,95 |'
ends_with 6 '2 of 2 numbers' report --check small.md
contains err "small.md:8: acc: '0,95' has more numbers than are checked"
table 'n = n' n '| a | .5 |'
ends_with 6 '1 of 1 numbers' report --check small.md
contains err "small.md:8: n: the text has '.5', rows.json has 5"
table 'acc = acc' acc '| b | .50 |'
works report --check small.md
table 'n = n' n '| a | 5 |\nb | 99 |'
refuses 2 "small.md:9: a row that is to be checked begins with '|'" report --check small.md
table 'n = n' 'n | n' '| a | 5 | 99 |'
refuses 2 "small.md:6: the table has two columns 'n'" report --check small.md
table 'n = n' n '| a | 5 |\n\n| b | 99 |'
refuses 2 "small.md:10: a row behind an empty line is none of the table that is checked" report --check small.md
table 'n = n' n '| a | 5 |\n\n| other | m |\n| --- | --- |\n| b | 99 |'
works report --check small.md
table 'n = n' n '| a | 5 |\n\nb | 99'
works report --check small.md
table 'n = n' n '| a | 5 |\n| b | 8 |'
sed -i 's/$/\r/' small.md
ends_with 6 '1 of 2 numbers' report --check small.md
contains err "small.md:9: n: the text has '8', rows.json has 7"
table '' n '| a | 99 |'
refuses 2 "small.md:1: no line 'COLUMN = TERM...' says what is to be checked" report --check small.md
table 'n = nn' n '| a | five |'
refuses 2 "small.md:1: column 'n': neither the table nor rows.json has a number" report --check small.md
table 'n = n' n "| a | 5 $(printf '%0300d' 0) |"
refuses 2 "small.md:8: the cell 'n' has more than 255 bytes" report --check small.md
for markup in '  <!-- check' '<!--check' '<!--  check' '<!-- CHECK' '<!-- check:'; do
	table 'n = n' n '| a | 5 |\n'
	sed "1s/.*/$markup rows.json rows/; s/| 5 /| 99 /" small.md >almost.md
	cat almost.md >>small.md
	refuses 2 "small.md:10: must be '<!-- check FILE LIST' at the beginning of a line" report --check small.md
done

# Units, and the signs that stand for minus.
echo '{"rows": [{"model": "a", "b": 4400000, "d": -1.5, "up": 1.5, "low": 97.5, "high": 98.5}]}' >rows.json
table "b = b/1000000 'MB'" b '| a | 4.4 MB |'
works report --check small.md
table "b = b/1000000 'MB'" b '| a | 4.4 KB |'
ends_with 6 '1 of 1 numbers' report --check small.md
contains err "small.md:8: b: '4.4 KB' has not the unit 'MB'"
table 'b = b/1000000' b '| a | 4.4 GB |'
ends_with 6 '1 of 1 numbers' report --check small.md
contains err "'4.4 GB' has a unit that nothing asks for"
for minus in - − – '- ' '− '; do
	table 'd = d' d "| a | ${minus}1.5 |"
	works report --check small.md
	table 'd = up' d "| a | ${minus}1.5 |"
	ends_with 6 '1 of 1 numbers' report --check small.md
done
for to in - – ' - ' ' to '; do
	table 'low to high = low high' 'low to high' "| a | 97.5${to}98.5 |"
	works report --check small.md
done

# Numbers in sentences.
sentence() { # TEXT
	printf 'Before.\n\n%s and so on, with 99 others.\n' "$1" >small.md
}
sentence "The loss is −1.5 <!-- check rows.json: rows[model=a].d -->, of 4.4 MB <!-- check rows.json: rows[model=a].b/1000000 'MB' -->"
works report --check small.md
contains out '2 numbers, of 0 tables and 2 in sentences'
sentence "The loss is −1.6 <!-- check rows.json: rows[model=a].d -->"
ends_with 6 '1 of 1 numbers' report --check small.md
contains err "small.md:3: rows[model=a].d: the text has 'The loss is −1.6', rows.json has -1.5"
sentence "It takes 4.4 GB <!-- check rows.json: rows[model=a].b/1000000 'MB' -->"
ends_with 6 '1 of 1 numbers' report --check small.md
for word in percent million seconds; do
	sentence "It is 1.5 $word <!-- check rows.json: rows[model=a].up -->"
	ends_with 6 '1 of 1 numbers' report --check small.md
	contains err "1.5 $word' has a unit that nothing asks for"
	sentence "It is 1.5 $word <!-- check rows.json: rows[model=a].up '$word' -->"
	works report --check small.md
done
sentence "The loss is −1.5 <!-- check rows.json: rows[model=b].d -->"
ends_with 6 '1 of 1 numbers' report --check small.md
contains err 'rows.json has no such number'
sentence "The loss of 3 models is lower <!-- check rows.json: rows.0.d -->"
refuses 2 "small.md:3: no number stands before the comment" report --check small.md
sentence "The loss is −1.5 <!-- check rows.json rows.0.d -->"
refuses 2 "small.md:3: must be '<!-- check FILE LIST' at the beginning of a line, or '<!-- check FILE: TERM -->' behind a number" report --check small.md
sentence "The loss is −1.5 <!-- check rows.json: rows.0.d"
refuses 2 "small.md:3: must be" report --check small.md
sentence "The loss is −1.5 <!--check rows.json: rows.0.d -->"
refuses 2 "small.md:3: must be" report --check small.md
sentence "The loss is −1.5 <!-- check gone.json: rows.0.d -->"
refuses 1 'gone.json' report --check small.md

# the numbers of our own results
checks=$((checks + 1))
"$program" report --check "$source_dir/docs/results.md" >out 2>err || problem "docs/results.md is not what its files say"
# JSON is UTF-8, whatever the bytes of a path are
latin=$(printf 'caf\351')
cp -r runs/r1 "$latin"
is_utf8() { iconv -f UTF-8 -t UTF-8 "$1"; }
works compare "$latin" --format json
check "JSON of compare" is_utf8 out
works report "$latin" --out latin_report
for f in latin_report/*.json latin_report/report.html; do
	check "$f" is_utf8 "$f"
done
works evaluate "$latin/01-teacher" --json
check "JSON of evaluate" is_utf8 out
works bench "$latin/01-teacher" --runs 2 --json
check "JSON of bench" is_utf8 out

finish
