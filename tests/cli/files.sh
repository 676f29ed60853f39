# What is no file, in the place of a file: an error at once, never waited for. And texts without an end.
. "$(dirname "$0")/lib.sh"

base_config >t.yaml
works run t.yaml --out o/t
mkfifo pipe

# Within a few seconds, with a message of ours, whatever the status. An answer costs milliseconds; the time is generous
# for busy machines.
at_once() { # TEXT ARGUMENT...
	part=$1
	shift
	checks=$((checks + 1))
	status=0
	timeout -s KILL 60 "$program" "$@" >out 2>err </dev/null || status=$?
	if [ $status -eq 0 ] || [ $status -ge 128 ]; then
		problem "exit status $status of: pipeline $*"
	elif ! grep '^pipeline: ' err | grep -qF -- "$part"; then
		problem "the message lacks '$part', of: pipeline $*"
	fi
}

for file in model.safetensors checkpoint_info.json; do
	for kind in FIFO folder device; do
		rm -rf ckpt && cp -r o/t/01-teacher ckpt && rm ckpt/$file
		case $kind in
		FIFO) mkfifo ckpt/$file ;;
		folder) mkdir ckpt/$file ;;
		device) ln -s /dev/zero ckpt/$file ;;
		esac
		at_once "is a $kind, not a file" inspect ckpt
		at_once "is a $kind, not a file" predict ckpt --split test
		at_once "is a $kind, not a file" evaluate ckpt
	done
done
at_once "is a device, not a file" plan /dev/zero
at_once "is a folder, not a file" plan o
at_once "is a FIFO, not a file" plan pipe
at_once "is a FIFO, not a file" run pipe
# A run's own files.
for file in run.json 01-teacher/stage.json 01-teacher/model.safetensors .01-teacher.resume .lock results.md; do
	rm -rf f && cp -r o f && rm -rf "f/t/$file" f/.store && mkfifo "f/t/$file"
	case $file in
	.01-teacher.resume) rm -r f/t/01-teacher ;;
	results.md) rm -r f/t/05-evaluate ;;
	esac
	case $file in
	.lock) text=".lock: is not a file" ;;
	results.md) text="is not a regular file" ;;
	01-teacher/stage.json) text="stage.json: is not a file" ;;
	*) text="is a FIFO, not a file" ;;
	esac
	at_once "$text" run t.yaml --out f/t
done
# A file of the store is one's own, and what cannot be taken is no reason not to run.
rm -rf f && cp -r o f && rm -r f/t
for file in f/.store/*/stage.json; do
	rm "$file" && mkfifo "$file"
done
works run t.yaml --out f/t
check "it is said" grep -q 'stage.json: is neither a file nor a folder' err

# Vocabularies and files of texts.
printf 'text,label\na fine day,good\na grey day,bad\na fine dog,good\na grey cat,bad\n' >texts.csv
for i in 1 2 3 4 5; do
	tail -n 4 texts.csv | sed "s/,/ $i,/" >>more
done
cat more >>texts.csv
cat >texts.yaml <<'END'
name: x
threads: 1
data: {source: csv, path: texts.csv, val_fraction: 0.2, test_fraction: 0.2}
models: {m: {family: bag, dim: 4, input: {vocabulary: pipe}}}
stages: {train: {model: m, epochs: 1}}
END
at_once "is a FIFO, not a file" plan texts.yaml
sed -i 's/vocabulary: pipe/vocabulary_size: 100/' texts.yaml
works run texts.yaml --out texts
at_once "pipe" predict texts/01-train --file pipe
at_once "is a device, not a file" predict texts/01-train --file /dev/zero
checks=$((checks + 1))
status=0
head -c 3000000 /dev/zero | tr '\0' a | timeout -s KILL 60 "$program" predict texts/01-train >out 2>err || status=$?
[ $status -eq 3 ] && grep -q 'standard input:1: a line of more than 1048576 bytes' err ||
	problem "exit status $status for a line without an end"
checks=$((checks + 1))
status=0
{ echo one; head -c 1048577 /dev/zero | tr '\0' a; printf '\ntwo\n'; } >lines
"$program" predict texts/01-train --file lines >out 2>err || status=$?
[ $status -eq 3 ] && [ "$(wc -l <out)" -eq 2 ] && grep -q 'lines:2: a line of more than 1048576 bytes' err ||
	problem "exit status $status for a line that is too long between two others"

# A config may come from a pipe, and has a limit there too.
check "a config from a pipe" sh -c "cat t.yaml | '$program' plan /dev/stdin"
check "a config from standard input" sh -c "'$program' plan - <t.yaml"
checks=$((checks + 1))
status=0
yes 'a: b' | "$program" plan - >out 2>err || status=$?
[ $status -eq 2 ] && grep -q 'standard input: more than 1048576 bytes' err || problem "exit status $status for an endless config"
finish
