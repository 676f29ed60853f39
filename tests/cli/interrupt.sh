# SIGINT and SIGTERM in the middle of a stage: exit status 75, finished stages as they were, the next run goes on.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works run t.yaml --out done/t

# A training has written its first epoch; a stage without epochs has begun.
is_at_work() { # FOLDER
	case $1 in
	*-evaluate) [ -e "runs/t/.$1.part" ] ;;
	*) is_training "runs/t/.$1.part" ;;
	esac
}

# Starts a run, waits until `folder` is being worked on, sends the signal, and expects 75.
interrupt() { # SIGNAL FOLDER ARGUMENT...
	signal=$1
	folder=$2
	shift 2
	hold "$program" run t.yaml "$@"
	check "$folder is at work" wait_for is_at_work "$folder"
	snapshot stages >before
	kill -"$signal" $pid
	kill -TERM $pid # as `timeout` and batch systems do; it is one interruption
	let_go
	snapshot stages >after
	checks=$((checks + 1))
	if [ $status -ne 75 ]; then
		problem "exit status $status after SIG$signal in $folder"
	elif [ "$(grep -c '^pipeline: ' err)" -ne 1 ] || ! tail -n 1 err | grep -q '^pipeline: .*interrupted'; then
		problem "not one line that says so"
	fi
	check "finished stages stay" cmp before after
	check "the unfinished stage is gone" [ ! -e "runs/t/$folder" ]
	check "nothing half-done is left" [ -z "$(find runs -name '*.part')" ]
}

interrupt INT 01-teacher --set stages.teacher.epochs=100000
interrupt TERM 02-student --set stages.student.epochs=100000
check "the teacher is finished" [ -e runs/t/01-teacher/stage.json ]

# While a run is at work in a folder, another one is refused.
"$program" run t.yaml --set stages.student.epochs=100000 >out1 2>err1 </dev/null &
pid=$!
check "it is at work" wait_for [ -e runs/t/.02-student.part ]
ends_with 2 "another run is at work in this folder" run t.yaml
kill -INT $pid
wait $pid || true

interrupt INT 04-quantize --set stages.quantize.method=qat --set stages.quantize.epochs=100000
interrupt INT 05-evaluate --set stages.evaluate.latency_runs=1000000
works run t.yaml
check "four stages are up to date" [ "$(grep -c ': up to date$' err)" -ge 3 ]
for folder in 01-teacher 02-student 03-prune 04-quantize; do
	check "$folder has the bytes of a run without interruption" \
		cmp done/t/$folder/model.safetensors runs/t/$folder/model.safetensors
done

# The same run goes on where the training was interrupted, and ends with the bytes of one that was not.
goes_on() { # SIGNAL FOLDER ARGUMENT...
	signal=$1
	folder=$2
	shift 2
	works run t.yaml --out whole/t "$@"
	rm -rf runs
	interrupt "$signal" "$folder" "$@"
	check "the message says where" grep -q '; the same run goes on from there$' err
	check "its state is kept" [ -s "runs/t/.$folder.resume" ]
	works run t.yaml "$@"
	check "the run says where it goes on" grep -q 'going on in epoch .* after step' err
	check "the state is gone" [ ! -e "runs/t/.$folder.resume" ]
	check "$folder has the bytes of a run that was not interrupted" \
		cmp "whole/t/$folder/model.safetensors" "runs/t/$folder/model.safetensors"
	check "the interruption is in its info" grep -q '"resumed":' "runs/t/$folder/checkpoint_info.json"
}
goes_on TERM 02-student --set stages.student.epochs=1000
goes_on HUP 02-student --set stages.student.epochs=999 # the terminal is gone
goes_on USR1 02-student --set stages.student.epochs=998 # the time of a job is nearly up
goes_on INT 04-quantize --set stages.quantize.method=qat --set stages.quantize.epochs=1000

# A run with other options puts the state aside, the first options bring it back.
rm -rf runs whole
works run t.yaml --out whole/t --set stages.student.epochs=1000
interrupt TERM 02-student --set stages.student.epochs=1000
works run t.yaml
check "the run says where the state is" \
	grep -q 'interrupted training with other options is kept as runs/t/previous/.*-student.resume$' err
