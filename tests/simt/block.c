/* Runs the lanes of a block to their rendezvous points: __syncthreads over the block, shuffles, votes and __syncwarp
 * over a warp. Each lane runs alone until it waits or returns, in ascending, descending or random order, or warp after
 * warp as far as each gets, so that code that relies on an order, or on lanes moving together, goes wrong here.
 * Shuffles order nothing but the values they move. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_LANES 1024
#define WARP      32

/* As in simt_device.h, which is C++. */
struct simt_site {
	const char *what, *file;
	int line;
};
struct index3 {
	unsigned x, y, z;
};
extern struct index3 threadIdx, blockIdx, blockDim, gridDim;
struct index3 threadIdx, blockIdx, blockDim, gridDim;

int simt_block_barrier(struct simt_site site, int predicate, int *all, int *count);
void simt_warp_barrier(struct simt_site site, unsigned mask);
unsigned simt_vote(struct simt_site site, unsigned mask, int predicate, unsigned *participants);
uint64_t simt_exchange(struct simt_site site, unsigned mask, uint64_t value, int from);
unsigned simt_active_mask(void);
int simt_lane(void);
void *simt_dynamic_shared(void);

enum state { READY, AT_BARRIER, AT_WARP, DONE };

struct lane {
	enum state state;
	int fiber; /* -1: not started */
	struct simt_site site;
	unsigned mask;
	int from, predicate;
	uint64_t value, result; /* of an exchange */
	unsigned yes, participants;
	int any, all, count; /* of a barrier */
};

static struct lane lane[MAX_LANES];
static struct index3 lane_index[MAX_LANES]; /* threadIdx of each */
static int n_lanes, current = -1, free_fiber[MAX_LANES], n_free, n_done;
static int n_waiting, first_waiting; /* at the block's barrier */
/* Lanes of each warp, by bit: not returned; waiting for their warp. */
static unsigned warp_live[MAX_LANES / WARP], warp_waits[MAX_LANES / WARP];
static const struct simt_launch_info *launch;
static void *dynamic_shared;
static enum simt_order order_wish;
/* Objects of the thread sanitizer: the block's start and end, two barriers in turn (a lane may reach the next barrier
 * before another has left this one), two per warp likewise. */
static char at_start, at_end, at_barrier[2], at_warp[MAX_LANES / WARP][2];
static unsigned barrier_turn, warp_turn[MAX_LANES / WARP];

void simt_set_order(enum simt_order order)
{
	order_wish = order;
}

static const char *lane_text(int i, char out[64])
{
	struct index3 t = lane_index[i];
	snprintf(out, 64, "thread (%u,%u,%u)", t.x, t.y, t.z);
	return out;
}

static const char *block_text(void)
{
	static char text[256];
	snprintf(text, sizeof(text), "%.150s block (%u,%u,%u)", launch->name, blockIdx.x, blockIdx.y, blockIdx.z);
	return text;
}

const char *simt_lane_name(void)
{
	static char text[384];
	char thread[64];
	if (current < 0)
		return "";
	snprintf(text, sizeof(text), "%s %s", block_text(), lane_text(current, thread));
	return text;
}

int simt_lane(void)
{
	return current % WARP;
}

/* A legal answer, and the least useful one: code must not take it for the warp. */
unsigned simt_active_mask(void)
{
	return 1u << (current % WARP);
}

void *simt_dynamic_shared(void)
{
	return dynamic_shared;
}

/* --- the block's barrier -------------------------------------------------------------------------------------------
 */

static bool same_site(const struct simt_site *a, const struct simt_site *b)
{
	return a->line == b->line && (a->file == b->file || strcmp(a->file, b->file) == 0);
}

static _Noreturn void left_early(int gone)
{
	char a[64], b[64];
	int i = first_waiting;
	simt_fatal("%s: %s returned before the %s at %s:%d where %s waits", block_text(), lane_text(gone, a),
	    lane[i].site.what, lane[i].site.file, lane[i].site.line, lane_text(i, b));
}

/* The counts go to each lane, for one may be at the next barrier before another has left this one. */
static void open_barrier(void)
{
	int count = 0;
	for (int i = 0; i < n_lanes; i++)
		count += lane[i].predicate != 0;
	for (int i = 0; i < n_lanes; i++) {
		lane[i].any = count > 0;
		lane[i].all = count == n_lanes;
		lane[i].count = count;
		lane[i].state = READY;
	}
	n_waiting = 0;
}

