# Every command that only reads: its output, its --json, its own mistakes of usage.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works run t.yaml
teacher=runs/t/01-teacher
pruned=runs/t/03-prune
int8=runs/t/04-quantize
snapshot >all

json() { # PATHS COMMAND...: the command's output is JSON with these dotted paths
	paths=$1
	shift
	works "$@" --json
	cp out out.json
	check "JSON of: pipeline $*" "$tool" json out.json $paths
}
json "name out data.classes resolved.seed stages.0.key stages.4.state stages.2.memory_bytes.total" plan t.yaml
works plan t.yaml
contains out "5 % false positives, seen in 80 % of cases"
contains out "validation, 182 samples: 4.31 points where one model only loses"
works plan t.yaml --false-positives 0.01 --power 0.9
contains out "1 % false positives, seen in 90 % of cases"
works plan t.yaml --ranks 4
contains out "4 ranks, stage teacher: a step has 128 samples in 4 micro-batches of 32, 1 for each rank"
check "a plan says nothing of stages that rank 0 does alone" [ "$(grep -c '4 ranks' out)" -eq 3 ]
# Ranks hold one copy of the gradients and add them on the host; one process that accumulates holds two.
json "stages.0.ranks stages.1.ranks" plan t.yaml --ranks 4
of_ranks=$(grep -m 1 '"gradients"' out)
works plan t.yaml --set stages.teacher.accumulate=4 --json
check "a plan has the memory of ranks" [ "$of_ranks" != "$(grep -m 1 '"gradients"' out)" ]
refuses 2 "a batch of 128 samples cannot be cut into 3 equal micro-batches, 1 for each of 3 ranks" plan t.yaml --ranks 3
refuses 2 "--ranks must be a number from 1 to 4096, found '0'" plan t.yaml --ranks 0
json "smallest_difference.validation.differences.2.points smallest_difference.test.samples" plan t.yaml
refuses 2 "--power must be a number in 0.05..0.999, found '2'" plan t.yaml --power 2
refuses 2 "run: unknown option '--power'" run t.yaml --power 0.9
works plan t.yaml --set stages.quantize.calibration_batches=1000
contains out "calibrated on 39 batches of 32 from train" # all that the split has
json "models.0.test_accuracy models.1.precision models.1.test.per_class.9.f1 data.splits.test.sha256" \
	evaluate $teacher $int8
json "device.isa models.0.measurements.0.latency_ms_median models.1.measurements.0.raw.latency_ms.4" \
	bench $teacher $int8 --runs 5 --warmup 1 --throughput-runs 1
json "0.name 0.class 0.class_name 0.probabilities.9 0.label" predict $int8 --split validation --rows 2
json "input.description input.mean.0 task.class_names.9 checkpoint_info.sha256 layers.0.scales tensors.0.dtype" inspect $int8
json "layers.0.scales.step.min layers.0.scales.m.count layers.0.weight_bits" inspect $int8 --layer fc1
json "layers.0.weights tensors.1.histogram.15" inspect $pruned --histogram --layer fc1
json "verdict backends.cpu.isa backends.cuda.usable program_version" doctor
works schema
cp out out.json
check "the schema is JSON" "$tool" json out.json properties.stages '$defs.prune.properties.sparsity.maximum' required.0
check "a pipe may be closed early" sh -c '"$0" schema | head -c 100' "$program"

# inspect
works inspect $int8
contains out "m 0.0"
contains out "weight step 0.0"
contains out "fc1 "
contains out "integer"
contains out "8 x 8 images of 1 channel"
contains out "mean 0.3"
contains out "single_label: one of the classes per sample; primary metric accuracy"
contains out "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
check "inspect shows figures by the task's rows" grep -q "^validation  *accuracy 0.*, f1_macro 0.*, loss" out
works inspect $pruned --layer 'fc*' --histogram
contains out "fc1.weight.mask"
check "a mask is counted by weights" grep -qE "^fc1.weight.mask +u8 +\(104\) +104 +50\.0 +0 +1 +0\.5$" out
contains out "##"
works inspect $int8 --graph
contains out "fc1"
refuses 2 "inspect: no layer or tensor matches 'fc3'; did you mean 'fc1'?" inspect $int8 --layer fc3
refuses 2 "CHECKPOINT is missing" inspect
refuses 2 "inspect: --graph takes no other option" inspect $int8 --graph --json

