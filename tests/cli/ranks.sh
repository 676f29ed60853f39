# Several ranks train together: the bytes of one process with as many times the accumulation, whether or not they are
# interrupted on the way; and whatever goes wrong on one rank ends all of them, with one message and its exit status.
. "$(dirname "$0")/lib.sh"
command -v mpirun >/dev/null 2>&1 || { echo "mpirun is missing (openmpi-bin)" && exit 77; }
"$program" doctor --json | grep -q '"mpi":' || { echo "the program is built without MPI" && exit 77; }
TMPDIR=$work/tmp
export TMPDIR
mkdir "$TMPDIR"

# Open MPI leaves memory of plug-ins that it has unloaded, so that the leak checker cannot be told to pass over them.
without_leaks="ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
launch="env $without_leaks mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1"

# ranks N STATUS TEXT ARGUMENT...: must end so; a failure says so in one line. Nothing hangs.
ranks() {
	n=$1 want=$2 part=$3
	shift 3
	checks=$((checks + 1))
	status=0
	timeout 120 $launch -n "$n" "$program" "$@" >out 2>err </dev/null || status=$?
	if [ $status -ne "$want" ]; then
		problem "exit status $status, expected $want, of $n ranks: pipeline $*"
	elif [ "$want" -eq 0 ] && grep -q '^pipeline: ' err; then
		problem "an error was printed by $n ranks: pipeline $*"
	elif [ "$want" -ne 0 ] && [ "$(grep -c '^pipeline: ' err)" -ne 1 ]; then
		problem "not one line 'pipeline: ...' of $n ranks: pipeline $*"
	elif ! cat out err | grep -qF -- "$part"; then
		problem "'$part' is not said by $n ranks: pipeline $*"
	fi
}

