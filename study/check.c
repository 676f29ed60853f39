#include "study/check.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "study/check_term.h"

#define TEXT_MAX  (16 << 20)
#define RULES_MAX 32
#define CELLS_MAX 64
#define WORD      256

struct rule {
	char column[WORD], terms[WORD];
	bool selects; /* "row": tells which object a row is */
	bool skips;   /* "skip": rows whose cell is like this are not checked */
	int cell;     /* of the column in the table's head */
	int numbers;  /* that were checked */
};
struct block {
	const char *path; /* of the text */
	int line;
	cJSON *json;
	const cJSON *rows; /* borrowed */
	char file[WORD];
	struct rule rule[RULES_MAX];
	int n_rule;
	const cJSON *first; /* object of the table's first row */
	const cJSON *next;  /* without `row`: the object of the next row */
	int taken;
};
struct cells {
	char text[CELLS_MAX][WORD];
	bool cut[CELLS_MAX]; /* the text is longer */
	int n;
};

static void trim(char *text)
{
	size_t n = strlen(text), skip = strspn(text, " \t\r");
	while (n > skip && strchr(" \t\r", text[n - 1]))
		n--;
	memmove(text, text + skip, n - skip);
	text[n - skip] = '\0';
}

/* ---- tables ---- */

/* Cells of "| a | b |"; bars that a backslash is before belong to the text. False: the line is none of a table. */
static bool split_row(const char *line, size_t n, struct cells *out)
{
	size_t at = 0, len = 0;
	*out = (struct cells){0};
	while (at < n && (line[at] == ' ' || line[at] == '\t'))
		at++;
	if (at == n || line[at] != '|')
		return false;
	for (at++; at < n; at++) {
		if (line[at] == '\\' && at + 1 < n && line[at + 1] == '|')
			at++;
		else if (line[at] == '|') {
			out->text[out->n][len] = '\0';
			trim(out->text[out->n++]);
			len = 0;
			if (out->n == CELLS_MAX)
				return true;
			continue;
		}
		if (len < WORD - 1)
			out->text[out->n][len++] = line[at];
		else
			out->cut[out->n] = true;
	}
	return true;
}

static bool is_rule_line(const struct cells *c)
{
	for (int i = 0; i < c->n; i++)
		if (!*c->text[i] || strspn(c->text[i], ":- ") != strlen(c->text[i]))
			return false;
	return c->n > 0;
}

static int find_columns(struct block *b, const struct cells *head, int line)
{
	for (int i = 0; i < b->n_rule; i++) {
		struct rule *r = &b->rule[i];
		for (r->cell = 0; r->cell < head->n && strcmp(head->text[r->cell], r->column); r->cell++)
			;
		if (r->cell == head->n)
			return err_set(ERR_CONFIG, "%s:%d: the table has no column '%s', which line %d checks", b->path,
			    line, r->column, b->line);
		for (int k = r->cell + 1; k < head->n; k++)
			if (!strcmp(head->text[k], r->column))
				return err_set(
				    ERR_CONFIG, "%s:%d: the table has two columns '%s'", b->path, line, r->column);
	}
	return 0;
}

/* ---- cells ---- */

/* What: the text's place for it. */
static void say_wrong(
    const struct block *b, int line, const char *what, const char *text, double want, const char *why, const char *unit)
{
	if (!isfinite(want))
		fprintf(stderr, "%s:%d: %s: the text has '%s', %s has no such number\n", b->path, line, what, text,
		    b->file);
	else if (!strcmp(why, "the unit") && *unit)
		fprintf(stderr, "%s:%d: %s: '%s' has not the unit '%s'\n", b->path, line, what, text, unit);
	else if (!strcmp(why, "the unit"))
		fprintf(stderr,
		    "%s:%d: %s: '%s' has a unit that nothing asks for; the term says it, as in bytes/1000000 'MB'\n",
		    b->path, line, what, text);
	else
		fprintf(
		    stderr, "%s:%d: %s: the text has '%s', %s has %.10g\n", b->path, line, what, text, b->file, want);
}

