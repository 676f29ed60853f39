# The job script for Slurm: a job whose time is up is queued again and goes on, one that is done or wrong is not.
. "$(dirname "$0")/lib.sh"

command -v bash >/dev/null || exit 77
base_config >t.yaml
mkdir -p bin
cat >bin/scontrol <<'END'
#!/bin/sh
echo "$*" >>scontrol.log
END
chmod +x bin/scontrol
PIPELINE=$program SLURM_JOB_ID=42 PATH=$PWD/bin:$PATH
export PIPELINE SLURM_JOB_ID PATH
job=$source_dir/scripts/slurm_job.sh
long="--set stages.student.epochs=1000"

hold bash "$job" t.yaml $long
check "it is at work" wait_for is_training runs/t/.02-student.part
kill -TERM $pid
let_go
check "the job ends with status 75" [ $status -eq 75 ]
check "it is queued again" [ "$(cat scontrol.log)" = "requeue 42" ]
check "the state is there when the job ends" [ -s runs/t/.02-student.resume ]
check "the second start is done" bash "$job" t.yaml $long
check "it went on" grep -q '"resumed":' runs/t/02-student/checkpoint_info.json
check "a job that is done is not queued again" [ "$(wc -l <scontrol.log)" -eq 1 ]
status=0
bash "$job" t.yaml --set stages.student.epochs=-1 >out 2>err || status=$?
check "a wrong config is the job's status" [ $status -eq 2 ]
check "and it is not queued again" [ "$(wc -l <scontrol.log)" -eq 1 ]
finish