int simt_block_barrier(struct simt_site site, int predicate, int *all, int *count)
{
	struct lane *l = &lane[current];
	unsigned turn = barrier_turn & 1;
	int self = current;
	char a[64], b[64];
	if (n_waiting == 0)
		first_waiting = self;
	const struct simt_site *first = n_waiting ? &lane[first_waiting].site : &site;
	if (!same_site(first, &site))
		simt_fatal("%s: %s waits at %s:%d and %s at %s:%d: the barrier is not the same for all", block_text(),
		    lane_text(first_waiting, a), first->file, first->line, lane_text(self, b), site.file, site.line);
	simt_release(&at_barrier[turn]);
	l->site = site;
	l->predicate = predicate;
	l->state = AT_BARRIER;
	n_waiting++;
	for (int i = 0; n_done && i < n_lanes; i++)
		if (lane[i].state == DONE)
			left_early(i);
	if (n_waiting == n_lanes) {
		barrier_turn++;
		open_barrier();
	}
	/* The last one too goes to the end of the queue: who runs first after a barrier is drawn anew. */
	simt_fiber_yield();
	simt_acquire(&at_barrier[turn]);
	if (all)
		*all = l->all;
	if (count)
		*count = l->count;
	return l->any;
}

/* --- rendezvous of a warp ------------------------------------------------------------------------------------------
 */

/* If all that lane `like` waits for have come: hands out the values and lets them go. Those of its mask take part that
 * exist and have not returned; a lane that has returned brings nothing. */
static void try_warp(int like)
{
	int warp = like / WARP, first = warp * WARP;
	unsigned live = lane[like].mask & warp_live[warp], yes = 0;
	if (live & ~warp_waits[warp])
		return;
	for (int k = 0; k < WARP; k++)
		if (live >> k & 1 &&
		    (lane[first + k].mask != lane[like].mask || !same_site(&lane[first + k].site, &lane[like].site)))
			return;
	for (int k = 0; k < WARP; k++)
		if (live >> k & 1 && lane[first + k].predicate)
			yes |= 1u << k;
	for (int k = 0; k < WARP; k++) {
		struct lane *l = &lane[first + k];
		if (!(live >> k & 1))
			continue;
		l->yes = yes;
		l->participants = live;
		/* A lane outside gives an undefined value: NaN bytes. */
		l->result = live >> (l->from & 31) & 1 ? lane[first + (l->from & 31)].value : UINT64_MAX;
		l->state = READY;
	}
	warp_waits[warp] &= ~live;
	warp_turn[warp]++;
}

static struct lane *meet(struct simt_site site, unsigned mask, uint64_t value, int from, int predicate)
{
	int self = current;
	struct lane *l = &lane[self];
	char a[64];
	if (!(mask >> (self % WARP) & 1))
		simt_fatal("%s: %s is not in the mask %#x of its %s at %s:%d", block_text(), lane_text(self, a), mask,
		    site.what, site.file, site.line);
	l->site = site;
	l->mask = mask;
	l->value = value;
	l->from = from;
	l->predicate = predicate;
	l->state = AT_WARP;
	warp_waits[self / WARP] |= 1u << (self % WARP);
	try_warp(self);
	simt_fiber_yield();
	return l;
}

uint64_t simt_exchange(struct simt_site site, unsigned mask, uint64_t value, int from)
{
	return meet(site, mask, value, from, 0)->result;
}

unsigned simt_vote(struct simt_site site, unsigned mask, int predicate, unsigned *who)
{
	struct lane *l = meet(site, mask, 0, 0, predicate);
	if (who)
		*who = l->participants;
	return l->yes;
}

void simt_warp_barrier(struct simt_site site, unsigned mask)
{
	int warp = current / WARP;
	unsigned turn = warp_turn[warp] & 1;
	simt_release(&at_warp[warp][turn]);
	meet(site, mask, 0, 0, 0);
	simt_acquire(&at_warp[warp][turn]);
}

/* --- running a block -----------------------------------------------------------------------------------------------
 */

static void lane_body(void)
{
	int self = current;
	simt_acquire(&at_start);
	launch->invoke(launch->closure);
	simt_release(&at_end);
	lane[self].state = DONE;
	n_done++;
	warp_live[self / WARP] &= ~(1u << (self % WARP));
	if (n_waiting)
		left_early(self);
	/* Those who waited for this lane alone need not wait any longer. */
	for (int k = 0; warp_waits[self / WARP] >> k; k++)
		if (warp_waits[self / WARP] >> k & 1)
			try_warp(self / WARP * WARP + k);
}

static void run_lane(int i)
{
	struct lane *l = &lane[i];
	if (l->fiber < 0) {
#if defined(SIMT_RACE)
		l->fiber = i; /* what lanes share must be between different fibers */
#else
		l->fiber = free_fiber[--n_free];
#endif
	}
	current = i;
	threadIdx = lane_index[i];
	simt_fiber_run(l->fiber, lane_body);
	current = -1;
	if (l->state == DONE)
		free_fiber[n_free++] = l->fiber;
}

static _Noreturn void deadlock(void)
{
	for (int i = 0; i < n_lanes; i++) {
		char a[64];
		const struct simt_site *s = &lane[i].site;
		if (lane[i].state != DONE && (i == 0 || lane[i - 1].state == DONE || s->line != lane[i - 1].site.line))
			fprintf(stderr, "simt: %s: %s waits in %s at %s:%d\n", block_text(), lane_text(i, a), s->what,
			    s->file, s->line);
	}
	simt_fatal("%s: deadlock: lanes wait for each other", block_text());
}

