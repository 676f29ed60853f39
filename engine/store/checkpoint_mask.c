/* Pruning masks as a checkpoint stores them: one bit per weight. A byte per weight, as masks are in memory, would make
 * a pruned FP32 file a quarter larger than the model it came from.
 *
 * The order is that of numpy.packbits: element i is bit 7 - i % 8 of byte i / 8, and the bits behind the last element
 * are 0, so that one mask has one encoding. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/checkpoint_impl.h"

#define MASK_SUFFIX ".mask"

char *checkpoint_mask_name(const char *param)
{
	return mem_printf("%s" MASK_SUFFIX, param);
}

bool checkpoint_is_mask(const struct tensor_file *f, const char *name, const struct named_tensor **param)
{
	size_t n = strlen(name), k = strlen(MASK_SUFFIX);
	char base[NODE_NAME];

	*param = NULL;
	if (n <= k || n - k >= sizeof(base) || strcmp(name + n - k, MASK_SUFFIX) != 0)
		return false;
	snprintf(base, sizeof(base), "%.*s", (int)(n - k), name);
	*param = tensor_file_find(f, base);
	return *param;
}

struct shape checkpoint_mask_shape(struct shape param)
{
	return (struct shape){.ndim = 1, .dim = {(shape_count(param) + 7) / 8}};
}

bool checkpoint_mask_keeps(const struct named_tensor *mask, int64_t i)
{
	return (((const uint8_t *)mask->t.data)[i / 8] >> (7 - i % 8) & 1) != 0;
}

void checkpoint_mask_pack(const uint8_t *keep, int64_t n, uint8_t *bits)
{
	memset(bits, 0, (size_t)((n + 7) / 8));
	for (int64_t i = 0; i < n; i++)
		bits[i / 8] = (uint8_t)(bits[i / 8] | (keep[i] != 0) << (7 - i % 8));
}

void checkpoint_mask_unpack(const struct named_tensor *mask, int64_t n, uint8_t *keep)
{
	for (int64_t i = 0; i < n; i++)
		keep[i] = checkpoint_mask_keeps(mask, i);
}

static bool is_zero(const struct tensor *t, int64_t i)
{
	switch (t->dtype) {
	case DT_F32:
		return ((const float *)t->data)[i] == 0;
	case DT_F16:
	case DT_BF16:
		return (((const uint16_t *)t->data)[i] & 0x7fff) == 0;
	case DT_S32:
		return ((const int32_t *)t->data)[i] == 0;
	default:
		return ((const uint8_t *)t->data)[i] == 0;
	}
}

int checkpoint_mask_check(const char *name, const struct named_tensor *mask, const struct named_tensor *param)
{
	int64_t n = shape_count(param->t.shape);
	struct shape need = checkpoint_mask_shape(param->t.shape);
	char have[64], want[64];

	if (mask->t.dtype != DT_U8 || !shape_equal(mask->t.shape, need))
		return err_set(ERR_CHECKPOINT, "%s: tensor '%s' is %s %s, the mask of '%s' must be U8 %s, a bit each",
		    name, mask->name, tensor_file_dtypes[mask->t.dtype], shape_text(mask->t.shape, have), param->name,
		    shape_text(need, want));
	for (int64_t i = n; i < 8 * need.dim[0]; i++) {
		if (checkpoint_mask_keeps(mask, i))
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': bit %lld is set, but the mask ends after %lld",
			    name, mask->name, (long long)i, (long long)n);
	}
	for (int64_t i = 0; i < n; i++) {
		if (!checkpoint_mask_keeps(mask, i) && !is_zero(&param->t, i))
			return err_set(ERR_CHECKPOINT, "%s: tensor '%s': element %lld is masked but not zero", name,
			    param->name, (long long)i);
	}
	return 0;
}
