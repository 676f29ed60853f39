#include "quant/norms.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

int channel_norms_add(struct channel_norms *s, const char *value, int64_t channels, int *at)
{
	for (*at = 0; *at < s->n; ++*at)
		if (s->item[*at].channels == channels && strcmp(s->item[*at].value, value) == 0)
			return 0;
	struct channel_norm *grown = mem_grow(s->item, (size_t)s->n, (size_t)s->n + 1, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	s->item = grown;
	struct channel_norm *item = &s->item[s->n];
	*item = (struct channel_norm){.channels = channels, .sum = mem_alloc((size_t)channels, sizeof(*item->sum))};
	if (!item->sum)
		return ERR_NOMEM;
	snprintf(item->value, sizeof(item->value), "%s", value);
	s->n++;
	return 0;
}

void channel_norms_clear(struct channel_norms *s)
{
	for (int i = 0; i < s->n; i++)
		mem_free(s->item[i].sum);
	mem_free(s->item);
	*s = (struct channel_norms){0};
}

static const char *name(const void *user, int i)
{
	return ((const struct channel_norms *)user)->item[i].value;
}

static int begin(void *user)
{
	struct channel_norms *s = user;
	for (int i = 0; i < s->n; i++)
		memset(s->item[i].sum, 0, (size_t)s->item[i].channels * sizeof(*s->item[i].sum));
	return 0;
}

static int add(void *user, int i, const struct collected *v)
{
	struct channel_norm *item = &((struct channel_norms *)user)->item[i];
	const int64_t channels = item->channels, n = v->valid * v->width;
	if (v->width % channels != 0)
		return err_set(ERR_FAIL, "'%s' has rows of %lld, no multiple of %lld channels", item->value,
		    (long long)v->width, (long long)channels);
	for (int64_t at = 0; at < n; at += channels)
		for (int64_t c = 0; c < channels; c++)
			item->sum[c] += (double)v->x[at + c] * (double)v->x[at + c];
	for (int64_t c = 0; c < channels; c++)
		if (!isfinite(item->sum[c]))
			return err_set(ERR_DATA, "calibrating '%s': a value of channel %lld is not finite", item->value,
			    (long long)c);
	return 0;
}

static size_t sum_bytes(const struct channel_norm *of)
{
	return (size_t)of->channels * sizeof(*of->sum);
}

static size_t all_bytes(const struct channel_norms *s)
{
	size_t n = 0;
	for (int i = 0; i < s->n; i++)
		n += sum_bytes(&s->item[i]);
	return n;
}

static int save(const void *user, struct fs_bytes *out)
{
	const struct channel_norms *s = user;
	*out = (struct fs_bytes){.size = all_bytes(s)};
	unsigned char *to = out->data = mem_alloc(out->size + 1, 1);
	for (int i = 0; to && i < s->n; i++) {
		memcpy(to, s->item[i].sum, sum_bytes(&s->item[i]));
		to += sum_bytes(&s->item[i]);
	}
	return out->data ? 0 : ERR_NOMEM;
}

static bool restore(void *user, const void *bytes, size_t n)
{
	struct channel_norms *s = user;
	const unsigned char *from = bytes;
	if (n != all_bytes(s))
		return false;
	for (int i = 0; i < s->n; i++) {
		memcpy(s->item[i].sum, from, sum_bytes(&s->item[i]));
		from += sum_bytes(&s->item[i]);
	}
	return true;
}

struct collector channel_norms_collector(struct channel_norms *s)
{
	return (struct collector){.user = s,
	    .n = s->n,
	    .name = name,
	    .begin = begin,
	    .add = add,
	    .save = save,
	    .restore = restore,
	    .kind = "norms"};
}

double channel_norm(const struct channel_norms *s, int at, int64_t channel)
{
	return sqrt(s->item[at].sum[channel]);
}
