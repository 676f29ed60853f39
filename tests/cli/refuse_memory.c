/* Preloaded into the program: makes allocations of oneDNN and of the C++ library fail.
 *
 *   REFUSE_AT=N     the N-th of them alone
 *   REFUSE_FROM=N   the N-th and all later ones
 *   REFUSE_COUNT=F  their number is written to the file F at the end
 *   REFUSE_MALLOC=1 of malloc that oneDNN itself calls alone, the answer of which it does not look at
 *   REFUSE_PAGES=1  of the pages of generated code alone
 *
 * Allocations of others are none of its business: other tests make the program's own fail. */
#define _GNU_SOURCE /* dl_iterate_phdr, RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own names of what is replaced below. */
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
    void (*rtld_fini)(void), void *stack_end);
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size);

static atomic_long count;
static long at, from, malloc_only, pages_only;
static struct range {
	uintptr_t first, end;
} range[2];

static long number(const char *name)
{
	const char *text = getenv(name);
	return text ? atol(text) : 0;
}

/* The memory that the libraries are mapped to. */
static int note_range(struct dl_phdr_info *info, size_t size, void *user)
{
	static const char *const names[] = {"dnnl", "stdc++"};
	(void)size;
	(void)user;
	for (int k = 0; k < 2; k++) {
		if (!strstr(info->dlpi_name, names[k]))
			continue;
		range[k].first = info->dlpi_addr;
		for (int i = 0; i < info->dlpi_phnum; i++)
			if (info->dlpi_phdr[i].p_type == PT_LOAD)
				range[k].end =
				    info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
	}
	return 0;
}

static bool is_theirs(const void *caller)
{
	uintptr_t p = (uintptr_t)caller;
	return (p >= range[0].first && p < range[0].end) || (!malloc_only && p >= range[1].first && p < range[1].end);
}

__attribute__((destructor)) static void end(void)
{
	const char *path = getenv("REFUSE_COUNT");
	FILE *f = path ? fopen(path, "w") : NULL;
	if (!f)
		return;
	fprintf(f, "%ld\n", atomic_load(&count));
	fclose(f);
}

/* Before main nothing is refused: nobody could do anything about it. */
typedef int program(int argc, char **argv, char **environment);
static program *real_main;

static int counted_main(int argc, char **argv, char **environment)
{
	dl_iterate_phdr(note_range, NULL);
	at = number("REFUSE_AT");
	from = number("REFUSE_FROM");
	malloc_only = number("REFUSE_MALLOC");
	pages_only = number("REFUSE_PAGES");
	return real_main(argc, argv, environment);
}

int __libc_start_main(program *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
    void (*rtld_fini)(void), void *stack_end)
{
	typedef int start(program *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
	start *next;
	void *found = dlsym(RTLD_NEXT, "__libc_start_main");
	memcpy(&next, &found, sizeof(next));
	real_main = main;
	return next(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}

static bool refuse(void)
{
	long n = atomic_fetch_add(&count, 1) + 1;
	bool is = (at && n == at) || (from && n >= from);
	if (is)
		errno = ENOMEM;
	return is;
}

static bool refuse_to(const void *caller)
{
	return !pages_only && is_theirs(caller) && refuse();
}

void *malloc(size_t size)
{
	return refuse_to(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return refuse_to(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return refuse_to(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

/* The program calls it for oneDNN and for nobody else. */
void *memalign(size_t alignment, size_t size)
{
	return range[0].end && !malloc_only && !pages_only && refuse() ? NULL : __libc_memalign(alignment, size);
}

/* The program's own mmap is in the place of the C library's, and asks the system by this. */
long syscall(long call, ...)
{
	typedef long six(long, ...);
	six *next;
	long a[6];
	va_list args;
	void *found = dlsym(RTLD_NEXT, "syscall");
	memcpy(&next, &found, sizeof(next));
	va_start(args, call);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (call == SYS_mmap && pages_only && (a[3] & MAP_ANONYMOUS) && refuse())
		return -1;
	return next(call, a[0], a[1], a[2], a[3], a[4], a[5]);
}
