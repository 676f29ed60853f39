# `run` shortens the spinning of OpenMP's threads unless the user has chosen; nothing else is started twice.
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
loads 1 X=1 plan nosuch.yaml
finish
