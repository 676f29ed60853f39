/* Stream capture and graphs: work of capturing streams becomes nodes, joined by events as on the device, and a launch
 * queues them all again. Calls that would wait, allocate or touch work outside spoil the capture, as there. */
#include <stdlib.h>

#include "internal.h"

struct simt_capture {
	cudaStream_t origin;
	enum cudaStreamCaptureMode mode;
	struct simt_node *node;
	int n;
	bool spoiled, ended;
	int refs; /* cursors, and the list below */
	struct simt_capture *next;
};

struct CUgraph_st {
	struct simt_node *node;
	int n;
};
struct CUgraphExec_st {
	struct CUgraph_st graph;
};

static struct simt_capture *captures; /* going on */

static void *checked(void *p)
{
	if (!p)
		simt_fatal("out of host memory");
	return p;
}

static void nodes_free(struct simt_node *node, int n)
{
	for (int i = 0; i < n; i++) {
		simt_work_release(node[i].work);
		free(node[i].dep);
	}
	free(node);
}

static void capture_release(struct simt_capture *c)
{
	if (c && --c->refs == 0) {
		nodes_free(c->node, c->n);
		free(c);
	}
}

/* --- cursors -------------------------------------------------------------------------------------------------------
 */

void simt_cursor_clear(struct simt_cursor *at)
{
	capture_release(at->capture);
	free(at->node);
	*at = (struct simt_cursor){0};
}

static void cursor_add(struct simt_cursor *at, const int *node, int n)
{
	at->node = checked(realloc(at->node, ((size_t)(at->n + n) + 1) * sizeof(*at->node)));
	for (int i = 0; i < n; i++)
		at->node[at->n++] = node[i];
}

void simt_cursor_copy(struct simt_cursor *to, const struct simt_cursor *from)
{
	simt_cursor_clear(to);
	to->capture = from->capture;
	to->capture->refs++;
	cursor_add(to, from->node, from->n);
}

bool simt_capturing(const struct simt_cursor *at)
{
	return at->capture && !at->capture->ended;
}

cudaError_t simt_capture_spoil(struct simt_cursor *at, cudaError_t error)
{
	at->capture->spoiled = true;
	return simt_error(error);
}

cudaError_t simt_capture_add(struct simt_cursor *at, struct simt_work *w)
{
	struct simt_capture *c = at->capture;
	if (c->spoiled) {
		simt_work_release(w);
		return simt_error(cudaErrorStreamCaptureInvalidated);
	}
	c->node = checked(realloc(c->node, ((size_t)c->n + 1) * sizeof(*c->node)));
	c->node[c->n] = (struct simt_node){.work = w, .dep = at->node, .n_deps = at->n};
	at->node = NULL;
	at->n = 0;
	cursor_add(at, &c->n, 1);
	c->n++;
	return cudaSuccess;
}

cudaError_t simt_capture_wait(struct simt_cursor *at, const struct simt_cursor *event)
{
	if (event->capture->ended)
		return simt_error(cudaErrorCapturedEvent);
	if (at->capture && at->capture != event->capture)
		return simt_capture_spoil(at, cudaErrorStreamCaptureIsolation);
	if (!at->capture)
		simt_cursor_copy(at, event);
	else
		cursor_add(at, event->node, event->n);
	return cudaSuccess;
}

cudaError_t simt_capture_forbids(const char *call)
{
	cudaError_t e = cudaSuccess;
	for (struct simt_capture *c = captures; c; c = c->next) {
		if (c->mode == cudaStreamCaptureModeRelaxed)
			continue;
		simt_complain("%s while a stream is being captured", call);
		c->spoiled = true;
		e = simt_error(cudaErrorStreamCaptureUnsupported);
	}
	return e;
}

