#!/bin/sh
# The thread sanitizer is silent about the right kernels and reports each removed barrier at its line (see race.cu).
# usage: test_race.sh PROGRAM SOURCE
set -u
program=$1 source=$2
# The sanitizer needs its addresses free, which address randomisation may take.
run() { if command -v setarch >/dev/null 2>&1; then setarch -R "$program" "$1" 2>&1; else "$program" "$1" 2>&1; fi; }
fail() { printf '%s\n' "$2" "test_race: $1"; exit 1; }

text=$(run right) || fail "the right kernels end with an error" "$text"
case $text in *WARNING*) fail "a warning about the right kernels" "$text" ;; esac
for mistake in no-barrier reused no-syncwarp; do
	text=$(run $mistake)
	status=$?
	line=$(grep -n "LINE $mistake \*/" "$source" | cut -d: -f1)
	[ -n "$line" ] || fail "$source has no line for $mistake" ""
	[ $status -eq 66 ] || fail "$mistake: exit status $status, must be 66" "$text"
	case $text in *"data race"*) ;; *) fail "$mistake: no data race reported" "$text" ;; esac
	case $text in *"race.cu:$line"*) ;; *) fail "$mistake: line $line is not named" "$text" ;; esac
done
echo "right: silent; no-barrier, reused, no-syncwarp: reported"
