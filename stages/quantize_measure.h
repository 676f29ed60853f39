/* Private to stages/quantize*.c: what is measured on the converted model for the INT8 report. */
#ifndef STAGES_QUANTIZE_MEASURE_H
#define STAGES_QUANTIZE_MEASURE_H

#include "stages/quantize.h"

struct node_figures {
	int64_t compared, different; /* against the annotated graph                                        */
	double largest;              /* difference: in quanta for integers, in real units for real values  */
	int64_t saturated;           /* values that the range has clipped                                   */
	double seconds;              /* median of one forward of the batch                                  */
};
struct quantize_measures {
	struct graph folded, annotated, deployed; /* for the batch that is timed */
	struct node_figures *node;                /* per node of `deployed` */
	double *fp32_seconds;                     /* per node of `folded` */
	char (*impl)[96];                         /* per node of `deployed` */
	int batch;
	int64_t samples; /* of validation, compared */
	int64_t compared, different;
	double largest; /* of the integers */
	double largest_real;
	bool twins; /* there is an annotated graph to compare with */
};
/* Adds to *clipped how many of the first `count` values of an annotated graph's quantized value, whose executor keeps
 * all and has run, were beyond the range. 0 for what passes integers on. In quantize_clipped.c. */
int quantize_clipped(struct executor *annotated, int node, int64_t count, int64_t *clipped);
/* The node of the deployed graph that runs a layer, or NODE_NONE; the time of the layer in FP32. */
int quantize_deployed_node(const struct quantize_measures *m, const struct quant_layer *l);
double quantize_fp32_seconds(const struct quantize_measures *m, const struct quant_layer *l);
int quantize_measure(struct quantize_job *job, struct quantize_measures *m);
void quantize_measures_clear(struct quantize_measures *m);

#endif
