# A grid of options: planned and checked as a whole, run with shared stages made once, interrupted, gone on with, changed.
. "$(dirname "$0")/lib.sh"

base_config | sed '/^threads/d' >base.yaml
cat >grid.yaml <<'END'
base: base.yaml
axes:
  stages.student.temperature: [2, 4]
  pipeline:
    kd_only: {chain: [teacher, student, evaluate]}
    kd_quant: {chain: [teacher, student, quantize, evaluate]}
END

# grid TEXT: a grid over the base, with \n for line ends.
grid() {
	printf "base: base.yaml\n$1\n" >wrong.yaml
}
wrong() { # TEXT MESSAGE
	grid "$1"
	refuses 2 "$2" sweep wrong.yaml
	refuses 2 "$2" sweep wrong.yaml --plan
}
wrong 'axes:\n  stages.prune.sparsity: []' "wrong.yaml:3:3: axis 'stages.prune.sparsity' has no values"
wrong 'axes:\n  stages.prun.lr: [1]' "wrong.yaml:3:3: 'stages.prun.lr': stages of the base has no 'prun'; did you mean 'prune'?"
wrong 'axes:\n  stages.prune.lrr: [1]' "wrong.yaml:3:3: stages.prune: unknown key 'lrr'; did you mean 'lr'?"
wrong 'axes:\n  stages.prune.sparsity: [0.3, 1.5]' "cell 1 (sparsity1.5): wrong.yaml:3:32: 'sparsity' must be a number"
wrong 'axes:\n  stages.prune.sparsity: [0.3, 0.50, 0.5]' "cells 1 (sparsity0.50) and 2 (sparsity0.5) are the same"
wrong 'axes:\n  chain: [[teacher, studnt]]' "the base has no stage 'studnt'; did you mean 'student'?"
wrong 'axes:\n  chain: [[teacher, student, teacher]]' "stage 'teacher' comes twice"
wrong 'axes:\n  chain: [[student, teacher]]' "stage 'teacher', which does not come before this one"
wrong 'axes:\n  chain: [[teacher, quantize, prune]]' "the input is quantized already"
wrong 'folds: all' "needs data.folds in the base"
wrong 'seeds: [1, two]' "'seed' must be a whole number"
wrong 'axes:\n  size:\n    small: {hidden: 3}' "'hidden' is no path of an option"
wrong 'axes:\n  size:\n    small: 5' "wrong.yaml:4:5: 'small' must be a mapping of options"
wrong '' "a grid needs 'axes', 'seeds' or 'folds'"
grid 'axes:\n  data.path: [nowhere]\n  data.source: [images]'
refuses 3 "cell 0 (pathnowhere-sourceimages): nowhere: no such file or folder" sweep wrong.yaml
refuses 2 "No such file or directory" sweep nothing.yaml
seq -s, 1 100 >hundred
grid "axes:\n  stages.teacher.epochs: [$(cat hundred)]\n  stages.student.epochs: [$(cat hundred)]\nseeds: [$(cat hundred)]"
refuses 2 "the grid has 1000000 cells (100 x 100 x 100)" sweep wrong.yaml

# A block without options is the base as it is.
grid 'axes:\n  student:\n    as it is: {}\n    longer: {stages.student.epochs: 7}'
works sweep wrong.yaml --plan --json
contains out '"cells":	2'
contains out '"0000-as_it_is", "0001-longer"'