check "it is there" [ "$(ls runs/t/previous/*-student.resume | wc -l)" -eq 1 ]
works run t.yaml --set stages.student.epochs=1000
check "the state was taken back" grep -q 'going on in epoch .* after step' err
check "and is gone" [ -z "$(find runs -name '*.resume')" ]
check "the bytes are those of a run that was not interrupted" \
	cmp whole/t/02-student/model.safetensors runs/t/02-student/model.safetensors

# A state that is cut off is refused, with what to do; then that helps.
rm -rf runs
interrupt TERM 01-teacher --set stages.teacher.epochs=100000
head -c 5000 runs/t/.01-teacher.resume >cut
cp cut runs/t/.01-teacher.resume
stops 4 "stage teacher: runs/t/.01-teacher.resume: " run t.yaml --set stages.teacher.epochs=100000
check "the message says what to do" grep -q '; remove the file to start the stage from its beginning$' err
rm runs/t/.01-teacher.resume
works run t.yaml

# With an earlier state beside it, that is gone on from; the bytes are the same.
rm -rf runs
interrupt TERM 02-student --set stages.student.epochs=1000
interrupt TERM 02-student --set stages.student.epochs=1000
check "two generations are kept" [ -s runs/t/.02-student.resume.before ]
head -c 5000 runs/t/.02-student.resume >cut
cp cut runs/t/.02-student.resume
works run t.yaml --set stages.student.epochs=1000
check "the run says that it goes back" grep -q 'warning: going on from the state before the last one: runs/t/.02-student.resume: ' err
check "and goes on" grep -q 'going on in epoch .* after step' err
check "the bytes are those of a run that was not interrupted" \
	cmp whole/t/02-student/model.safetensors runs/t/02-student/model.safetensors
check "both are gone" [ -z "$(find runs -name '*.resume*')" ]

# A kill between the end of a stage and the removal of its state leaves that; the next run removes it. What is of other
# options stays.
rm -rf runs
interrupt TERM 02-student --set stages.student.epochs=1000
cp runs/t/.02-student.resume state
works run t.yaml --set stages.student.epochs=1000
cp state runs/t/.02-student.resume
works run t.yaml --set stages.student.epochs=1000
check "the state of a finished stage is removed" [ ! -e runs/t/.02-student.resume ]
works run t.yaml
cp state runs/t/.02-student.resume
works run t.yaml
check "that of another one is not" cmp state runs/t/.02-student.resume

# nohup: a lost terminal is nothing to the run.
rm -rf runs
trap '' HUP
hold "$program" run t.yaml --set stages.student.epochs=1000
trap 'exit 1' HUP
check "it is at work" wait_for [ -e runs/t/.02-student.part ]
kill -HUP $pid
let_go
check "a run under nohup goes on, status $status" [ $status -eq 0 ]

# Before the first stage, while config and data are read: the same exit status at once, and no folder.
rm -rf runs
mkfifo slow
"$program" run - >out 2>err <slow &
pid=$!
exec 9>slow
catches_term() {
	[ $((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' /proc/$pid/status) & 0x4000)) -ne 0 ]
}
check "SIGTERM is caught" wait_for catches_term
kill -TERM $pid
status=0
wait $pid || status=$?
check "an interruption before the first stage ends with 75" [ $status -eq 75 ]
check "and says so" grep -qx 'pipeline: interrupted before any stage' err
check "and leaves nothing" [ ! -e runs ]
exec 9>&-

# The CPU time is up: as any other signal, also where the hard limit is the same.
rm -rf runs
for limit in "-S -t 2" "-t 3"; do
	rm -rf runs
	status=0
	(ulimit $limit 2>/dev/null || exit 3
		exec "$program" run t.yaml --set stages.teacher.epochs=100000) >out 2>err </dev/null || status=$?
	check "status 75 after ulimit $limit, found $status" [ $status -eq 75 ]
	check "the state is kept after ulimit $limit" [ -s runs/t/.01-teacher.resume ]
done

# A kill leaves a .part behind; the next run clears it away.
"$program" run t.yaml --set stages.student.epochs=100000 >out 2>err </dev/null &
pid=$!
check "it is at work" wait_for [ -e runs/t/.02-student.part ]
kill -KILL $pid
wait $pid || true
works run t.yaml
check "nothing half-done is left after a kill" [ -z "$(find runs -name '*.part')" ]
finish
