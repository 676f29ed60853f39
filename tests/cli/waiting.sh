# What computes for long shortens the spinning of OpenMP's threads unless the user has chosen; nothing else is started
# twice.
. "$(dirname "$0")/lib.sh"
unset GOMP_SPINCOUNT OMP_WAIT_POLICY || true
OMP_DISPLAY_ENV=VERBOSE # GNU OpenMP prints its settings whenever a program loads it
export OMP_DISPLAY_ENV

# loads NUMBER NAME=VALUE ARGUMENT...: the program with that variable fails as it should, loaded NUMBER times.
loads() {
	number=$1
	setting=$2
	shift 2
	checks=$((checks + 3))
	status=0
	env "$setting" "$program" "$@" >out 2>err </dev/null || status=$?
	[ $status -eq 2 ] || problem "exit status $status of: $setting pipeline $*"
	[ "$(grep -c '^pipeline: ' err)" -eq 1 ] || problem "not one message of: $setting pipeline $*"
	[ "$(grep -c 'ENVIRONMENT BEGIN' err)" -eq $number ] || problem "not loaded $number times: $setting pipeline $*"
}

"$program" doctor >out 2>err || true
if ! grep -q 'GOMP_SPINCOUNT' err; then
	echo "the program's OpenMP is not GNU's"
	exit 77
fi
loads 2 X=1 run nosuch.yaml
contains err "GOMP_SPINCOUNT = '5000'"
loads 1 GOMP_SPINCOUNT=77 run nosuch.yaml
contains err "GOMP_SPINCOUNT = '77'"
loads 1 OMP_WAIT_POLICY=passive run nosuch.yaml
loads 1 OMP_NUM_THREADS=1 run nosuch.yaml
loads 2 X=1 evaluate
loads 2 X=1 bench
loads 1 X=1 plan nosuch.yaml
unset OMP_DISPLAY_ENV

# Started by the loader or under valgrind, /proc/self/exe is not the program: it is not started again.
base_config >t.yaml
loader=$(ldd "$program" | sed -n 's/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\) .*/\1/p')
if [ -n "$loader" ]; then
	checks=$((checks + 1))
	status=0
	"$loader" "$program" run t.yaml --out loaded/t >out 2>err </dev/null || status=$?
	[ $status -eq 0 ] || problem "exit status $status of a run that the loader has started"
fi

# How many threads: those that OpenMP binds to places are as many as without binding, not those of the first place.
threads_with() { # NAME=VALUE...
	env "$@" "$program" doctor --json >doctor.json 2>err || problem "doctor with $*"
	sed -n 's/.*"threads":[^0-9]*\([0-9]*\).*/\1/p' doctor.json
}
all=$(threads_with X=1)
for setting in OMP_PROC_BIND=true OMP_PROC_BIND=close OMP_PROC_BIND=spread OMP_PLACES=threads; do
	n=$(threads_with $setting)
	check "$setting leaves $all threads, found $n" [ "$n" = "$all" ]
	# The program that a run starts again has inherited the place of the first thread.
	env $setting "$program" run t.yaml --out bound/t --set threads=0 >out 2>err </dev/null || problem "run with $setting"
	check "$setting leaves them to a run" grep -q "^t: .* $all threads* (the places of OpenMP)" err
	rm -rf bound
done
check "SLURM_CPUS_PER_TASK counts" [ "$(threads_with SLURM_CPUS_PER_TASK=1 OMP_NUM_THREADS=2)" = 1 ]
check "but not beyond the cores" [ "$(threads_with SLURM_CPUS_PER_TASK=999)" = "$all" ]
contains doctor.json "usable cores; SLURM_CPUS_PER_TASK asks for 999"
check "nor does OMP_NUM_THREADS" [ "$(threads_with OMP_NUM_THREADS=999)" = "$all" ]
check "affinity is the limit" [ "$(taskset -c 0 env SLURM_CPUS_PER_TASK=2 "$program" doctor | sed -n 's/ *threads: //p')" = 1 ]
works plan t.yaml --set threads=$((all + 1))
contains out "$((all + 1)) threads (as given, more than $all: "
check "OMP_NUM_THREADS counts" [ "$(threads_with OMP_NUM_THREADS=1)" = 1 ]
check "OMP_THREAD_LIMIT counts" [ "$(threads_with OMP_THREAD_LIMIT=1)" = 1 ]
check "also where more are asked for" sh -c "OMP_THREAD_LIMIT=1 '$program' plan t.yaml --set threads=2 | grep -q '1 thread (OMP_THREAD_LIMIT)'"
# More threads than cores that they may use share those, whatever other cores are free.
check "more threads than OpenMP's places are said to share them" sh -c \
	"OMP_PLACES='{0}' OMP_PROC_BIND=true '$program' plan t.yaml --set threads=2 | grep -q '2 threads (as given, more than 1: the places of OpenMP)'"
works plan t.yaml --set threads=0
contains out " ($(sed -n 's/.*"threads_from":[^"]*"\([^"]*\)".*/\1/p' doctor.json | sed 's/OMP_THREAD_LIMIT/usable cores/')"

# Small stacks, of the program and of its threads.
if ! grep -q 'asan' "$program" 2>/dev/null; then
	for limit in "-S -s 64" "-s 64" "-s 24"; do
		checks=$((checks + 1))
		status=0
		(ulimit $limit && exec "$program" run t.yaml --out small/t --set threads=2) >out 2>err </dev/null || status=$?
		[ $status -eq 0 ] || problem "exit status $status with ulimit $limit"
		rm -rf small
	done
fi
finish
