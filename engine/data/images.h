/* Private to engine/data: the parts of the source `images`.
 *
 *   images_scan.c   lists what is in class folders or archives
 *   images_tree.c   decides what of it is a sample
 *   images_index.c  lists what an index CSV names
 *   images_load.c   decodes
 *   images.c        puts them together */
#ifndef ENGINE_DATA_IMAGES_H
#define ENGINE_DATA_IMAGES_H

#include "data/source.h"

struct images_state {
	char root[1024]; /* the folder `path`, resolved */
	bool outside;    /* files of an index may lie elsewhere, by absolute names */
	int n_archive;
	char (*archive)[1024]; /* resolved paths, in the order of the option */
	/* The listing's samples ordered by (file, archive), for finding a member's sample. */
	struct sample **order;
	int64_t n_order;
};

/* By folders, see images_tree.h. */
int images_scan(struct listing *l, const struct images_state *st, const struct data_options *o);
int images_read_index(struct listing *l, const struct images_state *st, const struct data_options *o, const char *path);
/* Fills st->order. ERR_DATA: a file is listed twice. */
int images_make_order(const struct listing *l, struct images_state *st);
/* The sample of a file of an archive (-1: of the folder), or NULL. */
struct sample *images_find(const struct images_state *st, const char *file, int archive);
/* The path of a sample's file in a folder. */
int images_path(const struct images_state *st, const char *file, char *out, size_t cap);
int images_load(struct listing *l, const struct source_args *a, struct pixels *pixels);

#endif
