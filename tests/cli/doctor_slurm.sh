# doctor --slurm says what becomes of a job that is preempted, from what scontrol prints; without it, it says so.
. "$(dirname "$0")/lib.sh"
mkdir -p bin

# A scontrol that prints the files config and partition.
cat >bin/scontrol <<'END2'
#!/bin/sh
[ "$1" = --oneliner ] && [ "$2" = show ] && exec cat "$3"
exit 1
END2
chmod +x bin/scontrol
settings() { # LINE...
	printf 'Configuration data as of 2026-11-27T11:17:28\n' >config
	printf '%s\n' "SLURM_VERSION           = 23.11.4" "KillWait                = 30 sec" "JobRequeue              = 1" "$@" >>config
}
partition() { # NAME FIELDS
	echo "PartitionName=$1 AllowGroups=ALL Default=YES QoS=N/A DefaultTime=NONE $2 State=UP"
}
asked_in() { # PATH ARGUMENT...
	checks=$((checks + 1))
	status=0
	in=$1
	shift
	env PATH="$in" "$program" doctor --slurm "$@" >out 2>err </dev/null || status=$?
	[ $status -eq 0 ] && [ ! -s err ] || problem "exit status $status of doctor --slurm"
}
asked() {
	asked_in "$PWD/bin:$PATH" "$@"
}

settings "PreemptType             = preempt/partition_prio" "PreemptMode             = REQUEUE" \
	"SlurmctldParameters     = enable_configless,preempt_send_user_signal"
{
	partition low "GraceTime=120 PreemptMode=REQUEUE"
	partition bare "GraceTime=00:00:00 PreemptMode=REQUEUE"
	partition other "GraceTime=0 PreemptMode=CANCEL"
	partition high "GraceTime=0 PreemptMode=OFF"
	partition gang "GraceTime=0 PreemptMode=SUSPEND"
} >partition
asked
contains out "Slurm: preemption sends a job's --signal where the partition has a GraceTime, else SIGTERM"
contains out "a preempted job is queued again; before that it is sent its --signal, and 120 s later SIGTERM, and SIGKILL 30 s after that"
contains out "a preempted job is queued again; before that it is sent SIGTERM, and SIGKILL 30 s after it"
contains out "a preempted job ends; before that it is sent SIGTERM, and SIGKILL 30 s after it; scripts/slurm_job.sh asks"
contains out "jobs are not preempted"
contains out "jobs are preempted by SUSPEND: they stop where they are and go on later, without a signal"

# The option's newer name; too little time to save; no requeueing by default.
settings "PreemptType             = preempt/qos" "PreemptMode             = REQUEUE" \
	"PreemptParameters       = send_user_signal"
sed -i 's/= 30 sec/= 5 sec/; s/JobRequeue .*/JobRequeue              = 0/' config
partition low "GraceTime=10 PreemptMode=REQUEUE" >partition
asked
contains out "sends a job's --signal where the partition has a GraceTime, else SIGTERM; jobs are queued again only with --requeue"
contains out "warning: that is less than the 30 s that saving may take"
asked --json
contains out '"preemption_sends_user_signal":	true'
contains out '"grace_seconds":	10'

settings "PreemptType             = preempt/none" "PreemptMode             = OFF"
asked
contains out "no job is preempted; --signal is sent before the time of a job is up"
settings "PreemptType             = preempt/partition_prio" "PreemptMode             = REQUEUE"
asked
contains out "preemption sends SIGTERM, not a job's --signal"

# What is no answer of Slurm.
head -c 20000 /dev/urandom >config
head -c 20000 /dev/urandom | tr '\n' ' ' >partition
echo "PartitionName= GraceTime== PreemptMode" >>partition
asked
rm partition
asked
contains out "scontrol show partition: scontrol: ended with status 1: "
printf '#!/bin/sh\necho "slurm_load_ctl_conf error: Unable to contact slurm controller" >&2\nexit 1\n' >bin/scontrol
asked
contains out "scontrol show config: scontrol: ended with status 1: slurm_load_ctl_conf error: Unable to contact slurm controller"
printf '#!/bin/sh\nkill -SEGV $$\n' >bin/scontrol
asked
contains out "scontrol show config: scontrol: ended with status 139"
asked_in "$PWD/none"
contains out "scontrol show config: scontrol: is not there"
works doctor
check "without --slurm nothing is said of it" sh -c '! grep -qi slurm: out'
ends_with 2 "unknown option" doctor --slurmm
finish
