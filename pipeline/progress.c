/* Progress on standard error. */
#include "pipeline/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "pipeline/output.h"
#include "pipeline/screen.h"

#define TERMINAL_PERIOD 0.1
#define PLAIN_PERIOD    10.0

static void clear_line(struct terminal_progress *p)
{
	if (p->drawn)
		output_control("\r\033[K");
	p->drawn = false;
}

static void on_line(struct progress *base, const char *text)
{
	struct terminal_progress *p = (struct terminal_progress *)base;
	clear_line(p);
	fprintf(stderr, "%s\n", text);
	p->last = clock_now();
}

static void format_seconds(double s, char buf[32])
{
	if (s < 90)
		snprintf(buf, 32, "%.0f s", s);
	else if (s < 5400)
		snprintf(buf, 32, "%.0f min", s / 60);
	else
		snprintf(buf, 32, "%.1f h", s / 3600);
}

/* A line that wraps could not be cleared: on a terminal it has one row, the last column of which stays free. */
static void print_line(const struct terminal_progress *p, const char *text, const char *rest)
{
	int width = p->is_terminal ? screen_width(STDERR_FILENO) : 0, n = (int)strlen(text), more = (int)strlen(rest);
	if (width && n + more >= width) {
		n = width - 1 - more < 0 ? 0 : width - 1 - more;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
		more = n + more < width ? more : width - 1 - n;
	}
	fprintf(stderr, "%.*s%.*s%s", n, text, more, rest, p->is_terminal ? "" : "\n");
}

static bool same(double a, double b)
{
	return !(a < b) && !(a > b);
}

static void on_update(struct progress *base, const char *text, double done, double total)
{
	struct terminal_progress *p = (struct terminal_progress *)base;
	double now = clock_now();
	/* Calibrating before training is another unit of work, whose rate says nothing of this one's. */
	if (done < p->previous_done || !same(total, p->total) || p->start == 0) {
		p->start = now;
		p->start_done = done;
	}
	p->previous_done = done;
	p->total = total;
	if (now - p->last < (p->is_terminal ? TERMINAL_PERIOD : PLAIN_PERIOD))
		return;
	double rate = now > p->start ? (done - p->start_done) / (now - p->start) : 0;
	char left[32];
	char rest[96];
	int n = snprintf(rest, sizeof(rest), "  %3.0f %%", total > 0 ? 100 * done / total : 0);
	if (rate > 0) { /* not known of the first update */
		format_seconds((total - done) / rate, left);
		snprintf(rest + n, sizeof(rest) - (size_t)n, rate < 10 ? "  %.2g/s  %s left" : "  %.0f/s  %s left",
		    rate, left);
	}
	clear_line(p);
	print_line(p, text, rest);
	p->drawn = p->is_terminal;
	p->last = now;
}

void progress_init(struct terminal_progress *p)
{
	memset(p, 0, sizeof(*p));
	p->base.update = on_update;
	p->base.line = on_line;
	p->is_terminal = isatty(STDERR_FILENO) == 1;
	p->last = clock_now();
}

void progress_finish(struct terminal_progress *p)
{
	clear_line(p);
}
