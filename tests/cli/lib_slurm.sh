# A Slurm of one node on this machine, for tests: munged, slurmctld and slurmd of the distribution's packages, with
# files and ports of their own, so that nothing of an installed Slurm is touched. Sourced after lib.sh.
#
#   slurm_start [LINE...]   starts it, with these lines added to slurm.conf; or ends the test as skipped, by name
#   slurm_stop              ends it and every job of it; also done when the test ends, however that happens
#   slurm_wait SECONDS COMMAND...  waits until the command succeeds; false if it does not in that time
#   slurm_state JOB         RUNNING, PENDING, COMPLETED, ...
#   slurm_epochs CONFIG STAGE  the number of epochs that take some 3 seconds here
#   slurm_hold TEXT         stops the process of the program that has TEXT in its command line, so that it does not end
#                           before its signal comes, however fast it is
#   slurm_let_go            lets it go on as soon as the signal has come; false if that takes more than a minute
#   slurm_says              prints the ends of the daemons' logs, for a failed test
#
# After slurm_start SLURM_CONF is exported, so that sbatch, squeue, scontrol and sacct speak to it. Its partitions are
# `low` (the default), whose jobs are requeued when one of `high` wants the node, `bare`, whose jobs are, too, but without
# a GraceTime, as most clusters have it, and `high`. A preempted job gets its --signal, slurm_grace seconds later SIGTERM,
# and SIGKILL again so much later; one of `bare` SIGTERM at once.
slurm_grace=20
slurm_pids=

slurm_skip() {
	echo "skipped: $*"
	exit 77
}

slurm_need() {
	[ "$(id -u)" -eq 0 ] || slurm_skip "starting slurmd takes root"
	for slurm_word in munged slurmctld slurmd sbatch squeue scontrol; do
		PATH=$PATH:/usr/sbin:/sbin command -v $slurm_word >/dev/null 2>&1 ||
			slurm_skip "no $slurm_word; scripts/setup.sh --test installs Debian's slurm-wlm and munge"
	done
}

# A port at which nobody listens, above those that the kernel hands out.
slurm_port() {
	slurm_try=$1
	while grep -qi ":$(printf %04X "$slurm_try") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; do
		slurm_try=$((slurm_try + 1))
	done
	echo "$slurm_try"
}

slurm_write_conf() { # LINE...
	slurm_host=$(hostname -s)
	slurm_base=$((61000 + $$ % 4000))
	slurm_ctl=$(slurm_port $slurm_base)
	slurm_node=$(slurm_port $((slurm_ctl + 1)))
	cat >"$slurm_dir/slurm.conf" <<-CONF
		ClusterName=pipeline
		SlurmctldHost=$slurm_host(127.0.0.1)
		SlurmctldPort=$slurm_ctl
		SlurmdPort=$slurm_node
		SlurmUser=root
		SlurmdUser=root
		AuthType=auth/munge
		CredType=cred/munge
		AuthInfo=socket=$slurm_dir/munge.socket,cred_expire=5
		StateSaveLocation=$slurm_dir/state
		SlurmdSpoolDir=$slurm_dir/spool
		SlurmctldPidFile=$slurm_dir/slurmctld.pid
		SlurmdPidFile=$slurm_dir/slurmd.pid
		SlurmctldLogFile=$slurm_dir/slurmctld.log
		SlurmdLogFile=$slurm_dir/slurmd.log
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		JobAcctGatherType=jobacct_gather/none
		AccountingStorageType=accounting_storage/none
		MpiDefault=none
		SwitchType=switch/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU
		SchedulerType=sched/builtin
		SchedulerParameters=sched_interval=1,batch_sched_delay=0
		PreemptType=preempt/partition_prio
		PreemptMode=REQUEUE
		SlurmctldParameters=preempt_send_user_signal
		KillWait=$slurm_grace
		JobRequeue=1
		ReturnToService=2
		MailProg=/bin/true
		NodeName=$slurm_host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
		PartitionName=low Nodes=$slurm_host Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=$slurm_grace
		PartitionName=bare Nodes=$slurm_host PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
		PartitionName=high Nodes=$slurm_host PriorityTier=10 PreemptMode=OFF
	CONF
	for slurm_word in "$@"; do
		echo "$slurm_word" >>"$slurm_dir/slurm.conf"
	done
	# Control groups are not needed and often not there; older versions only know not to mount them.
	case $(slurmd -V) in
	*" 2"[0-2].* | *" 23.02"*) echo "CgroupAutomount=no" ;;
	*) echo "CgroupPlugin=disabled" ;;
	esac >"$slurm_dir/cgroup.conf"
}

