# Limits of real control groups: the threads that doctor, plan and run choose, and memory. Needs the right to make one.
. "$(dirname "$0")/lib.sh"
mount=/sys/fs/cgroup
name=pipeline-test-$$
if [ -d $mount/cpu ] && [ -d $mount/memory ]; then # version 1: a hierarchy per controller
	cpu=$mount/cpu/$name
	memory=$mount/memory/$name
elif grep -qw cpu $mount/cgroup.subtree_control 2>/dev/null && grep -qw memory $mount/cgroup.subtree_control; then
	cpu=$mount/$name
	memory=$cpu
fi
if [ -z "${cpu-}" ] || ! mkdir "$cpu" 2>/dev/null || ! mkdir -p "$memory" 2>/dev/null; then
	echo "control groups cannot be made here"
	exit 77
fi
# A group whose last process has just ended is busy for a moment.
leave() {
	cd /
	rm -rf "$work"
	for i in 1 2 3 4 5 6 7 8 9 10; do
		rmdir "$cpu" "$memory" 2>/dev/null || true
		[ -d "$cpu" ] || [ -d "$memory" ] || break
		sleep 0.1
	done
}
trap leave EXIT
enter='echo $$ >"$0/cgroup.procs" && exec "$@"'
inside() { # GROUP COMMAND...
	sh -c "$enter" "$@"
}
quota() { # MICROSECONDS in 100000
	if [ -f "$cpu/cpu.max" ]; then
		echo "$1 100000" >"$cpu/cpu.max"
	else
		echo "$1" >"$cpu/cpu.cfs_quota_us"
	fi
}
base_config >t.yaml

quota 50000
inside "$cpu" "$program" doctor >out
contains out "1 thread: a CPU quota of 0.5 cores"
checks=$((checks + 1))
SLURM_CPUS_PER_TASK=64 inside "$cpu" "$program" plan t.yaml --set threads=0 >out || problem "plan in a group"
contains out "1 thread (a CPU quota of 0.5 cores; SLURM_CPUS_PER_TASK asks for 64)"
inside "$cpu" "$program" plan t.yaml --set threads=2 >out
contains out "2 threads (as given, more than 1: a CPU quota of 0.5 cores)"

# Memory: what does not fit is refused, and what is planned to fit fits, with its state kept and read again. That it is
# killed is what a plan is there to prevent. (Sanitizers need far more than the program.)
if grep -q 'asan' "$program" 2>/dev/null; then
	finish
	exit
fi
if [ -f "$memory/memory.max" ]; then
	echo $((60 << 20)) >"$memory/memory.max"
else
	echo $((60 << 20)) >"$memory/memory.limit_in_bytes"
fi
size=1150
checks=$((checks + 4))
status=0
inside "$memory" "$program" run t.yaml --set 'models.big.hidden=[4096, 4096]' >out 2>err || status=$?
[ $status -eq 1 ] || problem "exit status $status of what does not fit"
contains err "MiB are available; not even 1"
sed "s/hidden: \[32\]/hidden: [$size, $size]/; s/epochs: 2, *//; s/model: big, epochs: 2/model: big, epochs: 400/" t.yaml >large.yaml
inside "$memory" "$program" plan large.yaml >out
need=$(sed -n 's/^ *\([0-9]*\)\.[0-9]* MiB of memory on cpu: training.*/\1/p' out | head -n 1)
[ "${need:-0}" -gt 40 ] || problem "a training of $size units needs ${need:-no} MiB, which is no test any more"
sh -c "$enter" "$memory" "$program" run large.yaml >out 2>err &
pid=$!
check "it trains" wait_for is_training runs/t/.01-teacher.part
kill -TERM $pid 2>/dev/null || true
status=0
wait $pid || status=$?
[ $status -eq 75 ] || problem "exit status $status of a training that is interrupted in a small group"
check "its state is kept" [ -s runs/t/.01-teacher.resume ]
rm err # else what the run before has written is taken for this one's, and the signal comes before there is a program
sh -c "$enter" "$memory" "$program" run large.yaml >out 2>err &
pid=$!
check "it goes on" wait_for grep -q '^epoch' err
kill -TERM $pid 2>/dev/null || true
status=0
wait $pid || status=$?
[ $status -eq 75 ] || problem "exit status $status where it goes on"
finish
