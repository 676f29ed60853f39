/* The device side for g++: qualifiers, vector types, built-in variables, barriers, shuffles, atomics, arithmetic.
 * Left out on purpose, so that code that uses them does not compile: atomics on floats (their order is not fixed) and
 * the fast-math intrinsics whose results differ from the exact functions. */
#ifndef SIMT_DEVICE_H
#define SIMT_DEVICE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __grid_constant__
#define __device__
#define __host__
#define __constant__    static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __align__(n)    __attribute__((aligned(n)))
/* Checked at every launch: gcc puts one byte of padding in front of the kernel for each 32 threads that it may have,
 * and a section of addresses tells where that padding begins (launch.c). */
#define __launch_bounds__(...)                                                                                         \
	__attribute__((patchable_function_entry(simt_warps(__VA_ARGS__), simt_warps(__VA_ARGS__))))
constexpr unsigned simt_warps(unsigned threads, unsigned = 0)
{
	return (threads + 31) / 32;
}
/* One host thread runs all blocks in turn, so a block's memory is static; simt.ld gathers it for poisoning. */
#define __shared__ static
/* `SIMT_DYNAMIC_SHARED(float, s);` declares the block's dynamic shared memory; under nvcc: extern __shared__. */
#define SIMT_DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(simt_dynamic_shared())

/* --- vector types ------------------------------------------------------------------------------------------------ */

#define SIMT_VECTORS(T, name, align1, align2, align4)                                                                  \
	struct name##1                                                                                                 \
	{                                                                                                              \
		T x;                                                                                                   \
	};                                                                                                             \
	struct __align__(align2) name##2                                                                               \
	{                                                                                                              \
		T x, y;                                                                                                \
	};                                                                                                             \
	struct name##3                                                                                                 \
	{                                                                                                              \
		T x, y, z;                                                                                             \
	};                                                                                                             \
	struct __align__(align4) name##4                                                                               \
	{                                                                                                              \
		T x, y, z, w;                                                                                          \
	};                                                                                                             \
	static inline name##2 make_##name##2(T x, T y)                                                                 \
	{                                                                                                              \
		return name##2 {x, y};                                                                                 \
	}                                                                                                              \
	static inline name##3 make_##name##3(T x, T y, T z)                                                            \
	{                                                                                                              \
		return name##3 {x, y, z};                                                                              \
	}                                                                                                              \
	static inline name##4 make_##name##4(T x, T y, T z, T w)                                                       \
	{                                                                                                              \
		return name##4 {x, y, z, w};                                                                           \
	}

SIMT_VECTORS(float, float, 4, 8, 16)
SIMT_VECTORS(double, double, 8, 16, 16)
SIMT_VECTORS(int, int, 4, 8, 16)
SIMT_VECTORS(unsigned, uint, 4, 8, 16)
SIMT_VECTORS(short, short, 2, 4, 8)
SIMT_VECTORS(unsigned short, ushort, 2, 4, 8)
SIMT_VECTORS(signed char, char, 1, 2, 4)
SIMT_VECTORS(unsigned char, uchar, 1, 2, 4)
SIMT_VECTORS(long long, longlong, 8, 16, 16)
SIMT_VECTORS(unsigned long long, ulonglong, 8, 16, 16)
#undef SIMT_VECTORS

struct dim3 {
	unsigned x, y, z;
	constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
	constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
	operator uint3() const { return uint3{x, y, z}; }
};

/* --- the running thread ------------------------------------------------------------------------------------------ */

/* Set by the scheduler before each switch to a lane. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

struct simt_site {
	const char *what, *file;
	int line;
};

extern "C" {
void *simt_dynamic_shared(void);
/* Barriers and rendezvous of the scheduler; simt_exchange returns the 8 bytes that lane `from` brought, NaN bytes if
 * that lane takes no part. */
int simt_block_barrier(struct simt_site site, int predicate, int *all, int *count);
void simt_warp_barrier(struct simt_site site, unsigned mask);
unsigned simt_vote(struct simt_site site, unsigned mask, int predicate, unsigned *participants);
uint64_t simt_exchange(struct simt_site site, unsigned mask, uint64_t value, int from);
unsigned simt_active_mask(void);
int simt_lane(void);
}

