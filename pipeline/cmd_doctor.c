/* pipeline doctor: what this program and this machine have, and what they lack. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "pipeline/command.h"
#include "pipeline/doctor_slurm.h"
#include "pipeline/registry.h"
#include "pipeline/version.h"
#include "ranks/ranks.h"

/* All that `device.gpu` can choose among; nothing where there is none, for the reason has been given. */
static void list_devices(const struct backend *b, struct json_out o)
{
	cJSON *list = b->list ? cJSON_CreateArray() : NULL;
	if (list && b->list(list) == 0)
		json_out_item(o, "devices", list);
	else
		cJSON_Delete(list);
	err_clear();
}

/* Each backend either describes itself or gives the reason why it cannot be used. */
static void describe_backend(const struct backend *b, struct json_out o, struct device_traits *traits)
{
	void *ctx = NULL;
	int rc = b->open(&ctx, &(struct open_options){0});
	json_out_bool(o, "usable", !rc);
	if (!rc)
		*traits = *b->traits(ctx);
	if (!rc && *o.ok)
		rc = b->describe(ctx, o.at);
	if (rc)
		json_out_text(o, "reason", err_message());
	if (ctx)
		b->close(ctx);
	list_devices(b, o);
}

/* Whether several processes can train together, and whether several were started. */
static void describe_ranks(struct json_out o)
{
	struct ranks_started started;
	char version[128];
	const bool built = ranks_built(version, sizeof(version));
	ranks_look(&started);
	json_out_bool(o, "usable", built);
	json_out_text(o, built ? "mpi" : "reason", version);
	if (started.n < 2)
		return;
	json_out_number(o, "started", started.n);
	json_out_text(o, "started_by", started.by);
}

/* slurm: whether the cluster is asked, too. cpu: what is known of the device that deploys. */
static int examine(bool slurm, struct device_traits *cpu, cJSON **out)
{
	bool ok;
	struct json_out o = json_out_begin(&ok);
	struct utsname u;
	json_out_text(o, "program_version", program_version);
	json_out_text(o, "program_commit", program_commit);
	if (uname(&u) == 0) {
		json_out_text(o, "system", u.sysname);
		json_out_text(o, "release", u.release);
		json_out_text(o, "machine", u.machine);
	}
	json_out_text(o, "auto_device", registry_auto());
	struct json_out backends = json_out_object(o, "backends");
	for (const struct backend *const *b = registry_backends(); *b; b++) {
		struct device_traits traits = {0};
		describe_backend(*b, json_out_object(backends, (*b)->name), &traits);
		if (strcmp((*b)->name, "cpu") == 0)
			*cpu = traits;
	}
	const struct backend *cuda;
	if (registry_backend("cuda", &cuda) < 0) {
		struct json_out missing = json_out_object(backends, "cuda");
		json_out_bool(missing, "usable", false);
		json_out_text(missing, "reason", err_message());
		err_clear();
	}
	describe_ranks(json_out_object(o, "ranks"));
	if (slurm)
		doctor_slurm(json_out_object(o, "slurm"));
	return json_out_end(o, out);
}

static const char *text(const cJSON *o, const char *key, const char *missing)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(o, key));
	return s ? s : missing;
}

/* What the reader wants to know first: where training runs, and what INT8 is worth here. */
static char *verdict(const cJSON *o, const struct device_traits *t)
{
	const cJSON *backends = cJSON_GetObjectItem(o, "backends"), *cpu = cJSON_GetObjectItem(backends, "cpu");
	const cJSON *cuda = cJSON_GetObjectItem(backends, "cuda");
	const char *device = text(o, "auto_device", "cpu");
	if (!cJSON_IsTrue(cJSON_GetObjectItem(cpu, "usable")))
		return mem_printf("nothing can run: %s", text(cpu, "reason", "the CPU backend cannot be used"));
	bool on_cpu = strcmp(device, "cpu") == 0;
	const cJSON *slurm = cJSON_GetObjectItem(o, "slurm");
	return mem_printf("training runs on %s%s%s\nINT8 runs on the CPU (%d thread%s: %s; %s) %s%s%s", device,
	    on_cpu ? "; " : "", on_cpu ? text(cuda, "reason", "not asked for") : "", t->threads,
	    t->threads == 1 ? "" : "s", t->threads_from, t->isa,
	    t->vnni ? "with VNNI: exact and fast" : "without VNNI: exact, but slower than with it",
	    slurm ? "\nSlurm: " : "", slurm ? text(slurm, "verdict", text(slurm, "reason", "")) : "");
}

static void print_object(const cJSON *o, int depth)
{
	const cJSON *v;
	cJSON_ArrayForEach(v, o)
	{
		printf("%*s%s:", 2 * depth, "", v->string ? v->string : "-");
		if (cJSON_IsObject(v) || (cJSON_IsArray(v) && cJSON_IsObject(v->child))) {
			printf("\n");
			print_object(v, depth + 1);
			continue;
		}
		char *text = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
		printf(" %s\n", text ? text : cJSON_IsString(v) ? v->valuestring : "");
		cJSON_free(text);
	}
}

int cmd_doctor(int argc, char **argv)
{
	static const struct flag flags[] = {{"json", false, 'j'}, {"slurm", false, 's'}, {NULL, false, 0}};
	struct args args;
	bool json = false, slurm = false;
	int id;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		json |= id == 'j';
		slurm |= id == 's';
	}
	int rc = args_count(&args, 0, 0, "");
	struct device_traits cpu = {0};
	cJSON *o = NULL;
	if (!rc)
		rc = examine(slurm, &cpu, &o);
	if (rc)
		return rc;
	char *first = verdict(o, &cpu);
	if (!first) {
		cJSON_Delete(o);
		return ERR_NOMEM;
	}
	if (json) {
		bool ok;
		json_out_text(json_out_into(o, &ok), "verdict", first);
		mem_free(first);
		if (ok)
			return command_print_json(o);
		cJSON_Delete(o);
		return err_set(ERR_NOMEM, "out of memory");
	}
	printf("%s\n\n", first);
	mem_free(first);
	print_object(o, 0);
	cJSON_Delete(o);
	return 0;
}
