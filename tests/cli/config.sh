# Configs that are wrong: exit status 2, one line with file, line and column, before any work is done.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works run t.yaml
cp t.yaml good.yaml

# wrong SED TEXT: the config changed by SED is refused with TEXT; plan and run agree.
wrong() {
	sed "$1" good.yaml >bad.yaml
	if cmp -s good.yaml bad.yaml; then
		problem "'$1' changes nothing"
	fi
	refuses 2 "pipeline: bad.yaml:$2" plan bad.yaml
	refuses 2 "pipeline: bad.yaml:$2" run bad.yaml
}

# keys
wrong 's/epochs: 2}/epoch: 2}/' "9:38: stages.teacher: unknown key 'epoch'; did you mean 'epochs'?"
wrong 's/seed: 3/sed: 3/' "2:1: unknown key 'sed'; did you mean 'seed'?"
wrong 's/seed: 3/qqqqqq: 3/' "2:1: unknown key 'qqqqqq'"
wrong 's/seed: 3/seed: 3\nseed: 4/' "3:1: duplicate key 'seed', first given on line 2"
wrong 's/model: big,/model: big, epochs: 1,/' "9:49: duplicate key 'epochs', first given on line 9"
wrong '/^name/d' "1:1: missing key 'name'"
wrong '/^data/d' "1:1: missing key 'data'"
wrong '/^stages/,$d' "1:1: missing key 'stages'"
wrong 's/source: digits//' "4:7: data: missing key 'source'"
wrong 's/{kind: train,/{/' "9:3: stage 'teacher' needs a 'kind'"
wrong 's/, model: big//' "9:3: stage 'teacher' needs 'model'"
wrong 's/, teacher: teacher//' "10:3: stage 'student' needs 'teacher'"
wrong 's/kind: train/kind: trian/' "9:19: unknown kind of stage 'trian'; did you mean 'train'?"
wrong 's/^name: t/name: ..\/t/' "1:7: '../t' is not a usable run name: up to 63 letters, digits"

# YAML
wrong 's/^seed/  seed/' "2:7: a ': ' where no key can stand"
wrong 's/\[13\]/[13/' "7:35: ',' or ']' is expected here: a '[' before it is not closed"

wrong 's/^data:.*/data:\n\tsource: digits/' "5:1: a tab; YAML indents with blanks only"
wrong 's/source: digits/source: @digits/' "4:16: no value can begin with '@'; a text that does needs quotes"
wrong 's/source: digits/source: "digits/' "4:16: the text ends inside of quotes that are not closed: they begin here"
wrong 's/^threads: 1/threads 1/' "4:1: a line without ': ' where a key and its value are expected"
wrong 's/^  student/   student/' "10:4: "