/* Takes 'UNIT' off the front of what follows a term. */
static void take_unit(char **save, char unit[CHECK_UNIT])
{
	char *p = *save ? *save + strspn(*save, " \t") : NULL;
	const size_t n = p && *p == '\'' ? strcspn(p + 1, "' \t") : 0;
	unit[0] = '\0';
	if (!n || p[n + 1] != '\'' || n >= CHECK_UNIT)
		return;
	memcpy(unit, p + 1, n);
	unit[n] = '\0';
	*save = p + n + 2;
}

static void check_cell(
    const struct block *b, const cJSON *row, const struct rule *r, const char *cell, int line, struct check_result *out)
{
	char terms[WORD], unit[CHECK_UNIT], *save = NULL;
	const char *at = cell;
	struct printed printed;
	snprintf(terms, sizeof(terms), "%s", r->terms);
	for (char *term = strtok_r(terms, " \t", &save); term; term = strtok_r(NULL, " \t", &save)) {
		const double want = check_evaluate(row, b->first, term);
		take_unit(&save, unit);
		const bool there = check_next_number(cell, &at, &printed);
		if (!there && !isfinite(want))
			continue;
		const char *why = there ? check_compare(&printed, want, unit) : "the number";
		out->numbers++;
		out->wrong += why != NULL;
		if (why)
			say_wrong(b, line, r->column, cell, want, why, unit);
	}
	if (check_next_number(cell, &at, &printed)) {
		out->numbers++;
		out->wrong++;
		fprintf(stderr, "%s:%d: %s: '%s' has more numbers than are checked\n", b->path, line, r->column, cell);
	}
}

/* ---- rows ---- */

static bool belongs(const struct block *b, const cJSON *row, const struct cells *c, bool *selects)
{
	for (int i = 0; i < b->n_rule; i++) {
		const struct rule *r = &b->rule[i];
		if (!r->selects)
			continue;
		*selects = true;
		if (r->cell >= c->n)
			return false;
		char text[WORD];
		check_field_text(check_member(row, r->terms, strlen(r->terms)), text, sizeof(text));
		if (strcmp(text, c->text[r->cell]))
			return false;
	}
	return true;
}

static int find_row(struct block *b, const struct cells *c, int line, const cJSON **out)
{
	const cJSON *row;
	bool selects = false;
	int found = 0;
	cJSON_ArrayForEach(row, b->rows)
	{
		if (!belongs(b, row, c, &selects))
			continue;
		*out = row;
		found++;
	}
	if (!selects) {
		*out = b->next;
		found = b->next != NULL;
		b->next = b->next ? b->next->next : NULL;
	}
	if (found != 1)
		return err_set(ERR_CONFIG, "%s:%d: %s row of %s is this one", b->path, line,
		    found ? "more than one" : "no", b->file);
	b->first = b->first ? b->first : *out;
	return 0;
}

static bool is_skipped(const struct block *b, const struct cells *c)
{
	for (int i = 0; i < b->n_rule; i++)
		if (b->rule[i].skips && b->rule[i].cell < c->n && str_match(b->rule[i].terms, c->text[b->rule[i].cell]))
			return true;
	return false;
}

static int check_row(struct block *b, const struct cells *c, int line, struct check_result *out)
{
	const cJSON *row = NULL;
	if (is_skipped(b, c))
		return 0;
	int rc = find_row(b, c, line, &row);
	for (int i = 0; !rc && i < b->n_rule; i++) {
		struct rule *r = &b->rule[i];
		const int before = out->numbers;
		if (r->selects || r->skips)
			continue;
		if (r->cell >= c->n)
			return err_set(ERR_CONFIG, "%s:%d: the row has no cell '%s'", b->path, line, r->column);
		if (c->cut[r->cell])
			return err_set(ERR_CONFIG, "%s:%d: the cell '%s' has more than %d bytes", b->path, line,
			    r->column, WORD - 1);
		check_cell(b, row, r, c->text[r->cell], line, out);
		r->numbers += out->numbers - before;
	}
	b->taken++;
	return rc;
}

/* ---- mark-up ---- */

