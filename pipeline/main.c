/* The program: finds the command, runs it, prints the error. Nothing else decides the exit status. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "pipeline/command.h"
#include "pipeline/output.h"
#include "pipeline/stack.h"
#include "pipeline/version.h"
#include "pipeline/waiting.h"
#include "ranks/ranks.h"

#define OUT_SET                                                                                                        \
	"  --out DIR           the run's folder; not given: 'out' of the config, else runs/NAME\n"                     \
	"  --set PATH=VALUE    overrides an option, as in --set stages.prune.sparsity=0.7; the last one counts\n"
#define JSON "  --json              the same as JSON\n"
#define DATA "  --config CONFIG     the data set of this config; not given: the one that the checkpoint names\n"

static const struct command commands[] = {
    {"run", "CONFIG [--out DIR] [--set PATH=VALUE]... [--until STAGE]",
	"run the stages of a config that are not up to date",
	OUT_SET "  --until STAGE       the last stage to run; the others are left for a later run\n", cmd_run},
    {"plan",
	"CONFIG [--out DIR] [--set PATH=VALUE]... [--ranks N] [--false-positives RATE] [--power SHARE] "
	"[--json]",
	"validate everything and show what run would do; touches nothing",
	OUT_SET "  --ranks N           as if N processes were started here by mpirun or srun (1)\n"
		"  --false-positives RATE of the test of two models whose smallest difference is shown (0.05)\n"
		"  --power SHARE       how often that test sees a difference that is there (0.8)\n" JSON,
	cmd_plan},
    {"sweep",
	"GRID [--out DIR] [--set PATH=VALUE]... [--jobs N] [--threads N] | GRID --plan [--json] | GRID --freeze | GRID "
	"--status [--json] | "
	"GRID --cell K|auto [--until STAGE | --tasks FILE] [--offset N] | GRID --slurm [OPTION]... [--submit]",
	"run every cell of a grid of options, here or on a cluster",
	"  GRID is a grid file, or the folder of a sweep as it was frozen\n"
	"  --out DIR           the sweep's folder; not given: runs/NAME of the grid file\n"
	"  --set PATH=VALUE    an option of the base, in all cells, when they are made\n"
	"  --jobs N            cells at a time (1)\n"
	"  --threads N         CPU threads of each; not given: those of the machine, divided by the jobs\n"
	"  --plan              check all cells and show them; touches nothing\n"
	"  --freeze            make the cells' folders and configs, and run nothing\n"
	"  --status            how far the cells are\n"
	"  --cell K            run cell number K; auto: as SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX or "
	"PBS_ARRAY_INDEX\n"
	"                      says; --until STAGE: up to that stage; --offset N: a number to add\n"
	"  --tasks FILE        the number is that of a line in FILE, which names cells\n"
	"  --slurm             write a job script, and submit.sh, for Slurm; --submit: and submit them. Their "
	"options:\n"
	"                      --partition, --gres, --mem, --time, --account, --cpus N, --module NAME, --sbatch TEXT "
	"(a\n"
	"                      further #SBATCH option), --at-once N (tasks), --per-task N (cells), --requeues N "
	"(100),\n"
	"                      --max-array N (MaxArraySize)\n" JSON,
	cmd_sweep},
    {"evaluate",
	"CHECKPOINT... [--data PATH [--text-column NAME] [--pair-column NAME] [--label NAME | --labels NAME,...] "
	"[--skip-bad N] | "
	"--config CONFIG] [--out DIR] [--json]",
	"test metrics of checkpoints, side by side",
	"  --data PATH         data that the checkpoint has never seen, classes matched by name: a folder, .tar or "
	".zip\n"
	"                      archive of class folders of images, a .csv, .tsv or .jsonl file, a .txt file of "
	"sentence@label, or the\n"
	"                      test split of a .yaml config\n"
	"  --text-column NAME  the column of the text; not given: text, sentence or comment\n"
	"  --pair-column NAME  that of the second text of pairs; not given: as sentence2 beside sentence1\n"
	"  --label NAME        the column of the class; not given: label or class\n"
	"  --labels NAME,...   columns of 0 and 1, one per label; not given: those that the model knows\n"
	"  --skip-bad N        leave out up to so many images that cannot be used; not given: any is an error\n" DATA
	"  --out DIR           a new folder for evaluation.json, tables and timings; not given: none is kept\n" JSON,
	cmd_evaluate},
    {"bench",
	"CHECKPOINT... [--batch N]... [--runs N] [--warmup N] [--throughput-runs N] [--threads N] [--out FILE] "
	"[--json]",
	"latency and throughput of checkpoints, interleaved",
	"  --batch N           a batch of the throughput; may be given again; not given: 32\n"
	"  --runs N            timed runs at batch 1 (500)\n"
	"  --warmup N          untimed runs before them (50)\n"
	"  --throughput-runs N timed runs at each other batch (20); 0: none\n"
	"  --threads N         CPU threads; 0, or not given: as with threads: 0 of a config\n"
	"  --out FILE          keeps every timing as JSON\n" JSON,
	cmd_bench},
    {"compare", "RUN_OR_SWEEP... [--baseline NAME] [--metric NAME] [--format text|md|csv|latex|json]",
	"models of runs side by side, over seeds and folds, tested against a baseline",
	"  --baseline NAME     a model (of the same run), a run (the model of the same name there), or RUN/MODEL\n"
	"  --metric NAME       the figure of the test split; not given: each model's primary one\n"
	"  --format FORMAT     text, for the eye; md, csv, latex or json\n",
	cmd_compare},
    {"report", "RUN_OR_SWEEP... --out DIR [--baseline NAME] [--metric NAME] | --check FILE.md",
	"files, figures and a page of runs; whether a text's numbers are still theirs",
	"  --out DIR           the report's folder, a new or empty one or a report's\n"
	"  --baseline NAME     as with compare\n"
	"  --metric NAME       as with compare\n"
	"  --check FILE.md     compares numbers of a text with the result files that it names; exit status 6 where "
	"they\n"
	"                      differ\n",
	cmd_report},
    {"verify", "RUN [--stage STAGE] [--tolerance POINTS] [--out DIR] [--json] | CHECKPOINT [--json]",
	"whether a run's stages, or an integer checkpoint's outputs, come out again",
	"  --stage STAGE       that stage alone; not given: all that are finished\n"
	"  --tolerance POINTS  by which figures may differ where bytes cannot be compared (1)\n"
	"  --out DIR           a new folder that keeps what was made; not given: none is kept\n"
	"  --json              prints an object instead of lines\n"
	"  Exit status 6 where something differs.\n",
	cmd_verify},
    {"predict",
	"CHECKPOINT [IMAGE | FOLDER | TEXT | -]... [--text TEXT [--pair TEXT]]... [--file FILE [--column NAME] "
	"[--pair-column NAME]]... | "
	"CHECKPOINT --split SPLIT [--rows FIRST-LAST] [--config CONFIG]   [--top N] [--threads N] [--json]",
	"what a model says of images or texts",
	"  -                   standard input, a line each: a text, or the name of an image; also if nothing is named\n"
	"  --text TEXT         a text, whatever it begins with\n"
	"  --pair TEXT         the second text of the pair, where a model takes pairs; lines have a tab between the "
	"two\n"
	"  --file FILE         texts: a line each, or a column of a .csv, .tsv or .jsonl file\n"
	"  --column NAME       that column; not given: text, sentence or comment\n"
	"  --pair-column NAME  that of the second texts; not given: as sentence2 beside sentence1\n"
	"  --split SPLIT       train, validation or test of the checkpoint's data, in place of samples\n"
	"  --rows FIRST-LAST   some samples of the split, from 0; not given: all\n" DATA
	"  --top N             one class: so many of the most probable (1)\n"
	"  --threads N         CPU threads (1); 0: as with threads: 0 of a config\n"
	"  --json              a list of JSON objects; of standard input an object a line, as answers come\n",
	cmd_predict},
    {"inspect", "CHECKPOINT [--layer PATTERN] [--histogram] [--graph] [--json]",
	"input, classes, layers, shapes, sizes, sparsity, scales, histograms",
	"  --layer PATTERN     layers and tensors of these names, with * and ?\n"
	"  --histogram         the distribution of each tensor's values\n"
	"  --graph             the nodes that run, instead\n" JSON,
	cmd_inspect},
    {"import", "FOLDER --out DIR [--pooling auto|cls|mean] [--longest N] [--pairs]",
	"a model of Hugging Face's transformers as a checkpoint",
	"  --out DIR           the checkpoint to be written, a new folder\n"
	"  --pooling KIND      of an encoder without classifier: the first token's row (cls) or the mean of all; auto: "
	"as\n"
	"                      a sentence encoder's 1_Pooling says, else cls\n"
	"  --longest N         most tokens of a text; not given: as the folder's tokenizer says\n"
	"  --pairs             its classifier takes pairs of texts, which the folder does not say\n",
	cmd_import},
    {"export", "CHECKPOINT --hf DIR", "a float checkpoint of an encoder as a folder of transformers",
	"  --hf DIR            the folder to be written, a new one\n"
	"  --pruned-heads      leave out heads that are gone, for transformers before version 5, in the place of "
	"zeros\n",
	cmd_export},
    {"explain", "[STAGE | data | model | config]", "the options of a stage or config block", "", cmd_explain},
    {"schema", "", "JSON Schema of the config, for editors", "", cmd_schema},
    {"clean", "STORE [--days N] [--dry-run] [--json]", "remove from a store of stages what nobody shares any more",
	"  STORE is a store, or a folder of runs that has one (.store)\n"
	"  --days N            what was made or used within so many days stays (30)\n"
	"  --dry-run           removes nothing, and says what would go\n" JSON,
	cmd_clean},
    {"doctor", "[--slurm] [--json]", "versions, instruction sets, threads, devices",
	"  --slurm             also what the cluster's Slurm does with a job that is preempted\n" JSON, cmd_doctor},
};
#define N_COMMANDS ((int)(sizeof commands / sizeof *commands))

static void print_usage(FILE *f)
{
	fprintf(f, "usage: pipeline COMMAND [ARGUMENT]...\n\n"
		   "Makes small, fast models out of big ones: distill, prune, quantize.\n\n");
	for (int i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-9s %s\n", commands[i].name, commands[i].help);
	fprintf(f, "\n'pipeline COMMAND --help' shows a command's arguments; 'pipeline --version' the version.\n"
		   "Exit status: 0 done, 1 other failure, 2 usage or config, 3 data, 4 checkpoint, 5 device, 6 gate,\n"
		   "acceptance limit or what verify and report --check find to differ, 75 interrupted (finished stages "
		   "are kept).\n");
}

static const struct command *find_command(const char *name)
{
	for (int i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *names[N_COMMANDS];
	for (int i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i].name;
	const char *near = str_nearest(name, names, N_COMMANDS);
	if (near)
		return err_set(ERR_CONFIG, "unknown command '%s'; did you mean '%s'?", name, near);
	return err_set(ERR_CONFIG, "unknown command '%s'; 'pipeline help' lists them", name);
}

static int dispatch(int argc, char **argv)
{
	const char *word = argv[1];
	if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
		printf("pipeline %s (%s)\n", program_version, program_commit);
		return 0;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		print_usage(stdout);
		return 0;
	}
	const struct command *c = find_command(word);
	if (!c)
		return unknown_command(word);
	int rc = c->run(argc - 1, argv + 1);
	if (rc == COMMAND_HELP) {
		printf("usage: pipeline %s%s%s\n\n%s\n%s%s", c->name, *c->usage ? " " : "", c->usage, c->help,
		    *c->options ? "\n" : "", c->options);
		return 0;
	}
	return rc;
}

/* Commands that only print do so once. Others than run would be as many processes that do not know of one another. */
static int join_ranks(const char *word, const struct ranks_started *started)
{
	static const char *const printing[] = {
	    "--version", "version", "--help", "-h", "help", "explain", "schema", "doctor"};
	if (started->n < 2)
		return 0;
	if (strcmp(word, "run") == 0)
		return ranks_open(started);
	for (size_t i = 0; i < sizeof(printing) / sizeof(*printing); i++)
		if (strcmp(word, printing[i]) == 0)
			return started->me == 0 ? 0 : ERR_LEFT;
	return err_set(ERR_CONFIG, "%s started %d processes; 'run' alone is shared by several, '%s' is started once",
	    started->by, started->n, word);
}

