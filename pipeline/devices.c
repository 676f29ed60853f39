/* Opening the devices that a config asks for. */
#include "pipeline/devices.h"

#include <stdio.h>

#include "base/err.h"
#include "ranks/ranks.h"

static int describe(struct device dev, cJSON **out)
{
	*out = cJSON_CreateObject();
	return *out ? dev.backend->describe(dev.ctx, *out) : err_set(ERR_NOMEM, "out of memory");
}

/* One process of several on a machine takes the GPU of its turn, unless it sees but one. */
static int own_gpu(const struct backend *b, const struct ranks *r, int first)
{
	cJSON *list = r && b->list ? cJSON_CreateArray() : NULL;
	const int n = list && b->list(list) == 0 ? cJSON_GetArraySize(list) : 0;
	cJSON_Delete(list);
	err_clear();
	return n > 1 ? (first + r->local) % n : first;
}

static int open_train(struct chain *c, const struct open_options *o)
{
	const struct backend *b;
	void *ctx = NULL;
	int rc = registry_backend(c->train_name, &b);
	if (!rc && b == c->cpu.backend) {
		c->train = c->cpu;
		return 0;
	}
	struct open_options own = *o;
	if (!rc) {
		own.gpu = own_gpu(b, ranks_world(), o->gpu);
		rc = b->open(&ctx, &own);
	}
	if (rc)
		return rc;
	c->train = (struct device){b, ctx};
	c->own_train = true;
	return describe(c->train, &c->gpu_info);
}

static void write_train_text(struct chain *c)
{
	if (c->own_train)
		snprintf(c->train_text, sizeof(c->train_text), "%s (%s), GPU %d: %s", c->train_name, c->train_choice,
		    (int)c->config->top.device.gpu, device_traits(c->train)->name);
	else
		snprintf(c->train_text, sizeof(c->train_text), "%s (%s)", c->train_name, c->train_choice);
}

/* All ranks compute with as many threads as rank 0, on which bytes depend. */
static int open_cpu(struct chain *c, const struct backend *b, struct open_options *o)
{
	struct ranks *r = ranks_world();
	int rc = 0;
	o->processes = r ? r->local_n : c->planned.local_n;
	if (!r)
		return b->open(&c->cpu.ctx, o);
	if (r->me == 0)
		rc = b->open(&c->cpu.ctx, o);
	int threads = rc || r->me ? 0 : b->traits(c->cpu.ctx)->threads;
	struct meeting m = {.at = "the number of threads", .rc = rc};
	rc = ranks_share(r, &m, &threads, sizeof(threads));
	if (rc || r->me == 0)
		return rc;
	o->threads = threads;
	return b->open(&c->cpu.ctx, o);
}

int devices_open(struct chain *c, bool plan_only)
{
	static const char *const choices[] = {"auto", "cpu", "cuda"};
	const char *asked = choices[c->config->top.device.train];
	const struct backend *b;
	c->train_choice = c->config->top.device.train == 0 ? "auto" : "config";
	c->train_name = c->config->top.device.train == 0 ? registry_auto() : asked;
	int rc = registry_backend("cpu", &b);
	if (rc)
		return rc;
	struct open_options o = {.threads = (int)c->config->top.threads, .gpu = (int)c->config->top.device.gpu};
	rc = open_cpu(c, b, &o);
	if (c->cpu.ctx)
		c->cpu.backend = b;
	if (rc)
		return rc;
	rc = open_train(c, &o);
	if (rc == ERR_DEVICE && plan_only) {
		snprintf(c->train_missing, sizeof(c->train_missing), "%s", err_message());
		err_clear();
		rc = 0;
	}
	if (rc)
		return rc;
	write_train_text(c);
	const struct device_traits *t = device_traits(c->cpu);
	c->threads = t->threads;
	snprintf(c->threads_text, sizeof(c->threads_text), "%d thread%s (%s)", t->threads, t->threads == 1 ? "" : "s",
	    t->threads_from);
	return describe(c->cpu, &c->cpu_info);
}

void devices_close(struct chain *c)
{
	cJSON_Delete(c->cpu_info);
	cJSON_Delete(c->gpu_info);
	if (c->own_train)
		c->train.backend->close(c->train.ctx);
	if (c->cpu.backend)
		c->cpu.backend->close(c->cpu.ctx);
}
