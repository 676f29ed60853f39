# What the command-line tests share; sourced by each. A test is started as NAME.sh PROGRAM TOOL SOURCE_DIR BUILD_DIR,
# works in a folder of its own, and ends with `finish`. A failed check is printed and the test goes on.
set -eu
program=$1
tool=$2
source_dir=$3
build_dir=$4
LC_ALL=C
export LC_ALL
unset OMP_NUM_THREADS SLURM_CPUS_PER_TASK OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY OMP_THREAD_LIMIT || true
work=$(mktemp -d "${TMPDIR:-/tmp}/pipeline-cli-XXXXXX")
trap 'cd /; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
cd "$work"
checks=0
failures=0

# A whole run on the embedded digits in well under a second.
base_config() {
	cat <<-'END'
		name: t
		seed: 3
		threads: 1
		data: {source: digits}
		models:
		  big: {family: mlp, hidden: [32]}
		  small: {family: mlp, hidden: [13]}
		stages:
		  teacher: {kind: train, model: big, epochs: 2}
		  student: {kind: distill, model: small, teacher: teacher, epochs: 2}
		  prune: {input: student, sparsity: 0.5, epochs: 1}
		  quantize: {input: prune, method: static}
		  evaluate: {latency_runs: 5, latency_warmup: 1, throughput_runs: 1}
	END
}

problem() {
	failures=$((failures + 1))
	echo "FAILED: $*"
	if [ -f err ]; then
		sed 's/^/    stderr: /' err | head -20
	fi
}

# check TEXT COMMAND...: the command must succeed.
check() {
	text=$1
	shift
	checks=$((checks + 1))
	"$@" >/dev/null 2>&1 || problem "$text"
}

# contains FILE TEXT
contains() {
	checks=$((checks + 1))
	grep -qF -- "$2" "$1" || problem "'$2' is not in $1: $(head -c 600 "$1")"
}

# works ARGUMENT...: the program must succeed and say nothing that looks like an error.
works() {
	checks=$((checks + 1))
	status=0
	"$program" "$@" >out 2>err </dev/null || status=$?
	if [ $status -ne 0 ]; then
		problem "exit status $status of: pipeline $*"
	elif grep -q '^pipeline: ' err; then
		problem "an error was printed by: pipeline $*"
	fi
}

# wait_for COMMAND...: until it succeeds; false if it does not within two minutes.
wait_for() {
	tries=0
	until "$@" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -le 2400 ] || return 1
		sleep 0.05
	done
}

# is_training FOLDER: a training there has written its first epoch.
is_training() {
	[ "$(cat "$1"/logs/*.csv 2>/dev/null | wc -l)" -ge 2 ]
}

# process_of PATTERN: the one in this folder whose command line has it; other tests may run programs like ours.
process_of() {
	for process in /proc/[0-9]*; do
		[ "$(readlink "$process/cwd")" = "$(pwd -P)" ] || continue
		! tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q "$1" || echo "${process#/proc/}"
	done | head -n 1
}

# hold COMMAND...: starts it; its process is $pid. However fast the machine is, a run of a thousand epochs does not end
# before `let_go`: nobody reads what it says of them, and a pipe holds less.
hold() {
	rm -f progress
	mkfifo progress
	"$@" >out 2>progress </dev/null &
	pid=$!
	exec 8<progress
}

# Waits for the end of what `hold` has started: `status`, out and err.
let_go() {
	cat <&8 >err
	exec 8<&-
	status=0
	wait $pid || status=$?
}

# Takes the hash of itself out of a checkpoint_info.json or run.json: what is left is the file of an older program, whose
# fields are all that can be checked.
unseal() { # FILE
	sed -i ':a;N;$!ba;s/,\n\t"keys":\t{[^}]*},\n\t"run_sha256":[^\n]*//;s/,\n\t"info_sha256":[^\n]*//' "$1"
}

# Every file below runs/ with its bytes and times; of the stage folders alone with the argument `stages`.
snapshot() {
	[ -d runs ] || return 0
	if [ "${1-}" = stages ]; then
		find runs -path '*/[0-9][0-9]-*' -type f ! -path '*.failed/*' ! -path '*.part/*' | xargs -r sha256sum | sort
	else
		find runs -type f | sort | xargs -r sha256sum
		find runs -exec stat -c '%n %Y %s' {} + | sort
	fi
}

ends_with() { # STATUS TEXT ARGUMENT...
	want=$1
	part=$2
	shift 2
	checks=$((checks + 1))
	status=0
	"$program" "$@" >out 2>err </dev/null || status=$?
	if [ $status -ne "$want" ]; then
		problem "exit status $status, expected $want, of: pipeline $*"
	elif [ "$(grep -c '^pipeline: ' err)" -ne 1 ] || ! tail -n 1 err | grep -q '^pipeline: '; then
		problem "not one line 'pipeline: ...' at the end of standard error of: pipeline $*"
	elif ! tail -n 1 err | grep -qF -- "$part"; then
		problem "the message lacks '$part', of: pipeline $*"
	fi
}

# refuses STATUS TEXT ARGUMENT...: ends before any work: one line on standard error, nothing else, no file touched.
refuses() {
	snapshot >before
	ends_with "$@"
	snapshot >after
	shift 2
	[ "$(wc -l <err)" -eq 1 ] || problem "more than one line on standard error of: pipeline $*"
	[ ! -s out ] || problem "something on standard output of: pipeline $*"
	cmp -s before after || problem "files were touched by: pipeline $* $(diff before after | head -5)"
}

# stops STATUS TEXT ARGUMENT...: ends while working; finished stages keep their bytes, nothing half-done is left.
stops() {
	snapshot stages >before
	ends_with "$@"
	snapshot stages >after
	shift 2
	[ "$(comm -23 before after | wc -l)" -eq 0 ] || problem "finished stages were changed by: pipeline $*"
	[ -z "$(find . -name '*.part' -o -name '*.tmp' -o -name '*.aside')" ] || problem "left half-done by: pipeline $*"
}

finish() {
	echo "$checks checks, $failures failed"
	[ $checks -gt 0 ] && [ $failures -eq 0 ]
}
