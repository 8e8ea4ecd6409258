/* SPDX-License-Identifier: MIT */
/*
 * stackful.c - the same work by coroutines with stacks, by hand: weft's own
 * switch (lib/context.h) and the least scheduler, channel and timer that do; a
 * floor, and no library that anybody could use.
 *
 * One thread, no cancellation, no scopes, no names, no deadlock that is told.
 * What a coroutine is lies at the top of its stack, and a stack whose coroutine
 * has ended goes on with the next one.  It waits in the loop itself: all here
 * is inlined.  Stacks are of weft's default size, with the guards of weft.
 */
#include <context.h>

#include "peer.h"

#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
	STACK = 256 * 1024, PAGE = 4096,
	GROUP = 8		/* stacks, and then a page: as stack_arena.h */
};

struct coroutine {
	struct context context;
	struct coroutine *next;
	void (*body)(void *arg);
	void *arg;
	struct coroutine *joiner;
	long v;			/* what it sends, or has received */
};

#define BARE struct coroutine
#include "bare.h"

static struct coroutine first, *self = &first;
static struct list ready = { NULL, &ready.first };
static struct coroutine *resting;	/* stacks whose coroutine has ended */
static long total, left;

/* Until somebody makes us ready; there is always one who can go on. */
static always_inline void
park(void)
{
	struct coroutine *me = self, *next = pop(&ready);

	self = next;
	context_switch(&me->context, &next->context);
}

static always_inline void
yield(void)
{
	push(&ready, self);
	park();
}

static void
live(void)
{
	struct coroutine *me;

	context_landed();
	for (;;) {
		me = self;
		me->body(me->arg);
		if (me->joiner)
			push(&ready, me->joiner);
		me->next = resting;
		resting = me;
		park();
	}
}

/* --- stacks ---------------------------------------------------------------- */

static char *fresh;
static long fresh_count;

static noinline struct coroutine *
make(void)
{
	size_t room = 1024 * (size_t)STACK + 1024 / GROUP * PAGE;
	struct coroutine *c;
	long colour = fresh_count * 13 % 32;
	char *end;

	if (fresh_count % 1024 == 0) {
		fresh = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
		bench_check(fresh != MAP_FAILED, "memory");
		madvise(fresh, room, MADV_NOHUGEPAGE);
	}
	bench_check(madvise(fresh, PAGE, MADV_GUARD_INSTALL) == 0 ||
	    mprotect(fresh, PAGE, PROT_NONE) == 0, "a guard");
	end = fresh + STACK - 64 * colour;
	c = (struct coroutine *)(end - 64 * ((sizeof *c + 63) / 64));
	context_make(&c->context, fresh, c, live);
	fresh += STACK + (++fresh_count % GROUP == 0 ? PAGE : 0);
	return c;
}

static always_inline struct coroutine *
spawn(void (*body)(void *), void *arg)
{
	struct coroutine *c = resting;

	if (c)
		resting = c->next;
	else
		c = make();
	c->body = body;
	c->arg = arg;
	c->joiner = NULL;
	push(&ready, c);
	return c;
}

static always_inline void
join(struct coroutine *c)
{
	c->joiner = self;
	park();
}

/* --- a turn, a start ------------------------------------------------------- */

static void
yielder(void *arg)
{
	long i;

	for (i = 0; i < bench.n; i++) {
		++*(long *)arg;
		yield();
	}
}

static void
yield_question(void)
{
	int64_t began = bench_now();
	struct coroutine *other = spawn(yielder, &total);

	yielder(&total);
	join(other);
	peer_each("yield", began, 2.0 * bench.n);
	bench_check(total == 2 * bench.n, "all yields");
}

static void
one(void *arg)
{
	++*(long *)arg;
}

static void
spawn_question(void)
{
	long rounds = bench.n / 1000, i;
	int64_t began = bench_now();
	int k;

	for (i = 0; i < bench.n; i++)
		join(spawn(one, &total));
	peer_each("spawn_join", began, bench.n);
	bench_check(total == bench.n, "each ran once");
	total = 0;
	began = bench_now();
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < 1000; k++)
			spawn(one, &total);
		yield();
	}
	peer_each("spawn_1000", began, rounds * 1000.0);
	bench_check(total == rounds * 1000, "each ran once");
}

/* --- messages -------------------------------------------------------------- */

static always_inline void
send(struct channel *c, int v)
{
	struct coroutine *r = pop(&c->receivers);

	if (r) {
		r->v = v;
		push(&ready, r);
	} else if (c->tail - c->head < c->cap) {
		c->ring[c->tail++ % 128] = v;
	} else {
		self->v = v;
		push(&c->senders, self);
		park();
	}
}

static always_inline int
receive(struct channel *c)
{
	struct coroutine *s;
	int v;

	if (c->head != c->tail) {
		v = c->ring[c->head++ % 128];
		s = pop(&c->senders);
		if (s) {
			c->ring[c->tail++ % 128] = (int)s->v;
			push(&ready, s);
		}
		return v;
	}
	s = pop(&c->senders);
	if (s) {
		push(&ready, s);
		return (int)s->v;
	}
	push(&c->receivers, self);
	park();
	return (int)self->v;
}

static struct channel there, back;

