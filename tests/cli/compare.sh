#!/bin/sh
# pipeline compare: means over seeds, tests against a baseline, and folders that are not what they should be.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
for s in 1 2 3; do
	works run t.yaml --set seed=$s --set data.held=auto --out r$s
done

works compare r1 r2 r3 --baseline teacher --format csv
contains out 't,teacher,fp32,3,accuracy,'
contains out ',baseline,'
# mean and deviation by another program
awk -F, '$2 == "student" { print $6, $7 }' out >have
for s in 1 2 3; do
	awk -F'[:,]' '/"student"/ { on = 1 } on && /"accuracy":/ { gsub(/[ \t]/, "", $2); print $2; exit }' r$s/05-evaluate/evaluation.json
done | awk '{ v[NR] = $1; m += $1 / 3 } END { for (i = 1; i <= 3; i++) q += (v[i] - m) ^ 2; printf "%.9f %.9f\n", m, sqrt(q / 2) }' >want
check "mean and deviation of the student" awk 'NR == FNR { m = $1; s = $2; next } { exit !(($1 - m) ^ 2 < 1e-16 && ($2 - s) ^ 2 < 1e-14) }' want have

works compare r1 r2 r3 --baseline teacher --format csv
check "differences are of pairs" awk -F, '$2 == "teacher" { t = $6 } $2 == "prune" { bad = ($6 - t - $10) ^ 2 > 1e-20 } END { exit bad }' out

# paired flips of one run are those that evaluate counted
works compare r1 --baseline teacher --format json
grep -c '"mcnemar_exact"' out >n
contains n 3
lost=$(awk -F'[:,]' '/"flips"/ { on = 1 } on && /right_to_wrong/ { gsub(/[ \t]/, "", $2); print $2; exit }' r1/05-evaluate/evaluation.json)
contains out "\"right_to_wrong\":	$lost"
works compare r1 --baseline teacher --format latex
contains out '\begin{tabular}'
works compare r1 --metric f1_macro --baseline teacher --format md
contains out '| macro F1 |'
contains out 'paired bootstrap'

# a difference that no test can judge is no tie, and has no p
works compare r1 --metric loss --baseline teacher --format csv
contains out ',untested,'
works compare r1 --metric loss --baseline teacher --format md
contains out 'Untested: one pair of runs, whose decisions on the same samples were not kept, or do not make the metric.'
works compare r1 --metric loss --baseline teacher --format json
contains out '"untested_because":	"one pair of runs'

# of the loss less is better
for s in 1 2 3; do
	works run t.yaml --set name=far --set seed=$s --set stages.teacher.epochs=20 --out far$s
done
verdict_is() { # BASELINE MODEL VERDICT
	works compare far1 far2 far3 --metric loss --baseline $1 --format csv
	awk -F, -v model=$2 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } $at["model"] == model { print $at["verdict"] }' out >verdict
	contains verdict $3
}
verdict_is teacher student worse
verdict_is student teacher better
# and what an evaluation counts is no metric
refuses 2 "no model has a metric 'samples'; there are accuracy" compare r1 --metric samples

# runs on other test samples are compared, but not without a word
works run t.yaml --set data.test_fraction=0.3 --set name=other --set seed=1 --out o1
works run t.yaml --set data.test_fraction=0.3 --set name=other --set seed=2 --out o2
works compare r1 o1 --baseline t/teacher
contains out 'Untested: one pair of runs, whose test samples are not the same, so the difference is one of data as well.'
contains out "Other test samples than the baseline's: other; their differences are of the data as well."
works compare r1 r2 o1 o2 --baseline t/teacher --format csv
contains err "Other test samples than the baseline's: other;"
works compare r1 r2 o1 o2 --baseline t/teacher --format json
contains out '"pairs_of_other_samples":	2'
works run t.yaml --set task.metric=f1_macro --set name=f1 --out f1
works compare r1 f1 --baseline t/teacher
contains out "Untested: a metric that is not the baseline's; --metric names one for all rows."
sed '/student\|prune\|quantize/d; s/^name: t/name: alone/' t.yaml | sed 's/teacher: {kind/only: {kind/' >alone.yaml
works run alone.yaml --out alone
works compare r1 alone --baseline teacher
contains out 'Untested: no such baseline in its own runs; RUN/MODEL names one for all rows.'
works compare r1 r2 --baseline teacher
check "the same samples need no word" eval '! grep -q "Other test samples" out err'

# a model that has learned from test samples is named
works run alone.yaml --set 'models.big={pretrained: r1/01-teacher}' --set name=seen --set seed=2 --out seen
works compare r1
check "no word of models that have not" [ "$(grep -c 'too good' out)" -eq 0 ]
works compare r1 seen
contains out "Test samples that a model was trained on, or chosen by, make its figures too good: seen/only ("
works compare r1 seen --format csv
contains err "too good: seen/only ("

