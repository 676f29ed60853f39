/* What the test of the byte counts shares: kernels whose bytes one can count by hand, and the committed table. */
#ifndef SIMT_TRAFFIC_H
#define SIMT_TRAFFIC_H

#include "simt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y[i] = x[i] + x[i+1] + x[i+2] for i < n, through shared memory. */
void traffic_window_sums(const float *x, float *y, int n, cudaStream_t stream);
/* n times four values, 16 bytes at once; seen[i] = 1. */
void traffic_halve(float *fours, uint8_t *seen, int n, cudaStream_t stream);

/* Rows of cuda/traffic.txt: a net and what simt_traffic says. */
#define TRAFFIC_MOST 512
struct traffic_row {
	char net[32];
	struct simt_traffic moved;
};
struct traffic_table {
	struct traffic_row row[TRAFFIC_MOST];
	size_t n;
	int compiler; /* of a table that was read: the version of g++ that made it */
};
/* Appends; -1 with a line on stderr if the table is full. */
int traffic_add(struct traffic_table *t, const char *net, const struct simt_traffic *moved);
/* 0, or -1 with a line on stderr. */
int traffic_read(struct traffic_table *t, const char *path);
int traffic_write(const struct traffic_table *t, const char *path);
/* Adds the bytes that a step moves at least as long as every node of the graph is a kernel of its own: see
 * traffic_least.c. 0, or -1 with a line on stderr for an op whose bytes are not known. */
struct graph;
int traffic_least(const struct graph *g, struct simt_traffic *least);
/* The number of rows that differ, each with a line on stderr that says how. */
int traffic_compare(const struct traffic_table *committed, const struct traffic_table *counted);

#ifdef __cplusplus
}
#endif

#endif
