/* Figures by gnuplot: for each NAME.dat and NAME.gp, and where gnuplot is, NAME.svg and NAME.png. One gnuplot draws
 * them all. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "pipeline/outside.h"
#include "study/report.h"

#define DRAW_SECONDS 120

/* A text in double quotes of gnuplot and of its data files. What others chose must neither end it nor begin a command
 * or a mark-up: quotes, backslashes, backquotes, control characters and the signs of its "enhanced" texts go. */
static void add_quoted(struct str *s, const char *text)
{
	str_add(s, "\"");
	for (; *text; text++) {
		const bool harmless = (unsigned char)*text >= ' ' && !strchr("\"\\`\x7f", *text);
		str_addn(s, harmless ? text : "'", 1);
	}
	str_add(s, "\"");
}

static void add_points(struct str *s, const cJSON *points, const char *name)
{
	const cJSON *p, *v;
	cJSON_ArrayForEach(p, points)
	{
		cJSON_ArrayForEach(v, p) str_addf(s, "%.10g ", v->valuedouble);
		add_quoted(s, name);
		str_add(s, "\n");
	}
	str_add(s, "\n\n");
}

/* Series are blocks of the file, which two empty lines part; the last column is the series' name. */
static int write_data(struct report *r, const struct report_figure *f)
{
	struct str s = {0};
	char name[64];
	const cJSON *series;
	str_addf(&s, "# %s: a block for each series; the last column is its name\n", f->name);
	cJSON_ArrayForEach(series, cJSON_GetObjectItemCaseSensitive(f->data, "series"))
	    add_points(&s, cJSON_GetObjectItemCaseSensitive(series, "points"), study_text(series, "name"));
	snprintf(name, sizeof(name), "figures/%s.dat", f->name);
	int rc = report_save(r, name, &s);
	str_clear(&s);
	return rc;
}

static void add_plot(struct str *s, const struct report_figure *f)
{
	const char *kind = study_text(f->data, "kind");
	const int n = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(f->data, "series"));
	if (!strcmp(kind, "points")) {
		str_addf(s, "set logscale x\nset key %s\nplot ", n > 12 ? "off" : "outside right noenhanced");
		if (n > 12)
			str_addf(s, "'%s.dat' using 1:2 with points pt 7 notitle\n", f->name);
	} else if (!strcmp(kind, "bars")) {
		str_addf(s,
		    "set style fill solid 0.8 noborder\nset boxwidth 0.7\nset key off\nset grid noxtics\n%s"
		    "plot '%s.dat' using ($0+column(-2)):2:xticlabels(%s) with boxes lc rgb '#3b6fb6'\n",
		    n > 30 ? "unset xtics\n" : "set xtics rotate by -35 noenhanced\n", f->name, n > 30 ? "''" : "3");
		return;
	} else if (!strcmp(kind, "boxes")) {
		str_addf(s,
		    "set style fill empty\nset boxwidth 0.4\nset key off\nset logscale y\nset xtics noenhanced\n"
		    "set xrange [-0.6:%d.6]\nplot "
		    "'%s.dat' using "
		    "(column(-2)):3:2:6:5:xticlabels(7) with candlesticks whiskerbars lc rgb '#3b6fb6', '' using "
		    "(column(-2)):4:4:4:4 with candlesticks lc rgb '#b6523b'\n",
		    n - 1, f->name);
		return;
	} else if (!strcmp(kind, "heat")) {
		str_addf(s,
		    "set key off\nset palette defined (0 '#f7fbff', 1 '#08306b')\nset xtics 1\nset ytics 1\n"
		    "plot '%s.dat' using 1:(column(-2)):2 with image\n",
		    f->name);
		return;
	} else {
		str_add(s, "set key outside right noenhanced\nplot ");
	}
	const char *with = !strcmp(kind, "points")   ? "1:2 with points pt 7 ps 1.2"
			   : !strcmp(kind, "steps")  ? "1:2 with steps lw 1.5"
			   : !strcmp(kind, "ranges") ? "1:2:3:4 with yerrorlines pt 7 ps 0.5 lw 1.5"
						     : "1:2 with linespoints pt 7 ps 0.5 lw 1.5";
	for (int i = 0; i < n && !(n > 12 && !strcmp(kind, "points")); i++)
		str_addf(s, "%s'%s.dat' index %d using %s title columnheader(%d)", i ? ", " : "", f->name, i, with, 3);
	if (!(n > 12 && !strcmp(kind, "points")))
		str_add(s, "\n");
}