# a model that two chains share is one test of Holm's correction
cat >chains.yaml <<'END'
base: t.yaml
axes: {chain: {short: [teacher, student, evaluate], long: [teacher, student, prune, evaluate]}}
END
works sweep chains.yaml --out chains
works compare chains --baseline teacher --format csv
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
	$at["model"] == "student" { n++; p[1] = $at["p"]; holm[n] = $at["p_holm"] }
	$at["model"] == "prune" { p[2] = $at["p"]; holm[3] = $at["p_holm"] }
	function least(a, b) { return a < b ? a : b }
	END {
		low = p[1] < p[2] ? 1 : 2
		want[low] = least(2 * p[low], 1)
		want[3 - low] = p[3 - low] > want[low] ? p[3 - low] : want[low]
		print p[1], p[2], holm[1], holm[2], holm[3]
		exit n != 2 || (holm[1] - want[1]) ^ 2 > 1e-20 || holm[2] != holm[1] || (holm[3] - want[2]) ^ 2 > 1e-20
	}' out >holm || problem "the shared student is not counted once: $(cat holm)"
checks=$((checks + 1))
check "Holm's correction is seen at these p" awk '{ exit !($1 < 0.3 || $2 < 0.3) }' holm

# what is missing is said
refuses 2 "no baseline 'nobody'; the models are teacher, student, prune, quantize" compare r1 --baseline nobody
refuses 2 "no model has a metric 'nothing'; there are accuracy" compare r1 --metric nothing
refuses 2 '--format must be text' compare r1 --format html
refuses 2 'RUN_OR_SWEEP is missing' compare
refuses 2 'nowhere: there is no such folder' compare nowhere
mkdir empty
refuses 2 "is neither a run's folder" compare empty

# marked, each with its reason
cp -r r1 edited
sed -i 's/"accuracy":	0/"accuracy":	1/' edited/05-evaluate/evaluation.json
ends_with 4 'no run has results; 1 of 1 is damaged' compare edited
contains err 'edited: changed: edited/05-evaluate/evaluation.json: was changed since it was written'
cp -r r1 resealed
sed -i 's/"parameters":	[0-9]*/"parameters":	7/' resealed/02-student/stage.json
ends_with 4 'no run has results; 1 of 1 is damaged' compare resealed
contains err 'resealed: changed: resealed/02-student/stage.json: was changed'
cp -r r1 half
rm -r half/05-evaluate
works compare half edited r1
works compare half
contains err 'half: missing: no stage has evaluated'
cp -r r1 gone
rm gone/05-evaluate/decisions.safetensors
ends_with 4 'no run has results; 1 of 1 is damaged' compare gone
contains err 'decisions.safetensors: is gone'
cp -r r1 unfinished
rm -r unfinished/03-prune
works compare unfinished
contains err 'unfinished: stale: stage prune of its config is not finished'
cp -r r1 other
unseal other/run.json
sed -i 's/"program_commit":	"[^"]*"/"program_commit":	"0123456789ab"/' other/run.json
works compare other
contains err 'other: stale: evaluated by pipeline'
cp -r r1 renamed
sed -i 's/"sparsity":	0.5/"sparsity":	0.9/' renamed/run.json
ends_with 4 'no run has results; 1 of 1 is damaged' compare renamed
contains err 'renamed: changed: renamed/run.json: was changed since it was written'
# a run whose options were changed, and which was stopped before it came to the stage, is not called by them
cp -r r1 halfway
"$program" run t.yaml --out halfway --set stages.prune.sparsity=0.9 --set stages.prune.epochs=100000 >/dev/null 2>&1 &
begun=$!
check "the stage is begun again" wait_for is_training halfway/.03-prune.part
kill -INT $begun
wait $begun || true
works compare halfway
contains err 'halfway: stale: stage prune is of other options, data or program than its run.json: the run since then is not finished'
cp -r r1 broken
echo '{"name":' >broken/run.json
ends_with 4 'no run has results; 1 of 1 is damaged' compare broken
contains err 'broken: changed: broken/run.json:1:'
cp -r r1 failed
echo '{"status": 6, "message": "the teacher is not good enough", "stage": "student", "time": "2026-01-01T00:00:00Z"}' >failed/error.json
works compare failed r1 r2 --format csv
contains err 'failed: failed: student: the teacher is not good enough'
contains out '1 failed'
refuses 2 "the baseline 'failed' has no results: failed: failed: student" compare failed --baseline failed
cp -r r1 again
works compare r1 again
contains err 'again: repeated: the config, seed and fold of r1 again'
works compare r1 r1 ./r1/ --format csv
contains out 't,teacher,fp32,1,'

