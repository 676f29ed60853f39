# Runs that go well: what is up to date is not touched, what changes is made again, and bytes repeat.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works plan t.yaml
contains out "5 of 5 stages to run"
check "one thread is one thread" grep -q '^training on .*, 1 thread (as given)$' out
contains out "evaluate 4 models on 359 test samples"
check "plan writes nothing" [ ! -e runs ]
export COLUMNS=80
works run t.yaml
for name in teacher student prune quantize; do
	contains out "$name "
done
check "the table fits a line of 80 characters" [ -z "$(awk 'length > 80' out)" ]
check "in two parts, with a row per model" [ "$(wc -l <out)" -eq 11 ]
for folder in 01-teacher 02-student 03-prune 04-quantize; do
	for file in model.safetensors checkpoint_info.json stage.json; do
		check "$folder/$file is there" [ -s runs/t/$folder/$file ]
	done
done
check "a log has a row per epoch" [ "$(wc -l <runs/t/01-teacher/logs/teacher_training.csv)" -eq 3 ]
check "its head" grep -q '^epoch,train_loss,val_loss,val_accuracy,val_f1_macro,lr,seconds$' runs/t/01-teacher/logs/teacher_training.csv
check "run.json" "$tool" json runs/t/run.json name resolved.stages.prune.sparsity resolved.data.source program_version
check "results.json" "$tool" json runs/t/results.json stages.4.summary.models.3.test_accuracy
check "evaluation.json" "$tool" json runs/t/05-evaluate/evaluation.json
check "raw timings are kept" "$tool" json runs/t/05-evaluate/latency_raw.json
check "results.md is a table" grep -q '^| quantize ' runs/t/results.md
check "it says how sure its figures are" \
	grep -q '^359 test samples; a 95 % interval of the accuracy is up to [0-9]\.[0-9] points wide\. ' runs/t/results.md
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
export COLUMNS=200
works run t.yaml
check "in one part where there is room" [ "$(wc -l <out)" -eq 5 ]
unset COLUMNS
check "all stages are up to date" [ "$(grep -c ': up to date$' err)" -eq 5 ]
works plan t.yaml
contains out "nothing to run"

# One option: that stage and the following ones, the old ones kept.
works plan t.yaml --set stages.prune.sparsity=0.7
contains out "02-student: distill, up to date"
contains out "03-prune: prune, to run"
contains out "    runs again: stages.prune.sparsity was 0.5, is 0.7"
contains out "    runs again: the input 'prune' has changed"
contains out "estimate from finished stages"
works plan t.yaml --set seed=4 --json
check "why, as JSON" "$tool" json out stages.0.runs_again stages.4.runs_again
contains out '"seed was 3, is 4'
works run t.yaml --set stages.prune.sparsity=0.7
contains err "03-prune is run again: stages.prune.sparsity was 0.5, is 0.7"
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

# Back and forth again: what is set aside is kept once.
works run t.yaml --set stages.prune.sparsity=0.7
works run t.yaml
check "three and three are kept" [ "$(ls runs/t/previous | wc -l)" -eq 6 ]

# A run beside it shares the teacher and the student, through the store.
sed 's/^name: t/name: u/;s/sparsity: 0.5/sparsity: 0.6/' t.yaml >u.yaml
works run u.yaml
check "two stages come from the store" [ "$(grep -c 'runs/.store/[0-9a-f]*: taken from there$' err)" -eq 2 ]
check "with its bytes" cmp runs/t/02-student/model.safetensors runs/u/02-student/model.safetensors
check "as the same file" [ runs/t/02-student/model.safetensors -ef runs/u/02-student/model.safetensors ]

# A student with other options learns from the same logits of the same teacher.
works run u.yaml --out runs/w --set stages.student.temperature=3
contains err "the teacher's logits of "
contains err " samples: taken from runs/.store/.kept/"
check "the teacher's logits are kept once" [ "$(ls runs/.store/.kept | wc -l)" -eq 1 ]
rm -rf runs/w

