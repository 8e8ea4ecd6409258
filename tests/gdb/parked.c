/* SPDX-License-Identifier: MIT */
/*
 * parked.c - coroutines in every state, for gdb_test.py.
 *
 * One waits on a channel, some frames below its function, which has a local;
 * one sleeps; one has not begun.  Then everything stops in reached(), with an
 * argument by an abort().
 */
#include <weft.h>

#include <stdlib.h>

static int dies;

int reached(int stage);

__attribute__((noinline)) int
reached(int stage)
{
	__asm__ volatile("" : : : "memory");
	if (dies)
		abort();
	return stage;
}

__attribute__((noinline)) static int
below(chan(int) ch, volatile int depth)
{
	int v = 0, code;

	if (depth > 0)
		return below(ch, depth - 1) + depth;
	code = chan_recv(ch, &v);
	return code + v + depth;
}

static int
receiver(void *arg)
{
	int depth = 3;

	co_set_name("the receiver");
	return below(arg, depth);
}

static int
sleeper(void *arg)
{
	(void)arg;
	return co_sleep(CO_FOREVER);
}

static int
late(void *arg)
{
	(void)arg;
	return 0;
}

static int
first(void *arg)
{
	chan(int) ch = chan_new(int, 0);
	struct co_scope s;
	int stage = 0;

	(void)arg;
	if (!ch)
		return 1;
	co_scope(s, .policy = CO_SUPERVISE) {
		if (co_spawn(receiver, ch) < 0 || co_spawn(sleeper, NULL) < 0)
			return 2;
		/* They run, park, and we are picked again. */
		co_yield();
		co_yield();
		if (co_spawn(late, NULL) < 0)
			return 3;
		stage = reached(1);
		chan_close(ch);
		co_yield();
		stage = reached(2) - stage;
		co_cancel(&s);
	}
	chan_unref(ch);
	return stage - 1;
}

int
main(int argc, char **argv)
{
	(void)argv;
	dies = argc > 1;
	return co_run(&(struct co_options){ .workers = 1 }, first, NULL);
}
