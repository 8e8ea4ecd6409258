/* SPDX-License-Identifier: MIT */
/*
 * after_stress_test.c - who is let go by an object may free it at once, while
 * the one who let him go is still in his call: that one may not touch it.
 *
 * A plain thread lets go, so that the other runs at the same time.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/chan.h>
#include <weft/sync.h>

union object {
	struct co_sem sem;
	struct co_event event;
	struct co_waitgroup group;
	unsigned char bytes[128];
};

struct way {
	void (*init)(union object *o);
	int (*wait)(union object *o);
	int (*let_go)(union object *o);
};

struct game {
	const struct way *way;
	chan(union object *) ch;
	uint64_t rounds, seed;
};

static void
sem_init_it(union object *o)
{
	o->sem = (struct co_sem)CO_SEM_INIT(0);
}

static int
sem_wait_it(union object *o)
{
	return co_sem_wait(&o->sem);
}

static int
sem_post_it(union object *o)
{
	return co_sem_post(&o->sem);
}

static void
event_init(union object *o)
{
	o->event = (struct co_event)CO_EVENT_INIT;
}

static int
event_wait(union object *o)
{
	return co_event_wait(&o->event);
}

static int
event_set(union object *o)
{
	return co_event_set(&o->event);
}

static void
group_init(union object *o)
{
	o->group = (struct co_waitgroup)CO_WAITGROUP_INIT;
	test_result(co_waitgroup_add(&o->group, 1), 0);
}

static int
group_wait(union object *o)
{
	return co_waitgroup_wait(&o->group);
}

static int
group_done(union object *o)
{
	return co_waitgroup_done(&o->group);
}

static const struct way ways[] = {
	{ sem_init_it, sem_wait_it, sem_post_it },
	{ event_init, event_wait, event_set },
	{ group_init, group_wait, group_done },
};

static void
spin(uint64_t n)
{
	while (n-- > 0)
		__asm__ volatile("");
}

static void *
lets_go(void *arg)
{
	struct game *g = arg;
	union object *o;

	while (chan_recv(g->ch, &o) == 0)
		test_result(g->way->let_go(o), 0);
	return NULL;
}

/* The object's memory is something else as soon as the wait is over. */
static int
waits(void *arg)
{
	struct game *g = arg;
	union object o;
	uint64_t i;
	size_t k;

	for (i = 0; i < g->rounds; i++) {
		g->way->init(&o);
		test_result(chan_send(g->ch, &o), 0);
		test_result(g->way->wait(&o), 0);
		memset(&o, 0xa5, sizeof o);
		spin(test_below(&g->seed, 3000));
		for (k = 0; k < sizeof o; k++)
			ck_assert_uint_eq(((volatile unsigned char *)&o)[k],
			    0xa5);
	}
	return 0;
}

TEST(who_lets_go_does_not_touch_the_object_afterwards, .seconds = 120)
{
	struct game g = { .seed = test_seed() };
	pthread_t t;
	size_t i;

	FOR_WORKERS(w) {
		for (i = 0; i < sizeof ways / sizeof ways[0] && w <= 2; i++) {
			g.way = &ways[i];
			g.rounds = test_count(5000, 500000);
			g.ch = chan_new(union object *, 0);
			ck_assert_int_eq(pthread_create(&t, NULL, lets_go, &g),
			    0);
			test_result(test_run(w, waits, &g), 0);
			chan_close(g.ch);
			pthread_join(t, NULL);
			chan_unref(g.ch);
		}
	}
}