/* One of them speaks for all, and its status alone counts: a launcher ends the others when it sees one that is not 0.
 * Tasks of srun that MPI has not joined may be meant to be on their own, each with its log: each speaks. */
static int end_ranks(int rc, const struct ranks_started *started)
{
	const bool joined = ranks_world(),
		   is_own = !joined && (rc == ERR_FAIL || (rc && strcmp(started->by, "mpirun") != 0));
	const int status = ranks_end(rc);
	if (status && (started->me == 0 || is_own))
		fprintf(stderr, "pipeline: %s\n", err_message());
	return joined || started->me == 0 || is_own ? status : 0;
}

static int run_command(int argc, char **argv)
{
	const bool is_run = strcmp(argv[1], "run") == 0;
	/* The others end too soon to gain from it, or use one thread. */
	if (is_run || strcmp(argv[1], "evaluate") == 0 || strcmp(argv[1], "bench") == 0 ||
	    strcmp(argv[1], "verify") == 0)
		waiting_shorten(argv);
	struct ranks_started started;
	ranks_look(&started);
	int rc = join_ranks(argv[1], &started);
	if (rc == ERR_LEFT)
		return 0;
	if (!rc)
		rc = dispatch(argc, argv);
	/* The results of a run are its files; those of the other commands are what they print. */
	if (!rc && output_check() < 0 && !(is_run && output_unwanted()))
		rc = ERR_IO;
	if (rc < 0 && !is_run)
		output_end_unread();
	if (started.n > 1)
		return end_ranks(rc, &started);
	if (rc < 0)
		fprintf(stderr, "pipeline: %s\n", err_message());
	return err_exit_status(rc);
}

/* Nothing of this program calls exit below main. The OpenMP library does, when a thread cannot be made. */
static bool is_ending;
static void explain_exit(void)
{
	if (!is_ending)
		fprintf(stderr, "pipeline: a library ended the program, for the reason above; if a thread could not be "
				"made: fewer threads (threads in a config, --threads), or a higher limit (ulimit -u, "
				"OMP_STACKSIZE)\n");
}

int main(int argc, char **argv)
{
	output_open();
	atexit(explain_exit);
	if (argc < 2) {
		print_usage(stderr);
		is_ending = true;
		return err_exit_status(ERR_CONFIG);
	}
	signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is then an error of write, which is reported */
	int status = stack_call(run_command, argc, argv);
	is_ending = true;
	if (status >= 0)
		return status;
	fprintf(stderr, "pipeline: no memory for a stack of %d bytes (ulimit -s, ulimit -v, ulimit -u)\n", STACK_BYTES);
	return err_exit_status(ERR_NOMEM);
}