# same FOLDER FOLDER STAGE...: weights, and the figures of every epoch.
same() {
	a=$1 b=$2
	shift 2
	for stage; do
		check "$b/$stage has the weights of $a" cmp "$a/$stage/model.safetensors" "$b/$stage/model.safetensors"
		for csv in "$a/$stage"/logs/*_training.csv; do
			[ -e "$csv" ] || continue # a stage without training
			sed 's/,[^,]*$//' "$csv" >figures.a # but for the seconds
			sed 's/,[^,]*$//' "$b/$stage/logs/$(basename "$csv")" >figures.b
			check "$b/$stage has the log of $a" cmp figures.a figures.b
		done
	done
}

cat >t.yaml <<'END'
name: t
seed: 3
threads: 1
data: {source: digits}
models:
  big: {family: cnn, conv: [6, 8], kernel: [3, 3], pad: [1, 1], pool: [2, 2], hidden: [16], batchnorm: true, dropout: 0.1}
  small: {family: mlp, hidden: [13]}
stages:
  teacher: {kind: train, model: big, epochs: 2, batch_size: 96, clip_norm: 1}
  student: {kind: distill, model: small, teacher: teacher, epochs: 2, batch_size: 96, accumulate: 2, optimizer: sgd, lr: 0.05}
  prune: {input: student, sparsity: 0.5, epochs: 1}
  quantize: {input: prune, method: static}
  evaluate: {latency_runs: 5, latency_warmup: 1, throughput_runs: 1}
END

# Each in a folder with a store of its own: nothing is taken from another.
accumulated() {
	echo "--set stages.teacher.accumulate=$1 --set stages.student.accumulate=$((2 * $1)) --set stages.prune.accumulate=$1"
}
for n in 2 4; do
	# shellcheck disable=SC2046
	works run t.yaml --out "one$n/t" $(accumulated $n)
	ranks $n 0 "$n ranks, stage teacher: a step has 96 samples in $n micro-batches of $((96 / n)), 1 for each rank" \
		run t.yaml --out "many$n/t"
	same "one$n/t" "many$n/t" 01-teacher 02-student 03-prune 04-quantize
	# What the ranks have made is what one process would look for, and take.
	# shellcheck disable=SC2046
	works run t.yaml --out "many$n/other" $(accumulated $n)
	check "the stages of $n ranks are taken for one process" [ "$(grep -c ': the same stage was finished in' err)" -eq 5 ]
done
check "the number of micro-batches matters" eval '! cmp -s one2/t/01-teacher/model.safetensors one4/t/01-teacher/model.safetensors'
ranks 2 0 "01-teacher: up to date" run t.yaml --out many2/t
works verify many2/t --stage student
contains out "equal"
check "nothing is left of the ranks that follow" [ -z "$(find "$TMPDIR" -name 'pipeline-*')" ]

# How many threads each has is known before: the key depends on it.
ranks 2 0 "01-teacher: done" run t.yaml --out free/t --until teacher --set threads=0
works plan t.yaml --out free/t --ranks 2 --set threads=0
contains out "01-teacher: train, up to date"

# Random changes of samples, mixed ones, and weights of classes: of images, and of texts, whose micro-batches have as many shapes.
change="--set task.mixup=0.3 --set task.balance=classes --set data.augment.crop_padding=1 --set data.augment.erase=0.2"
# shellcheck disable=SC2046,SC2086
works run t.yaml --out one/t --until student $change $(accumulated 2)
# shellcheck disable=SC2086
ranks 2 0 "02-student: done" run t.yaml --out many/t --until student $change
same one/t many/t 01-teacher 02-student
i=0
printf 'text,label\n' >texts.csv
while [ $i -lt 60 ]; do
	printf 'sales w%d go up and rise after a long year %d,good\nsales w%d fall,bad\nsales w%d stay flat,fine\n' $i $i $i $i >>texts.csv
	i=$((i + 1))
done
cat >x.yaml <<'END'
name: x
seed: 3
threads: 1
data: {source: csv, path: texts.csv, augment: {token_drop: 0.1}}
models:
  big: {family: encoder, layers: 2, hidden: 16, heads: [2], ffn: [32], input: {vocabulary_size: 500, longest: 16}}
  small: {family: bag, dim: 16, hidden: [8], input: {vocabulary_size: 500, longest: 16}}
stages:
  teacher: {kind: train, model: big, epochs: 2, batch_size: 16, accumulate: 2, label_smoothing: 0.1, rewind_epoch: 1}
  student: {kind: distill, model: small, teacher: teacher, epochs: 2, batch_size: 16, optimizer: sgd, nesterov: true}
END
works run x.yaml --out one/x --set stages.teacher.accumulate=4 --set stages.student.accumulate=2
ranks 2 0 "02-student: done" run x.yaml --out many/x
same one/x many/x 01-teacher 02-student
check "the early weights too" cmp one/x/01-teacher/early.safetensors many/x/01-teacher/early.safetensors

# Scores by gradients, units that are removed, masks that grow as the training goes. Several trainings are rank 0's.
cat >p.yaml <<'END'
name: p
seed: 3
threads: 1
data: {source: digits}
models: {big: {family: cnn, conv: [8, 16], kernel: [3, 3], pad: [1, 1], pool: [2, 2], hidden: [16], batchnorm: true, dropout: 0.1}}
stages:
  teacher: {kind: train, model: big, epochs: 1, batch_size: 96}
  units: {kind: prune, input: teacher, method: structured, score: taylor, sparsity: 0.4, epochs: 1, batch_size: 96, teacher: teacher}
  moved: {kind: prune, input: teacher, method: movement, ramp: linear, end_epoch: 2, sparsity: 0.5, epochs: 3, batch_size: 96}
  ramp: {kind: prune, input: teacher, sparsity: 0.5, ramp: cubic, end_epoch: 1, epochs: 2, batch_size: 96}
  rounds: {kind: prune, input: teacher, sparsity: 0.5, iterations: 2, epochs: 1, batch_size: 96}
END
trained=
for stage in teacher units moved ramp; do
	trained="$trained --set stages.$stage.accumulate=2"
done
# shellcheck disable=SC2086
works run p.yaml --out one/p $trained
ranks 2 0 "05-rounds: the other ranks wait: with these options a stage of kind prune is rank 0's" run p.yaml --out many/p
same one/p many/p 01-teacher 02-units 03-moved 04-ramp 05-rounds

# Integers that are trained: the steps with the weights or alone, signs, masks that movement decides. What needs no
# training is rank 0's.
cat >q.yaml <<'END'
name: q
seed: 3
threads: 1
data: {source: digits}
models: {big: {family: cnn, conv: [6, 8], kernel: [3, 3], pad: [1, 1], pool: [2, 2], hidden: [16], batchnorm: true, dropout: 0.1}}
stages:
  teacher: {kind: train, model: big, epochs: 1, batch_size: 96}
  qat: {kind: quantize, input: teacher, method: qat, weight_bits: 4, epochs: 2, batch_size: 96, optimizer: sgd, lr: 0.01, observer: auto}
  signs: {kind: quantize, input: teacher, method: qat, weight_bits: 1, teacher: self, epochs: 1, batch_size: 96, save: float}
  joint: {input: teacher, teacher: teacher, epochs: 3, batch_size: 96, score: movement, begin_epoch: 0, end_epoch: 1}
  shipped: {kind: quantize, input: teacher, method: qat, epochs: 1, batch_size: 96, accept: {max_drop: 99}}
END
trained=
for stage in teacher qat signs joint; do
	trained="$trained --set stages.$stage.accumulate=2"
done
# shellcheck disable=SC2086
works run q.yaml --out one/q $trained
ranks 2 0 "05-shipped: the other ranks wait: with these options a stage of kind quantize is rank 0's" run q.yaml --out many/q
contains err "2 ranks, stage joint: a step has 96 samples in 2 micro-batches of 48, 1 for each rank"
same one/q many/q 01-teacher 02-qat 03-signs 04-joint 05-shipped
works plan q.yaml --out many/q --ranks 2
check "the keys of ranks are planned for" [ "$(grep -c 'up to date' out)" -eq 5 ]

# Clients of a federation.
cat >f.yaml <<'END'
name: f
seed: 3
threads: 1
data: {source: digits}
models: {m: {family: mlp, hidden: [13]}}
stages:
  averaged: {kind: federate, model: m, clients: 5, rounds: 2, local_epochs: 1, fraction: 0.6, update_bits: 4, batch_size: 32}
END
works run f.yaml --out one/f
for n in 2 4; do
	ranks $n 0 "round 2/2" run f.yaml --out "fed$n/f"
	same one/f "fed$n/f" 01-averaged
done

# Errors: of all, of one, of none that knows the other.
diverge="--set stages.student.epochs=10 --set stages.student.lr=1000 --set stages.student.clip_norm=0 --set stages.student.warmup=0 --set stages.student.optimizer=adamw"
# shellcheck disable=SC2086
ends_with 1 "stage student: epoch" run t.yaml --out one2/t $diverge --set stages.teacher.accumulate=2 --set stages.student.accumulate=4
tail -n 1 err >said
# shellcheck disable=SC2086
ranks 2 1 "$(cat said)" run t.yaml --out many2/t $diverge
ranks 2 2 "a batch of 95 samples cannot be cut into 2 equal micro-batches, 1 for each of 2 ranks" run t.yaml --out e/t \
	--set stages.teacher.batch_size=95
ranks 2 3 "nowhere" run t.yaml --out e/t --set data.source=images --set data.path=nowhere
ranks 2 2 "evaluate' is started once" evaluate many2/t/01-teacher
ranks 2 0 "training runs on" doctor
check "one of them speaks" [ "$(grep -c '^training runs on' out)" -eq 1 ]

# apart STATUS TEXT: rank 1 is given something else than rank 0.
apart() {
	want=$1 part=$2
	shift 2
	checks=$((checks + 1))
	status=0
	timeout 120 $launch -n 1 "$program" run t.yaml --out apart/t : -n 1 "$program" run t.yaml --out apart/t "$@" >out 2>err \
		</dev/null || status=$?
	if [ $status -ne "$want" ] || [ "$(grep -c '^pipeline: ' err)" -ne 1 ] || ! grep '^pipeline: ' err | grep -qF -- "$part"; then
		problem "exit status $status, expected $want and '$part', where rank 1 has $*"
	fi
}
apart 1 "rank 0 has other data, options or checkpoints" --set seed=4
apart 2 "rank 1 on " --set nothing=1

# Two processes that MPI does not know of.
for rank in 0 1; do
	status=0
	env "$without_leaks" OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=$rank "$program" run t.yaml --out e/t >out 2>err$rank || status=$?
	checks=$((checks + 1))
	[ $status -eq $((5 - 5 * rank)) ] || problem "exit status $status of rank $rank"
done
contains err0 "but MPI knows 1"
check "one of them speaks" [ ! -s err1 ]
check "nothing was made" [ ! -e e/t ]
# Of srun each may have a log of its own: none ends well without a word.
for command in "run t.yaml --out e/t" "inspect whole"; do
	checks=$((checks + 1))
	status=0
	# shellcheck disable=SC2086
	env "$without_leaks" SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1 "$program" $command >out 2>err || status=$?
	if [ $status -eq 0 ] || [ "$(grep -c '^pipeline: .*srun started 2 processes' err)" -ne 1 ]; then
		problem "status $status of a task of srun on its own: $command"
	fi
done

# interrupt SIGNAL WHOM: in the training of stage $stage, two ranks. WHOM: launcher or rank
stage=01-teacher
interrupt() {
	rm -rf cut
	$launch -n 2 "$program" run long.yaml --out cut/t >out 2>err </dev/null &
	pid=$!
	tries=0
	until [ "$(cat cut/t/.$stage.part/logs/*.csv 2>/dev/null | wc -l)" -ge 2 ] || [ $tries -gt 2400 ]; do
		sleep 0.05
		tries=$((tries + 1))
	done
	case $2 in
	launcher) kill -"$1" $pid ;;
	*) kill -"$1" "$(pgrep -P $pid -f ' run long.yaml' | sort -n | tail -n 1)" ;;
	esac
	status=0
	wait $pid || status=$?
	checks=$((checks + 1))
	if [ $status -ne 75 ] || [ "$(grep -c '^pipeline: .*interrupted.*; the same run goes on from there' err)" -ne 1 ]; then
		problem "exit status $status after SIG$1 to $2"
	fi
	check "the state is kept" [ -s cut/t/.$stage.resume ]
}
# So many epochs that a signal arrives while they last, however fast the machine is: some three seconds.
longer() { sed "s/kind: train, model: big, epochs: 2/kind: train, model: big, epochs: $1/" t.yaml; }
longer 12 >long.yaml
begin=$(date +%s%3N)
works run long.yaml --out probe/t --until teacher
spent=$(($(date +%s%3N) - begin))
epochs=$((12 * 3000 / (spent + 1)))
longer $((epochs > 12 ? epochs : 12)) >long.yaml
works run long.yaml --out whole/t --until teacher --set stages.teacher.accumulate=2
interrupt USR1 launcher
ranks 2 0 "going on in epoch" run long.yaml --out cut/t --until teacher
same whole/t cut/t 01-teacher
interrupt TERM rank
works run long.yaml --out cut/t --until teacher --set stages.teacher.accumulate=2
contains err "going on in epoch"
same whole/t cut/t 01-teacher
# A rank that sees other files, or that is killed.
interrupt USR1 launcher
checks=$((checks + 1))
status=0
timeout 120 $launch -n 1 "$program" run long.yaml --out cut/t : -n 1 "$program" run long.yaml --out elsewhere/t >out 2>err </dev/null ||
	status=$?
if [ $status -ne 1 ] || [ "$(grep -c '^pipeline: stage teacher: rank 1 on .*elsewhere/t' err)" -ne 1 ]; then
	problem "exit status $status where rank 1 does not see the state"
fi
longer 100000 >endless.yaml
$launch -n 2 "$program" run endless.yaml --out cut/t >out 2>err </dev/null &
pid=$!
until grep -q '^epoch 2' err || ! kill -0 $pid 2>/dev/null; do
	sleep 0.05
done
kill -KILL "$(pgrep -P $pid -f ' run endless.yaml' | sort -n | tail -n 1)"
status=0
wait $pid || status=$?
check "a rank that is killed ends the run" [ $status -ne 0 ]
# With another number of ranks it is another training; the state stays for who goes on with it.
interrupt USR1 launcher
ranks 4 0 "an interrupted training with other options is kept" run long.yaml --out cut/t --until teacher
# So it is where integers are trained, whose calibration each rank makes again.
sed "/^  signs:\|^  joint:\|^  shipped:/d; s/bits: 4, epochs: 2/bits: 4, epochs: $((epochs > 12 ? epochs : 12))/" q.yaml >long.yaml
works run long.yaml --out whole/q --set stages.teacher.accumulate=2 --set stages.qat.accumulate=2
stage=02-qat
interrupt USR1 launcher
ranks 2 0 "going on in epoch" run long.yaml --out cut/t
same whole/q cut/t 02-qat
finish
