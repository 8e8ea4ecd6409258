/* SPDX-License-Identifier: MIT */
/*
 * go-05-errgroup.c - the first failure ends the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static int
fails(void *arg)
{
	(void)arg;
	return -EIO;
}

static int
waits(void *arg)
{
	(void)arg;
	if (co_sleep(CO_FOREVER) < 0)
		printf("the other was told to end\n");
	return 0;
}

static int
body(void *arg)
{
	struct co_scope g;

	(void)arg;
	co_scope(g) {
		if (co_spawn(waits, NULL) < 0 || co_spawn(fails, NULL) < 0)
			co_cancel(&g);
	}
	printf("group: %s\n", g.status == -EIO ? "disk failed" : "?");
	return g.status == -EIO ? 0 : g.status;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
