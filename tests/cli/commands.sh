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
json "models.0.test_accuracy models.1.precision" evaluate $teacher $int8
json "device.isa models.0.measurements.0.latency_ms_median models.1.measurements.0.raw.latency_ms.4" \
	bench $teacher $int8 --runs 5 --warmup 1 --throughput-runs 1
json "0.class 0.probabilities.9 2.label" predict $int8 --split validation --rows 2-4
json "checkpoint_info.sha256 layers.0.scales tensors.0.dtype" inspect $int8
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
works predict $int8 --split validation
check "a whole split" [ "$(wc -l <out)" -eq 179 ]
works predict $teacher a.png --threads 2
refuses 2 "--threads must be a whole number from 0 to 1024, found 'x'" predict $teacher a.png --threads x
refuses 3 "large.png: image of 8 x 9 (height x width), expected 8 x 8" predict $teacher large.png
refuses 3 "colour.jpg: " predict $teacher colour.jpg
refuses 3 "none.png: No such file" predict $teacher none.png
refuses 3 "t.yaml: " predict $teacher t.yaml
refuses 2 "--split must be train, validation or test, found 'tset'; did you mean 'test'?" predict $teacher --split tset
refuses 2 "--rows must be FIRST-LAST within 0-178, found '3-999'" predict $teacher --split validation --rows 3-999
"$tool" idx large 90 9 10
printf 'name: large\ndata: {source: idx, path: ., train_images: large-images-idx3-ubyte, ' >large.yaml
printf 'train_labels: large-labels-idx1-ubyte, test_images: "", test_labels: ""}\nmodels: {m: {family: mlp}}\n' >>large.yaml
printf 'stages: {train: {model: m}}\n' >>large.yaml
sizes="01-teacher takes 8x8x1 images of 10 classes, the data has 9x9x1 images of 10 classes"
refuses 4 "$sizes" predict $teacher --split test --config large.yaml
refuses 4 "$sizes" evaluate $teacher --config large.yaml --out nothing
check "an evaluation that failed leaves no folder" [ ! -e nothing ]
refuses 2 "--rows and --config need --split" predict $teacher a.png --rows 1

# evaluate, bench
works evaluate $teacher $int8 --out side
check "evaluate keeps its files where it is told" "$tool" json side/evaluation.json
refuses 2 "CHECKPOINT is missing" evaluate
stops 4 "nowhere: no such checkpoint" evaluate $teacher nowhere
works bench $teacher --runs 5 --warmup 1 --throughput-runs 1 --batch 1 --batch 7 --out bench.json
check "bench keeps its timings where it is told" "$tool" json bench.json models.0.measurements.1.throughput_sps
refuses 2 "--runs must be a whole number" bench $teacher --runs 0
refuses 2 "unknown option '--run'; did you mean '--runs'?" bench $teacher --run 3

# explain, help, version
works explain
works explain prune
contains out "sparsity"
contains out "teacher:"
for block in config data model train distill quantize evaluate; do
	works explain $block
done
refuses 2 "unknown block 'prnue'; did you mean 'prune'?" explain prnue
for command in run plan evaluate bench predict inspect explain schema doctor; do
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
finish
