# Standard streams: closed ones, pipes that nobody reads, full disks, and control characters in names of others.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
long="--set stages.student.epochs=100000"

# Closed streams: nothing that is printed ends up in a file that the run writes, whichever gets the free descriptor.
works run t.yaml --out open/t
for closed in "<&- >&- 2>&-" ">&- 2>&-" "2>&-"; do
	rm -rf closed
	check "a run works with $closed" sh -c "exec '$program' run t.yaml --out closed/t $closed"
	for csv in open/t/*/logs/*.csv open/t/*/*.csv; do
		name=${csv#open/}
		check "$name has nothing of the progress with $closed" \
			[ "$(grep -c 'done in\|train loss\|stages' "closed/$name")" -eq 0 ]
		check "$name has its lines with $closed" [ "$(wc -l <"$csv")" -eq "$(wc -l <"closed/$name")" ]
	done
done

# What cannot be printed is an error where it is the result.
for command in "inspect open/t/01-teacher" "inspect open/t/01-teacher --json" "explain train" "schema" "doctor" \
	"plan t.yaml" "predict open/t/01-teacher --split test" "predict open/t/01-teacher --split test --json"; do
	for to in "/dev/full" "&-"; do
		checks=$((checks + 1))
		status=0
		eval "\"$program\" $command >$to 2>err" || status=$?
		[ $status -eq 1 ] && grep -q '^pipeline: standard output: ' err ||
			problem "exit status $status of $command >$to"
	done
	checks=$((checks + 1))
	status=$( (set +e; trap '' PIPE; "$program" $command 2>err; echo $? >&3) 3>&1 >/dev/full)
	[ "$status" -eq 1 ] || problem "exit status $status of $command without SIGPIPE"
done
check "the results of a run are its files" sh -c "'$program' run t.yaml --out open/t >&- 2>err"

# A reader that has gone ends a printing command by SIGPIPE, and a run not at all. Descriptor 5: a pipe without readers.
mkfifo dead
exec 4<>dead 5>dead
exec 4<&-
checks=$((checks + 1))
status=0
"$program" schema >&5 2>err || status=$?
[ $status -eq 141 ] || problem "exit status $status of schema without a reader"
checks=$((checks + 1))
status=0
"$program" run t.yaml --out deaf/t >&5 2>&5 || status=$?
[ $status -eq 0 ] || problem "exit status $status of a run without readers"
check "and has its results" [ -s deaf/t/results.md ]

# ... nor does it change the status of an interruption, or cost its state.
"$program" run t.yaml --out tee/t $long >&5 2>&5 &
pid=$!
check "it is at work" wait_for is_training tee/t/.02-student.part
kill -TERM $pid
status=0
wait $pid || status=$?
check "an interruption keeps its status without a reader" [ $status -eq 75 ]
check "and its state" [ -s tee/t/.02-student.resume ]
exec 5>&-

# Control characters in a checkpoint's texts do not reach the terminal; JSON keeps their meaning.
cp -r open/t/01-teacher bad
sed -i 's/"technique":[^,]*/"technique": "\\u001b[2J\\u009b2J\\u007ftech"/' bad/checkpoint_info.json
control=$(printf '\033\\|\302\233\\|\177')
for command in "inspect bad" "inspect bad --json" "evaluate bad" "evaluate bad --json"; do
	"$program" $command >out 2>err || true
	check "no control character: $command" [ "$(cat out err | grep -c "$control")" -eq 0 ]
done
"$program" inspect bad --json >out 2>err || true
if [ -s out ]; then
	check "JSON with control characters is JSON" "$tool" json out checkpoint_info
fi
mkdir -p "set/$(printf 'a\033[2J')" set/b
"$tool" png "set/$(printf 'a\033[2J')/1.png" 8 8
printf 'x' >"set/b/$(printf '\033[31m').png"
sed 's/{source: digits}/{source: images, path: set}/' t.yaml >images.yaml
"$program" plan images.yaml >out 2>err || true
check "no control character of a file's name" [ "$(cat out err | grep -c "$control")" -eq 0 ]
check "umlauts and other scripts stay" sh -c "'$program' predict 'Größe 模型' 2>&1 | grep -q 'Größe 模型'"
finish
