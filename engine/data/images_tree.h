/* Private to engine/data: what lies in a folder or an archive, and the one rule for both of what of it is a sample.
 *
 *   - Names that begin with a dot, __MACOSX, Thumbs.db and desktop.ini are hidden, with all below them.
 *   - Class folders lie in the top folder. If it holds no image but those in a single folder, which itself holds none,
 *     that folder takes its place, and so on: what everything is packed into has no say.
 *   - Where folders are named for splits (data.train, val, test), they lie in the top folder, and class folders in
 *     them. Without these options folders that hold class folders and are called by a word for a split are taken so, if
 *     one is for training and all others look like splits too, or one more is for validation or testing.
 *   - An image directly in a class folder is a sample of this class. Whatever else there is is noted (notes.h). */
#ifndef ENGINE_DATA_IMAGES_TREE_H
#define ENGINE_DATA_IMAGES_TREE_H

#include "data/archive.h"
#include "data/source.h"

struct tree {
	const char *place;     /* of the folder or archive, for messages */
	const char *separator; /* between the place and a path below it */
	int archive;           /* of the samples; -1: a folder */
	struct tree_entry {
		char *path; /* clean, see names.h */
		enum archive_kind kind;
	} * v;
	int64_t n, cap;
};
int tree_add(struct tree *t, const char *path, enum archive_kind kind);
/* Adds the samples, in the order of the entries, with their splits and without labels. */
int tree_list(const struct tree *t, struct listing *l, const struct data_options *o);
void tree_clear(struct tree *t);

/* Whether a walk need not look into a folder of this name. */
bool tree_is_hidden(const char *name);

#endif
