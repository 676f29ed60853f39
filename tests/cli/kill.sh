# A run that is killed (SIGKILL) at random moments, again and again, ends with the bytes of one in one piece, and so does
# every stage on the way. KILLS and SEED may be set: KILLS=1000 SEED=7 sh tests/cli/kill.sh ...
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$(date +%s)}
base_config | sed 's/epochs: [12]/epochs: 12/; s/method: static/method: static, observer: auto/' >t.yaml
works run t.yaml --out whole/t

# Under sanitizers a start takes longer than a whole run does without.
window=0.35
kills=${KILLS:-200}
if grep -q asan "$program" 2>/dev/null; then
	window=3
	kills=${KILLS:-20}
fi
echo "seed $seed, $kills kills"

# Times of the kills after the start, as lines; some runs are done before.
awk -v seed="$seed" -v n="$((3 * kills))" -v window="$window" \
	'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%.3f\n", window * rand() }' >times

same_bytes() { # WHEN
	for file in 01-teacher 02-student 03-prune 04-quantize; do
		[ ! -e runs/t/$file ] || check "$file has the bytes of a run in one piece $1" \
			cmp whole/t/$file/model.safetensors runs/t/$file/model.safetensors
	done
}

killed=0
whole=0
resumed=0
while read -r after; do
	"$program" run t.yaml --set state_seconds=0.01 >out 2>err </dev/null &
	pid=$!
	sleep "$after"
	kill -KILL $pid 2>/dev/null || true
	status=0
	wait $pid 2>/dev/null || status=$?
	resumed=$((resumed + $(grep -c 'going on ' err || true)))
	case $status in
	137) killed=$((killed + 1)) ;;
	0)
		same_bytes "after $killed kills"
		whole=$((whole + 1))
		rm -rf runs
		;;
	*)
		problem "exit status $status after $killed kills, seed $seed"
		rm -rf runs
		;;
	esac
	if [ $killed -ge "$kills" ] || [ $failures -ge 5 ]; then
		break
	fi
done <times
works run t.yaml
same_bytes "at the end"
check "nothing half-done is left" [ -z "$(find runs -name '*.part' -o -name '*.partial' -o -name '*.resume*')" ]
check "some went on from a state" [ $resumed -gt 0 ]
echo "$killed kills, $whole whole runs in between, $resumed times gone on from a state"
finish
