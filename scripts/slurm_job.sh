#!/bin/bash
# A Slurm job that runs a config to its end, however often its time is up or it is preempted: two minutes before the end
# Slurm sends SIGUSR1, the program saves the state of what it is doing and ends with status 75, and the job is queued
# again. Finished stages are never run twice. docs/cluster.md says more.
#   sbatch scripts/slurm_job.sh CONFIG [ARGUMENT OF pipeline run...]
#   sbatch --gres=gpu:1 --time=12:00:00 scripts/slurm_job.sh configs/eurosat/qat.yaml --set device.train=cuda
#SBATCH --job-name=pipeline
#SBATCH --time=04:00:00
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
# Slurm runs a copy of this file from its spool: the program is the one in PIPELINE, in the folder of submission, or in PATH.
program=${PIPELINE:-build/release/pipeline}
[ -x "$program" ] || program=pipeline

"$program" run "$@" &
pid=$!
# With B: the signal reaches this shell alone. Its wait ends then, before the program does.
trap 'kill -TERM $pid' USR1 TERM INT XCPU
wait $pid
status=$?
while kill -0 $pid 2>/dev/null; do
	wait $pid
	status=$?
done
if [ $status -eq 75 ] && [ -n "${SLURM_JOB_ID:-}" ]; then
	scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
