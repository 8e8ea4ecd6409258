/* SPDX-License-Identifier: MIT */
/*
 * 12-deadlock.c - two coroutines wait for each other.
 *
 * When nothing can ever wake anybody, co_run writes to stderr who waits for
 * what, ends everything and returns -EDEADLK.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

static struct co_mutex fork_a = CO_MUTEX_INIT, fork_b = CO_MUTEX_INIT;
static struct co_barrier seated = CO_BARRIER_INIT(2);

struct seat {
	const char *name;
	struct co_mutex *left, *right;
};

static int
dine(struct seat *s)
{
	co_set_name(s->name);
	co_locked(s->left) {
		if (co_barrier_wait(&seated) >= 0)
			co_locked(s->right)
				printf("%s dines\n", s->name);
	}
	return 0;
}

static int
body(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		if (co_go(dine, (struct seat){ "Plato", &fork_a, &fork_b }) < 0 ||
		    co_go(dine, (struct seat){ "Zeno", &fork_b, &fork_a }) < 0)
			co_cancel(&s);
	}
	return s.status;
}

int
main(void)
{
	int code = co_run(NULL, body, NULL);

	printf("co_run: %s\n", code == -EDEADLK ? "-EDEADLK" : "another");
	return code != -EDEADLK;
}