slurm_daemon() { # NAME COMMAND...
	slurm_word=$1
	shift
	"$@" >"$slurm_dir/$slurm_word.out" 2>&1 </dev/null &
	slurm_pids="$! $slurm_pids"
}

slurm_start() {
	slurm_need
	PATH=$PATH:/usr/sbin:/sbin
	slurm_dir=$work/slurm
	mkdir -p -m 755 "$slurm_dir" "$slurm_dir/state" "$slurm_dir/spool"
	chmod 755 "$work"
	slurm_write_conf "$@"
	SLURM_CONF=$slurm_dir/slurm.conf
	export SLURM_CONF
	head -c 128 /dev/urandom >"$slurm_dir/munge.key"
	chmod 400 "$slurm_dir/munge.key"
	trap 'slurm_stop; cd /; rm -rf "$work"' EXIT
	slurm_daemon munged munged --foreground --force --socket="$slurm_dir/munge.socket" \
		--key-file="$slurm_dir/munge.key" --log-file="$slurm_dir/munged.log" --pid-file="$slurm_dir/munged.pid" \
		--seed-file="$slurm_dir/munged.seed"
	slurm_wait 60 [ -S "$slurm_dir/munge.socket" ] || slurm_fail "munged"
	slurm_daemon slurmctld slurmctld -D -f "$SLURM_CONF"
	slurm_daemon slurmd slurmd -D -f "$SLURM_CONF" -N "$slurm_host"
	slurm_wait 120 slurm_is_up || slurm_fail "the node"
}

slurm_is_up() {
	[ "$(sinfo -h -p low -o %t 2>/dev/null)" = idle ]
}

slurm_fail() {
	echo "FAILED: $1 of the test's Slurm does not come up"
	slurm_says
	exit 1
}

slurm_says() {
	for slurm_word in "$slurm_dir"/*.log "$slurm_dir"/*.out; do
		[ -s "$slurm_word" ] || continue
		echo "--- $slurm_word"
		tail -n 15 "$slurm_word"
	done
}

slurm_wait() { # SECONDS COMMAND...
	slurm_tries=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		slurm_tries=$((slurm_tries - 1))
		[ $slurm_tries -gt 0 ] || return 1
		sleep 0.1
	done
}

slurm_state() { # JOB
	scontrol -o show job "$1" 2>/dev/null | sed -n 's/.* JobState=\([A-Z_]*\).*/\1/p'
}

slurm_hold() { # TEXT
	slurm_held=$(process_of "^\([^ ]*/\)\?pipeline run $1 ")
	[ -n "$slurm_held" ] && kill -STOP "$slurm_held"
}

# SIGTERM or SIGUSR1 is pending; or Slurm, which wakes whom it sends SIGTERM, has done so.
slurm_is_told() {
	slurm_pending=$(sed -n 's/^ShdPnd:[[:space:]]*//p' "/proc/$slurm_held/status")
	[ $((0x${slurm_pending:-0} & 0x4200)) -ne 0 ] || ! grep -q '^State:[[:space:]]*T' "/proc/$slurm_held/status"
}

slurm_let_go() {
	slurm_told=0
	slurm_wait 60 slurm_is_told || slurm_told=1
	kill -CONT "$slurm_held" 2>/dev/null || true
	return $slurm_told
}

slurm_is_empty() {
	[ -z "$(squeue -h)" ]
}

slurm_stop() {
	[ -n "$slurm_pids" ] || return 0
	scancel --state=PENDING --user=root 2>/dev/null || true
	scancel --full --signal=KILL --state=RUNNING --user=root 2>/dev/null || true
	slurm_wait 60 slurm_is_empty || true # what has a step in it does not end without the others
	# shellcheck disable=SC2086 # one word per process
	for slurm_word in $slurm_pids; do
		kill -TERM "$slurm_word" 2>/dev/null || true
	done
	for slurm_word in $slurm_pids; do
		wait "$slurm_word" 2>/dev/null || true
	done
	slurm_pids=
}

# Measured by a run up to that stage, so that a job can be found at work, however fast the machine is.
slurm_epochs() { # CONFIG STAGE
	began=$(date +%s%N)
	"$program" run "$1" --out timed --until "$2" --set "stages.$2.epochs=200" >timed.log 2>&1 || cat timed.log >&2
	echo $((200 * 3000000000 / ($(date +%s%N) - began)))
	rm -rf timed timed.log
}
