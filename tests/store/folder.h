/* A folder for the checkpoints of one test program, and the device that they are made on. */
#ifndef TESTS_STORE_FOLDER_H
#define TESTS_STORE_FOLDER_H

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "ref/ref.h"

static char dir[256];
static struct device dev = {&ref_backend, NULL};

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/pipeline-store-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return !mkdtemp(dir) || dev.backend->open(&dev.ctx, &(struct open_options){.threads = 1}) != 0;
}

static int teardown(void **state)
{
	(void)state;
	dev.backend->close(dev.ctx);
	return fs_remove_tree(dir);
}

static const char *at(const char *name)
{
	static char buf[4][512];
	static int k;

	k = (k + 1) % 4;
	snprintf(buf[k], sizeof(buf[k]), "%s/%s", dir, name);
	return buf[k];
}

#endif