# one checkpoint twice
works evaluate r1/01-teacher r1/01-teacher --out twice
check "its decisions are kept" test -s twice/decisions.safetensors

# a sweep: cells by their axes, some of them not there
cat >grid.yaml <<'END'
base: t.yaml
axes: {stages.prune.sparsity: [0.25, 0.5, 0.9]}
seeds: [1, 2]
END
works sweep grid.yaml --out sweep
rm -r sweep/cells/0004-* sweep/cells/0005-*
works compare sweep --baseline sparsity=0.25 --format csv
contains out 'run,stages.prune.sparsity,model'
contains out 'sparsity=0.5,0.5,prune,fp32,2,accuracy'
contains out 'sparsity=0.9,0.9,,,0,'
contains out '2 missing'
contains err "sweep/cells/0004-sparsity0.9-s1: missing: its folder is not there"
works compare sweep --baseline sparsity=0.25/teacher --format json
contains out '"pairs":	2'
sed -i 's/sparsity":	0.5/sparsity":	0.75/' sweep/cells/0002-*/cell.json
works compare sweep
contains err 'cells/0002-sparsity0.5-s1: stale: stages.prune.sparsity in its run.json is not what its cell.json has'
works compare sweep alone --format csv
contains out 'run,stages.prune.sparsity,model'
contains out 'sparsity=0.25,0.25,prune'
contains out 'alone,,only'
# cells are called by the axes that they depend on
cat >idle.yaml <<'END'
base: t.yaml
equal: drop
axes:
  chain: {short: [teacher, student, evaluate], long: [teacher, student, prune, evaluate]}
  stages.prune.sparsity: [0.25, 0.5]
END
works sweep idle.yaml --out idle --freeze
works compare idle --format csv
contains out 'chain=short,short,,,'
contains out 'chain=long sparsity=0.5,long,0.5,,'

# data that change while a sweep is at work are said, whatever the rows are compared with
awk 'BEGIN { srand(1); print "text,label,split"; split("train val test", of, " ")
	for (i = 0; i < 90; i++) print "w" i % 7 " w" int(20 * rand()) " w" i % 3 ",c" i % 3 "," of[1 + int(i / 3) % 3] }' >rows.csv
cat >rows.yaml <<'END'
base:
  name: rows
  threads: 1
  data: {source: csv, path: rows.csv}
  models: {m: {family: bag, dim: 4}}
  stages: {train: {model: m, epochs: 1}, prune: {input: train, sparsity: 0.5, epochs: 0}, evaluate: {latency: false}}
axes: {stages.prune.sparsity: [0.2, 0.5]}
seeds: [1, 2]
END
works sweep rows.yaml --out rows --freeze
works sweep rows --cell 0
works sweep rows --cell 1
works compare rows
check "no word of data that are the same" [ "$(grep -c 'Data have changed' out)" -eq 0 ]
sed -i '2s/^w0/w1/' rows.csv
works sweep rows
changed="Data have changed, for the same options and seed: rows/cells/0002-sparsity0.5-s1 (rows/cells/0000-sparsity0.2-s1 has others), rows/cells/0003-sparsity0.5-s2 (rows/cells/0001-sparsity0.2-s2 has others); means and differences are of the data as well."
works compare rows
contains out "$changed"
works compare rows --format csv
contains err "$changed"
works compare rows --baseline prune --format json
tr -d '\n\t' <out >flat
contains flat '"changed_data":[{"path":"rows/cells/0002-sparsity0.5-s1","not_as":"rows/cells/0000-sparsity0.2-s1"}'

# names stay what they are, whatever the format makes of their characters
cat >odd.yaml <<'END'
base: t.yaml
axes: {kind: {'a<b>|c': {stages.prune.sparsity: 0.3}, 'd < e': {stages.prune.sparsity: 0.4}}}
END
works sweep odd.yaml --out odd --freeze
works compare odd --format latex
contains out 'kind=a$<$b$>$\textbar{}c &'
works compare odd --format md
contains out '| kind=a\<b>\|c |'
contains out '| kind=d < e '

# both read the same description of a sweep
cp sweep/sweep.json whole.json
unreadable() { # CHANGE TEXT
	sed "$1" whole.json >sweep/sweep.json
	ends_with 2 "sweep/sweep.json: $2" sweep sweep --status
	ends_with 2 "sweep/sweep.json: $2" compare sweep
}
unreadable 's/"format":1/"format":2/' 'it is not a sweep that this program can read'
unreadable 's/"threads"/"thread"/' 'a field is missing or wrong'
unreadable 's#"folder":"0000-[^"]*","config_#"folder":"../../r1","config_#' 'cell 0 is not one'
finish
