/* SPDX-License-Identifier: MIT */
/*
 * tokio-04-watch.c - a broadcast that drops the oldest, and a latest value.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <weft.h>

static int
listen_to(co_bcast(int) news, co_sub(int) a, co_sub(int) b)
{
	int n, code = 0, v;

	for (n = 1; n <= 3 && code == 0; n++)
		code = co_bcast_send(news, n);
	if (code < 0)
		return code;
	/* 2 values are kept: 1 was missed before the first that is left. */
	printf("%s\n", co_sub_recv(a, &v) == 1 ? "true" : "false");
	printf("%d\n", v);
	printf("%s\n", co_sub_recv(b, &v) == 1 ? "true" : "false");
	return 0;
}

static int
watch_it(co_watch(int) level)
{
	uint64_t version;
	int v, code = co_watch_get(level, &v, &version);

	if (code == 0)
		code = co_watch_set(level, 1);
	if (code == 0)
		code = co_watch_set(level, 2);
	if (code == 0)
		code = co_watch_next(level, &v, &version);
	if (code == 0)
		printf("level %d\n", v);
	return code;
}

static int
body(void *arg)
{
	co_bcast(int) news = co_bcast_new(int, 2, CO_BCAST_DROP);
	co_sub(int) a = news ? co_bcast_subscribe(news) : NULL;
	co_sub(int) b = news ? co_bcast_subscribe(news) : NULL;
	co_watch(int) level = co_watch_new(int, 0);
	int code = a && b && level ? 0 : -ENOMEM;

	(void)arg;
	if (code == 0 && (code = listen_to(news, a, b)) == 0)
		code = watch_it(level);
	co_sub_unref(a);
	co_sub_unref(b);
	co_bcast_unref(news);
	co_watch_unref(level);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
