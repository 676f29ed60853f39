/* decisions.safetensors: what each model says of each test sample. Two runs on the same test split are compared sample
 * by sample from these files, long after the models are gone. */
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "stages/evaluate.h"
#include "store/safetensors.h"

static int put(struct tensor_file *f, const char *name, const struct task *t, int64_t n, const uint8_t *rows)
{
	const int64_t dim[] = {n, t->classes};
	const bool set = t->kind->target == TARGET_SET;
	const enum dtype type = set || t->classes <= 256 ? DT_U8 : DT_S32;
	return tensor_file_borrow(f, name, type, shape_of(set ? 2 : 1, dim), rows);
}

/* A checkpoint that is evaluated twice decides the same twice. */
static int put_model(struct tensor_file *f, const struct evaluated *m, int64_t n)
{
	char *name = mem_printf("decided.%s", m->name);
	int rc = name ? 0 : ERR_NOMEM;
	if (!rc && !tensor_file_find(f, name))
		rc = put(f, name, &m->model.ckpt.task, n, m->decided);
	mem_free(name);
	return rc;
}

int evaluate_write_decisions(const struct evaluation *e)
{
	const struct task *t = &e->model[0].model.ckpt.task;
	const struct dataset *d = e->run->data;
	const int64_t n = d->n[SPLIT_TEST];
	const int width = task_decided_width(t);
	const struct targets targets = task_targets(d, SPLIT_TEST, 0);
	struct tensor_file f = {0};
	char path[1024];
	uint8_t *truth = mem_alloc((size_t)n, (size_t)width);
	int rc = truth ? fs_join(path, sizeof(path), e->run->out_dir, "decisions.safetensors") : ERR_NOMEM;
	for (int64_t i = 0; !rc && i < n; i++)
		task_true_row(t, &targets, i, truth + i * width);
	if (!rc)
		rc = put(&f, "truth", t, n, truth);
	for (int i = 0; !rc && i < e->n; i++)
		rc = put_model(&f, &e->model[i], n);
	if (!rc)
		rc = tensor_file_write(&f, path);
	tensor_file_clear(&f);
	mem_free(truth);
	return rc;
}