/* Titles of curves stand in the script: gnuplot's columnheader would swallow the first point. */
static void set_titles(struct str *s, const struct report_figure *f)
{
	struct str out = {0};
	const char *at = str_text(s), *mark;
	const cJSON *series = cJSON_GetObjectItemCaseSensitive(f->data, "series");
	series = series ? series->child : NULL;
	while ((mark = strstr(at, "columnheader(3)")) != NULL && series) {
		str_addn(&out, at, (size_t)(mark - at));
		add_quoted(&out, study_text(series, "name"));
		at = mark + strlen("columnheader(3)");
		series = series->next;
	}
	str_add(&out, at);
	out.failed |= s->failed;
	str_clear(s);
	*s = out;
}

/* gnuplot would write through a link, and a figure that it does not draw would be that of an earlier report. */
static void remove_drawings(const struct report *r, const struct report_figure *f)
{
	static const char *const endings[] = {"svg", "png"};
	char path[1400];
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		snprintf(path, sizeof(path), "%s/figures/%s.%s", r->out, f->name, endings[i]);
		unlink(path);
	}
}

static int write_script(struct report *r, const struct report_figure *f)
{
	struct str s = {0}, plot = {0};
	char name[64];
	remove_drawings(r, f);
	str_addf(&s,
	    "# gnuplot %s.gp, in this folder, writes %s.svg and %s.png\nreset\nset encoding utf8\nset grid\nset title ",
	    f->name, f->name, f->name);
	add_quoted(&s, f->title);
	str_add(&s, "\nset xlabel ");
	add_quoted(&s, study_text(f->data, "x"));
	str_add(&s, " noenhanced\nset ylabel ");
	add_quoted(&s, study_text(f->data, "y"));
	str_addf(&s,
	    " noenhanced\nset terminal svg size 800,480 dynamic background rgb 'white' noenhanced\nset output "
	    "'%s.svg'\n",
	    f->name);
	add_plot(&plot, f);
	set_titles(&plot, f);
	str_addf(&s, "%sset terminal pngcairo size 1200,720 noenhanced\nset output '%s.png'\nreplot\nset output\n",
	    str_text(&plot), f->name);
	s.failed |= plot.failed;
	str_clear(&plot);
	snprintf(name, sizeof(name), "figures/%s.gp", f->name);
	int rc = report_save(r, name, &s);
	str_clear(&s);
	return rc;
}

/* ---- gnuplot ---- */

static bool is_drawn(const struct report *r, const struct report_figure *f, const char *ending)
{
	char path[1400];
	uint64_t bytes = 0;
	snprintf(path, sizeof(path), "%s/figures/%s.%s", r->out, f->name, ending);
	return fs_exists(path) && fs_size(path, &bytes) == 0 && bytes > 0;
}

/* Its words are kept where a figure is missing: they name the line of the script. */
static int run_gnuplot(struct report *r, const char *dir, char *const *argv)
{
	struct str out = {0}, said = {0};
	bool is_absent, all = true;
	char log[1420];
	int rc = outside_run(dir, argv, DRAW_SECONDS, &out, &said, &is_absent);
	snprintf(log, sizeof(log), "%s/gnuplot.log", dir);
	unlink(log);
	for (int i = 0; i < r->n_figure; i++) {
		struct report_figure *f = &r->figure[i];
		f->drawn = is_drawn(r, f, "svg") && is_drawn(r, f, "png");
		r->files += 2 * f->drawn;
		all &= f->drawn;
		if (!f->drawn && !is_absent)
			report_note(r, "gnuplot did not draw %s (%s); its words are in %s", f->name,
			    rc ? err_message() : "without a word of failure", log);
	}
	if (is_absent)
		report_note(r, "gnuplot is not installed: figures/ holds the data (.dat) and the scripts (.gp), but no "
			       "SVG and no PNG");
	err_clear();
	rc = all || is_absent ? 0 : fs_write(log, str_text(&said), said.len);
	str_clear(&out);
	str_clear(&said);
	return rc;
}

int report_figures_draw(struct report *r)
{
	char gnuplot[] = "gnuplot", names[REPORT_FIGURES][64], dir[1400];
	char *argv[REPORT_FIGURES + 2] = {gnuplot};
	int rc = fs_join(dir, sizeof(dir), r->out, "figures");
	if (!rc)
		rc = fs_mkdirs(dir);
	for (int i = 0; !rc && i < r->n_figure; i++) {
		rc = write_data(r, &r->figure[i]);
		if (!rc)
			rc = write_script(r, &r->figure[i]);
		snprintf(names[i], sizeof(names[i]), "%s.gp", r->figure[i].name);
		argv[i + 1] = names[i];
	}
	return rc || !r->n_figure ? rc : run_gnuplot(r, dir, argv);
}