# types and ranges
wrong 's/seed: 3/seed: three/' "2:7: 'seed' must be a whole number in 0..9007199254740992, found 'three'"
wrong 's/seed: 3/seed: [1]/' "2:7: 'seed' must be a whole number in 0..9007199254740992, found a list"
wrong 's/seed: 3/seed: -1/' "2:7: 'seed' must be a whole number in 0..9007199254740992, found '-1'"
wrong 's/threads: 1/threads: 1.5/' "3:10: 'threads' must be a whole number in 0..1024, found '1.5'"
wrong 's/sparsity: 0.5/sparsity: 1.5/' "11:37: 'sparsity' must be a number in 0..0.999, found '1.5'"
wrong 's/sparsity: 0.5/sparsity: .nan/' "11:37: 'sparsity' must be a number in 0..0.999, found '.nan'"
wrong 's/sparsity: 0.5/sparsity: yes/' "11:37: 'sparsity' must be a number in 0..0.999, found 'yes'"
wrong 's/static/statik/' "12:36: 'method' must be one of dynamic, static, qat, fp16, bf16, auto, found 'statik'; did you mean 'static'?"
wrong 's/static/static, weight_bits: 9/' "12:57: 'weight_bits' must be a whole number in 1..8, found '9'"
wrong 's/static/static, weight_bits: 0/' "12:57: 'weight_bits' must be a whole number in 1..8, found '0'"
wrong 's/kind: distill/kind: distill, temperature: 0/' "10:41: 'temperature' must be a number in 0.1..100, found '0'"
wrong 's/\[13\]/[0]/' "7:33: 'hidden' must be a list of whole numbers in 1..65536, found '0'"
wrong 's/hidden: \[13\]/hidden: 13x/' "7:32: 'hidden' must be a list of whole numbers"
wrong 's/family: mlp, hidden: \[32\]/family: mpl/' "6:17: 'family' must be one of mlp, cnn, resnet, bag, encoder, found 'mpl'; did you mean 'mlp'?"
wrong 's/source: digits/source: digit/' "4:16: 'source' must be one of digits, idx, images, csv, jsonl, phrasebank, found 'digit'; did you mean 'digits'?"
wrong 's/seed: 3/device: {train: gpu}/' "2:17: 'train' must be one of auto, cpu, cuda, found 'gpu'"
wrong 's/  teacher: {.*/  teacher: 5/' "9:12: stage 'teacher' must be a mapping of options"
wrong '/^stages/,$d;s/^models/stages: [1]\nmodels/' "5:9: 'stages' must map names to stages"

wrong 's/kind: train/kind: train, clip_norm: 1e37/' "9:37: 'clip_norm' must be a number in 0..1e+30, found '1e37'"
wrong 's/latency_runs: 5/metrics: 5/' "13:14: stages.evaluate: unknown key 'metrics'; allowed: latency, latency_warmup, latency_runs, throughput_batch, throughput_runs, max_drop, min_metric, kind, inputs"

# contradictions
wrong 's/source: digits/source: digits, val_fraction: 0/' "4:38: data: val_fraction is 0, and the data set names no validation split"
wrong 's/source: digits/source: csv, path: x, folds: 5, test_fraction: 0.2/' \
	"4:40: data: test_fraction has no effect with folds above 0 (only with folds 0)"
wrong 's/static/static, exclude: [fc1, fc9]/' "12:59: stage 'quantize': exclude: no layer matches 'fc9'; did you mean 'fc1'?"
wrong 's/\[32\]/[32], conv: [3]/' "6:36: 'conv' is no option of family mlp (only of cnn)"
wrong 's/sparsity: 0.5/sparsity: 0.5, method: structured, scope: global/' \
	"11:69: stage 'prune': structured pruning ranks units within their layer"
wrong 's/sparsity: 0.5/method: structured/' "11:35: stage 'prune': method structured needs a sparsity above 0"
wrong 's/sparsity: 0.5/sparsity: 0.5, method: structured, exclude: ["*"]/' "11:71: stage 'prune': "
wrong 's/sparsity: 0.5/sparsity: 0.5, method: nm/' "11:27: stages.prune: sparsity has no effect with method nm (only with method magnitude, structured, wanda, fisher, taylor, movement)"
wrong 's/sparsity: 0.5/method: nm, n: 4, m: 2/' "11:42: stage 'prune': n (4) must be below m (2)"
wrong 's/sparsity: 0.5/sparsity: 0.5, n: 2/' "11:42: stages.prune: n has no effect with method magnitude (only with method nm)"
wrong 's/sparsity: 0.5/sparsity: 0.5, rewind: true/' \
	"11:50: stage 'prune': rewind: the input keeps no weights of an early epoch to rewind to; train it by a stage of kind train with rewind_epoch"
