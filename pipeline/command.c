/* What commands share: options, numbers, signals, JSON output. */
#include "pipeline/command.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json_out.h"
#include "base/str.h"

#define CPU_SPARE 30 /* seconds of CPU time in which the state of a training is written */

volatile sig_atomic_t command_stop;
static volatile sig_atomic_t nothing_done;

/* One press of a key or one scancel can arrive as several signals (timeout and batch systems signal the program and its
 * group): those of the first second are one. A later one ends the program at once, but for SIGXCPU, which the kernel
 * repeats every second. */
static void on_signal(int sig)
{
	static const char message[] = "pipeline: interrupted before any stage\n";
	static struct timespec first;
	struct timespec now = {0};
	if (nothing_done) { /* reading may wait for ever, and there is nothing to save */
		ssize_t n = write(STDERR_FILENO, message, sizeof(message) - 1);
		(void)n;
		_exit(err_exit_status(ERR_INTERRUPTED));
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!command_stop) {
		first = now;
		command_stop = 1;
	} else if (sig != SIGXCPU &&
		   (now.tv_sec - first.tv_sec) * 1000 + (now.tv_nsec - first.tv_nsec) / 1000000 >= 1000) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

/* Where both limits of CPU time are the same, as `ulimit -t` sets them, the kernel kills without SIGXCPU before. */
static void leave_time_after_xcpu(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_CPU, &limit) || limit.rlim_max == RLIM_INFINITY || limit.rlim_cur < limit.rlim_max)
		return;
	rlim_t spare = limit.rlim_max / 4 < CPU_SPARE ? limit.rlim_max / 4 : CPU_SPARE;
	limit.rlim_cur = limit.rlim_max - (spare > 0 ? spare : 1);
	if (limit.rlim_cur > 0)
		setrlimit(RLIMIT_CPU, &limit);
}

void command_catch_signals(bool idle)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGXCPU};
	struct sigaction before, action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&action.sa_mask, signals[i]);
	nothing_done = idle;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		/* the terminal is gone; under nohup nobody wants to know */
		if (signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler == SIG_IGN)
			continue;
		sigaction(signals[i], &action, NULL);
	}
	leave_time_after_xcpu();
}

void command_begin_work(void)
{
	nothing_done = 0;
}

void args_init(struct args *a, const struct flag *flags, int argc, char **argv)
{
	*a = (struct args){
	    .flags = flags, .command = argv[0], .argc = argc, .at = 1, .argv = argv, .positional = argv + 1};
}

static int unknown_flag(const struct args *a, const char *word, size_t len)
{
	const char *names[32], *near;
	char name[64];
	int n = 0;
	for (; a->flags[n].name && n < 32; n++)
		names[n] = a->flags[n].name;
	snprintf(name, sizeof(name), "%.*s", (int)len, word + 2);
	near = str_nearest(name, names, n);
	return err_set(ERR_CONFIG, "%s: unknown option '--%s'%s%s%s", a->command, name,
	    near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
}

static int read_flag(struct args *a, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
	for (const struct flag *f = a->flags; f->name; f++) {
		if (strlen(f->name) != len || strncmp(f->name, word + 2, len) != 0)
			continue;
		if (!f->has_value && equals)
			return err_set(ERR_CONFIG, "%s: option '--%s' takes no value", a->command, f->name);
		a->value = equals ? equals + 1 : NULL;
		if (f->has_value && !equals) {
			if (a->at == a->argc)
				return err_set(ERR_CONFIG, "%s: option '--%s' needs a value", a->command, f->name);
			a->value = a->argv[a->at++];
		}
		return f->id;
	}
	return unknown_flag(a, word, len);
}

int args_next(struct args *a)
{
	while (a->at < a->argc) {
		char *word = a->argv[a->at++];
		if (a->ended || word[0] != '-' || word[1] == '\0')
			a->positional[a->n++] = word;
		else if (strcmp(word, "--") == 0)
			a->ended = true;
		else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			return COMMAND_HELP;
		else if (word[1] != '-')
			return err_set(ERR_CONFIG, "%s: unknown option '%s'", a->command, word);
		else
			return read_flag(a, word);
	}
	return 0;
}

int args_count(const struct args *a, int least, int most, const char *what)
{
	if (a->n < least)
		return err_set(ERR_CONFIG, "%s: %s is missing; see 'pipeline %s --help'", a->command, what, a->command);
	if (most >= 0 && a->n > most)
		return err_set(ERR_CONFIG, "%s: unexpected argument '%s'; see 'pipeline %s --help'", a->command,
		    a->positional[most], a->command);
	return 0;
}

int args_number(const char *option, const char *text, long min, long max, long *out)
{
	char *end;
	errno = 0;
	*out = strtol(text, &end, 10);
	if (errno || end == text || *end || *out < min || *out > max)
		return err_set(
		    ERR_CONFIG, "%s must be a whole number from %ld to %ld, found '%s'", option, min, max, text);
	return 0;
}

int command_print_json(cJSON *json)
{
	char *text = json ? json_print(json, true) : NULL;
	cJSON_Delete(json);
	if (!text)
		return err_set(ERR_NOMEM, "out of memory");
	puts(text);
	cJSON_free(text);
	return 0;
}
