#define _GNU_SOURCE /* strcasestr */
#include "pipeline/doctor_slurm.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/str.h"
#include "pipeline/outside.h"

#define WAIT_SECONDS  20 /* for an answer of scontrol, which asks a machine that may not answer */
#define SAVE_SECONDS  30 /* what the program takes at most to save what it is doing */
#define REASON        400
#define VALUE         128
#define NO_TIME_KNOWN (-1)

/* What `scontrol show WHAT` prints. */
static int ask(const char *what, struct str *out)
{
	char *argv[] = {"scontrol", "--oneliner", "show", (char *)(uintptr_t)what, NULL};
	const int rc = outside_ask(argv, WAIT_SECONDS, out);
	return rc ? err_context(rc, "scontrol show %s", what) : 0;
}

/* ---- reading ---- */

/* The value of `key`, which stands at the beginning of a word, in `text` up to a line's end or `end`: "Key = value" of
 * a configuration, "Key=value" of a partition. "": there is none. */
static const char *value_of(const char *text, const char *key, char value[VALUE])
{
	const size_t n = strlen(key);
	value[0] = '\0';
	for (const char *p = text; (p = strcasestr(p, key)) != NULL; p += n) {
		if (p > text && !isspace((unsigned char)p[-1]))
			continue;
		const char *v = p + n + strspn(p + n, " ");
		if (*v != '=')
			continue;
		v++;
		v += strspn(v, " ");
		snprintf(value, VALUE, "%.*s", (int)strcspn(v, " \n"), v);
		break;
	}
	return value;
}

/* "20", "20 sec", "00:00:20", "1-00:00:00". */
static long seconds_of(const char *value)
{
	long total = 0;
	char *end;
	if (!isdigit((unsigned char)value[0]))
		return NO_TIME_KNOWN;
	for (const char *p = value;; p = end + 1) {
		const long n = strtol(p, &end, 10);
		total += n;
		if (*end == '-')
			total *= 24;
		else if (*end == ':')
			total *= 60;
		else
			return total;
	}
}

struct policy {
	char version[VALUE], type[VALUE], mode[VALUE];
	bool preempts, user_signal, requeues;
	long kill_wait;
};

static void read_policy(const char *text, struct policy *p)
{
	char value[VALUE];
	value_of(text, "SLURM_VERSION", p->version);
	value_of(text, "PreemptType", p->type);
	value_of(text, "PreemptMode", p->mode);
	p->preempts = p->type[0] && !strstr(p->type, "none") && p->type[0] != '(';
	/* The name of the option up to 23.02, and since. */
	p->user_signal = strcasestr(value_of(text, "SlurmctldParameters", value), "preempt_send_user_signal") ||
			 strcasestr(value_of(text, "PreemptParameters", value), "send_user_signal");
	p->requeues = value_of(text, "JobRequeue", value)[0] == '1';
	p->kill_wait = seconds_of(value_of(text, "KillWait", value));
}

/* ---- saying ---- */

/* What happens to a preempted job of a partition. grace: its GraceTime. */
static void say_preempted(struct str *s, const struct policy *p, const char *mode, long grace)
{
	const bool requeue = strcasestr(mode, "REQUEUE") != NULL, cancel = strcasestr(mode, "CANCEL") != NULL;
	const long least = (grace > 0 ? grace : 0) + (p->kill_wait > 0 ? p->kill_wait : 0);
	if (!p->preempts || strcasecmp(mode, "OFF") == 0) {
		str_add(s, "jobs are not preempted");
		return;
	}
	if (!requeue && !cancel) {
		str_addf(s, "jobs are preempted by %s: they stop where they are and go on later, without a signal",
		    mode[0] ? mode : "a mode that is not known");
		return;
	}
	str_addf(s, "a preempted job %s; before that it is sent ", requeue ? "is queued again" : "ends");
	if (grace > 0)
		str_addf(s, "%s, and %ld s later SIGTERM", p->user_signal ? "its --signal" : "SIGTERM", grace);
	else
		str_add(s, "SIGTERM");
	str_addf(s, ", and SIGKILL %ld s after %s", p->kill_wait, grace > 0 ? "that" : "it");
	if (least < SAVE_SECONDS)
		str_addf(s, "; warning: that is less than the %d s that saving may take: up to state_seconds are lost",
		    SAVE_SECONDS);
	if (cancel)
		str_add(s, "; scripts/slurm_job.sh asks to be queued again when the program ends with 75");
}

static void put_partition(struct json_out list, const struct policy *p, const char *line)
{
	struct json_out o = json_out_object(list, NULL);
	struct str s = {0};
	char name[VALUE], mode[VALUE], value[VALUE];
	value_of(line, "PartitionName", name);
	value_of(line, "PreemptMode", mode);
	const long grace = seconds_of(value_of(line, "GraceTime", value));
	say_preempted(&s, p, mode[0] ? mode : p->mode, grace);
	json_out_text(o, "name", name);
	json_out_text(o, "preempt_mode", mode);
	json_out_number(o, "grace_seconds", (double)(grace > 0 ? grace : 0));
	json_out_text(o, "text", str_text(&s));
	str_clear(&s);
}

static void put_policy(struct json_out out, const struct policy *p)
{
	char text[512];
	json_out_text(out, "version", p->version);
	json_out_text(out, "preempt_type", p->type);
	json_out_text(out, "preempt_mode", p->mode);
	json_out_bool(out, "preemption_sends_user_signal", p->user_signal);
	json_out_bool(out, "jobs_are_requeued_by_default", p->requeues);
	json_out_number(out, "kill_wait_seconds", (double)p->kill_wait);
	snprintf(text, sizeof(text), "%s%s",
	    !p->preempts     ? "no job is preempted; --signal is sent before the time of a job is up"
	    : p->user_signal ? "preemption sends a job's --signal where the partition has a GraceTime, else SIGTERM"
			     : "preemption sends SIGTERM, not a job's --signal; the program takes both alike",
	    p->requeues ? "" : "; jobs are queued again only with --requeue, which scripts/slurm_job.sh has");
	json_out_text(out, "verdict", text);
}

static void put_answers(struct json_out out, const char *config, char *partitions)
{
	struct policy p = {0};
	read_policy(config, &p);
	put_policy(out, &p);
	struct json_out list = json_out_list(out, "partitions");
	for (char *line = strtok(partitions, "\n"); line; line = strtok(NULL, "\n"))
		if (strcasestr(line, "PartitionName="))
			put_partition(list, &p, line);
}

void doctor_slurm(struct json_out out)
{
	struct str config = {0}, partitions = {0};
	int rc = ask("config", &config);
	if (!rc)
		rc = ask("partition", &partitions);
	json_out_bool(out, "usable", !rc);
	if (!rc)
		put_answers(out, str_text(&config), partitions.text);
	else if (rc == ERR_NOMEM)
		*out.ok = false;
	else
		json_out_text(out, "reason", err_message());
	err_clear();
	str_clear(&config);
	str_clear(&partitions);
}