# predict
"$tool" png a.png 8 8
"$tool" jpeg colour.jpg 8 8 100
"$tool" png large.png 9 8
works predict $teacher a.png a.png
check "one line per file" [ "$(wc -l <out)" -eq 2 ]
check "name, class, class name, probability" grep -qE "^a\.png	[0-9]	[0-9]	(0\.[0-9]{4}|1\.0000)$" out
works predict $int8 --split test --rows 7
check "rows show the label or 'right'" grep -qE "^test:7	[0-9]	[0-9]	[01]\.[0-9]{4}	([0-9]|right)$" out
works predict $int8 --split test --rows 7 --top 3
check "more classes" grep -qE "^test:7	[0-9]	[0-9]	[01]\.[0-9]{4}(	[0-9]	[01]\.[0-9]{4}){2}	" out
works predict $int8 --split validation
check "a whole split" [ "$(wc -l <out)" -eq 182 ]
works predict $teacher a.png --threads 2
mkdir folder
cp a.png folder/b.png
cp a.png folder/a.png
echo "read me" >folder/readme.txt
works predict $teacher folder
check "the images of a folder, sorted" [ "$(cut -f 1 out | tr '\n' ' ')" = "folder/a.png folder/b.png " ]
contains err "folder: 1 of 3 entries are no images by their names"
cp large.png folder/c.png
stops 3 "1 of 3 inputs could not be answered" predict $teacher folder
contains err "folder/c.png: image of 8 x 9 (height x width), expected 8 x 8"
check "the others are answered" [ "$(wc -l <out)" -eq 2 ]
stops 3 "1 of 3 inputs could not be answered" predict $teacher folder --json
cp out out.json
check "a bad one has its place in the list" "$tool" json out.json 0.class 2.name 2.error
mkdir -p deep/z/y .dark
cp a.png deep/z/y/1.png
cp a.png deep/2.png
cp a.png deep/.3.png
ln -s .. deep/z/up
works predict $teacher deep/
check "and of folders in it" [ "$(cut -f 1 out | tr '\n' ' ')" = "deep/2.png deep/z/y/1.png " ]
contains err "deep/: 2 of 4 entries are no images by their names"
stops 3 "2 of 4 inputs could not be answered" predict $teacher a.png none.png t.yaml folder/a.png
contains err "none.png: No such file"
check "the others go on" [ "$(cut -f 1 out | tr '\n' ' ')" = "a.png folder/a.png " ]
stops 3 "1 of 3 inputs could not be answered" predict $teacher a.png none.png folder/a.png --json
check "a list with the fault in its place" "$tool" json out 0.class 1.error 2.class
"$program" predict $teacher - <a.png >out 2>err
check "the bytes of an image on standard input" [ "$(cut -f 1,2 out)" = "$("$program" predict $teacher a.png | cut -f 2 | sed 's/^/standard input\t/')" ]
status=0
head -c 60 a.png | "$program" predict $teacher - --json >out 2>err || status=$?
check "damaged ones are an error" [ $status -eq 3 ]
contains err "standard input: "
printf 'a.png\r\nfolder/a.png\n' | "$program" predict $teacher >out 2>err
check "names on standard input" [ "$(cut -f 1 out | tr '\n' ' ')" = "a.png folder/a.png " ]
refuses 2 "01-teacher takes images; --text and --file are of texts" predict $teacher --text a
refuses 2 "--json gives the probabilities of all classes; --top is for lines" predict $teacher a.png --top 2 --json
refuses 2 "--threads must be a whole number from 0 to 1024, found 'x'" predict $teacher a.png --threads x
refuses 3 "large.png: image of 8 x 9 (height x width), expected 8 x 8" predict $teacher large.png
refuses 3 "colour.jpg: " predict $teacher colour.jpg
refuses 3 "none.png: No such file" predict $teacher none.png
refuses 3 "t.yaml: " predict $teacher t.yaml
refuses 2 "--split must be train, validation or test, found 'tset'; did you mean 'test'?" predict $teacher --split tset
refuses 2 "--rows must be FIRST-LAST within 0-181, found '3-999'" predict $teacher --split validation --rows 3-999
"$tool" idx large 90 9 10
printf 'name: large\ndata: {source: idx, path: ., train_images: large-images-idx3-ubyte, ' >large.yaml
printf 'train_labels: large-labels-idx1-ubyte, test_images: "", test_labels: ""}\nmodels: {m: {family: mlp}}\n' >>large.yaml
printf 'stages: {train: {model: m}}\n' >>large.yaml
sizes="01-teacher takes 8 x 8 images of 1 channel; these are 9 x 9 with 1"
refuses 4 "$sizes" predict $teacher --split test --config large.yaml
refuses 4 "$sizes" evaluate $teacher --config large.yaml --out nothing
check "an evaluation that failed leaves no folder" [ ! -e nothing ]
refuses 2 "--rows and --config need --split" predict $teacher a.png --rows 1