# --set changes the base of all cells, before anything of them is made.
set_wrong() { # ASSIGNMENT MESSAGE
	refuses 2 "$2" sweep grid.yaml --set "$1"
	refuses 2 "$2" sweep grid.yaml --plan --set "$1"
}
set_wrong stages.studnt.epochs=1 "--set stages.studnt.epochs=1: 'stages.studnt.epochs': stages of the base has no 'studnt'; did you mean 'student'?"
set_wrong stages.student.epoch=1 "--set stages.student.epoch=1: stages.student: unknown key 'epoch'; did you mean 'epochs'?"
set_wrong stages.student.epochs "must be PATH=VALUE"
set_wrong stages.student.epochs=no "--set stages.student.epochs=no: 'epochs' must be a whole number"
set_wrong name=other "cells are called by their values; --out is the sweep's folder"
set_wrong stages.quantize.input=student "the grid's chain on line 5 says what a stage takes"
set_wrong out=elsewhere "cells have folders of their own; --out is the sweep's"
set_wrong stages.student.temperature=3 "--set stages.student.temperature=3: the grid sets 'stages.student.temperature' in its cells, on line 3"
set_wrong 'stages.student={kind: distill, model: small, teacher: teacher, temperature: 3}' "the grid sets 'stages.student.temperature' in its cells"
cat >block.yaml <<'END'
base: base.yaml
axes:
  size:
    one: {stages.student.epochs: 1}
    two: {models.small.hidden: [14]}
seeds: [1, 2]
END
refuses 2 "the grid sets 'stages.student.epochs' in its cells, on line 4" sweep block.yaml --set stages.student.epochs=3
refuses 2 "the grid sets 'seed' in its cells, on line 6" sweep block.yaml --set seed=3
works sweep block.yaml --set stages.student.lr=0.02 --set stages.student.warmup=0 --freeze --out given
check "each cell has what was set" [ "$(grep -l '0\.02' given/cells/*/config.yaml | wc -l)" -eq 4 ]
tr -d '\n\t ' <given/sweep.json >flat
contains flat '"set":["stages.student.lr=0.02","stages.student.warmup=0"]'
refuses 2 "sweep: --set beside a sweep's folder, whose cells are made" sweep given --set stages.student.lr=0.03
refuses 2 "sweep: --threads beside a sweep's folder, whose cells are made" sweep given --threads 2
refuses 2 "sweep: --set changes the base, from which the cells are made" sweep block.yaml --out given --status --set stages.student.lr=0.03
refuses 2 "sweep: --set changes the base, from which the cells are made" sweep given --cell 0 --set stages.student.lr=0.03
works sweep given --status
works sweep block.yaml --status --out given
works sweep block.yaml --set stages.student.lr=0.02 --set stages.student.warmup=0 --freeze --out given
check "no word of what was set before" [ "$(grep -c 'were made with' err)" -eq 0 ]
works sweep block.yaml --freeze --out given
contains err "warning: the cells that are there were made with --set stages.student.lr=0.02 --set stages.student.warmup=0"
contains err "4 cells have another config than before"
works sweep block.yaml --set stages.student.lr=0.02 --plan --out given
contains out "  --set stages.student.lr=0.02"
works sweep block.yaml --set stages.student.lr=0.02 --freeze --out given
contains err "were made with no --set"
sed 's/"set":\[[^]]*\]/"set":[1]/' given/sweep.json >changed && mv changed given/sweep.json
refuses 2 "'set' must be a list of texts" sweep given --status

# Equal cells are dropped where that is asked for: a student that is not pruned has no sparsity.
grid 'equal: drop\naxes:\n  chain: [[teacher, student], [teacher, student, prune]]\n  stages.prune.sparsity: [0.3, 0.5]'
works sweep wrong.yaml --plan --json
contains out '"cells":	3'

# A store that cannot be used is said before an hour is spent on one teacher for each cell.
mkdir elsewhere
ln -s elsewhere link
sed 's/^base: base.yaml/base: stored.yaml/' grid.yaml >stored_grid.yaml
{ cat base.yaml && echo "store: link"; } >stored.yaml
works sweep stored_grid.yaml --plan
contains err 'warning: the store link is not used: link: is not a folder; each cell makes all of its stages itself'
works sweep grid.yaml --plan
check "no word of a store that can be used" [ ! -s err ]

