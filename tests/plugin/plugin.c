/* SPDX-License-Identifier: MIT */
/*
 * plugin.c - a shared object that uses weft; its host knows nothing of it.
 */
#include <errno.h>
#include <unistd.h>

#include <weft.h>

int plugin_run(int workers, int n);
int plugin_wait(void);
int plugin_overflow(void);

enum { PIPE_BYTES = 5 };

struct all {
	chan(int) numbers;
	int pipe[2];
	int n;
	int sum;
};

static int
count(struct all **at)
{
	struct all *a = *at;
	int i;

	for (i = 1; i <= a->n; i++) {
		if (i % 16 == 0)
			co_yield_now();
		if (chan_send(a->numbers, i) < 0)
			return -EIO;
	}
	return chan_close(a->numbers);
}

static int
add_up(struct all **at)
{
	struct all *a = *at;
	char text[PIPE_BYTES];

	chan_each(int, v, a->numbers)
		a->sum += v;
	return co_read_full(a->pipe[0], text, sizeof text) == PIPE_BYTES ? 0 :
	    -EIO;
}

static int
sleep_in_pool(void *arg)
{
	(void)arg;
	usleep(100);
	return 3;
}

/* A thing of each kind that the runtime keeps threads or descriptors for. */
static int
first(void *arg)
{
	struct all *a = arg;
	struct co_scope s;
	int late = 0;

	co_scope(s) {
		co_go(count, a);
		co_go(add_up, a);
		if (co_sleep(CO_US(200)) < 0 ||
		    co_blocking(sleep_in_pool, NULL) != 3 ||
		    co_write(a->pipe[1], "bytes", PIPE_BYTES) != PIPE_BYTES)
			return -EIO;
	}
	co_timeout(CO_US(100))
		late = co_sleep(CO_FOREVER);
	return late != -ETIMEDOUT ? -EIO : s.status < 0 ? s.status : a->sum;
}

/* 1 + 2 + ... + n */
int
plugin_run(int workers, int n)
{
	struct co_options options = { .workers = workers };
	struct all a = { .numbers = chan_new(int, 2), .n = n };
	int code;

	if (pipe(a.pipe) < 0)
		return -errno;
	code = co_run(&options, first, &a);
	co_close(a.pipe[0]);
	co_close(a.pipe[1]);
	chan_unref(a.numbers);
	return code;
}

/* For a plain thread: one wait, so that weft knows it. */
int
plugin_wait(void)
{
	chan(int) c = chan_new(int, 0);
	int v, code = 0;

	co_timeout(CO_US(100))
		code = chan_recv(c, &v);
	chan_unref(c);
	return code == -ETIMEDOUT ? 0 : -1;
}

static int fill(int n);
static int (*volatile again)(int) = fill;

static int
fill(int n)
{
	volatile char frame[200];

	frame[n % 200] = (char)n;
	return again(n + 1) + frame[n % 200];
}

static int
overflow(void *arg)
{
	(void)arg;
	co_set_name("plugged in");
	return fill(0);
}

int
plugin_overflow(void)
{
	return co_run(NULL, overflow, NULL);
}
