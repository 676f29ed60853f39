/* Private to engine/data: the parts of the source `images`.
 *
 *   images_scan.c   lists class folders or archives: the class of a file is the folder that holds it
 *   images_index.c  lists what an index CSV names
 *   images_load.c   decodes
 *   images.c        puts them together */
#ifndef ENGINE_DATA_IMAGES_H
#define ENGINE_DATA_IMAGES_H

#include "data/source.h"

#define IMAGE_FILE_MAX (64u << 20) /* bytes of one compressed image */

struct images_state {
	char root[1024]; /* the folder `path`, resolved */
	int n_archive;
	char (*archive)[1024]; /* resolved paths, in the order of the option */
	/* The listing's samples ordered by (file, archive), for finding a member's sample. */
	struct sample **order;
	int64_t n_order;
};

int images_scan(struct listing *l, const struct images_state *st);
int images_read_index(struct listing *l, const struct images_state *st, const char *path);
/* Fills st->order. ERR_DATA: a file is listed twice. */
int images_make_order(const struct listing *l, struct images_state *st);
/* The sample of a file of an archive (-1: of the folder), or NULL. */
struct sample *images_find(const struct images_state *st, const char *file, int archive);
int images_load(struct listing *l, const struct source_args *a, struct pixels *pixels);

#endif
