/* SPDX-License-Identifier: MIT */
/*
 * tokio-02-joinset.c - results as they come, and an end to the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct job {
	int n;
	chan(int) done;
};

static int
work(struct job *j)
{
	int code = co_sleep(CO_MS(50 * (co_time)j->n));

	return code < 0 ? code : chan_send(j->done, j->n);
}

static int
body(void *arg)
{
	static const int n[] = { 2, 60000, 1 };
	chan(int) done = chan_new(int, 0);
	int i, v, code = done ? 0 : -ENOMEM;
	struct co_scope set;

	(void)arg;
	co_scope(set) {
		for (i = 0; i < 3 && code == 0; i++)
			code = co_go(work, (struct job){ n[i], done });
		for (i = 0; i < 2 && code == 0; i++)
			if ((code = chan_recv(done, &v)) == 0)
				printf("%d\n", v);
		co_cancel(&set);
	}
	chan_unref(done);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