static void shuffle(int *v, int n)
{
	for (int i = n - 1; i > 0; i--) {
		int k = (int)simt_random_below((size_t)i + 1), t = v[i];
		v[i] = v[k];
		v[k] = t;
	}
}

static enum simt_order draw_order(void)
{
	return order_wish == SIMT_ORDER_MIXED ? (enum simt_order)(SIMT_ORDER_ASCENDING + simt_random_below(4))
					      : order_wish;
}

static void fill_order(int *v, int n, enum simt_order order)
{
	for (int i = 0; i < n; i++)
		v[i] = order == SIMT_ORDER_DESCENDING ? n - 1 - i : i;
	if (order == SIMT_ORDER_RANDOM)
		shuffle(v, n);
}

/* Each of the n lanes in turn until it waits or returns; true if any could. */
static bool run_round(const int *queue, int n)
{
	bool moved = false;
	for (int i = 0; i < n; i++) {
		if (lane[queue[i]].state != READY)
			continue;
		run_lane(queue[i]);
		moved = true;
	}
	return moved;
}

/* Each warp in turn as far as it gets without the others: what waits for it stays behind. */
static bool run_warps(void)
{
	int warp[MAX_LANES / WARP], queue[WARP], n_warps = (n_lanes + WARP - 1) / WARP;
	bool moved = false;
	fill_order(warp, n_warps, SIMT_ORDER_RANDOM);
	for (int w = 0; w < n_warps; w++) {
		int first = warp[w] * WARP, n = n_lanes - first < WARP ? n_lanes - first : WARP;
		for (int i = 0; i < n; i++)
			queue[i] = first + i;
		while (run_round(queue, n))
			moved = true;
	}
	return moved;
}

static void run_block(void)
{
	static int queue[MAX_LANES];
	enum simt_order order = draw_order();
	n_done = n_waiting = n_free = 0;
	for (int i = 0; i < n_lanes; i++) {
		lane[i] = (struct lane){.state = READY, .fiber = -1};
		free_fiber[n_free++] = n_lanes - 1 - i;
		warp_live[i / WARP] = (i % WARP ? warp_live[i / WARP] : 0) | 1u << (i % WARP);
		warp_waits[i / WARP] = 0;
	}
	simt_release(&at_start);
	while (n_done < n_lanes) {
		fill_order(queue, n_lanes, order);
		if (!(order == SIMT_ORDER_WARPS ? run_warps() : run_round(queue, n_lanes)))
			deadlock();
	}
	simt_acquire(&at_end);
}

/* --- running a grid ------------------------------------------------------------------------------------------------
 */

/* simt.ld puts these around the __shared__ variables of all kernels. */
extern char simt_shared_begin[], simt_shared_end[];

static void poison_shared(void)
{
	simt_fill(simt_shared_begin, 0xff, (size_t)(simt_shared_end - simt_shared_begin));
	dynamic_shared = launch->smem ? simt_shared_block(launch->smem) : NULL;
}

/* Blocks in ascending or descending order, or from a drawn one on with a drawn odd stride that shares no factor. */
static uint64_t block_stride(uint64_t n, uint64_t *first)
{
	enum simt_order order = draw_order();
	*first = order == SIMT_ORDER_DESCENDING ? n - 1 : order == SIMT_ORDER_ASCENDING ? 0 : simt_random() % n;
	if (order == SIMT_ORDER_ASCENDING || n == 1)
		return 1;
	if (order == SIMT_ORDER_DESCENDING)
		return n - 1;
	for (;;) {
		uint64_t stride = 1 + simt_random() % (n - 1), a = n, b = stride;
		while (b) {
			uint64_t t = a % b;
			a = b;
			b = t;
		}
		if (a == 1)
			return stride;
	}
}

void simt_run_grid(const struct simt_launch_info *l)
{
	uint64_t n = (uint64_t)l->grid.x * l->grid.y * l->grid.z, at, stride = block_stride(n, &at);
	launch = l;
	n_lanes = (int)(l->block.x * l->block.y * l->block.z);
	gridDim = (struct index3){l->grid.x, l->grid.y, l->grid.z};
	blockDim = (struct index3){l->block.x, l->block.y, l->block.z};
	for (unsigned k = 0; k < (unsigned)n_lanes; k++)
		lane_index[k] =
		    (struct index3){k % l->block.x, k / l->block.x % l->block.y, k / l->block.x / l->block.y};
	for (uint64_t i = 0; i < n; i++) {
		blockIdx = (struct index3){(unsigned)(at % l->grid.x), (unsigned)(at / l->grid.x % l->grid.y),
		    (unsigned)(at / l->grid.x / l->grid.y)};
		poison_shared();
		run_block();
		at = (at + stride) % n;
	}
	simt_count.kernels++;
	simt_count.blocks += n;
	simt_count.threads += n * (uint64_t)n_lanes;
	launch = NULL;
}
