# A run that is killed (SIGKILL) at random moments, again and again, ends with the bytes of one in one piece, and so does
# every stage on the way. KILLS and SEED may be set: KILLS=1000 SEED=7 sh tests/cli/kill.sh ...
. "$(dirname "$0")/lib.sh"
seed=${SEED:-$(date +%s)}
base_config | sed 's/epochs: [12]/epochs: 20/; s/method: static/method: static, observer: auto/' >t.yaml
run_t() {
	exec "$program" run t.yaml --set state_seconds=0.01 "$@" >out 2>err </dev/null
}
now() { # milliseconds
	date +%s%3N
}

# At least as many kills as promised: 200, and under sanitizers, where a start takes longer than a whole run does without, as
# many as fit into the time but no fewer than 10. A test that has seen too few goes on, up to the limit.
enough=0
least_kills=200
least_resumed=3
limit=600000
if grep -q asan "$program" 2>/dev/null; then
	enough=20000
	least_kills=10
	limit=240000
fi
if [ -n "${KILLS-}" ]; then
	enough=0
	least_kills=$KILLS
	limit=$((limit + 10000 * KILLS))
fi

# The moment of a kill is drawn evenly from a window that begins as the length of a whole run. A run that ends before its
# kill narrows the window and a kill widens it, so that about seven in ten are killed, however fast the machine is and
# whatever else it does meanwhile.
begin=$(now)
status=0
(run_t --out whole/t) || status=$?
window=$(($(now) - begin))
check "a whole run works" [ $status -eq 0 ]
echo "seed $seed; a whole run takes $window ms"

same_bytes() { # WHEN
	for file in 01-teacher 02-student 03-prune 04-quantize; do
		[ ! -e runs/t/$file ] || check "$file has the bytes of a run in one piece $1" \
			cmp whole/t/$file/model.safetensors runs/t/$file/model.safetensors
	done
}

killed=0
whole=0
resumed=0
awk -v seed="$seed" -v n="$((2000 + 10 * least_kills))" \
	'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%d\n", 1000 * rand() }' >draws
begin=$(now)
while read -r draw; do
	run_t &
	pid=$!
	after=$((window * draw / 1000))
	sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
	kill -KILL $pid 2>/dev/null || true
	status=0
	wait $pid 2>/dev/null || status=$?
	# Of training alone: a run in one piece can find samples that another observer's equal model has seen.
	resumed=$((resumed + $(grep -c 'going on in epoch ' err || true)))
	case $status in
	137)
		killed=$((killed + 1))
		window=$((window * 11 / 10 + 1))
		;;
	0)
		same_bytes "after $killed kills"
		whole=$((whole + 1))
		window=$((window * 4 / 5))
		rm -rf runs
		;;
	*)
		problem "exit status $status after $killed kills, seed $seed"
		rm -rf runs
		;;
	esac
	spent=$(($(now) - begin))
	if [ $failures -ge 5 ] || [ $spent -ge $limit ]; then
		break
	fi
	if [ $spent -ge $enough ] && [ $killed -ge "$least_kills" ] && [ $resumed -ge $least_resumed ]; then
		break
	fi
done <draws
works run t.yaml
same_bytes "at the end"
check "nothing half-done is left" [ -z "$(find runs -name '*.part' -o -name '*.partial' -o -name '*.resume*')" ]
echo "$killed kills, $whole whole runs in between, $resumed times gone on from a state of training, in $spent ms"
check "at least $least_kills kills" [ $killed -ge "$least_kills" ]
check "at least $least_resumed times gone on from a state of training" [ $resumed -ge $least_resumed ]
finish
