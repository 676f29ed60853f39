/* Federated averaging (McMahan, Moore, Ramage, Hampson and Aguera y Arcas 2017, algorithm 1): in every round some of
 * the clients train the common weights on samples of their own, and the new weights are the mean of theirs, each as
 * heavy as its client has samples. Clients train one after the other in one process, or some at a time, each in a rank
 * of its own; what they send is added in the order of their numbers, so that the sums are the same.
 *
 * Parts of the stage: who has which samples (federate_split.c), what a client sends (federate_update.c), the state
 * between two rounds (federate_state.c), several ranks (federate_ranks.c), figures in files (federate_report.c), the
 * rounds (federate_rounds.c), the stage (federate.c). */
#ifndef STAGES_FEDERATE_H
#define STAGES_FEDERATE_H

#include <stdio.h>

#include "stages/fit.h"

enum federate_division { DIVISION_IID, DIVISION_DIRICHLET };
extern const char *const federate_divisions[];

#define FLOAT_BITS  32 /* update_bits: weights are sent as they are */
#define BITS_MOST   16 /* of an update that is quantized */
#define SAMPLES_MIN 2  /* a client with fewer takes no part: a batch of one sample cannot be normalised */

struct federate_options {
	int64_t clients, rounds, local_epochs;
	double fraction; /* of the clients, in each round */
	int division;    /* enum federate_division */
	double alpha;    /* of the Dirichlet distribution */
	int64_t bits;
	struct train_options train; /* epochs: rounds * local_epochs, set when the options are used */
};

/* The training samples of every client: those of client k are sample[start[k]] .. sample[start[k + 1] - 1], ascending.
 * A zeroed struct is empty. */
struct federate_split {
	int clients;
	uint32_t *sample;
	int64_t *start; /* (clients + 1) */
	int able;       /* clients with SAMPLES_MIN samples or more */
};
/* IID: a permutation of all samples, dealt in equal parts. Dirichlet (Hsu, Qi and Brown 2019): the samples of each
 * class are dealt by shares from Dirichlet(alpha, ..., alpha). ERR_CONFIG: more clients than pairs of samples, or
 * samples that have no single class; *key (may be NULL): the option at fault. */
int federate_split_make(struct federate_split *out, const struct federate_options *o, const struct dataset *d,
    uint64_t seed, const char *stage, const char **key);
void federate_split_clear(struct federate_split *s);
/* The able clients of a round, ascending; chosen has room for all. Returns how many. */
int federate_choose(
    const struct federate_split *s, double fraction, uint64_t seed, const char *stage, int64_t round, int *chosen);

/* The name of a client's random streams: client 0 has those of a training of the stage's name. ERR_CONFIG: too long. */
#define FEDERATE_STREAM 64
int federate_stream(const char *stage, int client, char name[FEDERATE_STREAM]);

/* What is sent, one value after the other. */
struct federate_param {
	char name[NODE_NAME];
	int64_t at, n;
	bool trained; /* else statistics of a batch norm: always floats, never differences */
};
struct federate_params {
	struct federate_param *item; /* owned */
	int n;
	int64_t values, trained; /* of all; of the trained ones, which come first */
};
/* Of a training graph. */
int federate_params_make(struct federate_params *out, const struct graph *g);
void federate_params_clear(struct federate_params *p);
/* Bytes of what one client sends in a round, and of what it gets. */
int64_t federate_bytes_up(const struct federate_params *p, int bits);
int64_t federate_bytes_down(const struct federate_params *p);

/* Quantizes u (n) to `bits` (1 to BITS_MOST) bits a value and one float, and adds `share` of what that stands for to
 * sum (n). u becomes what was lost, which the client adds to its next update (error feedback; Seide, Fu, Droppo, Li and
 * Yu 2014). Two bits and more: multiples of max|u| / (2^(bits - 1) - 1), rounded to the nearest. One bit: plus or minus
 * mean|u|. mask (n) or NULL: values without a 1 are not sent. */
void federate_quantize(float *u, int64_t n, int bits, const uint8_t *mask, double share, double *sum);

struct federate_round {
	double loss, train_loss, train_figure, val_loss, val_figure; /* loss: mean of the clients' last epoch */
	int64_t clients, bytes_up, bytes_down;
	double seconds;
};

/* A federation that is going on. */
struct federation {
	const struct federate_options *o;
	const struct stage_run *run;
	const struct trainer *t; /* of the whole */
	struct federate_split split;
	struct federate_params params;
	float *global, *client, *best; /* (values) the common weights, one client's, the best of all rounds */
	double *sum;                   /* (values) */
	float *received;              /* (values) of several ranks: one client's weights, from the rank that has them */
	float *error;                 /* (clients, trained) what each one's update has lost; NULL: FLOAT_BITS */
	uint8_t *mask;                /* (trained) or NULL */
	int *chosen;                  /* (clients) */
	struct federate_round *round; /* (rounds) */
	int64_t kept;                 /* the round whose state is in the file; 0: there is none */
	int64_t done, bad_rounds, best_round, steps; /* rounds; best_round from 1, 0: none */
	int figure;                                  /* row of the task: the primary one */
	double earlier_seconds, start, saved, train_seconds;
	int64_t resumed, trained_samples;
};
/* Bytes on the host. */
size_t federate_host_bytes(const struct federate_options *o, const struct federate_params *p);

/* What one client has sent, its weights (values), into f->sum. */
void federate_add(struct federation *f, int client, const float *weights, double share);
/* f->sum becomes f->global; f->mask holds. */
void federate_average(struct federation *f);

/* federate_ranks.c. Whether this process is alone, or rank 0; clients that train at a time. */
bool federate_leads(const struct federation *f);
int federate_at_once(const struct federation *f);
/* All ranks hear how the others have fared (ranks_meet); ERR_INTERRUPTED where one was told to stop. Alone: rc. */
int federate_meet(const struct federation *f, const char *at, int64_t number, int rc);
/* After a meeting: the client's weights and loss that rank `from` has, into f->received. Alone: nothing. */
int federate_receive(struct federation *f, int from, double *loss);
/* A meeting, and then rank 0's common weights and counts of rounds for all. */
int federate_share(struct federation *f, const char *at, int rc);

/* federate_state.c: the state after a round, to run->resume_path; and back: 1: it was there, 0: not, ERR_CHECKPOINT. */
int federate_save(const struct federation *f, const struct train_result *r);
int federate_load(struct federation *f, struct train_result *r);

/* federate_rounds.c: in the place of trainer_fit, of a struct federation that has its options and its stage. */
int federate_fit(void *federation, const struct trainer *planned, struct train_result *out);

/* federate_report.c */
int federate_log_begin(const struct federation *f, FILE **csv); /* with the rounds that are done */
int federate_log_round(const struct federation *f, FILE *csv);  /* the last one */
/* training_results.json in the stage's folder, and the block `federation` of checkpoint_info.json. */
int federate_report(const struct federation *f);

#endif