/* A file that is named relative to the text. */
static int read_json(struct block *b)
{
	char path[1400];
	struct fs_bytes bytes = {0};
	const char *slash = strrchr(b->path, '/');
	if (snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - b->path) + 1 : 0, b->path, b->file) >=
	    (int)sizeof(path))
		return err_set(ERR_CONFIG, "%s:%d: the path is too long", b->path, b->line);
	int rc = fs_read_regular(path, TEXT_MAX, &bytes);
	if (!rc)
		rc = json_parse(path, (const char *)bytes.data, bytes.size, &b->json);
	fs_bytes_clear(&bytes);
	return rc ? err_context(rc, "%s:%d", b->path, b->line) : 0;
}

static int read_file(struct block *b, const char *words, size_t n)
{
	char list[WORD] = "", line[2 * WORD];
	snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line) - 1), words);
	if (sscanf(line, "%255s %255s", b->file, list) != 2)
		return err_set(ERR_CONFIG,
		    "%s:%d: 'check' names a file and the list in it, as in 'check results/x.json rows'", b->path,
		    b->line);
	int rc = read_json(b);
	if (rc)
		return rc;
	b->rows = !strcmp(list, ".") ? b->json : check_member(b->json, list, strlen(list));
	if (!cJSON_IsArray(b->rows))
		return err_set(ERR_CONFIG, "%s:%d: '%s' is no list of %s", b->path, b->line, list, b->file);
	b->next = b->rows->child;
	return 0;
}

static int read_rule(struct block *b, const char *words, size_t n, int line)
{
	char text[2 * WORD];
	struct rule *r = &b->rule[b->n_rule];
	snprintf(text, sizeof(text), "%.*s", (int)(n < sizeof(text) ? n : sizeof(text) - 1), words);
	trim(text);
	if (!*text)
		return 0;
	char *equals = strstr(text, " = ");
	if (!equals || b->n_rule == RULES_MAX)
		return err_set(ERR_CONFIG,
		    "%s:%d: must be 'COLUMN = TERM...', 'row COLUMN = FIELD' or 'skip COLUMN = PATTERN', at most %d "
		    "lines; found '%s'",
		    b->path, line, RULES_MAX, text);
	*equals = '\0';
	r->selects = !strncmp(text, "row ", 4);
	r->skips = !strncmp(text, "skip ", 5);
	snprintf(r->column, sizeof(r->column), "%.255s", text + (r->selects ? 4 : r->skips ? 5 : 0));
	snprintf(r->terms, sizeof(r->terms), "%.255s", equals + 3);
	trim(r->column);
	trim(r->terms);
	if (!*r->terms)
		return err_set(ERR_CONFIG, "%s:%d: '%s' has no field", b->path, line, r->column);
	b->n_rule++;
	return 0;
}

static const char *line_end(const char *p)
{
	return p + strcspn(p, "\n");
}

/* Nothing that was to be checked was passed over. */
static int check_taken(const struct block *b)
{
	bool selects = false, checks = false;
	if (!b->taken)
		return err_set(ERR_CONFIG, "%s:%d: no table with rows follows what is to be checked", b->path, b->line);
	for (int i = 0; i < b->n_rule; i++) {
		const struct rule *r = &b->rule[i];
		selects |= r->selects;
		checks |= !r->selects && !r->skips;
		if (!r->selects && !r->skips && !r->numbers)
			return err_set(ERR_CONFIG, "%s:%d: column '%s': neither the table nor %s has a number", b->path,
			    b->line, r->column, b->file);
	}
	if (!checks)
		return err_set(
		    ERR_CONFIG, "%s:%d: no line 'COLUMN = TERM...' says what is to be checked", b->path, b->line);
	if (!selects && b->next)
		return err_set(
		    ERR_CONFIG, "%s:%d: %s has more rows than the table that follows", b->path, b->line, b->file);
	return 0;
}

