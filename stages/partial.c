#include "stages/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "stages/common.h"

#define MAGIC        "PARTIAL1"
#define WORD         8
#define DIGITS       (HASH_HEX - 1)
#define HEAD         (WORD + DIGITS) /* of the file: magic, key */
#define RECORD_HEAD  (DIGITS + WORD) /* unit, bytes of the payload; behind the payload the hash of all that */
#define MOST_PAYLOAD ((uint64_t)1 << 32)
#define SHARE        50 /* of the time since something was kept, one part is for keeping */

struct record {
	char unit[HASH_HEX];
	off_t at; /* of its payload */
	size_t size;
};

struct partial {
	char path[1200], key[HASH_HEX];
	int fd; /* -1: there is no file yet */
	off_t end;
	struct record *record;
	int n, capacity;
	double seconds, kept, cost; /* the option; when something was kept (clock_now); how long that took */
	bool failed;
};

static void put_word(unsigned char *p, uint64_t v)
{
	for (int k = 0; k < WORD; k++)
		p[k] = (unsigned char)(v >> (8 * k));
}

static uint64_t get_word(const unsigned char *p)
{
	uint64_t v = 0;
	for (int k = 0; k < WORD; k++)
		v |= (uint64_t)p[k] << (8 * k);
	return v;
}

