#define _GNU_SOURCE /* pthread_setattr_default_np */
#include "pipeline/stack.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>

struct called {
	int (*f)(int argc, char **argv);
	int argc, result;
	char **argv;
};

static void *call(void *user)
{
	struct called *c = user;
	c->result = c->f(c->argc, c->argv);
	return NULL;
}

/* The first thread's stack grows up to the limit as it is then. */
static bool raise_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_STACK, &limit))
		return true;
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= STACK_BYTES)
		return true;
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < STACK_BYTES)
		return false;
	limit.rlim_cur = STACK_BYTES;
	return setrlimit(RLIMIT_STACK, &limit) == 0;
}

int stack_call(int (*f)(int argc, char **argv), int argc, char **argv)
{
	struct called c = {.f = f, .argc = argc, .result = -1, .argv = argv};
	pthread_attr_t attr;
	pthread_t thread;
	bool enough = raise_limit();
	if (pthread_attr_init(&attr))
		return -1;
	if (pthread_attr_setstacksize(&attr, STACK_BYTES) == 0)
		pthread_setattr_default_np(&attr);
	if (enough)
		call(&c);
	else if (pthread_create(&thread, &attr, call, &c) == 0)
		pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	return c.result;
}
