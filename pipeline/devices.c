/* Opening the devices that a config asks for. */
#include "pipeline/devices.h"

#include <stdio.h>

#include "base/err.h"

static int describe(struct device dev, cJSON **out)
{
	*out = cJSON_CreateObject();
	return *out ? dev.backend->describe(dev.ctx, *out) : err_set(ERR_NOMEM, "out of memory");
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
	if (!rc)
		rc = b->open(&ctx, o);
	if (rc < 0)
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

int devices_open(struct chain *c, bool plan_only)
{
	static const char *const choices[] = {"auto", "cpu", "cuda"};
	const char *asked = choices[c->config->top.device.train];
	const struct backend *b;
	c->train_choice = c->config->top.device.train == 0 ? "auto" : "config";
	c->train_name = c->config->top.device.train == 0 ? registry_auto() : asked;
	int rc = registry_backend("cpu", &b);
	if (rc < 0)
		return rc;
	const struct open_options o = {.threads = (int)c->config->top.threads, .gpu = (int)c->config->top.device.gpu};
	rc = b->open(&c->cpu.ctx, &o);
	if (rc < 0)
		return rc;
	c->cpu.backend = b;
	rc = open_train(c, &o);
	if (rc == ERR_DEVICE && plan_only) {
		snprintf(c->train_missing, sizeof(c->train_missing), "%s", err_message());
		err_clear();
		rc = 0;
	}
	if (rc < 0)
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
