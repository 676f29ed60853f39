/* One answer of a model, as a line of text or as a JSON object. */
#ifndef PIPELINE_ANSWER_H
#define PIPELINE_ANSWER_H

#include "task/task.h"

struct answer {
	const struct task *task;
	const double *p;  /* (classes) */
	const int *best;  /* (top) the most probable classes, the first one first */
	const char *name; /* NULL: none */
	const char *text; /* the text that it is about, or NULL */
	size_t bytes;     /* of the text */
	const char *pair; /* its second text, or NULL */
	size_t pair_bytes;
	bool without_token;          /* nothing of the text is known to the model */
	const struct targets *truth; /* one sample, or NULL */
	bool right;                  /* with truth */
	int top;
};

/* Prints to standard output. */
int answer_print(const struct answer *a);
/* `before` is printed in front of the object, `after` behind it. */
int answer_print_json(const struct answer *a, const char *before, const char *after);
/* The object of a sample that could not be read. */
int answer_print_fault(const char *name, const char *message, const char *before, const char *after);

#endif
