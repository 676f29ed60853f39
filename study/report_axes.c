/* The figures of a sweep whose axis is a number: how the last model of each cell does along it, a curve for each
 * combination of the other axes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "study/report_figure.h"

#define AXES_DRAWN 3
#define CURVES_MAX 12 /* more than these nobody can tell apart */

/* A number that may be a share, as in "30 %"; NaN: another text. */
static double axis_number(const struct study_group *g, const char *axis)
{
	struct str text = {0};
	char *end;
	study_axis_text(g, axis, &text);
	const char *begin = str_text(&text);
	double v = strtod(begin, &end);
	if (end != begin && *end == ' ')
		end++;
	if (end != begin && *end == '%')
		end++;
	if (end == begin || *end || !isfinite(v))
		v = NAN;
	str_clear(&text);
	return v;
}

static bool is_last(const struct compare *c, int i)
{
	return c->row[i].model && (i + 1 == c->n || c->row[i + 1].group != c->row[i].group);
}

/* At least two numbers, and no text. */
static bool is_numeric(const struct compare *c, const char *axis)
{
	double first = NAN;
	bool differ = false;
	for (int i = 0; i < c->groups.n; i++) {
		const double v = axis_number(&c->groups.group[i], axis);
		if (isnan(v))
			return false;
		differ |= !isnan(first) && (v < first || v > first);
		first = v;
	}
	return differ;
}

/* What a group's curve is called: the values of the other axes, and the model. */
static void curve_name(const struct compare *c, const struct compare_row *row, const char *axis, struct str *out)
{
	for (int i = 0; i < c->groups.n_axes; i++) {
		if (!strcmp(c->groups.axis[i], axis))
			continue;
		study_axis_text(row->group, c->groups.axis[i], out);
		str_add(out, " / ");
	}
	str_add(out, row->model);
}

static cJSON *find_curve(const cJSON *list, const char *name)
{
	cJSON *s;
	cJSON_ArrayForEach(s, list) if (!strcmp(study_text(s, "name"), name)) return s;
	return NULL;
}

/* Points come in the order of the numbers, whatever that of the axis is. */
static void put_point(cJSON *points, const double v[4], bool *ok)
{
	int at = 0;
	const cJSON *p;
	cJSON_ArrayForEach(p, points)
	{
		if (p->child->valuedouble > v[0])
			break;
		at++;
	}
	cJSON *point = cJSON_CreateDoubleArray(v, 4);
	if (!point || !cJSON_InsertItemInArray(points, at, point)) {
		cJSON_Delete(point);
		*ok = false;
	}
}

static int axis_curves(struct report *r, const char *name, const char *axis)
{
	const struct compare *c = r->compare;
	bool ok = true;
	char title[64];
	struct json_out list =
	    figure_begin(r, name, "Quality along an axis", "ranges", axis, figure_metric(r, title), -1, &ok);
	for (int i = 0; ok && i < c->n; i++) {
		const struct compare_row *row = &c->row[i];
		const double mean = figure_shown(row, row->spread.mean);
		const bool range = isfinite(row->low) && isfinite(row->high);
		const double v[] = {axis_number(row->group, axis), mean, range ? figure_shown(row, row->low) : mean,
		    range ? figure_shown(row, row->high) : mean};
		struct str curve = {0};
		if (!is_last(c, i) || isnan(mean))
			continue;
		curve_name(c, row, axis, &curve);
		if (!find_curve(list.at, str_text(&curve)))
			figure_series(list, str_text(&curve));
		cJSON *series = find_curve(list.at, str_text(&curve));
		if (series)
			put_point(cJSON_GetObjectItemCaseSensitive(series, "points"), v, &ok);
		ok &= series && !curve.failed;
		str_clear(&curve);
	}
	if (ok && cJSON_GetArraySize(list.at) > CURVES_MAX)
		cJSON_DeleteItemFromObjectCaseSensitive(r->figure[r->n_figure].data, "series");
	return figure_end(r, ok, "The last model of each cell: means over seeds and folds, and their 95 % intervals.");
}

int figure_axes(struct report *r)
{
	static const char *const names[AXES_DRAWN] = {"axis_1", "axis_2", "axis_3"};
	const struct study_groups *g = &r->compare->groups;
	int rc = 0, drawn = 0;
	for (int i = 0; !rc && i < g->n_axes && drawn < AXES_DRAWN; i++)
		if (is_numeric(r->compare, g->axis[i]))
			rc = axis_curves(r, names[drawn++], g->axis[i]);
	return rc;
}
