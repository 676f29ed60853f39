# A sweep on Slurm, against programs that play its part: what is written, what is submitted, and a status that holds when
# they are absent, fail, hang or answer nonsense. sweep_node.sh does the same on a real one.
. "$(dirname "$0")/lib.sh"

command -v bash >/dev/null || exit 77
base_config | sed '/^threads/d' >base.yaml
cat >grid.yaml <<'END'
base: base.yaml
axes:
  stages.student.temperature: [2, 4]
  chain:
    kd_only: [teacher, student, evaluate]
    kd_quant: [teacher, student, quantize, evaluate]
END
mkdir bin
fake() { # NAME, the script on standard input
	{
		echo '#!/bin/sh'
		cat
	} >"bin/$1"
	chmod +x "bin/$1"
}
fake scontrol <<'END'
echo "$*" >>scontrol.log
[ "$1" = show ] && echo "MaxArraySize            = 3"
exit 0
END
fake sbatch <<'END'
n=$(cat number 2>/dev/null || echo 100)
echo $((n + 1)) >number
echo "$*" >>sbatch.log
echo "$n;cluster"
END
real_path=$PATH
PATH=$PWD/bin:$PATH
export PATH
here=runs/grid/slurm/01

works sweep grid.yaml --slurm --partition long --gres gpu:1 --mem 4G --time 2:00:00 --account me --cpus 2 --module gcc/12 \
	--at-once 7 --requeues 3 --sbatch --constraint=icelake
contains out "sh $here/submit.sh submits them"
check "nothing is submitted without being asked for" [ ! -e sbatch.log ]
check "no cell has run" [ -z "$(find runs -name run.json)" ]
for line in --job-name=grid --partition=long --gres=gpu:1 --mem=4G --time=2:00:00 --account=me --cpus-per-task=2 --requeue \
	--open-mode=append --signal=B:USR1@120 --constraint=icelake "--output=$here/logs/%A_%a.log"; do
	check "the job script asks for $line" grep -qxF -- "#SBATCH $line" $here/sweep.sbatch
done
check "it loads the module" grep -qx 'module load gcc/12' $here/sweep.sbatch
check "the shells read them" sh -c "bash -n $here/sweep.sbatch && sh -n $here/submit.sh"
check "one teacher" [ "$(cat $here/level-1.txt)" = "0 until teacher" ]
check "two students" [ "$(cat $here/level-2.txt)" = "$(printf '0 until student\n2 until student')" ]
check "four cells" [ "$(cat $here/level-3.txt)" = "$(printf '0\n1\n2\n3')" ]
check "it can be submitted" sh $here/submit.sh
cat >want <<END
--parsable --array=0-0%7 $here/sweep.sbatch level-1.txt 0
--parsable --array=0-1%7 --dependency=afterok:100 --kill-on-invalid-dep=yes $here/sweep.sbatch level-2.txt 0
--parsable --array=0-2%7 --dependency=afterany:101 --kill-on-invalid-dep=yes $here/sweep.sbatch level-3.txt 0
--parsable --array=0-0%7 --dependency=afterany:101 --kill-on-invalid-dep=yes $here/sweep.sbatch level-3.txt 3
END
check "arrays by level, split at MaxArraySize: $(diff sbatch.log want)" cmp sbatch.log want
check "it is submitted once" sh -c "! sh $here/submit.sh 2>/dev/null"

# Several cells per task; each seed has a teacher of its own, so that task waits for task.
cat >seeds.yaml <<'END'
base: base.yaml
axes:
  chain: [[teacher, student], [teacher, student, prune]]
seeds: [1, 2]
END
rm -f sbatch.log
works sweep seeds.yaml --slurm --per-task 2 --max-array 1000 --submit
check "a line has what one teacher is for" [ "$(cat runs/seeds/slurm/01/level-1.txt)" = "$(printf '0 until student\n1 until student')" ]
check "and its cells" [ "$(cat runs/seeds/slurm/01/level-2.txt)" = "$(printf '0 2\n1 3')" ]
check "it is submitted" [ "$(wc -l <sbatch.log)" -eq 2 ]
contains out "level-2.txt, tasks 0-1, aftercorr:"
works sweep seeds.yaml --slurm --max-array 1000
check "cells for themselves wait for all of them" grep -q 'level-2.txt 0 "afterany:' runs/seeds/slurm/02/submit.sh
cat >pairs.yaml <<'END'
base: base.yaml
axes:
  chain: [[teacher, student, evaluate]]
  stages.evaluate.latency_runs: [5, 6]
seeds: [1, 2]
END
works sweep pairs.yaml --slurm --max-array 1000 --submit
contains out "afterany:"
sed -i 's/latency_runs: \[5, 6\]/latency_runs: [5]/' pairs.yaml
works sweep pairs.yaml --freeze --out runs/one
works sweep runs/one --slurm --max-array 1000
check "cells that share nothing have one level" [ ! -e runs/one/slurm/01/level-2.txt ]