# A plan touches nothing and knows what is shared.
works sweep grid.yaml --plan --json
check "a plan makes no folder" [ ! -e runs ]
contains out '"different_stages":	9'
tr -d '\n\t ' <out >flat
contains flat '"levels":[1,2,4]'

# All cells, one teacher, two students.
works sweep grid.yaml --jobs 2
teachers() {
	grep -l '^01-teacher: train$' "$1"/cells/*/run.log | wc -l
}
check "all cells are finished" [ "$(ls runs/grid/cells/*/finished.json | wc -l)" -eq 4 ]
check "the teacher was trained once" [ "$(teachers runs/grid)" -eq 1 ]
check "each student was trained once" [ "$(grep -l '^02-student: distill$' runs/grid/cells/*/run.log | wc -l)" -eq 2 ]
check "a cell's config is the cell" "$program" run runs/grid/cells/0001-*/config.yaml --out alone/t
for stage in 01-teacher 02-student 03-quantize; do
	check "$stage has the bytes of a run of its own" \
		cmp alone/t/$stage/model.safetensors "$(echo runs/grid/cells/0001-*)/$stage/model.safetensors"
done
check "a chain takes what comes before" grep -q '"kd_quant"' runs/grid/cells/0001-*/cell.json
works sweep grid.yaml --status
check "no word of changes" [ ! -s err ]
cp grid.yaml grid.kept
echo 'seeds: [1, 2]' >>grid.yaml
works sweep grid.yaml --status
contains err "warning: grid.yaml has changed since the cells in runs/grid were made"
mv grid.kept grid.yaml
works sweep grid.yaml --status
contains out "4 cells: 4 finished, 0 failed"
works sweep grid.yaml --jobs 2
contains err "4 of 4 cells are finished"
check "finished cells are not started again" [ "$(grep -c ' begun$' err)" -eq 0 ]
check "the order is that of the file" grep -q '"name":"temperature2-kd_only"' runs/grid/sweep.json

# Values that are added keep the cells that are there, whatever comes before them; what is gone is named.
sed -i 's/\[2, 4\]/[1, 4]/' grid.yaml
works sweep grid.yaml --jobs 2
contains err "2 cells are no longer in the grid"
contains err "0000-temperature2-kd_only"
contains err "2 of 4 cells are finished"
check "new cells have new numbers" ls runs/grid/cells/0004-temperature1-kd_only/finished.json
sed -i 's/\[1, 4\]/[1, 2, 4]/' grid.yaml
works sweep grid.yaml --plan --json
contains out '"kept":	6'
works sweep grid.yaml
contains err "6 of 6 cells are finished"
check "one teacher still" [ "$(teachers runs/grid)" -eq 1 ]

# Another base: the same folders, and what it changes is run again.
sed -i 's/latency_runs: 5/latency_runs: 6/' base.yaml
works sweep grid.yaml --plan --json
contains out '"changed":	6'
check "a plan of a changed base leaves the cells" grep -q 'latency_runs: 5' runs/grid/cells/0001-*/config.yaml
works sweep grid.yaml --freeze
works compare runs/grid
check "results of the old base are not those of the cells" [ "$(grep -c 'stale: stages.*latency_runs in its run.json is not what its config.yaml has' err)" -eq 6 ]
works sweep grid.yaml --jobs 2
works compare runs/grid
check "those of the new one are" [ ! -s err ]
check "only the changed stage ran again" [ "$(teachers runs/grid)" -eq 1 ]
works sweep grid.yaml --status
contains out "6 finished"
by_hand=$(echo runs/grid/cells/0001-*)
works run "$by_hand/config.yaml" --set stages.evaluate.latency_runs=5 --out "$by_hand"
works compare runs/grid
contains err "$by_hand: stale: stages.evaluate.latency_runs in its run.json is not what its config.yaml has"
works sweep grid.yaml --status
contains out "5 finished, 0 failed, 0 at work, 1 begun"
check "no word of another program" [ "$(grep -c "another version" out)" -eq 0 ]