#define SIMT_SITE(what)        (simt_site{what, __FILE__, __LINE__})
#define __syncthreads()        ((void)simt_block_barrier(SIMT_SITE("__syncthreads"), 0, nullptr, nullptr))
#define __syncthreads_or(p)    simt_syncthreads_or(SIMT_SITE("__syncthreads_or"), p)
#define __syncthreads_and(p)   simt_syncthreads_and(SIMT_SITE("__syncthreads_and"), p)
#define __syncthreads_count(p) simt_syncthreads_count(SIMT_SITE("__syncthreads_count"), p)
#define __syncwarp(...)        simt_syncwarp(SIMT_SITE("__syncwarp"), ##__VA_ARGS__)
#define __shfl_sync(...)       simt_shfl(SIMT_SITE("__shfl_sync"), __VA_ARGS__)
#define __shfl_xor_sync(...)   simt_shfl_xor(SIMT_SITE("__shfl_xor_sync"), __VA_ARGS__)
#define __shfl_down_sync(...)  simt_shfl_down(SIMT_SITE("__shfl_down_sync"), __VA_ARGS__)
#define __shfl_up_sync(...)    simt_shfl_up(SIMT_SITE("__shfl_up_sync"), __VA_ARGS__)
#define __ballot_sync(mask, p) simt_vote(SIMT_SITE("__ballot_sync"), mask, p, nullptr)
#define __any_sync(mask, p)    (simt_vote(SIMT_SITE("__any_sync"), mask, p, nullptr) != 0)
#define __all_sync(mask, p)    simt_all(SIMT_SITE("__all_sync"), mask, p)
#define __activemask()         simt_active_mask()

static inline int simt_syncthreads_or(simt_site site, int p)
{
	return simt_block_barrier(site, p, nullptr, nullptr);
}
static inline int simt_syncthreads_and(simt_site site, int p)
{
	int all;
	simt_block_barrier(site, p, &all, nullptr);
	return all;
}
static inline int simt_syncthreads_count(simt_site site, int p)
{
	int count;
	simt_block_barrier(site, p, nullptr, &count);
	return count;
}
static inline void simt_syncwarp(simt_site site, unsigned mask = 0xffffffffu)
{
	simt_warp_barrier(site, mask);
}
static inline int simt_all(simt_site site, unsigned mask, int p)
{
	unsigned participants, yes = simt_vote(site, mask, p, &participants);
	return yes == participants;
}

/* Any trivially copyable value of up to 8 bytes, as with the real ones. */
template <typename T> T simt_exchange_value(simt_site site, unsigned mask, T value, int from)
{
	static_assert(sizeof(T) <= 8, "shuffles move at most 8 bytes");
	uint64_t bits = 0;
	memcpy(&bits, &value, sizeof(T));
	bits = simt_exchange(site, mask, bits, from);
	memcpy(&value, &bits, sizeof(T));
	return value;
}
/* The lane's own value if the source is outside its group of `width` lanes (CUDA C++ Programming Guide, 10.22). */
template <typename T> T simt_shfl(simt_site site, unsigned mask, T value, int from, int width = 32)
{
	int lane = simt_lane();
	return simt_exchange_value(site, mask, value, (lane & ~(width - 1)) | (from & (width - 1)));
}
template <typename T> T simt_shfl_xor(simt_site site, unsigned mask, T value, int bits, int width = 32)
{
	int lane = simt_lane(), from = lane ^ bits;
	return simt_exchange_value(site, mask, value, from > (lane | (width - 1)) ? lane : from);
}
template <typename T> T simt_shfl_down(simt_site site, unsigned mask, T value, unsigned delta, int width = 32)
{
	int lane = simt_lane(), from = lane + static_cast<int>(delta);
	return simt_exchange_value(site, mask, value, from > (lane | (width - 1)) ? lane : from);
}
template <typename T> T simt_shfl_up(simt_site site, unsigned mask, T value, unsigned delta, int width = 32)
{
	int lane = simt_lane(), from = lane - static_cast<int>(delta);
	return simt_exchange_value(site, mask, value, from < (lane & ~(width - 1)) ? lane : from);
}

/* Blocks run one after the other and lanes on one thread: nothing to order. */
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

/* --- atomics: integers only -------------------------------------------------------------------------------------- */

#define SIMT_ATOMICS(T)                                                                                                \
	static inline T atomicAdd(T *p, T v)                                                                           \
	{                                                                                                              \
		return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);                                                     \
	}                                                                                                              \
	static inline T atomicOr(T *p, T v)                                                                            \
	{                                                                                                              \
		return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);                                                      \
	}                                                                                                              \
	static inline T atomicAnd(T *p, T v)                                                                           \
	{                                                                                                              \
		return __atomic_fetch_and(p, v, __ATOMIC_RELAXED);                                                     \
	}                                                                                                              \
	static inline T atomicExch(T *p, T v)                                                                          \
	{                                                                                                              \
		return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);                                                    \
	}                                                                                                              \
	static inline T atomicCAS(T *p, T expected, T v)                                                               \
	{                                                                                                              \
		__atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);               \
		return expected;                                                                                       \
	}                                                                                                              \
	static inline T atomicMax(T *p, T v)                                                                           \
	{                                                                                                              \
		T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                                          \
		__atomic_store_n(p, old > v ? old : v, __ATOMIC_RELAXED);                                              \
		return old;                                                                                            \
	}                                                                                                              \
	static inline T atomicMin(T *p, T v)                                                                           \
	{                                                                                                              \
		T old = __atomic_load_n(p, __ATOMIC_RELAXED);                                                          \
		__atomic_store_n(p, old < v ? old : v, __ATOMIC_RELAXED);                                              \
		return old;                                                                                            \
	}
