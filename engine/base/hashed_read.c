/* The bytes are read into memory of our own and not mapped: a file that is changed while the program runs, or cut off,
 * must not change or end what was hashed before. */
#include "base/hashed_read.h"

#include <pthread.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define READ_ALONE ((size_t)1 << 20) /* bytes: below, a thread takes longer to be made than the work */

struct hashed_read {
	char *path;
	pthread_t thread;
	bool threaded; /* and not yet joined */
	pthread_mutex_t lock;
	pthread_cond_t was_read;
	bool read; /* under the lock; what follows is written before */
	int rc;    /* of the reading */
	char *why; /* its message, which is the thread's own; NULL: no memory for it */
	struct fs_bytes bytes;
	bool taken; /* by the caller */
	/* Written by the thread, read after it was joined. */
	int hash_rc;
	char sha256[HASH_HEX];
};

static void *work(void *user)
{
	struct hashed_read *r = user;
	struct fs_bytes bytes;
	const int rc = fs_read(r->path, &bytes);
	char *why = rc ? mem_strdup(err_message()) : NULL;
	pthread_mutex_lock(&r->lock);
	r->rc = rc;
	r->why = why;
	r->bytes = bytes;
	r->read = true;
	pthread_cond_signal(&r->was_read);
	pthread_mutex_unlock(&r->lock);
	if (!rc)
		r->hash_rc = hash_bytes(bytes.data, bytes.size, r->sha256);
	return NULL;
}

int hashed_read_begin(struct hashed_read **out, const char *path)
{
	uint64_t size;
	struct hashed_read *r = mem_alloc(1, sizeof(*r));
	*out = NULL;
	if (!r)
		return ERR_NOMEM;
	r->path = mem_strdup(path);
	if (!r->path) {
		mem_free(r);
		return ERR_NOMEM;
	}
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->was_read, NULL);
	r->threaded = fs_size(path, &size) == 0 && size >= READ_ALONE && pthread_create(&r->thread, NULL, work, r) == 0;
	if (!r->threaded)
		(void)work(r);
	*out = r;
	return 0;
}

int hashed_read_bytes(struct hashed_read *r, struct fs_bytes *out)
{
	*out = (struct fs_bytes){0};
	pthread_mutex_lock(&r->lock);
	while (!r->read)
		pthread_cond_wait(&r->was_read, &r->lock);
	pthread_mutex_unlock(&r->lock);
	if (r->rc)
		return err_set((enum err)r->rc, "%s", r->why ? r->why : "out of memory");
	*out = r->bytes;
	r->taken = true;
	return 0;
}

static void join(struct hashed_read *r)
{
	if (r->threaded)
		pthread_join(r->thread, NULL);
	r->threaded = false;
}

int hashed_read_hash(struct hashed_read *r, char hex[HASH_HEX])
{
	join(r);
	memcpy(hex, r->sha256, HASH_HEX);
	return r->hash_rc ? err_set((enum err)r->hash_rc, "%s: its hash cannot be computed", r->path) : 0;
}

const char *hashed_read_path(const struct hashed_read *r)
{
	return r->path;
}

void hashed_read_close(struct hashed_read *r)
{
	if (!r)
		return;
	join(r);
	if (!r->taken)
		fs_bytes_clear(&r->bytes);
	pthread_cond_destroy(&r->was_read);
	pthread_mutex_destroy(&r->lock);
	mem_free(r->why);
	mem_free(r->path);
	mem_free(r);
}