# What somebody has edited in a cell's folder is not run under the cell's name, nor counted as the cell.
works sweep grid.yaml --jobs 2
hand=$(echo runs/grid/cells/0002-*)
cp "$hand/config.yaml" kept.yaml
cp "$hand/cell.json" kept.json
sed -i 's/latency_runs: 6/latency_runs: 7/' "$hand/config.yaml"
check "the config is another" eval '! cmp -s "$hand/config.yaml" kept.yaml'
ends_with 2 "$hand/config.yaml is gone, or was edited since the sweep was made; \`pipeline sweep grid.yaml\` writes it again" sweep runs/grid
ends_with 2 "$hand/config.yaml is gone, or was edited" sweep runs/grid --cell 2
works sweep runs/grid --status
contains err "warning: $hand/config.yaml is gone, or was edited"
contains out "5 finished, 0 failed, 0 at work, 1 begun"
cp kept.yaml "$hand/config.yaml"
sed -i 's/^threads: [0-9]*$/threads: 7/' "$hand/config.yaml"
check "its threads are others" eval '! cmp -s "$hand/config.yaml" kept.yaml'
ends_with 2 "$hand/config.yaml is gone, or was edited" sweep runs/grid
sed 's/latency_runs: 6/latency_runs: 7/' kept.yaml >"$hand/config.yaml"
cp -r "$hand" by_hand
check "the edited config runs by itself" "$program" run by_hand/config.yaml --out by_hand
works compare by_hand
contains err "by_hand: stale: its config.yaml was edited since its sweep was made"
works sweep grid.yaml
contains err "6 of 6 cells are finished"
check "the sweep's command writes it again" cmp "$hand/config.yaml" kept.yaml
works compare runs/grid
check "and all cells count" [ ! -s err ]
sed -i 's/kd_only/kd_quant/; s/kd_quant_/kd_only/' "$hand/cell.json"
check "the label is another" eval '! cmp -s "$hand/cell.json" kept.json'
works compare runs/grid
contains err "$hand: stale: its cell.json is not what its sweep.json has"
works sweep grid.yaml
check "it is written again, too" cmp "$hand/cell.json" kept.json

# The number of threads is an axis like others; 0 is the sweep's.
cat >threads.yaml <<'END'
base: base.yaml
axes: {threads: [0, 1, 2]}
END
works sweep threads.yaml --threads 3 --freeze
contains err "3 cells in runs/threads, 3 of them new; 3 threads each of the 1 whose configs name none"
check "a cell has its own" eval '[ "$(grep -h ^threads runs/threads/cells/*/config.yaml | tr "\n" " ")" = "threads: 3 threads: 1 threads: 2 " ]'
rm -r runs/threads/cells/0001-* runs/threads/cells/0002-*
works run runs/threads/cells/0000-*/config.yaml --out "$(echo runs/threads/cells/0000-*)"
works compare runs/threads
check "0 is not another number" eval '! grep -q 0000 err'
sed 's/0, //' threads.yaml >own.yaml
refuses 2 "--threads is for configs with 'threads: 0', and all cells name a number; \`--set threads=3\`" sweep own.yaml --threads 3 --plan

# While a sweep runs its cells no other one does, from the grid or from the folder; looking at it is free.
"$program" sweep grid.yaml --out runs/both >first 2>&1 &
begun=$!
check "a cell is begun" wait_for grep -q begun first
kill -STOP $begun
ends_with 2 "runs/both: another run is at work in this folder" sweep grid.yaml --out runs/both --jobs 2
ends_with 2 "runs/both: another run is at work in this folder" sweep runs/both
works sweep runs/both --status
kill -CONT $begun
status=0
wait $begun || status=$?
check "the first one ends well" [ $status -eq 0 ]
check "no cell is said to have failed" eval '! grep -h "failed with" first && ! ls runs/both/cells/*/error.json'
works sweep grid.yaml --out runs/both
contains err "6 of 6 cells are finished"
ends_with 2 "--until: 0000-temperature1-kd_only has no stage 'nothing'" sweep runs/both --cell 0 --until nothing
echo >tasks
ends_with 2 "tasks: a line of a task names no cell" sweep runs/both --cell 0 --tasks tasks