/* at: the line behind a table. Rows behind an empty line are of no table, and nobody would look at them. */
static int check_torn(const struct block *b, const char *at, int line, struct cells *c)
{
	while (*at && strspn(at, " \t\r") == strcspn(at, "\n")) {
		at += strcspn(at, "\n");
		at += *at ? 1 : 0;
		line++;
	}
	const char *next = line_end(at);
	if (!split_row(at, (size_t)(next - at), c))
		return 0;
	next += *next ? 1 : 0;
	if (split_row(next, (size_t)(line_end(next) - next), c) && is_rule_line(c))
		return 0; /* another table */
	return err_set(
	    ERR_CONFIG, "%s:%d: a row behind an empty line is none of the table that is checked", b->path, line);
}

/* From the line with the mark-up to the last line of the table; moves *at and *line behind them. */
static int check_block(const char *path, const char **at, int *line, struct check_result *out)
{
	static const char begin[] = "<!-- check ";
	struct block b = {.path = path, .line = *line};
	struct cells *c = mem_alloc(1, sizeof(*c));
	const char *p = *at + strlen(begin), *end = line_end(p);
	int rc = c ? read_file(&b, p, (size_t)(end - p)) : ERR_NOMEM, state = 0; /* 0 head, 1 line below it, 2 rows */
	bool closed = false;
	for (; !rc && *end && !closed; end = line_end(p)) {
		p = end + 1;
		++*line;
		closed = !strncmp(p, "-->", 3);
		if (!closed)
			rc = read_rule(&b, p, strcspn(p, "\n"), *line);
		if (closed || !*p)
			break;
	}
	end = line_end(p);
	if (!rc && !closed)
		rc = err_set(ERR_CONFIG, "%s:%d: the comment is not ended by a line '-->'", path, b.line);
	while (!rc && *end) {
		p = end + 1;
		end = line_end(p);
		++*line;
		if (!split_row(p, (size_t)(end - p), c)) {
			if (state && memchr(p, '|', (size_t)(end - p)))
				rc = err_set(
				    ERR_CONFIG, "%s:%d: a row that is to be checked begins with '|'", path, *line);
			if (state || strspn(p, " \t\r") < (size_t)(end - p))
				break;
			continue;
		}
		if (state == 0)
			rc = find_columns(&b, c, *line);
		else if (state == 1 && !is_rule_line(c))
			rc = err_set(ERR_CONFIG, "%s:%d: a table's second line is '| --- |'", path, *line);
		else if (state == 2)
			rc = check_row(&b, c, *line, out);
		state = state < 2 ? state + 1 : 2;
	}
	if (!rc && state == 2)
		rc = check_torn(&b, p, *line, c);
	rc = rc ? rc : check_taken(&b);
	out->blocks++;
	*at = p;
	cJSON_Delete(b.json);
	mem_free(c);
	return rc;
}

/* ---- numbers in sentences ---- */

/* "97.87 % <!-- check results/digits.json: rows[model=student].mean*100 '%' -->": the last number before the comment,
 * with nothing but its unit between. */
static int check_sentence(
    struct block *b, const char *line, const char *comment, const char *term, size_t n, struct check_result *out)
{
	char text[2 * WORD], expression[2 * WORD], unit[CHECK_UNIT] = "", *quote;
	const char *at, *end;
	struct printed p = {0};
	const size_t before = (size_t)(comment - line) < WORD ? (size_t)(comment - line) : WORD - 1;
	bool there = false;
	snprintf(text, sizeof(text), "%.*s", (int)before, comment - before);
	trim(text);
	snprintf(
	    expression, sizeof(expression), "%.*s", (int)(n < sizeof(expression) ? n : sizeof(expression) - 1), term);
	trim(expression);
	for (at = end = text; check_next_number(text, &at, &p); end = at)
		there = true;
	const size_t word = strlen(p.word), rest = strlen(end);
	if (!there || rest < word || strcmp(end + rest - word, p.word) || rest - word > (word ? 3 : 0))
		return err_set(ERR_CONFIG,
		    "%s:%d: no number stands before the comment, with nothing but a unit between: '%s'", b->path,
		    b->line, text);
	quote = strlen(expression) > 2 && expression[strlen(expression) - 1] == '\'' ? strstr(expression, " '") : NULL;
	if (quote) {
		char *save = quote;
		take_unit(&save, unit);
		*quote = '\0';
		trim(expression);
	}
	const double want = check_evaluate(b->json, NULL, expression);
	const char *why = check_compare(&p, want, unit);
	out->numbers++;
	out->sentences++;
	out->wrong += why != NULL;
	while (strlen(text) > 60)
		memmove(text, text + 1, strlen(text));
	if (why)
		say_wrong(b, b->line, expression, text, want, why, unit);
	return 0;
}

