#include "study/groups.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* Where a run's seed and fold stand; its name and folders say nothing about its figures. */
static bool is_repetition(const char *path)
{
	static const char *const paths[] = {"seed", "fold", "data.fold", "name", "out", "store"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (!strcmp(path, paths[i]))
			return true;
	return false;
}

/* Adds every option of a resolved config under its path. */
static bool flatten(const cJSON *o, const char *prefix, cJSON *out)
{
	const cJSON *v;
	bool ok = true;
	cJSON_ArrayForEach(v, o)
	{
		char *path = mem_printf("%s%s%s", prefix, *prefix ? "." : "", v->string);
		if (!path)
			return false;
		if (cJSON_IsObject(v))
			ok = flatten(v, path, out);
		else if (!is_repetition(path))
			ok = cJSON_AddItemToObject(out, path, cJSON_Duplicate(v, true));
		mem_free(path);
		if (!ok)
			return false;
	}
	return true;
}

/* What tells a run from those of other groups: the axes of its cell, else all of its config. */
static cJSON *options_of(const struct study_run *r)
{
	const cJSON *axes = cJSON_GetObjectItemCaseSensitive(r->cell, "axes"), *v;
	cJSON *out = cJSON_CreateObject();
	bool ok = out != NULL;
	if (!axes) {
		ok = ok && flatten(cJSON_GetObjectItemCaseSensitive(r->run, "resolved"), "", out);
	} else {
		cJSON_ArrayForEach(v, axes) if (ok && !is_repetition(v->string)) ok =
		    cJSON_AddItemToObject(out, v->string, cJSON_Duplicate(v, true));
	}
	if (!ok) {
		cJSON_Delete(out);
		return NULL;
	}
	return out;
}

/* A run by itself that has no description is like no other. */
static char *key_of(const struct study_run *r, const cJSON *options)
{
	char *text = cJSON_PrintUnformatted(options);
	const char *of = r->sweep ? r->sweep : r->run ? study_text(r->run, "name") : r->path;
	char *key = text ? mem_printf("%s\n%s", of, text) : NULL;
	cJSON_free(text);
	return key;
}

static int add_member(struct study_group *g, int run)
{
	int *grown = mem_grow(g->run, (size_t)g->n, (size_t)g->n + 1, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	g->run = grown;
	g->run[g->n++] = run;
	return 0;
}

/* The group of a key; a new one takes `axes`. */
static int find_or_add(struct study_groups *g, char *key, cJSON **axes, struct study_group **out)
{
	for (int i = 0; i < g->n; i++) {
		if (strcmp(g->group[i].key, key))
			continue;
		mem_free(key);
		*out = &g->group[i];
		return 0;
	}
	struct study_group *grown = mem_grow(g->group, (size_t)g->n, (size_t)g->n + 1, sizeof(*grown));
	if (!grown) {
		mem_free(key);
		return ERR_NOMEM;
	}
	g->group = grown;
	*out = &g->group[g->n++];
	**out = (struct study_group){.key = key, .axes = *axes};
	*axes = NULL;
	return 0;
}

static int mark_repeat(struct study *s, const struct study_group *g)
{
	struct study_run *own = &s->run[g->run[g->n - 1]];
	for (int i = 0; i < g->n - 1; i++) {
		const struct study_run *r = &s->run[g->run[i]];
		bool same = (r->seed <= own->seed && r->seed >= own->seed) && r->fold == own->fold;
		if (!same || r->state != STUDY_FINISHED || own->state != STUDY_FINISHED)
			continue;
		own->state = STUDY_REPEATED;
		own->why = mem_printf("the config, seed and fold of %s again", r->path);
		return own->why ? 0 : ERR_NOMEM;
	}
	return 0;
}

/* ---- axes ---- */

static bool has_axis(const struct study_groups *g, const char *path)
{
	for (int i = 0; i < g->n_axes; i++)
		if (!strcmp(g->axis[i], path))
			return true;
	return false;
}

static bool differs(const struct study_groups *g, const char *path)
{
	const cJSON *first = cJSON_GetObjectItemCaseSensitive(g->group[0].axes, path);
	for (int i = 1; i < g->n; i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(g->group[i].axes, path);
		if (!v != !first || (v && !cJSON_Compare(v, first, true)))
			return true;
	}
	return false;
}

/* Adds those of groups of cells, or of groups of whole configs; 1: there are too many. */
static int add_axes(struct study_groups *g, const struct study *s, bool of_cells)
{
	for (int i = 0; i < g->n; i++) {
		const cJSON *cell = s->run[g->group[i].run[0]].cell, *v;
		if ((cJSON_GetObjectItemCaseSensitive(cell, "axes") != NULL) != of_cells)
			continue;
		cJSON_ArrayForEach(v, g->group[i].axes)
		{
			if (has_axis(g, v->string) || !differs(g, v->string))
				continue;
			if (g->n_axes == STUDY_AXES_MAX)
				return 1;
			g->axis[g->n_axes] = mem_strdup(v->string);
			if (!g->axis[g->n_axes])
				return ERR_NOMEM;
			g->n_axes++;
		}
	}
	return 0;
}

/* Groups of whole configs are told apart only if few options differ; cells by their axes all the same. */
static int find_axes(struct study_groups *g, const struct study *s)
{
	int rc = add_axes(g, s, true);
	const int of_cells = rc > 0 ? 0 : g->n_axes;
	if (!rc)
		rc = add_axes(g, s, false);
	while (rc > 0 && g->n_axes > of_cells)
		mem_free(g->axis[--g->n_axes]);
	return rc > 0 ? 0 : rc;
}

void study_axis_text(const struct study_group *g, const char *axis, struct str *out)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(g->axes, axis);
	char *text;
	if (!v)
		return;
	if (cJSON_IsString(v)) {
		str_add(out, v->valuestring);
		return;
	}
	text = cJSON_PrintUnformatted(v);
	str_add(out, text ? text : "");
	out->failed |= !text;
	cJSON_free(text);
}

/* "sparsity=0.5 lr=0.01", of the axes that the group has; empty without any. */
static void axes_text(const struct study_groups *g, const struct study_group *of, struct str *out)
{
	for (int i = 0; i < g->n_axes; i++) {
		const char *dot = strrchr(g->axis[i], '.');
		if (!cJSON_GetObjectItemCaseSensitive(of->axes, g->axis[i]))
			continue;
		str_addf(out, "%s%s=", out->len ? " " : "", dot ? dot + 1 : g->axis[i]);
		study_axis_text(of, g->axis[i], out);
	}
}

static bool is_taken(const struct study_groups *g, int before, const char *label)
{
	for (int i = 0; i < before; i++)
		if (!strcmp(g->group[i].label, label))
			return true;
	return false;
}

/* A run's own name where that is enough, else what differs, else its folder. */
static int make_label(struct study_groups *g, const struct study *s, int at, bool names_differ)
{
	struct study_group *own = &g->group[at];
	const struct study_run *r = &s->run[own->run[0]];
	const char *name = r->sweep                      ? study_base(r->sweep)
			   : *study_text(r->run, "name") ? study_text(r->run, "name")
							 : study_run_name(r);
	struct str axes = {0}, label = {0};
	axes_text(g, own, &axes);
	if (r->sweep && axes.len)
		str_add(&label, str_text(&axes));
	else
		str_addf(&label, "%s%s%s", name, axes.len && !names_differ ? " " : "",
		    axes.len && !names_differ ? str_text(&axes) : "");
	if (is_taken(g, at, str_text(&label)) && names_differ)
		str_addf(&label, " %s", str_text(&axes));
	if (is_taken(g, at, str_text(&label)))
		str_addf(&label, " (%s)", r->path);
	own->label = label.failed || axes.failed ? NULL : mem_strdup(str_text(&label));
	str_clear(&axes);
	str_clear(&label);
	return own->label ? 0 : ERR_NOMEM;
}

static bool names_differ(const struct study_groups *g, const struct study *s)
{
	for (int i = 0; i < g->n; i++)
		for (int k = 0; k < i; k++)
			if (!strcmp(study_text(s->run[g->group[i].run[0]].run, "name"),
				study_text(s->run[g->group[k].run[0]].run, "name")))
				return false;
	return true;
}

int study_groups_make(struct study_groups *g, struct study *s)
{
	int rc = 0;
	*g = (struct study_groups){0};
	for (int i = 0; !rc && i < s->n; i++) {
		struct study_group *of;
		cJSON *options = options_of(&s->run[i]);
		char *key = options ? key_of(&s->run[i], options) : NULL;
		rc = key ? find_or_add(g, key, &options, &of) : ERR_NOMEM;
		if (!rc)
			rc = add_member(of, i);
		if (!rc)
			rc = mark_repeat(s, of);
		cJSON_Delete(options);
	}
	if (!rc && g->n > 1)
		rc = find_axes(g, s);
	const bool apart = !rc && names_differ(g, s);
	for (int i = 0; !rc && i < g->n; i++)
		rc = make_label(g, s, i, apart);
	return rc ? err_set((enum err)rc, "out of memory") : 0;
}

void study_groups_clear(struct study_groups *g)
{
	for (int i = 0; i < g->n; i++) {
		mem_free(g->group[i].key);
		mem_free(g->group[i].label);
		mem_free(g->group[i].run);
		cJSON_Delete(g->group[i].axes);
	}
	for (int i = 0; i < g->n_axes; i++)
		mem_free(g->axis[i]);
	mem_free(g->group);
	*g = (struct study_groups){0};
}
