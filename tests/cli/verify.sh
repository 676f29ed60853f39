# verify: finished stages come out again, byte by byte where that can be; integer checkpoints give the integers that they
# keep on any CPU, or the first layer that does not is named.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works run t.yaml
run=runs/t
snapshot >all

# a run
works verify $run
check "all five stages are equal" [ "$(grep -c ': equal: ' out)" -eq 5 ]
contains out "01-teacher: equal: the same bytes in data_prints.bin, model.safetensors; the same figures"
contains out "04-quantize: equal: the same bytes in conformance.safetensors"
contains out "05-evaluate: equal: the same bytes in decisions.safetensors; the same figures"
works verify $run --stage prune
check "one stage alone" [ "$(wc -l <out)" -eq 1 ]
works verify $run --stage quantize --out kept
check "what was made is kept" cmp kept/run/04-quantize/model.safetensors $run/04-quantize/model.safetensors
refuses 2 "kept exists; nothing is overwritten" verify $run --out kept
refuses 2 "there is no such stage" verify $run --stage none
refuses 2 "--tolerance must be a number in 0..100, found 'x'" verify $run --tolerance x
refuses 2 "--stage is of runs" verify $run/04-quantize --stage quantize
refuses 2 "RUN or CHECKPOINT is missing" verify
snapshot >after
check "the run is as it was" cmp all after
mkdir tmp
TMPDIR=$PWD/tmp works verify $run --stage prune
check "the scratch folder is gone" [ -z "$(ls tmp)" ]

# one object for programs
works verify $run --json
check "the object has all five stages" "$tool" json out stages.0.what stages.4.largest_points
check "all of them are equal" [ "$(grep -c '"verdict":	"equal"' out)" -eq 5 ]
works verify $run/04-quantize --json
contains out '"verdict":	"equal"'
works verify $run/01-teacher --json
contains out '"verdict":	"nothing to compare"'

# interrupted: nothing is left
works run t.yaml --set stages.teacher.epochs=1000 --until teacher --out long
trains() {
	[ -n "$(find tmp -name '*.csv' -size +0)" ]
}
hold env TMPDIR=$PWD/tmp "$program" verify long --stage teacher
check "it trains" wait_for trains
kill -INT $pid
let_go
check "the exit status is 75, found $status" [ $status -eq 75 ]
contains err "interrupted"
check "nothing is left in TMPDIR" [ -z "$(ls tmp)" ]

# threads are those of the stage, whatever the config would choose here
cp -r $run threads
unseal threads/run.json
sed -i 's/"threads":	1/"threads":	2/' threads/run.json
works verify threads --stage teacher
contains out "01-teacher: equal"

# another machine: figures
ONEDNN_MAX_CPU_ISA=AVX2
export ONEDNN_MAX_CPU_ISA
works verify $run --stage evaluate
contains out "05-evaluate: agrees: bytes cannot be compared (cpu.isa was "
contains out "within the tolerance"
unset ONEDNN_MAX_CPU_ISA

# the run's description names another seed than the one that the stage was made with
cp -r $run other
sed -i 's/"seed":	3/"seed":	4/' other/run.json
ends_with 4 "other/run.json: was changed since it was written" verify other --stage teacher
unseal other/run.json
ends_with 3 "stage teacher cannot be made again from what is there now: seed was 3, is 4" verify other --stage teacher

# a stage of another training in the place of the run's own
works run t.yaml --set stages.teacher.epochs=3 --out longer
cp -r $run other2
rm -r other2/01-teacher
cp -r longer/01-teacher other2/01-teacher
ends_with 3 "stages.teacher.epochs was 3, is 2" verify other2 --stage teacher

# damage and what is missing
cp -r $run table
printf x >>table/02-student/logs/student_training.csv
ends_with 4 "logs/student_training.csv: was changed since the stage was finished" verify table --stage student
cp -r $run damaged
printf x >>damaged/01-teacher/model.safetensors
ends_with 4 "model.safetensors" verify damaged --stage teacher
ends_with 4 "model.safetensors" verify damaged --stage student
rm -r damaged/01-teacher
ends_with 4 "stage student reads teacher, which is not finished there" verify damaged --stage student
ends_with 2 "stage teacher of damaged is not finished" verify damaged --stage teacher
works verify damaged --stage prune
rm damaged/run.json
ends_with 4 "not a checkpoint" verify damaged

# a checkpoint
int8=$run/04-quantize
for isa in SSE41 AVX2 AVX2_VNNI AVX512_CORE AVX512_CORE_VNNI; do
	ONEDNN_MAX_CPU_ISA=$isa
	export ONEDNN_MAX_CPU_ISA
	works verify $int8
	contains out "$int8: equal: "
done
unset ONEDNN_MAX_CPU_ISA
works verify $run/01-teacher
contains out "computes with real numbers"
cp -r $int8 old
unseal old/checkpoint_info.json
sed -i '/"conformance_sha256"/d' old/checkpoint_info.json
works verify old
contains out "keeps no inputs and outputs"
cp -r $int8 cut
rm cut/conformance.safetensors
ends_with 4 "conformance.safetensors: is missing" verify cut
mkdir cut/conformance.safetensors
ends_with 4 "conformance.safetensors: is a folder, not a file" verify cut

# One byte of a weight, with its hash repaired.
cp -r $int8 changed
unseal changed/checkpoint_info.json
size=$(stat -c %s changed/model.safetensors)
before=$(sha256sum <changed/model.safetensors | cut -d ' ' -f 1)
header=$(od -An -t u8 -N 8 changed/model.safetensors | tr -d ' ')
place=$(head -c $((header + 8)) changed/model.safetensors | tail -c +9 |
	sed 's/.*"fc2.weight.q":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
at=$((header + 8 + place))
while [ $at -lt "$size" ]; do # the first weights that are neither 0 nor at the end of their range become their neighbours
	value=$(od -An -t d1 -j $at -N 1 changed/model.safetensors | tr -d ' ')
	if [ "$value" -gt 1 ] && [ "$value" -lt 120 ]; then
		printf "\\$(printf %o $((value + 1)))" | dd of=changed/model.safetensors bs=1 seek=$at conv=notrunc 2>/dev/null
	fi
	at=$((at + 1))
done
after=$(sha256sum <changed/model.safetensors | cut -d ' ' -f 1)
sed -i "s/$before/$after/" changed/checkpoint_info.json
ends_with 6 "changed: the first that differs is 'fc2" verify changed
ends_with 6 "changed: the first that differs is 'fc2" verify changed --json
contains out '"verdict":	"differs"'
contains out '"first":	"fc2'
finish
