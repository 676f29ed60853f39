/* What is built in: one row per backend and per kind of stage. */
#include "pipeline/registry.h"

#include <string.h>

#include "base/err.h"
#include "cpu/cpu.h"
#ifdef HAVE_CUDA
#include "cuda/cuda.h"
#endif

/* In the order in which `auto` tries them: training devices first, last the one that every machine has. */
static const struct backend *const backends[] = {
#ifdef HAVE_CUDA
    &cuda_backend,
#endif
    &cpu_backend, NULL};
static const struct stage_kind *const stages[] = {
    &stage_train, &stage_distill, &stage_prune, &stage_quantize, &stage_joint, &stage_federate, &stage_evaluate, NULL};

int registry_backend(const char *name, const struct backend **out)
{
	for (int i = 0; backends[i]; i++)
		if (strcmp(backends[i]->name, name) == 0) {
			*out = backends[i];
			return 0;
		}
	return err_set(ERR_DEVICE, "device '%s': this program was built without a %s backend", name, name);
}

const char *registry_auto(void)
{
	static const char *chosen; /* opening a GPU takes a while */
	for (int i = 0; !chosen; i++) {
		void *ctx = NULL;
		if (backends[i + 1] && backends[i]->open(&ctx, &(struct open_options){0}) < 0) {
			err_clear(); /* doctor says why */
			continue;
		}
		backends[i]->close(ctx);
		chosen = backends[i]->name;
	}
	return chosen;
}

const struct backend *const *registry_backends(void)
{
	return backends;
}

const struct stage_kind *const *registry_stages(void)
{
	return stages;
}

const struct stage_kind *registry_stage(const char *name)
{
	for (int i = 0; stages[i]; i++)
		if (strcmp(stages[i]->name, name) == 0)
			return stages[i];
	return NULL;
}