# A task as Slurm starts it: its line, and what it is told before its time is up.
task() { # INDEX FILE OFFSET
	SLURM_ARRAY_JOB_ID=100 SLURM_ARRAY_TASK_ID=$1 bash $here/sweep.sbatch "$2" "$3"
}
sed -i '/^module/d' $here/sweep.sbatch
check "the teacher's task" task 0 level-1.txt 0
check "has run the teacher" [ -e "$(echo runs/grid/cells/0000-*)/01-teacher" ]
check "and nothing else" [ -z "$(find runs/grid -name '02-student')" ]
check "a cell's task, of the second array" task 0 level-3.txt 3
check "is the last cell" ls runs/grid/cells/0003-*/finished.json
check "no task was queued again" [ "$(grep -c requeue scontrol.log)" -eq 0 ]
rm -rf runs/grid/cells/0001-* runs/grid/cells/.store
sed -i 's/epochs: 2}/epochs: 100000}/' base.yaml
works sweep grid.yaml --freeze
rm -f scontrol.log
SLURM_ARRAY_JOB_ID=100 SLURM_ARRAY_TASK_ID=1 bash $here/sweep.sbatch level-3.txt 0 >out 2>err </dev/null &
pid=$!
cell=$(echo runs/grid/cells/0001-*)
check "the cell is at work" wait_for is_training "$cell/.01-teacher.part"
kill -USR1 $pid
status=0
wait $pid || status=$?
check "status 75 when the time is nearly up" [ $status -eq 75 ]
check "it is queued again" grep -qx 'requeue 100_1' scontrol.log
check "the state is kept" ls runs/grid/cells/0001-*/.01-teacher.resume
SLURM_RESTART_COUNT=3 SLURM_ARRAY_JOB_ID=100 SLURM_ARRAY_TASK_ID=1 bash $here/sweep.sbatch level-3.txt 0 >out 2>err </dev/null &
pid=$!
check "the cell is at work again" wait_for is_training "$cell/.01-teacher.part"
kill -TERM $pid
wait $pid || true
check "not more often than it may be" [ "$(grep -c requeue scontrol.log)" -eq 1 ]
contains err "queued again 3 times already"

# The status: files first, then the queue, then the accounting.
cat >jobs <<END
100_0 COMPLETED
102_1 PENDING
7_1 RUNNING
END
fake squeue <<'END'
cat jobs
END
fake sacct <<'END'
printf '102_2|NODE_FAIL\n102_0|COMPLETED\n102_[4-9]|PENDING\n'
END
works sweep grid.yaml --status
contains out "PENDING (job 102_1)"
contains out "NODE_FAIL (job 102_2)"
check "all is well" [ "$(grep -c '^note' out)" -eq 0 ]
works sweep grid.yaml --status --json
contains out '"queue":	"PENDING (job 102_1)"'

# What became of an earlier submission does not stand for what waits now, nor for what came later.
fake sacct <<'END'
printf '102_2|TIMEOUT\n102_1|NODE_FAIL\n102_[4-9]|PENDING\n101_1|NODE_FAIL\n'
END
works sweep grid.yaml --status
contains out "PENDING (job 102_1)"
contains out "TIMEOUT (job 102_2)"
fake sacct <<'END'
printf '102_2|NODE_FAIL\n102_0|COMPLETED\n102_[4-9]|PENDING\n'
END

# What goes wrong there is said, and the cells' files are read all the same.
ailing() { # NAME MESSAGE
	works sweep runs/grid --status
	contains out "4 cells: 0 finished"
	contains out "note: $1: $2"
	contains out "the above is what the cells' own files say"
}
fake squeue <<'END'
echo "slurm_load_jobs error: Unable to contact slurm controller" >&2
exit 1
END
ailing squeue "ended with status 1: slurm_load_jobs error: Unable to contact slurm controller"
contains out "NODE_FAIL (job 102_2)"
fake squeue <<'END'
echo '<html>502 Bad Gateway</html>'
END
ailing squeue "its answer is not understood: '<html>502 Bad Gateway</html>'"
fake sacct <<'END'
head -c 100000 /dev/zero
END
ailing squeue "its answer"
fake sacct <<'END'
echo "Slurm accounting storage is disabled" >&2
exit 1
END
ailing sacct "ended with status 1: Slurm accounting storage is disabled"
fake squeue <<'END'
sleep 1000 &
wait
END
begin=$(date +%s)
ailing squeue "no answer within 10 s"
check "it takes no longer than that" [ $(($(date +%s) - begin)) -lt 60 ]
rm bin/squeue bin/sacct
PATH=$PWD/bin:/nowhere
status=0
"$program" sweep runs/grid --status >out 2>err </dev/null || status=$?
PATH=$real_path
check "status without Slurm" [ $status -eq 0 ]
contains out "note: squeue: is not there"
contains out "note: sacct: is not there"
head -c 20 /dev/urandom >$here/jobs.txt
works sweep runs/grid --status

# Submission that fails.
fake sbatch <<'END'
echo "sbatch: error: Batch job submission failed: Invalid account" >&2
exit 1
END
PATH=$PWD/bin:$real_path
ends_with 1 "nothing was submitted: sh: ended with status 1: sbatch: error: Batch job submission failed: Invalid account" \
	sweep grid.yaml --slurm --submit
fake sbatch <<'END'
[ -e once ] && exit 1
touch once
echo 200
END
ends_with 1 "only some arrays were submitted" sweep grid.yaml --slurm --submit
fake sbatch <<'END'
echo "Submitted batch job"
END
ends_with 1 "no number of a job in its answer" sweep grid.yaml --slurm --submit
fake scontrol <<'END'
exit 1
END
works sweep grid.yaml --slurm
contains err "warning: scontrol does not say MaxArraySize"

# Options that would be without effect, or would break the script.
refuses 2 "--partition belongs to --slurm" sweep grid.yaml --partition x
refuses 2 "--jobs belongs to a sweep that runs here" sweep grid.yaml --slurm --jobs 2
refuses 2 "--mem must be one line of text" sweep grid.yaml --slurm --mem "1G
rm -rf x"
refuses 2 "only one of --plan" sweep grid.yaml --slurm --status
ends_with 2 "has the character ' '" sweep grid.yaml --slurm --out "runs/a b"
finish
