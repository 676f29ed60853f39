/* Copies and fills. Both ends are checked against the kind of copy when it is asked for: a host pointer where device
 * memory is due, a range that reaches over its allocation. Pageable memory is copied aside at once on the way to the
 * device, and a copy into it is waited for, as the runtime does; pinned memory is read and written when the copy runs.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct copy {
	char *dst;
	const char *src;
	size_t dpitch, spitch, width, height;
	bool from_device, to_device;
};

struct fill {
	void *p;
	int byte;
	size_t bytes;
};

static const char *place_name(enum simt_where w)
{
	return w == SIMT_DEVICE ? "device memory" : w == SIMT_WILD ? "no live device block" : "host memory";
}

static void run_copy(void *data)
{
	const struct copy *c = data;
	for (size_t i = 0; i < c->height; i++) {
		memmove(c->dst + i * c->dpitch, c->src + i * c->spitch, c->width);
		simt_touch(c->src + i * c->spitch, c->width, false);
		simt_touch(c->dst + i * c->dpitch, c->width, true);
	}
	simt_task_name(
	    "%s, %s to %s", simt_running(), c->from_device ? "device" : "host", c->to_device ? "device" : "host");
	simt_count.copies++;
	simt_count.copied_bytes += c->width * c->height;
}

/* Whether `end` of a copy may lie where it lies: to_device says what the kind wants. */
static bool fits(const char *call, const char *end, enum simt_where is, bool to_device, bool any)
{
	bool ok = is != SIMT_WILD && (any || (is == SIMT_DEVICE) == to_device);
	if (!ok)
		simt_complain("%s: the %s is %s, must be %s", call, end, place_name(is),
		    any ? "live memory" : place_name(to_device ? SIMT_DEVICE : SIMT_HOST));
	return ok;
}

static cudaError_t check_devices(const char *call, const void *src, const void *dst, cudaStream_t stream)
{
	cudaError_t e = simt_check_device(call, "stream", simt_stream_device(stream));
	if (!e)
		e = simt_check_device(call, "source", simt_memory_device(src));
	return e ? e : simt_check_device(call, "destination", simt_memory_device(dst));
}

static cudaError_t submit_copy(const char *call, struct copy want, enum cudaMemcpyKind kind, cudaStream_t stream)
{
	size_t src_span = want.height ? (want.height - 1) * want.spitch + want.width : 0;
	size_t dst_span = want.height ? (want.height - 1) * want.dpitch + want.width : 0;
	enum simt_where from = simt_where(want.src, src_span), to = simt_where(want.dst, dst_span);
	const struct simt_cursor *at = simt_stream_cursor(stream);
	bool captured = at && simt_capturing(at), any = kind == cudaMemcpyDefault;
	if ((unsigned)kind > cudaMemcpyDefault)
		return simt_error(cudaErrorInvalidMemcpyDirection);
	if (src_span == 0)
		return cudaSuccess;
	if (!fits(call, "source", from, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice, any) ||
	    !fits(call, "destination", to, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice, any))
		return simt_error(cudaErrorInvalidValue);
	cudaError_t e = check_devices(call, want.src, want.dst, stream);
	if (e)
		return e;
	bool stage = from == SIMT_HOST && !captured;
	struct copy *c = malloc(sizeof(*c) + (stage ? src_span : 0));
	if (!c)
		return simt_error(cudaErrorMemoryAllocation);
	*c = want;
	c->from_device = from == SIMT_DEVICE;
	c->to_device = to == SIMT_DEVICE;
	if (stage)
		c->src = memcpy(c + 1, want.src, src_span);
	e = simt_submit(stream, simt_work_make(call, run_copy, NULL, c));
	if (!e && to == SIMT_HOST && !captured)
		e = simt_wait(stream);
	return e;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
	SIMT_ENTER();
	return submit_copy(
	    __func__, (struct copy){.dst = dst, .src = src, .width = bytes, .height = bytes ? 1 : 0}, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height,
    enum cudaMemcpyKind kind, cudaStream_t stream)
{
	SIMT_ENTER();
	if (width > dpitch || width > spitch)
		return simt_error(cudaErrorInvalidValue);
	return submit_copy(__func__,
	    (struct copy){.dst = dst,
		.src = src,
		.dpitch = dpitch,
		.spitch = spitch,
		.width = width,
		.height = width ? height : 0},
	    kind, stream);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
	SIMT_ENTER();
	cudaError_t e = simt_capture_forbids(__func__);
	if (!e)
		e = submit_copy(__func__,
		    (struct copy){.dst = dst, .src = src, .width = bytes, .height = bytes ? 1 : 0}, kind, NULL);
	return e ? e : simt_wait(NULL);
}

static void run_fill(void *data)
{
	const struct fill *f = data;
	memset(f->p, f->byte, f->bytes);
	simt_touch(f->p, f->bytes, true);
	simt_count.memsets++;
}

static cudaError_t submit_fill(const char *call, void *p, int byte, size_t bytes, cudaStream_t stream)
{
	if (bytes == 0)
		return cudaSuccess;
	enum simt_where where = simt_where(p, bytes);
	if (where != SIMT_DEVICE) {
		simt_complain("%s: the destination is %s, must be device memory", call, place_name(where));
		return simt_error(cudaErrorInvalidValue);
	}
	cudaError_t e = check_devices(call, NULL, p, stream);
	if (e)
		return e;
	struct fill *f = malloc(sizeof(*f));
	if (!f)
		return simt_error(cudaErrorMemoryAllocation);
	*f = (struct fill){p, byte, bytes};
	return simt_submit(stream, simt_work_make(call, run_fill, NULL, f));
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t stream)
{
	SIMT_ENTER();
	return submit_fill(__func__, p, byte, bytes, stream);
}

cudaError_t cudaMemset(void *p, int byte, size_t bytes)
{
	SIMT_ENTER();
	cudaError_t e = simt_capture_forbids(__func__);
	return e ? e : submit_fill(__func__, p, byte, bytes, NULL);
}