# evaluate, bench
works evaluate $teacher $int8 --out side
check "evaluate keeps its files where it is told" "$tool" json side/evaluation.json
refuses 2 "CHECKPOINT is missing" evaluate
stops 4 "nowhere: no such checkpoint" evaluate $teacher nowhere
mkdir -p given/7 given/1
cp a.png given/7/a.png
cp a.png given/1/a.png
works evaluate $int8 $teacher --data given
contains err "given has no sample of 8 of the model's 10 classes: 0, 2, 3, 4, 5, 6, 8, 9"
check "classes are matched by name" grep -qE "^7 .* 1$" out
check "a class that the data lacks" grep -qE "^0 .* 0$" out
contains out "accuracy (primary)"
json "models.0.seen.train models.0.test.accuracy" evaluate $int8 --data given
mkdir given/seven
cp a.png given/seven/a.png
refuses 3 "seven/a.png: the data has the class 'seven', which the model does not know" evaluate $int8 --data given
refuses 3 "none: no such file or folder" evaluate $int8 --data none
refuses 3 "--data takes a folder" evaluate $int8 --data a.png
refuses 2 "--data and --config both name the data" evaluate $int8 --data given --config t.yaml
refuses 2 "--labels need --data" evaluate $int8 --label x
works evaluate $int8 --data t.yaml
works bench $teacher --runs 5 --warmup 1 --throughput-runs 1 --batch 1 --batch 7 --out bench.json
check "bench keeps its timings where it is told" "$tool" json bench.json models.0.measurements.1.throughput_sps
refuses 2 "--runs must be a whole number" bench $teacher --runs 0
refuses 2 "unknown option '--run'; did you mean '--runs'?" bench $teacher --run 3

# explain, help, version
works explain
works explain prune
contains out "sparsity"
contains out "teacher:"
for block in config data task model input stages train distill quantize evaluate; do
	works explain $block
done
refuses 2 "unknown block 'prnue'; did you mean 'prune'?" explain prnue
for command in run plan evaluate bench predict inspect explain schema clean doctor; do
	works $command --help
	contains out "usage: pipeline $command"
	# every option of the usage has a line that says what it does
	for option in $(head -n 1 out | grep -o -e '--[a-z-]*'); do
		check "$option in pipeline $command --help" grep -q "^  $option  *[A-Za-z]" out
	done
done
works --help
works --version
contains out "pipeline "
checks=$((checks + 1))
status=0
"$program" >out 2>err || status=$?
[ $status -eq 2 ] || problem "exit status $status without arguments"
works doctor
contains out "training runs on "
snapshot >after
check "no command touched the run" cmp all after

# clean: what is shared stays, logits of a teacher go when nobody has used them
works clean runs --days 0 --dry-run
contains out "runs/.store: would remove 0 of 5 stages, which no run folder shares, 1 of 1 kept files, and 0 of 0 left-overs of killed runs"
works clean runs
contains out "0 of 1 kept files"
works clean runs/.store --days 0 --json
cp out out.json
check "its JSON" "$tool" json out.json store stages stages_removed kept_files_removed left_over_removed bytes
check "the logits are gone" [ -z "$(ls runs/.store/.kept)" ]
works run t.yaml --set stages.student.epochs=3 --out runs/u
check "they are kept again" [ -n "$(ls runs/.store/.kept)" ]
rm -r runs/u
works clean runs --days 0
contains out "removed 4 of 9 stages"
refuses 2 "is no store" clean runs/t
refuses 2 "--days must be a whole number from 0" clean runs --days -1
works run t.yaml
check "the run is whole" [ "$(grep -c 'up to date' err)" -eq 5 ]
"$program" run t.yaml --set stages.teacher.epochs=3000 --out runs/long >out0 2>err0 </dev/null &
pid=$!
tries=0
until [ -d runs/long/.01-teacher.part ] || [ $tries -eq 200 ]; do
	sleep 0.05
	tries=$((tries + 1))
done
ends_with 2 "a run is at work with runs/.store; nothing was removed" clean runs --days 0
kill -TERM $pid
wait $pid || true
works clean runs --days 0
finish