SIMT_ATOMICS(int)
SIMT_ATOMICS(unsigned)
SIMT_ATOMICS(unsigned long long)
#undef SIMT_ATOMICS
float atomicAdd(float *, float) = delete; /* the order of a sum would differ from run to run */
double atomicAdd(double *, double) = delete;

/* --- arithmetic -------------------------------------------------------------------------------------------------- */

/* Compiled with -ffp-contract=off, so each of these is one rounding. */
static inline float __fmul_rn(float a, float b)
{
	return a * b;
}
static inline float __fadd_rn(float a, float b)
{
	return a + b;
}
static inline float __fsub_rn(float a, float b)
{
	return a - b;
}
static inline float __fdiv_rn(float a, float b)
{
	return a / b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
	return fmaf(a, b, c);
}
static inline float __fsqrt_rn(float a)
{
	return sqrtf(a);
}
static inline float __frcp_rn(float a)
{
	return 1.0f / a;
}
static inline double __dmul_rn(double a, double b)
{
	return a * b;
}
static inline double __dadd_rn(double a, double b)
{
	return a + b;
}
static inline double __ddiv_rn(double a, double b)
{
	return a / b;
}
static inline double __fma_rn(double a, double b, double c)
{
	return fma(a, b, c);
}
static inline float rsqrtf(float a)
{
	return 1.0f / sqrtf(a);
}

/* Conversions saturate, and NaN becomes 0, as on the device. */
static inline int simt_saturate(double a)
{
	return a != a ? 0 : a >= 2147483647.0 ? INT32_MAX : a <= -2147483648.0 ? INT32_MIN : static_cast<int>(a);
}
static inline int __float2int_rn(float a)
{
	return simt_saturate(rint(static_cast<double>(a)));
}
static inline int __float2int_rz(float a)
{
	return simt_saturate(trunc(static_cast<double>(a)));
}
static inline int __float2int_rd(float a)
{
	return simt_saturate(floor(static_cast<double>(a)));
}
static inline int __double2int_rn(double a)
{
	return simt_saturate(rint(a));
}
static inline float __int2float_rn(int a)
{
	return static_cast<float>(a);
}
static inline float __uint2float_rn(unsigned a)
{
	return static_cast<float>(a);
}
static inline float __double2float_rn(double a)
{
	return static_cast<float>(a);
}

template <typename To, typename From> To simt_bits(From from)
{
	static_assert(sizeof(To) == sizeof(From), "bits are kept");
	To to;
	memcpy(&to, &from, sizeof(to));
	return to;
}
static inline int __float_as_int(float a)
{
	return simt_bits<int>(a);
}
static inline unsigned __float_as_uint(float a)
{
	return simt_bits<unsigned>(a);
}
static inline float __int_as_float(int a)
{
	return simt_bits<float>(a);
}
static inline float __uint_as_float(unsigned a)
{
	return simt_bits<float>(a);
}
static inline long long __double_as_longlong(double a)
{
	return simt_bits<long long>(a);
}
static inline double __longlong_as_double(long long a)
{
	return simt_bits<double>(a);
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
	return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
static inline int __popc(unsigned a)
{
	return __builtin_popcount(a);
}
static inline int __popcll(unsigned long long a)
{
	return __builtin_popcountll(a);
}
static inline int __clz(int a)
{
	return a ? __builtin_clz(static_cast<unsigned>(a)) : 32;
}
static inline int __ffs(int a)
{
	return __builtin_ffs(a);
}

#define SIMT_MIN_MAX(T)                                                                                                \
	static inline T min(T a, T b)                                                                                  \
	{                                                                                                              \
		return b < a ? b : a;                                                                                  \
	}                                                                                                              \
	static inline T max(T a, T b)                                                                                  \
	{                                                                                                              \
		return a < b ? b : a;                                                                                  \
	}
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
/* A NaN gives the other operand, as on the device. */
static inline float min(float a, float b)
{
	return fminf(a, b);
}
static inline float max(float a, float b)
{
	return fmaxf(a, b);
}
static inline double min(double a, double b)
{
	return fmin(a, b);
}
static inline double max(double a, double b)
{
	return fmax(a, b);
}

template <typename T> T __ldg(const T *p)
{
	return *p;
}
template <typename T> T __ldcs(const T *p)
{
	return *p;
}
template <typename T> void __stcs(T *p, T v)
{
	*p = v;
}

#endif