# What lies in the place of a log is neither waited for nor written through, and folders of others are left alone.
odd=$(echo runs/grid/cells/0001-*)
rm -f "$odd/run.log" "$odd/finished.json"
mkfifo "$odd/run.log"
checks=$((checks + 1))
timeout -k 1 20 "$program" sweep grid.yaml >out 2>err </dev/null && problem "a FIFO was taken for a log"
contains err "$odd/run.log: is not a file; remove it"
rm "$odd/run.log"
echo mine >notes.txt
ln -s "$work/notes.txt" "$odd/run.log"
ends_with 1 "$odd/run.log: is a link, which is not followed; remove it" sweep grid.yaml
contains notes.txt mine
rm "$odd/run.log"
works sweep grid.yaml
mkdir foreign
cp notes.txt foreign
ends_with 2 "foreign holds 'notes.txt' and no sweep.json: it is not a sweep's folder" sweep grid.yaml --out foreign
check "nothing was added to it" [ "$(ls -A foreign)" = notes.txt ]

# Who plans for long meets the cells that another one has numbered meanwhile.
grid "seeds: [$(seq -s, 1 300)]"
mv wrong.yaml long.yaml
grid 'seeds: [1001, 1002]'
"$program" sweep long.yaml --out runs/race --freeze >out0 2>err0 </dev/null &
first=$!
sleep 0.3
works sweep wrong.yaml --out runs/race --freeze
check "the one that plans for long is done" wait $first
check "no number is given twice" [ -z "$(ls runs/race/cells | cut -c1-4 | sort | uniq -d)" ]
check "cells of the other are not forgotten" grep -q '"folder":"0000-s1001"' runs/race/sweep.json

# A record that was changed finishes nothing: the sweep and compare have one rule.
grid 'seeds: [1, 2]'
works sweep wrong.yaml --out runs/seal
works sweep runs/seal --status
contains out "2 finished"
sed -i 's/"parameters":	/&1/' runs/seal/cells/0001-*/02-student/stage.json
works compare runs/seal
contains err "02-student/stage.json: was changed since it was written"
works sweep runs/seal --status
contains out "1 finished"
ends_with 4 "0001-s2" sweep runs/seal
contains err "stage student is finished, but damaged or unreadable"

# Data that have changed since are noticed by whoever reads them.
i=0
printf 'text,label\n' >words.csv
while [ $i -lt 40 ]; do
	printf 'sales w%d go up and rise,good\nsales w%d go down and fall,bad\n' $i $i >>words.csv
	i=$((i + 1))
done
cat >words.yaml <<'END'
name: words
threads: 1
data: {source: csv, path: words.csv}
models:
  m: {family: bag, dim: 8, hidden: [4], input: {vocabulary_size: 100, longest: 16}}
stages:
  model: {kind: train, model: m, epochs: 1, batch_size: 8}
  evaluate: {latency_runs: 5, latency_warmup: 1, throughput_runs: 1}
END
printf 'base: words.yaml\nseeds: [1, 2]\n' >words_grid.yaml
works sweep words_grid.yaml --out runs/words
works sweep words_grid.yaml --out runs/words
contains err "2 of 2 cells are finished"
sed -i '2s/sales w0 go up/sales w0 went up/' words.csv
works sweep words_grid.yaml --out runs/words
contains err "2 cells were finished with other data than there are now: what depends on them is run again"
contains err "[2/2] 0001-s2: finished"
works sweep words_grid.yaml --out runs/words
contains err "2 of 2 cells are finished"

