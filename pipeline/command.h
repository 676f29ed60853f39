/* Commands: one row each, in main.c's table. A command returns 0 or a negative enum err; main prints the message. */
#ifndef PIPELINE_COMMAND_H
#define PIPELINE_COMMAND_H

#include <signal.h>
#include <stdbool.h>

struct command {
	const char *name, *usage, *help, *options; /* options: a line each */
	int (*run)(int argc, char **argv);         /* argv[0] is the command's name */
};

int cmd_run(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_evaluate(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_predict(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_schema(int argc, char **argv);
int cmd_compare(int argc, char **argv); /* study/ */
int cmd_report(int argc, char **argv);  /* study/ */
int cmd_verify(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_clean(int argc, char **argv);

/* Set by SIGINT, SIGTERM, SIGUSR1 and SIGXCPU (time is nearly up, as batch systems say it) and SIGHUP (if it was not
 * ignored) once command_catch_signals was called. A second one ends the program. idle: nothing is done yet that is
 * worth keeping, so that the first one ends the program, with the status of an interruption, until command_begin_work
 * is called. */
extern volatile sig_atomic_t command_stop;
void command_catch_signals(bool idle);
void command_begin_work(void);

/* Arguments of a command. (getopt_long's `struct option` would collide with the config's.) `--name value`,
 * `--name=value`; everything else is a positional argument; `--` ends the options. */
struct flag {
	const char *name; /* without dashes; a table ends with NULL */
	bool has_value;
	char id; /* what args_next returns; not 0 */
};
struct args {
	const struct flag *flags;
	const char *command, *value; /* value of the flag returned last */
	int argc, at;
	char **argv;
	char **positional; /* argv, compacted */
	int n;
	bool ended;
};
#define COMMAND_HELP (-1000) /* what a command returns for --help: main prints its usage */

void args_init(struct args *a, const struct flag *flags, int argc, char **argv);
/* The next flag's id, 0 at the end, COMMAND_HELP, or ERR_CONFIG "run: unknown option '--x'; did you mean '--y'?". */
int args_next(struct args *a);
/* ERR_CONFIG unless least..most (-1: any number) positional arguments were given. */
int args_count(const struct args *a, int least, int most, const char *what);
/* A whole number in [min, max], or ERR_CONFIG naming the option. */
int args_number(const char *option, const char *text, long min, long max, long *out);
struct cJSON;
int command_print_json(struct cJSON *json); /* pretty-printed to standard output; deletes json */

#endif
