/* A model that answers about samples one after the other, in the order in which they come. Samples are collected into
 * batches; a bad one is reported and the others go on. */
#ifndef PIPELINE_PREDICTOR_H
#define PIPELINE_PREDICTOR_H

#include <stdint.h>

#include "data/notes.h"
#include "model/session.h"

struct predictor_options {
	int threads, batch;
	bool json;
	bool list;     /* JSON: one list; else an object a line, as answers come */
	int top;       /* single label: how many classes a line shows */
	bool nameless; /* the person who asks has the sample before their eyes */
	bool alone;    /* there is one sample: if it is bad, that is the command's own error */
};

struct predictor {
	struct predictor_options o;
	struct device dev;
	struct model model;
	struct session session;
	/* The batch that is being collected. */
	int count;
	struct sample_view *view; /* (batch) */
	char **name;              /* (batch) owned; NULL: the sample has none */
	void **held;              /* (batch) owned: the pixels or the text */
	double *p;                /* (classes) */
	int *top;                 /* (classes) the most probable ones */
	int64_t printed;          /* objects of the list */
	int64_t answered, failed, truncated, without_tokens;
	struct data_notes notes; /* how images were converted */
};

int predictor_open(struct predictor *p, const char *dir, const struct predictor_options *o);
void predictor_close(struct predictor *p);
bool predictor_takes_images(const struct predictor *p);
bool predictor_takes_pairs(const struct predictor *p);

/* A file that is a sample, an image. What is missing, broken or of another size is reported. */
int predictor_file(struct predictor *p, const char *path);
/* The same of the bytes of one. */
int predictor_image(struct predictor *p, const char *name, const void *bytes, size_t n);
/* A text, or two with a NUL byte between them where the model takes pairs, which are shown with their answer; `where`
 * is for messages. One that is not UTF-8 is reported. */
int predictor_text(struct predictor *p, const char *where, const char *text, size_t bytes);
/* Reports a sample that could not be read, whose error was just set; an error that is not its own is returned. */
int predictor_failed(struct predictor *p, const char *name, int rc);
/* Answers what has been collected so far. */
int predictor_flush(struct predictor *p);
/* Answers about samples first to last of a split, each with the truth. */
int predictor_split(struct predictor *p, const struct dataset *d, enum split s, int64_t first, int64_t last);
/* Answers the rest, and says on standard error what was converted, truncated, empty or bad. ERR_DATA if any was bad. */
int predictor_finish(struct predictor *p);

#endif