works plan t.yaml --set stages.teacher.rewind_epoch=0 --set stages.prune.input=teacher --set stages.prune.rewind=true
contains out "train what is left from its early weights"
wrong 's/sparsity: 0.5/sparsity: 0.5, ramp: cubic/' "11:63: stage 'prune': the ramp reaches its sparsity after 1 epochs"
wrong 's/sparsity: 0.5/sparsity: 0.5, exclude: [conv*]/' "11:52: stage 'prune': exclude: 'conv*' matches no layer"
wrong 's/static/static, calibration_split: test/' "12:63: stage 'quantize': calibration_split must be train or validation, found 'test'"
wrong 's/static/fp16, weight_bits: 4/' "12:42: stages.quantize: weight_bits has no effect with method fp16"
wrong 's/static/dynamic, act_bits: 4/' "12:45: stages.quantize: act_bits has no effect with method dynamic"
wrong 's/static/static, lr: 0.1/' "12:44: stages.quantize: lr has no effect with method static (only with method qat, auto)"
wrong 's/static/qat, epochs: 0/' "12:49: 'epochs' must be a whole number in 1..100000, found '0'"
wrong 's/static/qat, train_only: steps, step_lr_factor: 0/' "12:76: stage 'quantize': train_only steps with step_lr_factor 0"
wrong 's/static/qat, teacher: self, alpha: 1, patience: 2/' "12:76: stage 'quantize': patience: with alpha 1"
wrong 's/static/qat, teacher: self, alpha: 1, monitor: loss/' "12:75: stage 'quantize': monitor: with alpha 1"
wrong 's/static/qat, teacher: self, alpha: 1, observer: auto/' "12:76: stage 'quantize': observer auto chooses by labels"
wrong 's/static/static, teacher: self/' "12:53: stage 'quantize': a teacher has no effect with method static"
wrong 's/static/static, exclude: [fc9]/' "12:54: stage 'quantize': exclude: no layer matches 'fc9'; did you mean 'fc1'?"
wrong 's/kind: train/kind: train, accumulate: 3/' "9:38: stage 'teacher': accumulate (3 micro-batches) must divide batch_size (128)"
wrong 's/kind: train/kind: train, nesterov: true/' "9:26: stages.teacher: nesterov has no effect with optimizer adamw (only with optimizer sgd)"
wrong 's/source: digits/source: digits, path: x/' "4:24: data: path has no effect with source digits"
wrong 's/source: digits/source: digits, folds: 5, fold_column: f/' \
	"4:47: data: fold_column has no effect; it is of tables: csv, and an index of images"
wrong 's/source: digits/source: csv, path: x, folds: 5, fold: 5/' "4:46: data: fold is 5; with 5 folds it is one of 0 to 4"
wrong 's/source: digits/source: csv, path: x, mean: 0.5, std: 0.5/' "4:30: data: mean has no effect with source csv"
wrong 's/source: digits/source: digits, mean: [0.5]/' "4:30: data: mean and std must be given together"
wrong 's/source: digits/source: digits, mean: [0.1, 0.2], std: [1, 1]/' "4:7: data.mean has 2 values; the images have 1 channels"
wrong 's/source: digits/source: digits, augment: {crop_padding: 8}/' "4:33: data.augment.crop_padding is 8"

# options that nobody looks at, also where they have their default
wrong 's/sparsity: 0.5/sparsity: 0.5, lr: 0.001/;s/epochs: 1/epochs: 0/' "11:42: stages.prune: lr has no effect with epochs 0 (only with epochs above 0)"
wrong 's/kind: train/kind: train, optimizer: sgd, momentum: 0, nesterov: true/' \
	"9:55: stages.teacher: nesterov has no effect with momentum 0 (only with momentum above 0)"
