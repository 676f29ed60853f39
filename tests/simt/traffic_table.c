/* cuda/traffic.txt: reading, writing and comparing it. A number that grew is a lost fusion; one that fell is a gain
 * that the table does not know of yet: both are differences. What threads request, unlike what a launch touches,
 * depends on what the compiler keeps in registers, so it is compared only where the table was made by the same version.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"

#define MADE_WITH "# Made by simt_traffic --write, kernels compiled by g++ "

int traffic_add(struct traffic_table *t, const char *net, const struct simt_traffic *moved)
{
	if (t->n == TRAFFIC_MOST) {
		fprintf(stderr, "%s: more than %d rows\n", net, TRAFFIC_MOST);
		return -1;
	}
	struct traffic_row *r = &t->row[t->n++];
	snprintf(r->net, sizeof(r->net), "%s", net);
	r->moved = *moved;
	return 0;
}

static int parse(struct traffic_row *r, const char *line)
{
	struct simt_traffic *m = &r->moved;
	return sscanf(line, "%31s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %95[^\n]", r->net, &m->launches,
		   &m->read, &m->written, &m->requested, m->name) == 6
		   ? 0
		   : -1;
}

int traffic_read(struct traffic_table *t, const char *path)
{
	char line[256];
	int rc = 0, number = 0;
	FILE *f = fopen(path, "r");
	memset(t, 0, sizeof(*t));
	if (!f) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return -1;
	}
	while (!rc && fgets(line, sizeof(line), f)) {
		number++;
		if (strncmp(line, MADE_WITH, strlen(MADE_WITH)) == 0)
			t->compiler = atoi(line + strlen(MADE_WITH));
		if (*line == '#')
			continue;
		rc = t->n == TRAFFIC_MOST ? -1 : parse(&t->row[t->n++], line);
		if (rc)
			fprintf(stderr, "%s:%d: no row of the table\n", path, number);
	}
	fclose(f);
	return rc;
}

int traffic_write(const struct traffic_table *t, const char *path)
{
	FILE *f = fopen(path, "w");
	if (!f) {
		fprintf(stderr, "%s: cannot be written\n", path);
		return -1;
	}
	fprintf(f,
	    "# Bytes of device memory that one training step moves, by kernel, product and copy; docs/gpu.md says "
	    "more.\n"
	    "# read, written: each byte once per launch; requested: every access of every thread. Compared by the "
	    "test\n"
	    "# simt_traffic.\n" MADE_WITH "%d\n",
	    __GNUC__);
	fprintf(f, "# net.phase         launches         read      written    requested  name\n");
	for (size_t i = 0; i < t->n; i++) {
		const struct simt_traffic *m = &t->row[i].moved;
		fprintf(f, "%-20s %8" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "  %s\n", t->row[i].net,
		    m->launches, m->read, m->written, m->requested, m->name);
	}
	if (fclose(f)) {
		fprintf(stderr, "%s: cannot be written\n", path);
		return -1;
	}
	return 0;
}

static const struct simt_traffic *find(const struct traffic_table *t, const struct traffic_row *like)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->row[i].net, like->net) == 0 && strcmp(t->row[i].moved.name, like->moved.name) == 0)
			return &t->row[i].moved;
	return NULL;
}

/* 1 if they differ. */
static int differ(const struct traffic_row *r, const char *what, uint64_t committed, uint64_t counted)
{
	if (committed == counted)
		return 0;
	fprintf(stderr, "%s: %s: %s %s from %" PRIu64 " to %" PRIu64 "%s\n", r->net, r->moved.name, what,
	    counted > committed ? "grew" : "fell", committed, counted,
	    counted > committed ? "" : ": make a new table with --write");
	return 1;
}

int traffic_compare(const struct traffic_table *committed, const struct traffic_table *counted)
{
	int bad = 0;
	for (size_t i = 0; i < counted->n; i++) {
		const struct traffic_row *r = &counted->row[i];
		const struct simt_traffic *was = find(committed, r);
		if (!was) {
			fprintf(stderr, "%s: %s is not in the table\n", r->net, r->moved.name);
			bad++;
			continue;
		}
		bad += differ(r, "launches", was->launches, r->moved.launches);
		bad += differ(r, "bytes read", was->read, r->moved.read);
		bad += differ(r, "bytes written", was->written, r->moved.written);
		if (committed->compiler == __GNUC__)
			bad += differ(r, "bytes requested", was->requested, r->moved.requested);
	}
	for (size_t i = 0; i < committed->n; i++) {
		if (find(counted, &committed->row[i]))
			continue;
		fprintf(stderr, "%s: %s is in the table, but nothing moved\n", committed->row[i].net,
		    committed->row[i].moved.name);
		bad++;
	}
	return bad;
}
