/* pipeline doctor: what this program and this machine have, and what they lack. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/err.h"
#include "pipeline/command.h"
#include "pipeline/registry.h"
#include "pipeline/version.h"

/* Each backend either describes itself or gives the reason why it cannot be used. */
static cJSON *describe_backend(const struct backend *b)
{
	cJSON *o = cJSON_CreateObject();
	void *ctx = NULL;
	int rc = b->open(&ctx, 0);
	cJSON_AddBoolToObject(o, "usable", rc == 0);
	if (rc == 0)
		rc = b->describe(ctx, o);
	if (rc < 0)
		cJSON_AddStringToObject(o, "reason", err_message());
	if (ctx)
		b->close(ctx);
	return o;
}

static cJSON *examine(void)
{
	cJSON *o = cJSON_CreateObject();
	struct utsname u;
	cJSON_AddStringToObject(o, "program_version", program_version);
	cJSON_AddStringToObject(o, "program_commit", program_commit);
	if (uname(&u) == 0) {
		cJSON_AddStringToObject(o, "system", u.sysname);
		cJSON_AddStringToObject(o, "release", u.release);
		cJSON_AddStringToObject(o, "machine", u.machine);
	}
	cJSON_AddStringToObject(o, "auto_device", registry_auto());
	cJSON *backends = cJSON_AddObjectToObject(o, "backends");
	for (const struct backend *const *b = registry_backends(); *b; b++)
		cJSON_AddItemToObject(backends, (*b)->name, describe_backend(*b));
	const struct backend *cuda;
	if (registry_backend("cuda", &cuda) < 0) {
		cJSON *missing = cJSON_AddObjectToObject(backends, "cuda");
		cJSON_AddBoolToObject(missing, "usable", false);
		cJSON_AddStringToObject(missing, "reason", err_message());
		err_clear();
	}
	return o;
}

static void print_object(const cJSON *o, int depth)
{
	const cJSON *v;
	cJSON_ArrayForEach(v, o)
	{
		printf("%*s%s:", 2 * depth, "", v->string ? v->string : "-");
		if (cJSON_IsObject(v)) {
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
	static const struct flag flags[] = {{"json", false, 'j'}, {NULL, false, 0}};
	struct args args;
	bool json = false;
	int id;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		json = true;
	}
	int rc = args_count(&args, 0, 0, "");
	if (rc < 0)
		return rc;
	cJSON *o = examine();
	if (json)
		return command_print_json(o);
	print_object(o, 0);
	cJSON_Delete(o);
	return 0;
}