static int no_markup(const char *path, int line)
{
	return err_set(ERR_CONFIG,
	    "%s:%d: must be '<!-- check FILE LIST' at the beginning of a line, or '<!-- check FILE: TERM -->' behind a "
	    "number",
	    path, line);
}

/* comment: "<!-- check ..." in a line. */
static int check_inline(
    const char *path, int number, const char *line, const char *comment, size_t left, struct check_result *out)
{
	static const char begin[] = "<!-- check ";
	struct block b = {.path = path, .line = number};
	const char *words = comment + strlen(begin), *end = NULL, *colon = NULL;
	for (size_t i = strlen(begin); i + 3 <= left && !end; i++)
		end = !strncmp(comment + i, "-->", 3) ? comment + i : NULL;
	for (const char *p = words; end && p + 1 < end && !colon && *p != ' '; p++)
		colon = *p == ':' && p[1] == ' ' ? p : NULL;
	if (!colon || colon - words >= WORD)
		return no_markup(path, number);
	snprintf(b.file, sizeof(b.file), "%.*s", (int)(colon - words), words);
	int rc = read_json(&b);
	if (!rc)
		rc = check_sentence(&b, line, comment, colon + 1, (size_t)(end - colon) - 1, out);
	cJSON_Delete(b.json);
	return rc;
}

/* What somebody meant as a mark-up would else be passed over, and its number with it. */
static int check_line(const char *path, int number, const char *line, size_t n, struct check_result *out)
{
	int rc = 0;
	for (size_t i = 0; !rc && i + 4 <= n; i++) {
		size_t at = i + 4;
		if (strncmp(line + i, "<!--", 4) != 0)
			continue;
		while (at < n && (line[at] == ' ' || line[at] == '\t'))
			at++;
		if (at + 5 > n || strncasecmp(line + at, "check", 5) != 0 ||
		    (at + 5 < n && isalnum((unsigned char)line[at + 5])))
			continue;
		if (at != i + 5 || strncmp(line + i + 4, " check ", 7) != 0 || at + 5 >= n)
			return no_markup(path, number);
		rc = check_inline(path, number, line, line + i, n - i, out);
	}
	return rc;
}

/* Whether the line begins a table's mark-up: "<!-- check FILE LIST", which has no colon behind the file. */
static bool is_block(const char *line)
{
	static const char begin[] = "<!-- check ";
	if (strncmp(line, begin, strlen(begin)) != 0)
		return false;
	const size_t n = strcspn(line + strlen(begin), " \t\r\n");
	return !n || line[strlen(begin) + n - 1] != ':';
}

int check_file(const char *path, struct check_result *out)
{
	struct fs_bytes b = {0};
	int line = 1;
	*out = (struct check_result){0};
	int rc = fs_read_regular(path, TEXT_MAX, &b);
	const char *p = (const char *)b.data;
	while (!rc && *p) {
		if (is_block(p)) {
			rc = check_block(path, &p, &line, out);
			continue;
		}
		rc = check_line(path, line, p, (size_t)(line_end(p) - p), out);
		p = line_end(p);
		p += *p ? 1 : 0;
		line++;
	}
	fs_bytes_clear(&b);
	if (!rc && !out->blocks && !out->sentences)
		rc = err_set(ERR_CONFIG, "%s: has no '<!-- check FILE', so there is nothing to check", path);
	if (!rc && out->wrong)
		rc = err_set(
		    ERR_GATE, "%s: %d of %d numbers are not those of their files", path, out->wrong, out->numbers);
	return rc;
}
