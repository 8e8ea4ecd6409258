/* SPDX-License-Identifier: MIT */
/*
 * 11-broadcast.c - every subscriber sees every value.
 *
 * A subscription begins where it is made, and outlives the broadcast: what was
 * sent can still be received.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct reader {
	co_sub(int) sub;
	int sum;
};

static int
reader(void *arg)
{
	struct reader *r = arg;
	int v;

	while (co_sub_recv(r->sub, &v) >= 0)
		r->sum += v;
	co_sub_unref(r->sub);
	return 0;
}

static int
body(void *arg)
{
	co_bcast(int) news = co_bcast_new(int, 4, CO_BCAST_WAIT);
	struct reader r[3] = { { 0 } };
	int i, code = news ? 0 : -ENOMEM;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 3 && code == 0; i++) {
			r[i].sub = co_bcast_subscribe(news);
			code = r[i].sub ? co_spawn(reader, &r[i]) : -ENOMEM;
			if (code < 0)
				co_sub_unref(r[i].sub);
			else
				code = co_bcast_send(news, 100 * (i + 1));
		}
		co_bcast_unref(news);	/* closes it: the readers end */
	}
	for (i = 0; i < 3 && code == 0; i++)
		printf("reader %d has heard %d\n", i, r[i].sum);
	return code < 0 ? code : s.status;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