# The store may be removed at any time, and a run folder without the store has all that it needs.
rm -r runs/.store
snapshot >before
works run u.yaml
check "all is up to date" [ "$(grep -c ': up to date$' err)" -eq 5 ]
check "and in the store again" [ "$(ls runs/.store | wc -l)" -eq 5 ]
snapshot | grep -v 'runs/.store\|^runs [0-9]' >after
sed -i '/^runs [0-9]/d' before
check "nothing else was touched" cmp before after
rm -rf runs/u
works plan u.yaml
check "the store knows all of a run that was removed" [ "$(grep -c 'finished elsewhere, to be taken from there$' out)" -eq 5 ]
works run u.yaml --set store=runs/mine
check "another store has none of it" [ "$(grep -c 'taken from there$' err)" -eq 0 ]
check "and is filled" [ "$(ls runs/mine | wc -l)" -eq 5 ]

# What the documentation says of entries that no run folder uses any more.
works run t.yaml
rm -rf runs/u runs/mine
find runs/.store -name model.safetensors -links 1 -printf '%h\n' | xargs -r rm -r
check "entries of runs that are there stay" [ "$(find runs/.store -name model.safetensors | wc -l)" -eq 4 ]

# A store that others may write to is not used, and a changed entry is not taken.
rm -rf runs/v
sed 's/^name: t/name: v/' t.yaml >v.yaml
works run v.yaml
check "five are taken" [ "$(grep -c 'taken from there$' err)" -eq 5 ]
rm -rf runs/v
chmod g+w runs/.store
works run v.yaml
contains err "warning: the store runs/.store is not used: runs/.store: others may write to it"
check "none is taken" [ "$(grep -c 'taken from there$' err)" -eq 0 ]
chmod g-w runs/.store
rm -rf runs/v
key=$(sed -n 's/.*"key":[^"]*"\([0-9a-f]*\)".*/\1/p' runs/t/01-teacher/stage.json)
cp -r runs/.store/$key damaged
printf 'x' | dd of=damaged/model.safetensors bs=1 seek=2000 conv=notrunc 2>/dev/null
rm -r runs/.store/$key
mv damaged runs/.store/$key
works plan v.yaml
contains out "01-teacher: train, to run"
contains out "model.safetensors: was changed since the stage was finished"
works run v.yaml
contains err "warning: 01-teacher: not taken: runs/.store/$key/model.safetensors: was changed since"
check "the teacher was trained again" cmp runs/t/01-teacher/model.safetensors runs/v/01-teacher/model.safetensors
check "and the entry mended" cmp runs/t/01-teacher/model.safetensors runs/.store/$key/model.safetensors

# A folder of somebody else's is not touched.
mkdir -p theirs/.cache.part
echo precious >theirs/dataset.tar.gz.part
echo mine >theirs/results.md
find theirs | sort >before
ends_with 2 "and no run.json: it is not a run's folder" run t.yaml --out theirs
find theirs | sort >after
check "it is as it was" cmp before after
ends_with 2 "and no run.json: it is not a run's folder" plan t.yaml --out theirs
echo mine >runs/t/notes.part
works run t.yaml
check "nor other people's files in ours" [ -e runs/t/notes.part ]
rm runs/t/notes.part

# The figures of a finished stage become results without being measured again, so they must be what was measured.
cp -r runs/v runs/w
sed -i 's/^name: v/name: w/' v.yaml
sed -i 's/"name":[^,]*"v"/"name": "w"/' runs/w/run.json
sed -i '0,/"accuracy":[^0]*0\./s//&9/' runs/w/02-student/stage.json
ends_with 4 "runs/w/02-student/stage.json: was changed since it was written" run v.yaml --out runs/w
contains err "remove its folder to run it again"
rm -r runs/w/02-student
cp -r runs/t/02-student runs/w
sed -i 's/"mean"/"mean" /' runs/w/02-student/checkpoint_info.json
ends_with 4 "runs/w/02-student/checkpoint_info.json: was changed since it was written" run v.yaml --out runs/w
unseal runs/w/02-student/checkpoint_info.json
ends_with 4 "runs/w/02-student/checkpoint_info.json: was changed since the stage was finished" run v.yaml --out runs/w
rm -r runs/w/02-student
works run v.yaml --out runs/w
printf '{"key": "../../../zz", "summary": {}}' >runs/w/02-student/stage.json
works run v.yaml --out runs/w --set stages.student.epochs=1
check "a key is no way through folders" [ -z "$(find . -name 'zz*')" ]

# The lock is a file of the run's folder, not what somebody else points to.
rm runs/w/.lock
ln -s ../../victim runs/w/.lock
ends_with 1 "runs/w/.lock: is a link, which is not followed" run v.yaml --out runs/w
check "nothing was made there" [ ! -e victim ]
rm -rf runs/w runs/v runs/u

