# A sweep on a real Slurm of one node: arrays by level, one task of which is preempted, queued again and goes on.
. "$(dirname "$0")/lib.sh"
[ -f "$source_dir/tests/cli/lib_slurm.sh" ] || exit 77
. "$source_dir/tests/cli/lib_slurm.sh"

base_config >t.yaml
base_config | sed "/^threads/d; s/big, epochs: 2}/big, epochs: $(slurm_epochs t.yaml teacher)}/; s/epochs: 2}/epochs: 100}/" >base.yaml
cat >grid.yaml <<'END'
base: base.yaml
axes:
  stages.student.temperature: [2, 4]
  chain:
    kd_only: [teacher, student, evaluate]
    kd_quant: [teacher, student, quantize, evaluate]
END
works sweep grid.yaml --out whole/grid
slurm_start
works sweep grid.yaml --slurm --partition low --cpus 1 --time 10 --mem 0 --submit
check "it returns at once" [ -z "$(ls runs/grid/cells/*/finished.json 2>/dev/null)" ]
contains out "level-3.txt, tasks 0-3, afterany:"
works sweep grid.yaml --status
[ "$(grep -c '^note: squeue' out)" -eq 0 ] || problem "squeue is not understood"

teacher=$(echo runs/grid/cells/0000-*)
check "the teacher is trained" wait_for is_training "$teacher/.01-teacher.part"
check "it is held" slurm_hold "$teacher/config.yaml"
sbatch --partition=high --cpus-per-task="$(nproc)" --mem=0 --time=1 --output=/dev/null --wrap=true >/dev/null
check "it is told" slurm_let_go
check "all jobs end" slurm_wait 240 slurm_is_empty
works sweep grid.yaml --status
contains out "4 cells: 4 finished"
check "the teacher was interrupted and went on" \
	grep -q '"resumed":' "$(echo runs/grid/cells/0000-*)/01-teacher/checkpoint_info.json"
check "it was trained in one cell" [ "$(grep -l '^01-teacher: train$' runs/grid/cells/*/run.log | wc -l)" -eq 1 ]
for cell in 0000 0001 0002 0003; do
	check "the bytes of cell $cell are those of a sweep without interruption" \
		cmp "$(echo whole/grid/cells/$cell-*)/02-student/model.safetensors" \
		"$(echo runs/grid/cells/$cell-*)/02-student/model.safetensors"
done
[ $failures -eq 0 ] || {
	cat runs/grid/slurm/01/logs/*.log runs/grid/cells/*/run.log
	slurm_says
}
works sweep grid.yaml --slurm
contains out "nothing to submit: all 4 cells are finished or at work"
finish