static bool read_at(int fd, void *to, size_t n, off_t at)
{
	for (unsigned char *p = to; n > 0;) {
		ssize_t got = pread(fd, p, n, at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

static bool write_at(int fd, const void *from, size_t n, off_t at)
{
	for (const unsigned char *p = from; n > 0;) {
		ssize_t put = pwrite(fd, p, n, at);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		p += put;
		at += put;
		n -= (size_t)put;
	}
	return true;
}

/* ---- opening ---- */

static int note_record(struct partial *p, const unsigned char *head, size_t size)
{
	if (p->n == p->capacity) {
		const int more = p->capacity ? 2 * p->capacity : 16;
		struct record *r = mem_grow(p->record, (size_t)p->capacity, (size_t)more, sizeof(*r));
		if (!r)
			return ERR_NOMEM;
		p->record = r;
		p->capacity = more;
	}
	struct record *r = &p->record[p->n++];
	memcpy(r->unit, head, DIGITS);
	r->unit[DIGITS] = '\0';
	r->at = p->end + RECORD_HEAD;
	r->size = size;
	return 0;
}

/* The record at p->end. 1: there is none, or it is not whole. */
static int read_record(struct partial *p, off_t file_size)
{
	unsigned char head[RECORD_HEAD], kept[DIGITS];
	char hex[HASH_HEX];
	if (file_size - p->end < RECORD_HEAD + DIGITS || !read_at(p->fd, head, sizeof(head), p->end))
		return 1;
	const uint64_t size = get_word(head + DIGITS);
	if (size > (uint64_t)(file_size - p->end - RECORD_HEAD - DIGITS))
		return 1;
	const size_t whole = RECORD_HEAD + (size_t)size;
	unsigned char *bytes = mem_alloc(whole, 1);
	if (!bytes)
		return ERR_NOMEM;
	bool same = read_at(p->fd, bytes, whole, p->end) && read_at(p->fd, kept, DIGITS, p->end + (off_t)whole);
	int rc = same ? hash_bytes(bytes, whole, hex) : 0;
	mem_free(bytes);
	if (rc)
		return rc;
	if (!same || memcmp(kept, hex, DIGITS) != 0)
		return 1;
	rc = note_record(p, head, (size_t)size);
	p->end += (off_t)whole + DIGITS;
	return rc;
}

static void fill_head(unsigned char head[HEAD], const char *key)
{
	memcpy(head, MAGIC, WORD);
	memcpy(head + WORD, key, DIGITS);
}

/* Before the first record is written. */
static int begin_file(struct partial *p)
{
	unsigned char head[HEAD];
	fill_head(head, p->key);
	p->fd = open(p->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (p->fd < 0 || !write_at(p->fd, head, sizeof(head), 0))
		return err_set(ERR_IO, "%s: %s", p->path, strerror(errno));
	p->end = HEAD;
	return 0;
}

static int forget_file(struct partial *p)
{
	close(p->fd);
	p->fd = -1;
	return unlink(p->path) < 0 ? err_set(ERR_IO, "%s: %s", p->path, strerror(errno)) : 0;
}

static int read_file(struct partial *p, char *cut)
{
	unsigned char head[HEAD], want[HEAD];
	const char *path = p->path;
	struct stat st;
	if (fstat(p->fd, &st) < 0)
		return err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(ERR_IO, "%s: is not a file; remove it", path);
	fill_head(want, p->key);
	if (st.st_size < HEAD || !read_at(p->fd, head, HEAD, 0) || memcmp(head, want, HEAD) != 0)
		return forget_file(p);
	p->end = HEAD;
	int rc;
	while ((rc = read_record(p, st.st_size)) == 0)
		;
	if (rc < 0 || p->end == st.st_size)
		return rc < 0 ? rc : 0;
	snprintf(cut, 512, "%s: damaged or cut off behind byte %lld: what was kept there is computed again", path,
	    (long long)p->end);
	return ftruncate(p->fd, p->end) < 0 ? err_set(ERR_IO, "%s: %s", path, strerror(errno)) : 0;
}

int partial_open(struct partial **out, const char *path, const char *key, double seconds, char *cut)
{
	struct partial *p = mem_alloc(1, sizeof(*p));
	*out = NULL;
	cut[0] = '\0';
	if (!p)
		return ERR_NOMEM;
	*p = (struct partial){.kept = clock_now(), .seconds = seconds};
	snprintf(p->path, sizeof(p->path), "%s", path);
	snprintf(p->key, sizeof(p->key), "%s", key);
	p->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc = 0;
	if (p->fd >= 0)
		rc = read_file(p, cut);
	else if (errno != ENOENT)
		rc = err_set(ERR_IO, "%s: %s", path, strerror(errno));
	if (rc)
		partial_close(p);
	else
		*out = p;
	return rc;
}

void partial_close(struct partial *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	mem_free(p->record);
	mem_free(p);
}

void partial_remove(const char *path, const char *key)
{
	unsigned char head[HEAD], want[HEAD];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	fill_head(want, key);
	if (read_at(fd, head, HEAD, 0) && memcmp(head, want, HEAD) == 0)
		unlink(path);
	close(fd);
}

/* ---- records ---- */

static int read_payload(const struct partial *p, const struct record *r, struct fs_bytes *out)
{
	out->data = mem_alloc(r->size + 1, 1);
	out->size = r->size;
	if (!out->data)
		return ERR_NOMEM;
	if (read_at(p->fd, out->data, r->size, r->at))
		return 0;
	fs_bytes_clear(out);
	return 0; /* computed again */
}

int partial_find(struct partial *p, const char unit[HASH_HEX], struct fs_bytes *out)
{
	*out = (struct fs_bytes){0};
	for (int i = p->n - 1; i >= 0; i--)
		if (strcmp(p->record[i].unit, unit) == 0)
			return read_payload(p, &p->record[i], out);
	return 0;
}

bool partial_is_due(const struct partial *p, double seconds)
{
	const double since = clock_now() - p->kept;
	return since >= seconds && since >= SHARE * p->cost;
}

static int append(struct partial *p, const char *unit, const void *bytes, size_t n)
{
	const size_t whole = RECORD_HEAD + n;
	unsigned char *b = mem_alloc(whole + HASH_HEX, 1);
	char hex[HASH_HEX];
	if (!b)
		return ERR_NOMEM;
	memcpy(b, unit, DIGITS);
	put_word(b + DIGITS, n);
	memcpy(b + RECORD_HEAD, bytes, n);
	int rc = hash_bytes(b, whole, hex);
	if (!rc)
		memcpy(b + whole, hex, DIGITS);
	if (!rc && p->fd < 0)
		rc = begin_file(p);
	if (!rc && (!write_at(p->fd, b, whole + DIGITS, p->end) || fdatasync(p->fd) < 0)) {
		rc = err_set(ERR_IO, "%s: %s", p->path, strerror(errno));
		if (ftruncate(p->fd, p->end) < 0)
			errno = 0; /* the next start cuts it off */
	}
	if (!rc)
		rc = note_record(p, b, n);
	if (!rc)
		p->end += (off_t)(whole + DIGITS);
	mem_free(b);
	return rc;
}

int partial_keep(const struct stage_run *run, const char unit[HASH_HEX], const void *bytes, size_t n)
{
	struct partial *p = run->partial;
	if (p->failed || n > MOST_PAYLOAD)
		return 0;
	const double start = clock_now();
	int rc = append(p, unit, bytes, n);
	p->kept = clock_now();
	p->cost = p->kept - start;
	if (rc != ERR_IO)
		return rc;
	p->failed = true;
	stage_line(run, "warning: what is finished of the stage cannot be kept: %s; it goes on", err_message());
	err_clear();
	return 0;
}

/* ---- rows of logits ---- */

struct rows {
	const struct stage_run *run;
	const char *unit;
	session_sink sink;
	void *user;
	float *row; /* those that are not kept yet, from `first` on, behind a word that says so */
	int64_t first, n, capacity;
	int classes;
};

static int keep_rows(struct rows *r)
{
	if (r->n == 0)
		return 0;
	const size_t bytes = (size_t)r->n * (size_t)r->classes * sizeof(float);
	put_word((unsigned char *)r->row, (uint64_t)r->first);
	int rc = partial_keep(r->run, r->unit, r->row, WORD + bytes);
	r->first += r->n;
	r->n = 0;
	return rc;
}

static float *behind_word(float *row)
{
	return row + WORD / sizeof(float);
}

static int add_rows(void *user, struct session *s, int64_t first, int count)
{
	struct rows *r = user;
	const size_t of_row = (size_t)r->classes;
	int rc = r->sink(r->user, s, first, count);
	if (rc)
		return rc;
	if (r->n + count > r->capacity) {
		const int64_t more = r->n + count > 2 * r->capacity ? r->n + count : 2 * r->capacity;
		float *row = mem_grow(r->row, (size_t)r->capacity * of_row + (r->row ? WORD / sizeof(float) : 0),
		    (size_t)more * of_row + WORD / sizeof(float), sizeof(*row));
		if (!row)
			return ERR_NOMEM;
		r->row = row;
		r->capacity = more;
	}
	memcpy(behind_word(r->row) + (size_t)r->n * of_row, s->logits, (size_t)count * of_row * sizeof(float));
	r->n += count;
	return partial_is_due(r->run->partial, fmin(r->run->partial->seconds, PARTIAL_SECONDS)) ? keep_rows(r) : 0;
}

/* Gives the sink the batches of one record, if it begins where the last one ended and holds whole batches. */
static int give_record(struct rows *r, struct session *s, const struct fs_bytes *b, int64_t total)
{
	const size_t of_row = (size_t)r->classes * sizeof(float);
	if (b->size < WORD || (b->size - WORD) % of_row || get_word(b->data) != (uint64_t)r->first)
		return 0;
	const int64_t n = (int64_t)((b->size - WORD) / of_row);
	if (n > total - r->first || (n % s->batch && r->first + n != total))
		return 0;
	int rc = 0;
	for (int64_t at = 0; !rc && at < n; at += s->batch) {
		const int count = n - at < s->batch ? (int)(n - at) : s->batch;
		memcpy(s->logits, b->data + WORD + (size_t)at * of_row, (size_t)count * of_row);
		rc = r->sink(r->user, s, r->first + at, count);
	}
	r->first += n;
	return rc;
}

static int give_kept(struct rows *r, struct session *s, int64_t total)
{
	const struct partial *p = r->run->partial;
	const int n = p->n;
	int rc = 0;
	for (int i = 0; !rc && i < n; i++) {
		struct fs_bytes b;
		if (strcmp(p->record[i].unit, r->unit) != 0)
			continue;
		rc = read_payload(p, &p->record[i], &b);
		if (!rc)
			rc = give_record(r, s, &b, total);
		fs_bytes_clear(&b);
	}
	return rc;
}

int partial_run(const struct stage_run *run, const char unit[HASH_HEX], struct session *s, const struct encoding *e,
    session_sink sink, void *user)
{
	struct rows r = {.run = run, .unit = unit, .sink = sink, .user = user, .classes = s->classes};
	if (!run->partial)
		return session_run(s, e, 0, e->n, run->stop, sink, user);
	int rc = give_kept(&r, s, e->n);
	if (!rc && r.first > 0)
		stage_line(run, "going on after %lld of %lld samples of the %s split", (long long)r.first,
		    (long long)e->n, split_names[e->split]);
	if (!rc)
		rc = session_run(s, e, r.first, e->n - r.first, run->stop, add_rows, &r);
	if (rc == ERR_INTERRUPTED && keep_rows(&r) == ERR_NOMEM)
		rc = ERR_NOMEM;
	mem_free(r.row);
	return rc;
}

/* ---- units ---- */

static int hash_param(struct hash *h, const struct param_store *s, const struct param *p)
{
	char shape[64];
	const size_t n = tensor_bytes(&p->value);
	int rc = hash_add_str(h, p->name);
	if (!rc)
		rc = hash_add_str(h, dtype_name(p->value.dtype));
	if (!rc)
		rc = hash_add_str(h, shape_text(p->value.shape, shape));
	if (rc || !p->set || device_traits(s->dev)->on_host)
		return rc || !p->set ? rc : hash_add(h, p->value.data, n);
	unsigned char *copy = mem_alloc(n, 1);
	rc = copy ? s->dev.backend->download(s->dev.ctx, copy, p->value.data, n) : ERR_NOMEM;
	if (!rc)
		rc = hash_add(h, copy, n);
	mem_free(copy);
	return rc;
}

static int hash_range(struct hash *h, struct qrange q)
{
	const int members[] = {q.bits, q.lo, q.hi, q.zero, q.is_signed};
	return hash_add(h, members, sizeof(members));
}

/* Member by member: what lies between them in memory is by chance, and by chance work would not be found again. */
static int hash_attr(struct hash *h, const struct attr *a)
{
	_Static_assert(sizeof(struct attr) == 136, "a member that is added is to be hashed too");
	const int whole[] = {a->relu, a->flatten, a->tf32, a->gelu_tanh, a->stride, a->pad, a->kernel, (int)a->to,
	    a->heads, a->prob_bits, (int)a->distance, a->teacher_heads, a->zero_in, a->raw_sum};
	const float real[] = {a->eps, a->rate, a->smoothing, a->temperature, a->alpha, a->factor};
	const int64_t wide[] = {a->longest, a->count, a->channels};
	int rc = hash_add(h, whole, sizeof(whole));
	if (!rc)
		rc = hash_add(h, real, sizeof(real));
	if (!rc)
		rc = hash_add(h, wide, sizeof(wide));
	if (!rc)
		rc = hash_range(h, a->q);
	return rc ? rc : hash_range(h, a->q_in);
}

/* What a graph computes follows from its nodes. */
static int hash_graph(struct hash *h, const struct graph *g)
{
	int rc = 0;
	for (int i = 0; !rc && i < g->n; i++) {
		const struct node *n = &g->node[i];
		rc = hash_add_str(h, n->name);
		if (!rc)
			rc = hash_add(h, &n->op, sizeof(n->op));
		if (!rc)
			rc = hash_add(h, &n->n_in, sizeof(n->n_in));
		if (!rc)
			rc = hash_add(h, n->in, (size_t)n->n_in * sizeof(*n->in));
		if (!rc)
			rc = hash_attr(h, &n->attr);
	}
	return rc ? rc : hash_add(h, &g->output, sizeof(g->output));
}

static int hash_model(
    struct hash *h, struct param_store *params, const struct adapter *adapter, graph_builder build, void *user)
{
	struct graph g;
	char hex[HASH_HEX];
	graph_init(&g);
	int rc = build(user, &shape_one, &g);
	if (!rc)
		rc = hash_graph(h, &g);
	if (!rc)
		rc = adapter_key(adapter, hex);
	if (!rc)
		rc = hash_add_str(h, hex);
	for (int i = 0; !rc && i < params->n; i++)
		rc = hash_param(h, params, params->item[i]);
	graph_clear(&g);
	return rc;
}

int partial_unit_of_model(const struct stage_run *run, const char *what, struct param_store *params,
    const struct adapter *adapter, graph_builder build, void *user, enum split split, char unit[HASH_HEX])
{
	struct hash *h;
	unit[0] = '\0';
	if (!run->partial)
		return 0;
	int rc = hash_open(&h);
	if (rc)
		return rc;
	rc = hash_add_str(h, what);
	if (!rc)
		rc = hash_add_str(h, split_names[split]);
	if (!rc)
		rc = hash_model(h, params, adapter, build, user);
	if (!rc)
		rc = hash_hex(h, unit);
	hash_close(h);
	return rc;
}

struct measured {
	const struct stage_run *run;
	const char *unit;
};

static int run_kept(void *user, struct session *s, const struct encoding *e, session_sink sink, void *sink_user)
{
	const struct measured *m = user;
	return partial_run(m->run, m->unit, s, e, sink, sink_user);
}

int partial_measure(const struct stage_run *run, const char unit[HASH_HEX], struct session *s, const struct encoding *e,
    struct metrics *m, uint8_t *right)
{
	struct measured by = {run, unit};
	return session_measure_by(s, e, run_kept, &by, m, right);
}