# Or while other cells run: a cell that has read others than the sweep was planned with is not finished.
sed 's/epochs: 1,/epochs: 1000,/' words.yaml >slow.yaml
printf 'base: slow.yaml\nseeds: [1, 2]\n' >slow_grid.yaml
"$program" sweep slow_grid.yaml --out runs/slow >out 2>err </dev/null &
pid=$!
until [ -e runs/slow/cells/0000-s1/.01-model.part ] || ! kill -0 $pid 2>/dev/null; do
	sleep 0.01
done
sed -i '2s/sales w0 went up/sales w0 go up/' words.csv
status=0
wait $pid || status=$?
check "a cell of other data fails with the status of data" [ $status -eq 3 ]
contains err "0001-s2: failed with status 3: its data have changed since this sweep was planned"
check "it is not finished" [ ! -e runs/slow/cells/0001-s2/finished.json ]
check "the cell before is" [ -e runs/slow/cells/0000-s1/finished.json ]

# An axis of lists: one value alone is a list of one.
grid 'axes:\n  stages.evaluate.inputs: [[teacher, student], teacher]'
works sweep wrong.yaml --out runs/lists
works compare runs/lists
check "no cell of lists is stale" [ ! -s err ]

# One cell by its number, as batch systems give it.
rm -rf runs
cell() { # WHAT...
	env "$@" "$program" sweep grid.yaml --cell auto >out 2>err </dev/null
}
refuses 2 "there is no sweep in this folder" sweep grid.yaml --cell 0
works sweep grid.yaml --freeze
check "nothing has run" [ -z "$(ls runs/grid/cells/*/run.json 2>/dev/null)" ]
works sweep grid.yaml --status
contains out "6 not begun"
check "Slurm's index" cell SLURM_ARRAY_TASK_ID=1
check "Kubernetes' index" cell JOB_COMPLETION_INDEX=2
check "PBS' index" cell PBS_ARRAY_INDEX=0
check "three cells are finished" [ "$(ls runs/grid/cells/000[012]-*/finished.json | wc -l)" -eq 3 ]
ends_with 2 "runs/grid has no cell 17; it has 6 cells, numbered 0 to 5" sweep runs/grid --cell 17
ends_with 2 "none of SLURM_ARRAY_TASK_ID" sweep runs/grid --cell auto
works sweep runs/grid --cell 3 --until student
check "it ends at the stage" [ -e runs/grid/cells/0003-*/02-student ]
check "and goes no further" [ ! -e runs/grid/cells/0003-*/03-quantize ]
works sweep runs/grid --status
contains out "3 finished, 0 failed, 0 at work, 1 begun, 2 not begun"
echo '# another text' >>grid.yaml
ends_with 2 "has changed since the cells in runs/grid were made" sweep grid.yaml --cell 0

# Two processes that need the same stage at the same time make it once.
rm -rf runs
sed -i 's/teacher: {kind: train, model: big, epochs: 2}/teacher: {kind: train, model: big, epochs: 300}/' base.yaml
works sweep grid.yaml --freeze
"$program" sweep runs/grid --cell 0 >out0 2>err0 </dev/null &
first=$!
"$program" sweep runs/grid --cell 2 >out2 2>err2 </dev/null &
second=$!
check "the first one is done" wait $first
check "the second one is done" wait $second
check "they have trained one teacher" [ "$(teachers runs/grid)" -eq 1 ]
check "one of them has waited" grep -q 'another run makes the same stage; waiting for it$' runs/grid/cells/000[02]-*/run.log
check "no lock is left" [ -z "$(find runs -name '*.lock' -path '*store*')" ]

# A cell that fails stops no other; one whose teacher has failed is not started; the exit status is theirs.
cat >gate.yaml <<'END'
base: base.yaml
axes:
  gate:
    open: {stages.teacher.epochs: 2}
    shut: {stages.teacher.epochs: 3, stages.student.teacher_gate: 0.9999}
  stages.quantize.observer: [minmax, mse]