wrong 's/kind: distill/kind: distill, alpha: 0, temperature: 4/' "10:38: stages.student: temperature has no effect with alpha 0"
wrong 's/kind: distill/kind: distill, gate_metric: f1_macro/' "10:28: stages.student: gate_metric has no effect with teacher_gate 0"
wrong 's/evaluate: {.*/evaluate: {throughput_runs: 0, throughput_batch: 9}/' "13:34: stages.evaluate: throughput_batch has no effect with throughput_runs 0"
wrong 's/evaluate: {.*/evaluate: {latency: false, throughput_batch: 9}/' "13:30: stages.evaluate: throughput_batch has no effect with latency false"
wrong 's/evaluate: {.*/evaluate: {inputs: [prune], latency: false, max_drop: 2}/' "13:57: stage 'evaluate': max_drop has no effect with one model"
wrong 's/\[32\]/[], dropout: 0.5/' "6:34: models.big: dropout has no effect with hidden not given"
wrong 's/\[32\]/[32], input: {longest: 64}/' "6:44: model 'big': input.longest has no effect on images"
wrong 's/kind: train/kind: train, augment: true/' "9:35: stage 'teacher': augment has no effect: the block data changes no sample, and the task mixes none"
# What no stage looks at may be one cell of a sweep, so it is said and no error.
idle="warning: data.augment and task.mixup have no effect: every stage that trains has augment: false"
sed 's/kind: \(train\|distill\),/&augment: false,/;s/source: digits/&, augment: {flip: true}/;s/^models:/task: {mixup: 0.2}\n&/' \
	good.yaml >idle.yaml
works plan idle.yaml --set stages.prune.augment=false
contains out "$idle"
works run idle.yaml --set stages.prune.augment=false --out runs/idle
contains err "$idle"
works plan idle.yaml
check "one stage that looks at them is enough" sh -c '! grep -q "no effect" out'
wrong 's/source: digits/source: csv, path: x, fold: 0/' "4:30: data: fold has no effect with folds 0"
refuses 2 "bench: --batch has no effect with --throughput-runs 0" bench runs/t/01-teacher --batch 4 --throughput-runs 0
wrong 's/^models:/task: {class_weights: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}\nmodels:/' \
	"5:23: task: class_weights: at least one class must have a weight above 0"

# references
wrong 's/input: student/input: studnt/' "11:18: 'input': there is no earlier stage 'studnt'; did you mean 'student'?"
wrong 's/teacher: teacher/teacher: self/' "10:51: 'teacher': 'self' is a stage's own input, and a stage of kind distill takes none"
wrong 's/  quantize: {.*/  joint: {input: student}/' "12:3: stage 'joint' needs 'teacher', an earlier stage, 'self' or a checkpoint's path"
wrong 's/  teacher: {/  self: {/' "9:3: 'self' cannot name a stage"
wrong 's/input: student/input: quantize/' "11:18: 'input' refers to stage 'quantize', which does not come before this one"
wrong 's/input: student/input: prune/' "11:18: 'input' refers to stage 'prune', which does not come before this one"
wrong 's/input: student/input: nothing/' "11:18: 'input': there is no earlier stage 'nothing'"
wrong 's/input: student/input: [student]/' "11:18: 'input' must be the name of an earlier stage"
wrong 's/teacher: teacher/teacher: student/' "10:51: 'teacher' refers to stage 'student', which does not come before this one"
wrong 's/model: big/model: bigg/' "9:33: there is no model 'bigg'; did you mean 'big'?"
wrong 's/model: big/model: xyz/' "9:33: there is no model 'xyz'; 'models' has big, small"
wrong 's/kind: train/kind: train, input: student/' "9:33: a stage of kind train takes no 'input'"
wrong 's/kind: train/kind: train, teacher: student/' "9:35: a stage of kind train takes no 'teacher'"
wrong 's/input: student/input: student, model: big/' "11:34: a stage of kind prune takes no 'model'"
wrong 's/evaluate: {/evaluate: {inputs: [evaluate], /' "13:23: 'inputs' refers to stage 'evaluate', which does not come before this one"
wrong 's/evaluate: {/evaluate: {inputs: [], /' "13:22: 'inputs' must be a list"
wrong 's/evaluate: {/evaluate: {inputs: [teacher, prune, teacher], /' "13:39: 'inputs' names 'teacher' twice"
wrong 's/source: digits/source: digits, test_fraction: 0/' \
	"13:3: stage 'evaluate': the data set has no test split to evaluate on"