static void
pong(void *arg)
{
	long i;

	(void)arg;
	for (i = 0; i < bench.n; i++)
		send(&back, receive(&there) + 1);
}

static void
pingpong_question(void)
{
	int64_t began = bench_now();
	struct coroutine *other;
	int v = 0;
	long i;

	channel_init(&there, 0);
	channel_init(&back, 0);
	other = spawn(pong, NULL);
	for (i = 0; i < bench.n; i++) {
		send(&there, v);
		v = receive(&back);
	}
	join(other);
	peer_each("pingpong", began, 2.0 * bench.n);
	bench_check(v == bench.n, "every ball came back");
}

static void
sender(void *arg)
{
	long i, n = bench.n / bench.k;

	(void)arg;
	for (i = 0; i < n; i++)
		send(&there, (int)(i & 0xff));
}

/* The last receiver wakes who waits for all. */
static void
receiver(void *arg)
{
	long i, n = bench.n / bench.k;

	(void)arg;
	for (i = 0; i < n; i++)
		total += receive(&there);
	if (--left == 0)
		push(&ready, &first);
}

static void
buffered_question(void)
{
	char metric[32];
	long wanted = 0, i;
	int64_t began;

	channel_init(&there, 128);
	began = bench_now();
	left = bench.k;
	for (i = 0; i < bench.k; i++) {
		spawn(sender, NULL);
		spawn(receiver, NULL);
	}
	park();
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	peer_each(metric, began, bench.n);
	for (i = 0; i < bench.n / bench.k; i++)
		wanted += i & 0xff;
	bench_check(total == wanted * bench.k, "the sum of the messages");
}

/* --- a value: no list of who is ready between the two ----------------------- */

static void
numbers(void *arg)
{
	struct coroutine *me = self;
	long i;

	(void)arg;
	for (i = 0; i < bench.n; i++) {
		me->v = i;
		context_hop(&me->context, &first.context);
	}
	push(&ready, &first);
}

static void
generator_question(void)
{
	int64_t began = bench_now();
	struct coroutine *g = spawn(numbers, NULL);
	long i;

	pop(&ready);
	self = g;
	for (i = 0; i < bench.n; i++) {
		context_hop(&first.context, &g->context);
		total += g->v;
	}
	peer_each("generator", began, bench.n);
	context_switch(&first.context, &g->context);
	bench_check(total == bench.n * (bench.n - 1) / 2,
	    "the sum of the values");
}

/* --- naps: a wheel with a place for each millisecond of the next 4096 ------- */

enum { WHEEL = 4096, KEEP = 3072 };	/* KEEP: stacks that stay warm */

static struct list wheel[WHEEL];
static int64_t tick, idle_count;

/* A stack gives its page back; not the one that this may run on. */
static void
drop_idle(void)
{
	struct coroutine *c = resting->next, *next;

	for (; c; c = next) {
		next = c->next;
		madvise((char *)((uintptr_t)c & -(uintptr_t)PAGE), PAGE,
		    MADV_DONTNEED);
	}
	resting->next = NULL;
	idle_count = 1;
}

/* Makes ready whose time has come; sleeps if there is nobody. */
static noinline void
turn(void)
{
	struct timespec until;
	int64_t now;

	if (idle_count > KEEP)
		drop_idle();
	while (!ready.first) {
		now = bench_now() / 1000000;
		for (; tick <= now; tick++) {
			struct list *l = &wheel[tick % WHEEL];

			if (!l->first)
				continue;
			*ready.end = l->first;
			ready.end = l->end;
			*l = (struct list){ NULL, &l->first };
		}
		until = (struct timespec){ tick / 1000, tick % 1000 * 1000000 };
		if (!ready.first)
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until,
			    NULL);
	}
}

/* Never early: part of this millisecond is gone. */
static always_inline void
nap(unsigned ms)
{
	int64_t until = bench_now() / 1000000 + 1 + ms;

	bench_check(until - tick < WHEEL, "there is room in the wheel");
	push(&wheel[until % WHEEL], self);
	if (!ready.first)
		turn();
	park();
}

static void
sleeper(void *arg)
{
	unsigned state = bench_nap_seed((long)(intptr_t)arg);
	long i;

	for (i = 0; i < bench.k; i++)
		nap(bench_nap(&state));
	idle_count++;
	if (--left == 0)
		push(&ready, &first);
	else if (!ready.first)
		turn();
}

static void
sleepers_question(void)
{
	int64_t began = bench_now();
	double cpu = bench_cpu();
	intptr_t i;

	for (i = 0; i < WHEEL; i++)
		wheel[i].end = &wheel[i].first;
	tick = began / 1000000 + 1;
	left = bench.n;
	for (i = 0; i < bench.n; i++)
		spawn(sleeper, (void *)i);
	park();
	bench_result("sleepers", bench_cpu() - cpu, "s");
	bench_result("sleepers_wall", (double)(bench_now() - began) / 1e9,
	    "s");
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "yield", yield_question },
		{ "spawn", spawn_question },
		{ "pingpong", pingpong_question },
		{ "buffered", buffered_question },
		{ "generator", generator_question },
		{ "sleepers", sleepers_question },
		{ NULL, NULL }
	};

	context_adopt(&first.context);
	return peer_main(argc, argv, questions);
}
