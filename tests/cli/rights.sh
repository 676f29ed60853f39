# What a user may not read or write is named with the reason, ends with the status of its kind, and is never taken for
# something that is not there. Needs a user who is bound by rights: the superuser becomes another one.
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" -eq 0 ]; then
	if ! setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
		echo "setpriv is not here"
		exit 77
	fi
	chmod 755 .
	printf '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups %s "$@"\n' "$program" >user
	chmod 755 user
	program=$work/user
	if ! "$program" --version >/dev/null 2>&1; then
		echo "another user cannot start the program"
		exit 77
	fi
	own() { chown -R 65534 "$1"; }
else
	own() { :; }
	snapshot() { :; } # it cannot look into what is closed either
fi
base_config >t.yaml
mkdir runs data data/a data/b
for i in 1 2 3 4 5 6 7 8; do
	"$tool" png data/a/$i.png 8 8
	"$tool" png data/b/$i.png 8 8
done
cat >d.yaml <<'END'
name: d
threads: 1
data: {source: images, path: data, val_fraction: 0.2, test_fraction: 0.2}
models: {m: {family: mlp, hidden: [4]}}
stages: {train: {model: m, epochs: 1}}
END
chmod -R a+rX t.yaml d.yaml data
own runs
works run t.yaml

# without MODE FILE STATUS TEXT ARGUMENT...: refused while the file has that mode.
without() {
	mode=$1
	closed=$2
	shift 2
	kept=$(stat -c %a "$closed")
	chmod "$mode" "$closed"
	refuses "$@"
	chmod "$kept" "$closed"
}

without 000 t.yaml 2 "t.yaml: Permission denied" plan t.yaml
without 000 data/a/3.png 3 "data/a/3.png: Permission denied" plan d.yaml
without 000 data/b 3 "data/b: Permission denied" plan d.yaml
without 000 data 3 "data: Permission denied" plan d.yaml
without 000 data 3 "data/a: Permission denied" evaluate runs/t/01-teacher --data data/a
without 000 runs 1 "runs/t: Permission denied" plan t.yaml
without 555 runs/t 1 "runs/t: Permission denied" run t.yaml
without 555 runs 1 "runs: Permission denied" plan d.yaml
without 000 runs/t/run.json 1 "runs/t/run.json: Permission denied" run t.yaml
without 000 runs/t/.lock 1 "runs/t/.lock: Permission denied" run t.yaml
unreadable="stage teacher is finished, but damaged or unreadable (remove its folder to run it again): runs/t/01-teacher"
without 000 runs/t/01-teacher 1 "$unreadable/stage.json: Permission denied" run t.yaml
without 000 runs/t/01-teacher/stage.json 1 "$unreadable/stage.json: Permission denied" plan t.yaml
for file in checkpoint_info.json model.safetensors; do
	without 000 runs/t/01-teacher/$file 4 "$unreadable/$file: Permission denied" run t.yaml
	without 000 runs/t/01-teacher/$file 4 "runs/t/01-teacher/$file: Permission denied" inspect runs/t/01-teacher
done
without 000 runs/t/01-teacher 4 "runs/t/01-teacher/checkpoint_info.json: Permission denied" predict runs/t/01-teacher data/a

# A store that cannot be used is said, and the run has its stages all the same.
chmod 000 runs/.store
works run t.yaml --out runs/u/t --set store=runs/.store
contains err "is not entered into the store: runs/.store/"
chmod 755 runs/.store
works run t.yaml
check "nothing was lost" [ "$(grep -c 'up to date$' err)" -eq 5 ]
finish
