# cmake --install puts the program, the configs and the man page in place, and the installed program runs.
. "$(dirname "$0")/lib.sh"

command -v cmake >/dev/null || exit 77
cmake --install "$build_dir" --prefix "$work/usr" >install.log 2>&1 || problem "cmake --install: $(tail -5 install.log)"
program=$work/usr/bin/pipeline
check "the program" [ -x "$program" ]
check "the configs" [ -s usr/share/pipeline/configs/kd_prune_quant.yaml ]
check "the man page" [ -s usr/share/man/man1/pipeline.1 ]
works --version
works doctor
works plan usr/share/pipeline/configs/kd_prune_quant.yaml
contains out "5 of 5 stages to run"
base_config >t.yaml
works run t.yaml
if command -v man >/dev/null; then
	check "the man page has no errors" sh -c '[ -z "$(man --warnings -l usr/share/man/man1/pipeline.1 2>&1 >/dev/null)" ]'
fi
finish
