/* SPDX-License-Identifier: MIT */
/*
 * go-09-pool.c - buffers that are used again: a channel holds the free ones.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

struct buffer {
	char bytes[4096];
};

static struct buffer *
pool_get(chan(struct buffer *) pool)
{
	struct buffer *b;

	if (chan_try_recv(pool, &b) == 0)
		return b;
	printf("made\n");
	return malloc(sizeof *b);
}

static void
pool_put(chan(struct buffer *) pool, struct buffer *b)
{
	if (chan_try_send(pool, b) < 0)
		free(b);		/* enough of them */
}

static int
body(void *arg)
{
	chan(struct buffer *) pool = chan_new(struct buffer *, 16);
	struct buffer *b = pool ? pool_get(pool) : NULL;
	int code = b ? 0 : -ENOMEM;

	(void)arg;
	if (b)
		pool_put(pool, b);
	while (chan_try_recv(pool, &b) == 0)
		free(b);
	chan_unref(pool);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