wrong 's/  evaluate: .*/  again: {kind: prune, input: quantize, sparsity: 0.7}/' "13:31: stage 'again': the input is quantized already"

# what a run warns of before it works, its plan warns of
works plan t.yaml --set stages.teacher.batch_size=4096
contains out "warning: batch_size 4096 is more than the 1256 training samples: an epoch is 3.26 passes over them"
works plan t.yaml --json --set stages.teacher.batch_size=4096
check "the plan's JSON has it" "$tool" json out stages.0.notes
contains out '"notes":	"warning: batch_size 4096'
works plan t.yaml
check "and no plan warns of nothing" [ "$(grep -c warning out)" -eq 0 ]
printf 'name: u\nseed: 4\nthreads: 1\ndata: {source: digits}\nstages:\n  prune: {input: ./runs/t/01-teacher, sparsity: 0.3, epochs: 0}\n' >seen.yaml
works run seen.yaml
grep 'validation samples were in its training split' err | sed 's/^ *//' >told
works plan seen.yaml --set stages.prune.sparsity=0.4
check "so it does of samples that a checkpoint was trained on" grep -qF "$(cat told)" out

# What the run would refuse after its trainings is refused when it is planned.
cat >late.yaml <<'END'
name: l
seed: 3
threads: 1
data: {source: digits}
models: {m: {family: mlp, hidden: [8]}}
stages:
  train: {model: m, epochs: 1}
  prune: {sparsity: 0.5, epochs: 0}
  more: {kind: prune, sparsity: 0.4, epochs: 0}
END
refuses 2 "late.yaml:9:33: stage 'more': sparsity 0.4 is below the 0.5000 that the input's masks have already" plan late.yaml
refuses 2 "late.yaml:9:33: stage 'more': sparsity 0.4 is below the 0.5000" run late.yaml
works run late.yaml --set stages.more.sparsity=0.6
refuses 2 "sparsity 0.5 is below the 0.5997" plan seen.yaml --set stages.prune.input=./runs/l/03-more --set stages.prune.sparsity=0.5
works plan late.yaml --set 'stages.more.exclude=[fc2]' --set stages.more.sparsity=0.5
contains out "if it is more than sparsity 0.5, the stage is refused when it runs"
sed -e 's,^stages:,models: {m: {pretrained: runs/l/03-more}}\nstages:\n  tune: {kind: train\, model: m\, epochs: 1},' \
	-e 's,input: ./runs/t/01-teacher,input: tune,' seen.yaml >tuned.yaml
refuses 2 "stage 'prune': sparsity 0.3 is below the 0.5997" plan tuned.yaml

# --set, and the command line
refuses 2 "must be PATH=VALUE" run t.yaml --set stages.prune.sparsity
refuses 2 "device: gpu has no effect with train auto (only with train cuda)" run t.yaml --set device.gpu=1
refuses 2 "has no effect with train cpu" plan t.yaml --set device.gpu=1 --set device.train=cpu
refuses 2 "'gpu' must be" run t.yaml --set device.gpu=-1
refuses 2 "has no effect with train cpu" plan t.yaml --set device.gpu=0 --set device.train=cpu
for command in plan run; do
	refuses 5 "--set stages.teacher.precision=tf32: stage 'teacher': cpu: node fc1 (linear): no TF32 products on the CPU; use precision fp32" \
		$command t.yaml --set device.train=cpu --set stages.teacher.precision=tf32
	refuses 2 "the path of the out folder is empty" $command t.yaml --out ''
	refuses 2 "good.yaml: the out folder is a file" $command t.yaml --out good.yaml