/* --- capture -------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
	SIMT_ENTER();
	struct simt_cursor *at = simt_stream_cursor(stream);
	if (!at)
		return simt_error(cudaErrorStreamCaptureUnsupported);
	if (simt_capturing(at))
		return simt_error(cudaErrorIllegalState);
	simt_cursor_clear(at);
	struct simt_capture *c = checked(calloc(1, sizeof(*c)));
	*c = (struct simt_capture){.origin = stream, .mode = mode, .refs = 2, .next = captures};
	captures = c;
	at->capture = c;
	return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
	SIMT_ENTER();
	const struct simt_cursor *at = simt_stream_cursor(stream);
	if (!at || !simt_capturing(at))
		*status = cudaStreamCaptureStatusNone;
	else
		*status = at->capture->spoiled ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
	return cudaSuccess;
}

/* Every node must lead to where the origin stream stands, else a stream that joined was not joined back. */
static bool all_joined(const struct simt_capture *c, const struct simt_cursor *at)
{
	bool *seen = checked(calloc((size_t)c->n + 1, sizeof(*seen)));
	bool joined = true;
	for (int i = 0; i < at->n; i++)
		seen[at->node[i]] = true;
	for (int i = c->n - 1; i >= 0; i--) {
		joined = joined && seen[i];
		for (int k = 0; seen[i] && k < c->node[i].n_deps; k++)
			seen[c->node[i].dep[k]] = true;
	}
	free(seen);
	return joined;
}

/* One that fails ends the capture nevertheless. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
	cudaError_t e = simt_enter(__func__);
	struct simt_cursor *at = simt_stream_cursor(stream);
	if (!graph || !at || !simt_capturing(at))
		return e ? e : simt_error(graph ? cudaErrorIllegalState : cudaErrorInvalidValue);
	struct simt_capture *c = at->capture;
	*graph = NULL;
	if (c->origin != stream)
		return simt_capture_spoil(at, cudaErrorStreamCaptureUnmatched);
	if (!e && c->spoiled)
		e = simt_error(cudaErrorStreamCaptureInvalidated);
	else if (!e && !all_joined(c, at))
		e = simt_error(cudaErrorStreamCaptureUnjoined);
	if (!e) {
		struct CUgraph_st *g = checked(calloc(1, sizeof(*g)));
		*g = (struct CUgraph_st){c->node, c->n};
		c->node = NULL;
		c->n = 0;
		*graph = g;
	}
	c->ended = true;
	for (struct simt_capture **p = &captures; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	simt_streams_leave(c);
	capture_release(c);
	return e;
}

/* --- graphs --------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
	SIMT_ENTER();
	(void)flags;
	if (!exec || !graph)
		return simt_error(cudaErrorInvalidValue);
	struct CUgraphExec_st *x = checked(calloc(1, sizeof(*x)));
	x->graph.node = checked(calloc((size_t)graph->n + 1, sizeof(*x->graph.node)));
	x->graph.n = graph->n;
	for (int i = 0; i < graph->n; i++) {
		const struct simt_node *from = &graph->node[i];
		struct simt_node *to = &x->graph.node[i];
		*to = (struct simt_node){.work = from->work, .n_deps = from->n_deps};
		to->work->refs++;
		to->dep = checked(calloc((size_t)from->n_deps + 1, sizeof(*to->dep)));
		for (int k = 0; k < from->n_deps; k++)
			to->dep[k] = from->dep[k];
	}
	*exec = x;
	return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
	return cudaGraphInstantiate(exec, graph, flags);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
	SIMT_ENTER();
	(void)stream;
	return exec ? cudaSuccess : simt_error(cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
	SIMT_ENTER();
	if (!exec)
		return simt_error(cudaErrorInvalidValue);
	simt_count.graph_launches++;
	return simt_submit_graph(stream, exec->graph.node, exec->graph.n);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
	if (!graph)
		return simt_error(cudaErrorInvalidValue);
	nodes_free(graph->node, graph->n);
	free(graph);
	return simt_sticky();
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
	if (!exec)
		return simt_error(cudaErrorInvalidValue);
	nodes_free(exec->graph.node, exec->graph.n);
	free(exec);
	return simt_sticky();
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
	SIMT_ENTER();
	if (!graph || !n || nodes)
		return simt_error(cudaErrorInvalidValue); /* nodes have no handles here: they can only be counted */
	*n = (size_t)graph->n;
	return cudaSuccess;
}