# Up and down again: paths may hold "..".
mkdir -p far/up/deep
works run t.yaml --out far/up/deep/../t
mkdir far/up/t/.01-teacher.part
works run t.yaml --out far/up/deep/../t
check "what a killed run left is gone" [ ! -e far/up/t/.01-teacher.part ]
refuses 1 "t.yaml: is not a folder" plan t.yaml --out t.yaml/x

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
"$tool" idx more 31 8 3
cp t10k-images-idx3-ubyte same-images-idx3-ubyte
printf 'name: d\nthreads: 1\ndata: {source: idx, path: .}\nmodels: {m: {family: mlp, hidden: [5]}}\nstages:\n' >d.yaml
printf '  train: {model: m, epochs: 1, batch_size: 16}\n  evaluate: {latency: false}\n' >>d.yaml
works run d.yaml
works run d.yaml --set data.test_images=same-images-idx3-ubyte
contains err "02-evaluate: up to date" # another name, the same samples
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

# Everything is read once, when the run begins: what changes later has no effect, and is not stored under the old key.
sed 's/epochs: 1,/epochs: 1000,/' d.yaml >late.yaml
works run late.yaml --out early
hold "$program" run late.yaml --out during --set store=other
check "it trains" wait_for is_training during/.01-train.part
check "it has not ended" [ ! -e during/02-evaluate ]
printf '\1\1\1\1\1\1\1\1\1' | dd of=t10k-labels-idx1-ubyte bs=1 seek=8 conv=notrunc 2>/dev/null
let_go
check "the run goes on" [ $status -eq 0 ]
grep -v '"timestamp"' early/02-evaluate/evaluation.json >was
grep -v '"timestamp"' during/02-evaluate/evaluation.json >is
check "its figures are of the samples that it began with" cmp was is
works plan late.yaml --out during --set store=other
check "other samples are another evaluation" grep -q '^02-evaluate: evaluate, to run' out
check "and no other training" grep -q '^01-train: train, up to date' out
# A model that begins with a checkpoint reads images as that does: another normalisation of the data block has no effect.
cat >first.yaml <<'END'
name: first
threads: 1
data: {source: digits}
models: {m: {family: mlp, hidden: [8]}}
stages: {train: {model: m, epochs: 2}}
END
sed 's/first/second/; s/digits/digits, mean: [0.3], std: [0.4]/; s/family: mlp, hidden: \[8\]/pretrained: first-run\/01-train/' first.yaml >second.yaml
works run first.yaml --out first-run
check "a model of its own says nothing of it" [ "$(grep -c 'are not used' err)" -eq 0 ]
works plan second.yaml --out second-run
contains out "beginning with the weights of first-run/01-train"
cat err >>out
contains out "mean and std of the data block are not used"
works run second.yaml --out second-run
cat err >>out
contains out "mean and std of the data block are not used"
# One whose integers are pixels has the normalisation that quantizing gave it: nothing was left unused.
cat >pixels.yaml <<'END'
name: pixels
threads: 1
data: {source: digits, mean: [0.5], std: [0.3]}
models: {m: {family: cnn, conv: [4], kernel: [3], pad: [0], pool: [2], hidden: [8]}}
stages: {train: {model: m, epochs: 1}, quantize: {method: static}, evaluate: {inputs: [quantize], latency: false}}
END
works run pixels.yaml --out pixels-run
contains pixels-run/02-quantize/checkpoint_info.json '"bytes"'
check "no word of a normalisation" [ "$(grep -c 'are not used' err)" -eq 0 ]
# nor has a stage that trains nothing another
sed -e 's/second/third/; /^models/d; s/^stages.*/stages: {evaluate: {inputs: [first-run\/01-train], latency: false}}/' second.yaml >third.yaml
own="warning: first-run/01-train: mean and std of the data block are not used: the model has its own, "
works plan third.yaml --out third-run
contains out "$own"
works run third.yaml --out third-run
contains err "$own"
# the same checkpoint under another name: the table of this run says this run's
sed 's/first-run/.\/first-run/' third.yaml >fourth.yaml
works run fourth.yaml --out fourth-run
contains fourth-run/results.md "./first-run/01-train"
works run third.yaml --out fifth-run
contains fifth-run/results.md "first-run/01-train"
contains err "taken from there"
finish
