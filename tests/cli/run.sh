# Runs that go well: what is up to date is not touched, what changes is made again, and bytes repeat.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works plan t.yaml
contains out "5 of 5 stages to run"
check "one thread is one thread" grep -q '^training on .*, 1 thread$' out
contains out "evaluate 4 models on 359 test samples"
check "plan writes nothing" [ ! -e runs ]
works run t.yaml
for name in teacher student prune quantize; do
	contains out "$name "
done
check "the table has one row per model" [ "$(wc -l <out)" -eq 5 ]
for folder in 01-teacher 02-student 03-prune 04-quantize; do
	for file in model.safetensors checkpoint_info.json stage.json; do
		check "$folder/$file is there" [ -s runs/t/$folder/$file ]
	done
done
check "a log has a row per epoch" [ "$(wc -l <runs/t/01-teacher/logs/teacher_training.csv)" -eq 3 ]
check "its head" grep -q '^epoch,train_loss,val_loss,val_accuracy,val_f1,lr,seconds$' runs/t/01-teacher/logs/teacher_training.csv
check "run.json" "$tool" json runs/t/run.json name resolved.stages.prune.sparsity resolved.data.source program_version
check "results.json" "$tool" json runs/t/results.json stages.4.summary.models.3.test_accuracy
check "evaluation.json" "$tool" json runs/t/05-evaluate/evaluation.json
check "raw timings are kept" "$tool" json runs/t/05-evaluate/latency_raw.json
check "results.md is a table" grep -q '^| quantize ' runs/t/results.md
check "it says how sure its figures are" \
	grep -q '^359 test images; a 95 % interval of the accuracy is up to [0-9]\.[0-9] points wide\. ' runs/t/results.md
check "and where they are from" grep -q '^Latency: batch 1, median of 5 runs, 1 thread of .' runs/t/results.md
check "and what made them" grep -q '^Seed 3, trained on cpu, 1 thread; pipeline [0-9]' runs/t/results.md
cp out table
cp -r runs/t first

# Again: nothing is touched, the same table is printed.
snapshot >before
works run t.yaml
snapshot >after
check "a second run touches no file" cmp before after
check "and prints the same table" cmp out table
check "all stages are up to date" [ "$(grep -c ': up to date$' err)" -eq 5 ]
works plan t.yaml
contains out "nothing to run"

# One option: that stage and the following ones, the old ones kept.
works plan t.yaml --set stages.prune.sparsity=0.7
contains out "02-student: distill, up to date"
contains out "03-prune: prune, to run"
contains out "estimate from finished stages"
works run t.yaml --set stages.prune.sparsity=0.7
check "two stages are up to date" [ "$(grep -c ': up to date$' err)" -eq 2 ]
check "three were kept" [ "$(ls runs/t/previous | wc -l)" -eq 3 ]
contains out "pruned_70"
for folder in 01-teacher 02-student; do
	check "$folder stays" diff -r first/$folder runs/t/$folder
done
works run t.yaml --set stages.prune.sparsity=0.2 --set stages.prune.sparsity=0.7
check "the last --set wins" [ "$(grep -c ': up to date$' err)" -eq 5 ]

# Back: what was kept is taken, not made again.
works run t.yaml
check "three stages come from previous/" [ "$(grep -c 'runs/t/previous/.*: taken from there$' err)" -eq 3 ]
for folder in 01-teacher 02-student 03-prune 04-quantize 05-evaluate; do
	check "$folder is what it was" diff -r first/$folder runs/t/$folder
done

# A run beside it shares the teacher and the student.
sed 's/^name: t/name: u/;s/sparsity: 0.5/sparsity: 0.6/' t.yaml >u.yaml
works run u.yaml
check "two stages come from the neighbour" [ "$(grep -c 'runs/t/.*: taken from there$' err)" -eq 2 ]
check "with its bytes" cmp runs/t/02-student/model.safetensors runs/u/02-student/model.safetensors

# The same config elsewhere gives the same bytes.
works run t.yaml --out far/away/t
for folder in 01-teacher 02-student 03-prune 04-quantize; do
	check "$folder is byte-equal" cmp first/$folder/model.safetensors far/away/t/$folder/model.safetensors
done
check "nothing was taken from elsewhere" [ "$(grep -c 'taken from there$' err)" -eq 0 ]
works run t.yaml --out far/seed/t --set seed=4
check "another seed gives other bytes" [ "$(cmp -s first/01-teacher/model.safetensors far/seed/t/01-teacher/model.safetensors || echo differ)" = differ ]

# A checkpoint by its path, in another run; the test files of evaluate belong to its key.
sed '/^stages/,$d;s/^name: t/name: p/' t.yaml >p.yaml
printf 'stages:\n  prune: {input: ./first/01-teacher, sparsity: 0.3, epochs: 0}\n  evaluate: {latency: false}\n' >>p.yaml
works run p.yaml
check "its parent is named" grep -q "\"parent_sha256\":.*$(sha256sum first/01-teacher/model.safetensors | cut -c 1-64)" \
	runs/p/01-prune/checkpoint_info.json
"$tool" idx train 90 8 3
"$tool" idx t10k 30 8 3
"$tool" idx more 30 8 3
printf 'name: d\nthreads: 1\ndata: {source: idx, path: .}\nmodels: {m: {family: mlp, hidden: [5]}}\nstages:\n' >d.yaml
printf '  train: {model: m, epochs: 1, batch_size: 16}\n  evaluate: {latency: false}\n' >>d.yaml
works run d.yaml
works run d.yaml --set data.test_images=more-images-idx3-ubyte --set data.test_labels=more-labels-idx1-ubyte
contains err "01-train: up to date"
contains err "02-evaluate: done"
works run d.yaml
printf '\2' | dd of=t10k-labels-idx1-ubyte bs=1 seek=8 conv=notrunc 2>/dev/null # the same name, another label
works run d.yaml
contains err "01-train: up to date"
contains err "02-evaluate: done"
works run d.yaml
contains err "02-evaluate: up to date"
finish
