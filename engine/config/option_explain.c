/* Tables for people: what a row allows, in words, and the listing of `pipeline explain`. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/option_impl.h"

bool option_has_min(const struct option *row)
{
	return (row->min != 0.0 || row->max != 0.0) && row->min > -HUGE_VAL;
}

bool option_has_max(const struct option *row)
{
	double unlimited = row->type == OPT_INT || row->type == OPT_INTS ? 9.2e18 : HUGE_VAL;
	return (row->min != 0.0 || row->max != 0.0) && row->max < unlimited;
}

/* The shortest digits that are this number: 0.1, not 0.10000000000000001. */
static void add_number(double v, struct str *out)
{
	char text[40];
	for (int digits = 15; digits <= 17; digits++) {
		double back;
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (sscanf(text, "%lf", &back) == 1 && back == v)
			break;
	}
	str_add(out, text);
}

static void add_choices(const struct option *row, struct str *out)
{
	for (int i = 0; row->choices[i]; i++)
		str_addf(out, "%s%s", i ? ", " : "", row->choices[i]);
}

void option_limits(const struct option *row, struct str *out)
{
	if (row->choices) {
		add_choices(row, out);
	} else if (option_has_min(row) && option_has_max(row)) {
		add_number(row->min, out);
		str_add(out, "..");
		add_number(row->max, out);
	} else if (option_has_min(row) || option_has_max(row)) {
		str_add(out, option_has_min(row) ? ">= " : "<= ");
		add_number(option_has_min(row) ? row->min : row->max, out);
	}
}

static const char *type_in_words(const struct option *row)
{
	switch (row->type) {
	case OPT_BOOL:
		return "true or false";
	case OPT_INT:
		return "a whole number";
	case OPT_FLOAT:
		return "a number";
	case OPT_STRING:
		return "a text";
	case OPT_CHOICE:
		return "one of ";
	case OPT_INTS:
		return "a list of whole numbers";
	case OPT_FLOATS:
		return "a list of numbers";
	case OPT_STRINGS:
		return row->choices ? "a list of " : "a list of texts";
	case OPT_BLOCK:
		return "a mapping of keys to values";
	}
	return "";
}

void option_describe(const struct option *row, struct str *out)
{
	str_add(out, type_in_words(row));
	if (!row->choices && (option_has_min(row) || option_has_max(row)))
		str_add(out, option_has_min(row) && option_has_max(row) ? " in " : " ");
	option_limits(row, out);
}

static const char *type_name(const struct option *row)
{
	static const char *const names[] = {[OPT_BOOL] = "true/false",
	    [OPT_INT] = "integer",
	    [OPT_FLOAT] = "number",
	    [OPT_STRING] = "text",
	    [OPT_CHOICE] = "choice",
	    [OPT_INTS] = "integers",
	    [OPT_FLOATS] = "numbers",
	    [OPT_STRINGS] = "texts",
	    [OPT_BLOCK] = "block"};
	return names[row->type];
}

static const char *default_text(const struct option *row)
{
	return row->required ? "(required)" : row->def ? row->def : "-";
}

enum { COLUMNS = 4, WIDEST = 36, INDENT = 2 }; /* a wider cell pushes only its own row */

static void cell_text(const struct option *row, int column, int indent, struct str *out)
{
	if (column == 0)
		str_addf(out, "%*s%s", indent, "", row->key);
	else if (column == 1)
		str_add(out, type_name(row));
	else if (column == 2)
		str_add(out, row->type == OPT_BLOCK && !row->required ? "" : default_text(row));
	else
		option_limits(row, out);
}

static void measure(const struct option *table, int indent, size_t width[COLUMNS], struct str *out)
{
	for (const struct option *row = table; row->key; row++) {
		for (int c = 0; c < COLUMNS; c++) {
			struct str cell = {0};
			cell_text(row, c, row->only ? indent + INDENT : indent, &cell);
			out->failed = out->failed || cell.failed;
			if (cell.len > width[c] && cell.len <= WIDEST)
				width[c] = cell.len;
			str_clear(&cell);
		}
		if (row->type == OPT_BLOCK)
			measure(row->block, indent + INDENT, width, out);
	}
}

static void write_rows(const struct option *table, int indent, const size_t width[COLUMNS], struct str *out);

static void write_row(const struct option *row, int indent, const size_t width[COLUMNS], struct str *out)
{
	for (int c = 0; c < COLUMNS; c++) {
		struct str cell = {0};
		cell_text(row, c, indent, &cell);
		out->failed = out->failed || cell.failed;
		str_addf(out, "%-*s  ", (int)width[c], str_text(&cell));
		str_clear(&cell);
	}
	str_addf(out, "%s\n", row->help ? row->help : "");
	if (row->type == OPT_BLOCK)
		write_rows(row->block, indent + INDENT, width, out);
}

/* Those that always have an effect, then group by group those that need a choice of another. */
static void write_rows(const struct option *table, int indent, const size_t width[COLUMNS], struct str *out)
{
	for (const struct option *row = table; row->key; row++)
		if (!row->only)
			write_row(row, indent, width, out);
	for (const struct option *head = table; head->key; head++) {
		if (!head->only || !option_heads_group(table, head))
			continue;
		str_addf(out, "%*sonly with ", indent, "");
		option_condition(table, head, out);
		str_add(out, ":\n");
		for (const struct option *row = head; row->key; row++)
			if (option_same_condition(row, head))
				write_row(row, indent + INDENT, width, out);
	}
}

void option_explain(const struct option *table, struct str *out)
{
	size_t width[COLUMNS] = {0};
	measure(table, 0, width, out);
	write_rows(table, 0, width, out);
}
