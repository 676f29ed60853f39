#!/bin/sh
# Several ranks: sums have the bytes of one process, and whatever happens to one of them, all end, with one message and the
# same status. usage: many.sh PROGRAM
set -u
program=$1
command -v mpirun >/dev/null 2>&1 || { echo "mpirun is missing (openmpi-bin)" && exit 77; }
unset OMP_NUM_THREADS SLURM_CPUS_PER_TASK
TMPDIR=$(mktemp -d /tmp/ranks-XXXXXX) && export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Open MPI leaves memory of plug-ins that it has unloaded, so that the leak checker cannot be told to pass over them.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 && export ASAN_OPTIONS
out=$TMPDIR/out err=$TMPDIR/err
failed=0

# many RANKS STATUS TEXT WHAT...: how they must end, and what rank 0 must have said; nothing hangs.
many() {
	ranks=$1 want=$2 text=$3
	shift 3
	timeout 60 mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n "$ranks" \
		"$program" "$@" >"$out" 2>"$err"
	status=$?
	if [ $status -ne "$want" ] || ! cat "$out" "$err" | grep -qF -- "$text"; then
		echo "FAILED: $ranks ranks, $*: status $status, expected $want and '$text'"
		head -20 "$out" "$err"
		failed=1
	elif [ "$(grep -c '^many: ' "$err")" -gt 1 ]; then
		echo "FAILED: $ranks ranks, $*: more than one message"
		failed=1
	fi
}

for n in 2 4; do
	many $n 0 "sum of $n ranks" sum
done
many 3 0 "sum of 3 ranks" sum
many 2 0 shared share
many 2 0 met stops 0
many 3 0 met stops 2
many 2 4 "many: broken here" fails 0
many 2 4 "many: rank 1 on" fails 1
many 3 3 "many: rank 2 on" alone 2
many 2 3 "many: nothing to read" alone 0
many 2 1 "disagree (meeting)" disagrees 1
many 3 1 "have lost each other" is_lost 1
# Who waits leaves the core to others.
many 2 0 "met, 0.0 s" is_late 1
exit $failed