done
refuses 2 "'lr' must be a number in 0..1000, found '010' (leading zeros)" plan t.yaml --set stages.teacher.lr=010
refuses 2 "'seed' must be a whole number in 0..9007199254740992, found '9007199254740993'" plan t.yaml --set seed=9007199254740993
refuses 2 "sparsety" run t.yaml --set stages.prune.sparsety=0.7
refuses 2 "'sparsity' must be a number in 0..0.999, found '2'" run t.yaml --set stages.prune.sparsity=2
refuses 2 "prunne" run t.yaml --set stages.prunne.sparsity=0.7
refuses 2 "missing.yaml" run missing.yaml
refuses 2 "--set name=$(printf '\377\376'): byte 1: the text is not UTF-8: " run t.yaml --set "name=$(printf '\377\376')"
refuses 2 "neither of the last two in front" plan t.yaml --set name=$(printf 'x%.0s' $(seq 5000))
refuses 3 "train-images-idx3-ubyte: no such file or folder (data.path is not given); nor is there" \
	plan t.yaml --set data.source=idx
refuses 3 "t.yaml: is not a folder, in which 'train-images-idx3-ubyte' is looked for" \
	plan t.yaml --set 'data={source: idx, path: t.yaml}'
refuses 2 "--set data.test_fraction=0.9: data: test_fraction 0.9 and val_fraction 0.1 are the whole: nothing is left" \
	plan t.yaml --set data.test_fraction=0.9
refuses 4 "--set stages.prune.input=./nowhere: ./nowhere: no such checkpoint" plan t.yaml --set stages.prune.input=./nowhere
refuses 2 "CONFIG is missing" run
refuses 2 "unexpected argument 'b.yaml'" run t.yaml b.yaml
refuses 2 "unknown option '--ouut'; did you mean '--out'?" run t.yaml --ouut x
refuses 2 "option '--out' needs a value" run t.yaml --out
refuses 2 "unknown command 'rnu'; did you mean 'run'?" rnu t.yaml
sed 's/^name: t/name: other/' good.yaml >other.yaml
refuses 2 "holds the run 't', this config is 'other'; choose another --out" run other.yaml --out runs/t
: >empty.yaml
refuses 2 "empty.yaml: holds no value" plan empty.yaml
printf '[1, 2]\n' >list.yaml
refuses 2 "list.yaml:1:1: a config is a mapping" plan list.yaml
head -c 300 /dev/urandom >noise.yaml
refuses 2 "noise.yaml:" plan noise.yaml
# Paths: HOME and variables are replaced, and how a path is written does not matter afterwards.
mkdir -p place/data
for i in 1 2 3 4 5 6 7 8; do printf 'good %s;a\nbad %s;b\n' $i $i; done >place/data/t.csv
sed -i '1i Review;Target' place/data/t.csv
cat >paths.yaml <<'END'
name: paths
threads: 1
data: {source: csv, path: $PLACE/data/t.csv, val_fraction: 0.3}
models: {m: {family: bag, dim: 8}}
stages: {train: {model: m, epochs: 1}}
END
PLACE=$work/place
export PLACE
works run paths.yaml
works plan paths.yaml --set 'stages.measure={kind: evaluate, inputs: ["${PLACE}/../runs/paths/01-train"]}'
contains out "02-measure: evaluate, to run"
unset PLACE
refuses 2 "paths.yaml:3:27: '\$PLACE/data/t.csv': the environment variable PLACE is not set" plan paths.yaml
refuses 2 "'\${PLACE}/x': the environment variable PLACE is not set" \
	plan paths.yaml --set data.path=place/data/t.csv --set 'stages.q={kind: quantize, input: "${PLACE}/x", method: fp16}'
HOME=$work/place
export HOME
works plan paths.yaml --set 'data.path=~/data/t.csv'
contains out "01-train: train, up to date"
contains out "found: t.csv (delimiter: ';', text: Review, label: Target)"
finish
