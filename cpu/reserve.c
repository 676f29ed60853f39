/* C++ calls a handler before it throws std::bad_alloc, and tries again when the handler returns; another one when an
 * exception finds nobody to catch it. Both are set by their names in the C++ library that oneDNN has loaded, so that
 * this program needs no compiler for C++. oneDNN's own objects come from posix_memalign, and the code that it generates
 * lies in pages from mmap; it does not look at the answers everywhere. The definitions below take the place of the C
 * library's. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "cpu/reserve.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define SET_NEW_HANDLER "_ZSt15set_new_handlerPFvvE"
#define SET_TERMINATE   "_ZSt13set_terminatePFvvE"

#define OBJECT_BYTES (1 << 16)
#define CODE_BYTES   (1 << 20)
#define NULL_PAGE    (1 << 16) /* no object lies below this address */

typedef void handler(void);
typedef handler *set_handler(handler *);

static _Atomic(void *) reserve;
static atomic_bool is_open;

/* Formatting and stdio may allocate. */
static void end_program(const char *message)
{
	ssize_t n = write(STDERR_FILENO, message, strlen(message));
	(void)n;
	_exit(err_exit_status(ERR_NOMEM));
}

/* Gives the reserve back to the allocator; without one there is nothing left to try. */
static void on_no_memory(void)
{
	void *p = atomic_exchange(&reserve, NULL);
	if (!p)
		end_program("pipeline: out of memory inside oneDNN\n");
	mem_free(p);
}

/* Objects are small. That a block of data is missing, oneDNN reports. */
int posix_memalign(void **out, size_t alignment, size_t bytes)
{
	if (alignment < sizeof(void *) || (alignment & (alignment - 1)))
		return EINVAL;
	void *p = memalign(alignment, bytes);
	while (!p && bytes <= OBJECT_BYTES && atomic_load(&is_open)) {
		on_no_memory();
		p = memalign(alignment, bytes);
	}
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

#if !defined(__SANITIZE_ADDRESS__) /* which puts a definition of its own there */
/* The pages of one kernel are few. Without a reserve the failure is the caller's, as ever. */
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	long p = syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
	if (p == -1 && errno == ENOMEM && (flags & MAP_ANONYMOUS) && bytes <= CODE_BYTES && atomic_load(&is_open)) {
		void *aside = atomic_exchange(&reserve, NULL);
		mem_free(aside);
		if (aside)
			malloc_trim(0);
		p = syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
	}
	return (void *)p;
}
#endif

static void on_uncaught(void)
{
	end_program("pipeline: an error inside oneDNN that it does not report, most likely for want of memory\n");
}

/* ---- null pointers ---- */

static struct sigaction before;
static uintptr_t code_from, code_to; /* of oneDNN */

static int note_code(struct dl_phdr_info *info, size_t size, void *user)
{
	const uintptr_t wanted = *(const uintptr_t *)user;
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const uintptr_t from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		const uintptr_t to = from + info->dlpi_phdr[i].p_memsz;
		if (info->dlpi_phdr[i].p_type != PT_LOAD || wanted < from || wanted >= to)
			continue;
		code_from = from;
		code_to = to;
		return 1;
	}
	return 0;
}

/* Where the fault was made; of a call of a null pointer, where the call was. */
static uintptr_t place_of(const ucontext_t *c)
{
	uintptr_t at = 0;
#if defined(__x86_64__)
	at = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
	if (at < NULL_PAGE)
		memcpy(&at, (const void *)(uintptr_t)c->uc_mcontext.gregs[REG_RSP], sizeof(at));
#elif defined(__aarch64__)
	at = (uintptr_t)c->uc_mcontext.pc;
	if (at < NULL_PAGE)
		at = (uintptr_t)c->uc_mcontext.regs[30];
#else
	(void)c;
#endif
	return at;
}

/* Only what oneDNN does itself, near address 0, is taken for a failed allocation; all other faults are as they were. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	const uintptr_t at = place_of(context);
	if ((uintptr_t)info->si_addr < NULL_PAGE && at >= code_from && at < code_to)
		end_program("pipeline: oneDNN has used a null pointer, most likely for want of memory\n");
	sigaction(sig, &before, NULL); /* happens again, to whoever cares */
}

static void watch_null_pointers(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	dnnl_status_t (*one)(dnnl_engine_t *, dnnl_engine_kind_t, size_t) = dnnl_engine_create;
	uintptr_t wanted;
	memcpy(&wanted, &one, sizeof(wanted));
	sigemptyset(&action.sa_mask);
	if (dl_iterate_phdr(note_code, &wanted) == 1)
		sigaction(SIGSEGV, &action, &before);
}

static void set(const char *name, handler *h)
{
	set_handler *setter;
	void *found = dlsym(RTLD_DEFAULT, name);
	memcpy(&setter, &found, sizeof(setter));
	if (found)
		setter(h);
}

int reserve_check(void)
{
	if (!atomic_load(&is_open) || atomic_load(&reserve))
		return 0;
	void *p = mem_alloc(RESERVE_BYTES, 1);
	if (!p)
		return err_set(
		    ERR_NOMEM, "out of memory: oneDNN has used up its reserve of %d MiB", RESERVE_BYTES >> 20);
	void *none = NULL;
	if (!atomic_compare_exchange_strong(&reserve, &none, p))
		mem_free(p);
	return 0;
}

int reserve_open(void)
{
	if (atomic_exchange(&is_open, true))
		return reserve_check();
	set(SET_NEW_HANDLER, on_no_memory);
	set(SET_TERMINATE, on_uncaught);
	watch_null_pointers();
	return reserve_check();
}
