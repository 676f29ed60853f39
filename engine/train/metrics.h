/* Classification metrics from predictions. */
#ifndef ENGINE_TRAIN_METRICS_H
#define ENGINE_TRAIN_METRICS_H

#include <cjson/cJSON.h>
#include <stdint.h>

struct metrics {
	int classes;
	int64_t n;
	int64_t *confusion; /* (true, predicted), classes x classes */
	double loss_sum;    /* cross-entropy, natural log */
	double loss, accuracy, f1_macro, f1_micro, f1_weighted;
	double *precision, *recall, *f1; /* per class; 0 where undefined */
};
int metrics_init(struct metrics *m, int classes);
void metrics_clear(struct metrics *m);
void metrics_reset(struct metrics *m);
/* The predicted class of one sample: the first arg max. */
int metrics_predict(const float *logits, int classes);
/* logits (n, classes), labels (n). */
void metrics_add(struct metrics *m, const float *logits, const int32_t *labels, int64_t n);
void metrics_finish(struct metrics *m); /* fills the derived figures */
cJSON *metrics_to_json(
    const struct metrics *m); /* accuracy, f1_*, precision_macro, recall_macro, loss, samples, per_class, confusion */

#endif
