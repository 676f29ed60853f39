/* Private to engine/data: the decoded pixels of all samples of a source, one row of the same size each. They are held
 * in memory; or, where they are larger than half of the memory that is available, in a file that is mapped, so that the
 * kernel keeps of it what there is room for. The file has no name: nobody else can change it, and it is gone when the
 * program ends, however it ends. */
#ifndef ENGINE_DATA_PIXELS_H
#define ENGINE_DATA_PIXELS_H

#include <stdatomic.h>

#include "data/dataset.h"

struct pixels {
	uint8_t *base; /* the rows; of a file, NULL until it is sealed */
	int64_t rows;
	size_t bytes; /* of a row */
	bool in_file;
	int fd;
	char folder[1024];      /* of the file */
	size_t available;       /* memory, when that was decided */
	_Atomic size_t unsaved; /* bytes that were written since the file was last flushed */
};
/* `o` says where they may be. ERR_NOMEM: they are to be in memory and do not fit. ERR_IO: no folder takes the file;
 * each is named with its reason. pixels_close in any case. */
int pixels_open(struct pixels *p, const struct data_options *o, int64_t rows, size_t bytes);
/* Fills n rows from `row` on. Threads may fill different rows at the same time. */
int pixels_put(struct pixels *p, int64_t row, int64_t n, const uint8_t *from);
/* No row is filled any more; from now on `base` has them. */
int pixels_seal(struct pixels *p);
/* They were read in order so far; from now on they are read at random. */
void pixels_shuffle(const struct pixels *p);
/* Of a file: the row will be read soon. */
void pixels_read_ahead(const struct pixels *p, int64_t row);
void pixels_close(struct pixels *p);

#endif
