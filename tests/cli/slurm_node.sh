# The job script on a real Slurm of one node: a job that is preempted saves its state, is queued again, goes on, and ends
# with the bytes of a run in one piece; so does one whose time is up.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_slurm.sh"

base_config >t.yaml
slurm_start
PIPELINE=$program
export PIPELINE
job=$source_dir/scripts/slurm_job.sh
long="--set stages.student.epochs=$(slurm_epochs t.yaml student)"
works run t.yaml --out whole/t $long
works doctor --slurm
contains out "Slurm: preemption sends a job's --signal where the partition has a GraceTime"
contains out "it is sent its --signal, and $slurm_grace s later SIGTERM, and SIGKILL $slurm_grace s after that"
contains out "it is sent SIGTERM, and SIGKILL $slurm_grace s after it"
contains out "jobs are not preempted"

# submit PARTITION ARGUMENT OF sbatch...
submit() {
	sbatch --parsable --cpus-per-task=1 --mem=0 --time=10 --partition="$@"
}
is_over() { # JOB
	case $(slurm_state "$1") in
	COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL | PREEMPTED) true ;;
	*) false ;;
	esac
}
has_gone_on() {
	check "the job is done, found $(slurm_state "$id")" [ "$(slurm_state "$id")" = COMPLETED ]
	check "it was started again" sh -c "scontrol -o show job $id | grep -q ' Restarts=[1-9]'"
	check "it was interrupted and went on" grep -q '"resumed":' runs/t/02-student/checkpoint_info.json
	check "the bytes are those of a run in one piece" \
		cmp whole/t/02-student/model.safetensors runs/t/02-student/model.safetensors
	contains job.out "interrupted in epoch"
	contains job.out "going on in epoch"
	[ $failures -eq 0 ] || { cat job.out; slurm_says; }
	rm -rf runs job.out
}

# Preempted: another job takes the whole node. With a GraceTime Slurm sends --signal to the script, without SIGTERM to all.
for partition in low bare; do
	id=$(submit $partition --output=job.out "$job" t.yaml $long)
	check "the job is at work in $partition" wait_for is_training runs/t/.02-student.part
	check "it is held" slurm_hold t.yaml
	other=$(submit high --cpus-per-task="$(nproc)" --output=/dev/null --wrap=true)
	check "the preempted job of $partition is told" slurm_let_go
	check "the other job has run" slurm_wait 120 is_over "$other"
	check "the preempted job of $partition ends" slurm_wait 120 is_over "$id"
	has_gone_on
done

# Its time is nearly up: the signal that --signal asks for, as Slurm sends it.
id=$(submit low --output=job.out "$job" t.yaml $long)
check "the job is at work" wait_for is_training runs/t/.02-student.part
check "it is held" slurm_hold t.yaml
check "the signal is sent" scancel --batch --signal=USR1 "$id"
check "it is told" slurm_let_go
check "the job ends" slurm_wait 120 is_over "$id"
has_gone_on

# What is wrong is not queued again.
id=$(submit low --output=job.out "$job" t.yaml --set stages.student.epochs=-1)
check "a job with a wrong config ends" slurm_wait 120 is_over "$id"
check "it has failed" [ "$(slurm_state "$id")" = FAILED ]
check "it was started once" sh -c "scontrol -o show job $id | grep -q ' Restarts=0'"
finish
