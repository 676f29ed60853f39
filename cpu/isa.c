/* Detection of vector instructions, by oneDNN's answer and the CPU's own. Does not choose kernels: they do. */
#include "cpu/isa.h"

#include <dnnl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* oneDNN's ISA values are sets of bits: a wider one contains the bits of those below it. */
static bool onednn_may_use(unsigned isa)
{
	return ((unsigned)dnnl_get_effective_cpu_isa() & isa) == isa;
}

bool cpu_has_avx2(void)
{
#if defined(__x86_64__)
	return onednn_may_use(dnnl_cpu_isa_avx2) && __builtin_cpu_supports("avx2");
#else
	return false;
#endif
}

bool cpu_has_avx512(void)
{
#if defined(__x86_64__)
	return onednn_may_use(dnnl_cpu_isa_avx512_core) && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
#else
	return false;
#endif
}

bool cpu_has_bf16(void)
{
	return onednn_may_use(dnnl_cpu_isa_avx512_core_bf16);
}

/* oneDNN has no name for it: whoever limits it to less than VNNI wants older CPUs' ways here too. */
bool cpu_has_avx512_vbmi(void)
{
#if defined(__x86_64__)
	return cpu_has_avx512_vnni() && __builtin_cpu_supports("avx512vbmi");
#else
	return false;
#endif
}

#if defined(__x86_64__)
/* Linux gives the state of tiles to a process that asks for it (Documentation/arch/x86/xstate.rst). */
static bool may_use_tiles(void)
{
	enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
	return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#endif

bool cpu_has_amx_int8(void)
{
#if defined(__x86_64__)
	return cpu_has_avx512_vnni() && onednn_may_use(dnnl_cpu_isa_avx512_core_amx) &&
	       __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") && may_use_tiles();
#else
	return false;
#endif
}

bool cpu_has_avx512_vnni(void)
{
#if defined(__x86_64__)
	return cpu_has_avx512() && onednn_may_use(dnnl_cpu_isa_avx512_core_vnni) &&
	       __builtin_cpu_supports("avx512vnni");
#else
	return false;
#endif
}