END
ends_with 6 "2 of 4 cells failed: 0002-shut-observerminmax, 0003-shut-observermse" sweep gate.yaml
check "the others are finished" [ "$(ls runs/gate/cells/*/finished.json | wc -l)" -eq 2 ]
contains err "0003-shut-observermse: not started: its stage student failed in another cell"
check "the record names status and stage" grep -q '"stage":	"student"' runs/gate/cells/0002-*/error.json
check "and the status" grep -q '"status":	6' runs/gate/cells/0002-*/error.json
works sweep runs/gate --status
contains out "2 finished, 1 failed, 0 at work, 0 begun, 1 not begun"
sed -i 's/0.9999/0.1/' gate.yaml
works sweep gate.yaml
check "success removes the record" [ -z "$(ls runs/gate/cells/*/error.json 2>/dev/null)" ]

# A cell that is killed leaves a record, and the sweep goes on.
sed -i 's/epochs: 300/epochs: 100000/' base.yaml
cat >long.yaml <<'END'
base: base.yaml
axes:
  stages.teacher.epochs: [3, 100000]
END
at_work() { # CELL
	is_training "$(echo runs/long/cells/$1-*)/.01-teacher.part"
}
run_of() { # CELL: the process that runs it
	process_of "run runs/long/cells/$1-.*/config.yaml"
}
"$program" sweep long.yaml --jobs 2 >out 2>err </dev/null &
pid=$!
is_finished() { # CELL
	[ -e "$(echo runs/long/cells/$1-*)/finished.json" ]
}
check "the short cell is finished" wait_for is_finished 0000
check "the cell is at work" wait_for at_work 0001
works sweep runs/long --status
contains out "1 finished, 0 failed, 1 at work"
"$program" sweep runs/long --cell 1 >out1 2>err1 </dev/null || problem "a cell that is at work elsewhere is no failure"
kill -KILL "$(run_of 0001)"
status=0
wait $pid || status=$?
check "a killed cell is a failure" [ $status -eq 1 ]
check "its record names the signal" grep -q 'signal 9' runs/long/cells/0001-*/error.json
check "the other cell is finished" ls runs/long/cells/0000-*/finished.json

rm -r runs/long/cells/0001-*/.01-teacher.part # looks as if a run were at work there
# An interruption saves all, and ends with 75; the same command goes on.
for signal in INT TERM; do
	"$program" sweep long.yaml --jobs 2 >out 2>err </dev/null &
	pid=$!
	check "the cell is at work" wait_for at_work 0001
	kill -$signal $pid
	status=0
	wait $pid || status=$?
	check "status 75 after SIG$signal" [ $status -eq 75 ]
	contains err "interrupted with 1 of 2 cells to do; the same command goes on"
	check "the state is kept" ls runs/long/cells/0001-*/.01-teacher.resume
	check "no cell is left at work" [ -z "$(run_of 0001)" ]
done
# A sweep that is killed takes its cells with it, which save their state.
rm runs/long/cells/0001-*/.01-teacher.resume
"$program" sweep long.yaml --jobs 2 >out 2>err </dev/null &
pid=$!
check "the cell is at work" wait_for at_work 0001
kill -KILL $pid
wait $pid || true
gone() {
	[ -z "$(run_of 0001)" ]
}
check "its cells end" wait_for gone
check "and save their state" ls runs/long/cells/0001-*/.01-teacher.resume
works sweep runs/long --status
contains out "1 finished, 0 failed, 0 at work, 1 begun"

# A folder that is edited by hand is refused with its name.
echo '{' >runs/long/sweep.json
ends_with 2 "runs/long/sweep.json" sweep runs/long --status
echo '{"format": 1}' >runs/long/sweep.json
ends_with 2 "runs/long/sweep.json: a field is missing or wrong" sweep runs/long --status
finish
