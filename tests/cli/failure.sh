# What goes wrong while a run is at work: losses that are not numbers, gates, disks, permissions, devices.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works run t.yaml

# A loss that is no number names stage, epoch, step and node.
stops 1 "stage student: epoch 1, step " run t.yaml --set stages.student.optimizer=sgd \
	--set stages.student.lr=1000 --set stages.student.clip_norm=0 --set stages.student.warmup=0
check "and the first node that is not finite" grep -q "that is not finite is \('\|that of '\)" err

# Gates: exit status 6, and nothing is left that looks like a finished stage.
gate() { # FOLDER TEXT ARGUMENT...
	folder=$1
	text=$2
	shift 2
	stops 6 "$text" run t.yaml "$@"
	check "no stage.json" [ ! -e "runs/t/$folder.failed/stage.json" ]
	check "no checkpoint" [ ! -e "runs/t/$folder.failed/checkpoint_info.json" ]
}
gate 02-student "stage student: " --set stages.student.teacher_gate=0.99
gate 05-evaluate "reaches a test accuracy of " --set stages.evaluate.min_metric=0.999
check "the figures of a failed limit are kept" "$tool" json runs/t/05-evaluate.failed/evaluation.json
works run t.yaml --set stages.student.lr=0 # a student that learns nothing
gate 05-evaluate "more than max_drop 0" --set stages.evaluate.max_drop=0 --set stages.student.lr=0
works run t.yaml
# A ship rule that nothing passes: its verdict and the closest attempt are kept, later stages do not run.
rule="--set stages.quantize.accept.max_drop=0 --set stages.quantize.accept.min_ratio=50"
works plan t.yaml $rule
contains out "warning: 182 validation samples are too few to show a loss of max_drop (0 points)"
stops 6 "stage quantize: INFEASIBLE: static: " run t.yaml $rule
check "what was judged is kept, with its verdict" "$tool" json runs/t/04-quantize.failed/checkpoint_info.json \
	acceptance.verdict acceptance.attempts.0.reason
check "it is no finished stage" [ ! -e runs/t/04-quantize.failed/stage.json ]
works evaluate runs/t/04-quantize.failed
contains err "warning: runs/t/04-quantize.failed was not accepted: INFEASIBLE"
works inspect runs/t/04-quantize.failed
contains out "ship rule        INFEASIBLE"
ends_with 6 "less than min_ratio 50" run t.yaml $rule
check "no later stage was run" [ "$(grep -c '^05-evaluate' err)" -eq 0 ]
# what right decisions could show says nothing of a loss
works run t.yaml --set stages.quantize.accept.max_drop=50 --set stages.quantize.accept.metric=loss
contains err 'points lost, 2.'
check "no word of right decisions" [ "$(grep -c 'too few to show\|can be shown' err)" -eq 0 ]
works run t.yaml --set stages.quantize.accept.max_drop=100 --set stages.quantize.accept.min_ratio=1.1
check "the verdict is in the results" "$tool" json runs/t/results.json stages.3.summary.acceptance.verdict
check "and in the table" grep -q '^Ship rule of `quantize`: ACCEPT, static, the only attempt: ' runs/t/results.md
cp -r runs/t judged
echo x >>judged/04-quantize/checkpoint_info.json
works compare judged
check "and in a comparison, whatever becomes of the checkpoint" grep -q '^t  *quantize .* ACCEPT' out
rm -r judged
works run t.yaml
check "all is up to date again" [ "$(grep -c 'up to date$\|taken from there$' err)" -eq 5 ]

# No way to write: a folder below a file.
echo x >file
stops 1 "file: is not a folder" run t.yaml --out file/x
refuses 1 "file: is not a folder" evaluate runs/t/01-teacher --out file/x
refuses 1 "file/x.json" bench runs/t/01-teacher --runs 1 --warmup 0 --throughput-runs 0 --out file/x.json
mkdir -p runs/blocked && echo x >runs/blocked/run.json
refuses 2 "runs/blocked/run.json is not a run's description" run t.yaml --out runs/blocked
refuses 2 "exists; nothing is overwritten" evaluate runs/t/01-teacher --out runs/t
if [ "$(id -u)" -ne 0 ]; then
	mkdir locked && chmod a-w locked
	refuses 1 "locked/t: Permission denied" run t.yaml --out locked/t
	chmod u+w locked
fi

# Full disks. /dev/full for standard output; a limit on the size of files for the stages; a tiny file system if we may.
checks=$((checks + 1))
status=0
"$program" schema >/dev/full 2>err || status=$?
[ $status -eq 1 ] && grep -q '^pipeline: standard output: ' err || problem "a full standard output: exit status $status"
checks=$((checks + 1))
status=0
(ulimit -f 16 && exec "$program" run t.yaml --out small/t --set 'models.big.hidden=[256]') >out 2>err </dev/null || status=$?
[ $status -eq 1 ] && tail -n 1 err | grep -q '^pipeline: stage teacher: .*File too large' ||
	problem "a file that may not grow: exit status $status"
check "no stage is left" [ ! -e small/t/01-teacher ]
# A folder that is half written would stop the next try, and look like a model.
bert=$source_dir/tests/exchange/folders/bert
works import "$bert" --out whole
for cut in "import $bert --out half" "export whole --hf half"; do
	checks=$((checks + 1))
	status=0
	(ulimit -f 8 && exec "$program" $cut) >out 2>err </dev/null || status=$?
	[ $status -eq 1 ] && grep -q '^pipeline: half/model.safetensors: File too large' err ||
		problem "a file that may not grow: exit status $status of $cut"
	check "nothing is left of it" [ ! -e half ]
done
mkdir tiny
if mount -t tmpfs -o size=48k tmpfs tiny 2>/dev/null; then
	trap 'cd /; umount "$work/tiny"; rm -rf "$work"' EXIT
	ends_with 1 "No space left on device" run t.yaml --out tiny/t --set 'models.big.hidden=[1024]'
	check "no stage is left on a full disk" [ ! -e tiny/t/01-teacher ]
else
	echo "no tiny file system: mounting is not allowed here"
fi

# A device that this program or machine lacks.
"$program" doctor --json >doctor.json
if ! tr -d '\n\t ' <doctor.json | grep -q '"cuda":{"usable":true'; then
	refuses 5 "cuda" run t.yaml --set device.train=cuda
	# A plan can be made elsewhere than where it will run.
	works plan t.yaml --set device.train=cuda --set stages.teacher.precision=fp16
	contains out "this machine cannot run it: "
	contains out " MiB of memory on cuda: training "
	works plan t.yaml --set device.train=cuda --json
	check "JSON says what is missing" "$tool" json out train_device_missing stages.0.fit_memory_bytes.total
fi

# More memory than any machine has: refused before any work, in the place of the kernel's out-of-memory killer.
huge="--set stages.student.batch_size=1048576 --set models.small.hidden=[65536,65536,65536,65536,65536,65536]"
refuses 1 "stage student: training with 1048576 samples at a time needs " run t.yaml $huge
check "and what would fit, or that nothing does" grep -q " on cpu, [0-9.]* MiB are available; .*accumulate: " err
ends_with 1 "stage student: training with 1048576 samples at a time needs " plan t.yaml $huge
contains out " MiB of memory on cpu: training "
finish
