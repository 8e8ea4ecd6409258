/* SPDX-License-Identifier: MIT */
/*
 * machine.c - the same work as state machines by hand, in C: the floor.
 *
 * What a compiler makes of a stackless coroutine, without the compiler: a
 * struct with what lives across waits, and a function that goes on where `at`
 * says.  One thread, a list of who is ready, no cancellation, no deadlines;
 * each machine is written for its question, as one would by hand.
 */
#include "peer.h"

struct machine {
	void (*step)(struct machine *m);
	struct machine *next;
	int at;			/* where to go on */
	long v;			/* what it sends, or has received */
};

#define BARE struct machine
#include "bare.h"

static struct list ready = { NULL, &ready.first };
static long total;

static void
run(void)
{
	struct machine *m;

	while ((m = pop(&ready)) != NULL)
		m->step(m);
}

static void
start(struct machine *m, void (*step)(struct machine *))
{
	m->step = step;
	m->at = 0;
	push(&ready, m);
}

static void *
make(size_t size)
{
	void *p = calloc(1, size);

	bench_check(p != NULL, "memory");
	return p;
}

/* --- channels: true when it is done, false when m waits ----------------------- */

static inline bool
send(struct channel *c, struct machine *m)
{
	struct machine *r = pop(&c->receivers);

	if (r) {
		r->v = m->v;
		push(&ready, r);
		return true;
	}
	if (c->tail - c->head < c->cap) {
		c->ring[c->tail++ % 128] = (int)m->v;
		return true;
	}
	push(&c->senders, m);
	return false;
}

static inline bool
receive(struct channel *c, struct machine *m)
{
	struct machine *s;

	if (c->head != c->tail) {
		m->v = c->ring[c->head++ % 128];
		s = pop(&c->senders);
		if (s) {
			c->ring[c->tail++ % 128] = (int)s->v;
			push(&ready, s);
		}
		return true;
	}
	s = pop(&c->senders);
	if (!s) {
		push(&c->receivers, m);
		return false;
	}
	m->v = s->v;
	push(&ready, s);
	return true;
}

/* --- a turn, a start ---------------------------------------------------------- */

struct counter {
	struct machine m;
	long i;
};

static void
yielder(struct machine *m)
{
	struct counter *c = (struct counter *)m;

	if (c->i++ == bench.n)
		return;
	total++;
	push(&ready, m);
}

static void
yield_question(void)
{
	struct counter a = { .i = 0 }, b = { .i = 0 };
	int64_t began = bench_now();

	start(&a.m, yielder);
	start(&b.m, yielder);
	run();
	peer_each("yield", began, 2.0 * bench.n);
	bench_check(total == 2 * bench.n, "all yields");
}

static void
one(struct machine *m)
{
	total++;
	free(m);
}

static void
spawn_question(void)
{
	long rounds = bench.n / 1000, i;
	int64_t began = bench_now();
	int k;

	for (i = 0; i < bench.n; i++) {
		start(make(sizeof(struct machine)), one);
		run();
	}
	peer_each("spawn_join", began, bench.n);
	bench_check(total == bench.n, "each ran once");
	total = 0;
	began = bench_now();
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < 1000; k++)
			start(make(sizeof(struct machine)), one);
		run();
	}
	peer_each("spawn_1000", began, rounds * 1000.0);
	bench_check(total == rounds * 1000, "each ran once");
}

/* A call under which it waits is a machine of its own: who calls it asks it
   again at each turn, all the way down. */
struct dive {
	struct machine m;
	struct dive *callee;	/* NULL: the innermost */
	long i;
};

static bool
dive_done(struct dive *d)
{
	if (d->callee)
		return dive_done(d->callee);
	return d->i++ == bench.n;
}

static void
diver(struct machine *m)
{
	if (dive_done((struct dive *)m))
		return;
	total++;
	push(&ready, m);
}

static struct dive *
make_dive(long depth)
{
	struct dive *d = NULL, *outer;

	for (; depth > 0; depth--) {
		outer = make(sizeof *outer);
		outer->callee = d;
		d = outer;
	}
	return d;
}

static void
suspend_question(void)
{
	static const char *const metric[] = { "suspend_1", "suspend_10",
	    "suspend_100", "suspend_1000" };
	long depth = 1;
	int64_t began;
	int i;

	for (i = 0; i < 4; i++, depth *= 10) {
		struct dive *a = make_dive(depth), *b = make_dive(depth);

		total = 0;
		began = bench_now();
		start(&a->m, diver);
		start(&b->m, diver);
		run();
		peer_each(metric[i], began, 2.0 * bench.n);
		bench_check(total == 2 * bench.n, "all suspensions");
	}
}

/* --- messages ----------------------------------------------------------------- */

struct player {
	struct machine m;
	struct channel *in, *out;
	long i;
};

static void
ping(struct machine *m)
{
	struct player *p = (struct player *)m;

	switch (m->at) {
		for (; p->i < bench.n; p->i++) {
	case 0:
			m->at = 1;
			if (!send(p->out, m))
				return;
			/* fall through */
	case 1:
			m->at = 2;
			if (!receive(p->in, m))
				return;
			/* fall through */
	case 2:
			;
		}
	}
	total = m->v;
}

static void
pong(struct machine *m)
{
	struct player *p = (struct player *)m;

	switch (m->at) {
		for (; p->i < bench.n; p->i++) {
	case 0:
			m->at = 1;
			if (!receive(p->in, m))
				return;
			/* fall through */
	case 1:
			m->v++;
			m->at = 2;
			if (!send(p->out, m))
				return;
			/* fall through */
	case 2:
			;
		}
	}
}

static void
pingpong_question(void)
{
	static struct channel there, back;
	struct player a = { .in = &back, .out = &there };
	struct player b = { .in = &there, .out = &back };
	int64_t began = bench_now();

	channel_init(&there, 0);
	channel_init(&back, 0);
	start(&b.m, pong);
	start(&a.m, ping);
	run();
	peer_each("pingpong", began, 2.0 * bench.n);
	bench_check(total == bench.n, "every ball came back");
}

static void
sender(struct machine *m)
{
	struct player *p = (struct player *)m;

	for (; p->i < bench.n / bench.k; p->i++) {
		m->v = p->i & 0xff;
		if (!send(p->out, m)) {
			p->i++;		/* who takes it wakes us */
			return;
		}
	}
}

static void
receiver(struct machine *m)
{
	struct player *p = (struct player *)m;

	if (m->at)			/* what we waited for is here */
		total += m->v, p->i++;
	for (m->at = 0; p->i < bench.n / bench.k; p->i++) {
		m->at = 1;
		if (!receive(p->in, m))
			return;
		total += m->v;
	}
}

static void
buffered_question(void)
{
	static struct channel c;
	struct player *p;
	char metric[32];
	long wanted = 0, i;
	int64_t began;

	channel_init(&c, 128);
	for (i = 0; i < bench.k; i++) {
		p = make(sizeof *p);
		p->out = &c;
		start(&p->m, sender);
		p = make(sizeof *p);
		p->in = &c;
		start(&p->m, receiver);
	}
	began = bench_now();
	run();
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	peer_each(metric, began, bench.n);
	for (i = 0; i < bench.n / bench.k; i++)
		wanted += i & 0xff;
	bench_check(total == wanted * bench.k, "the sum of the messages");
}

/* --- a value ------------------------------------------------------------------ */

static __attribute__((noinline)) bool
numbers(struct counter *c, long *ret)
{
	if (c->i == bench.n)
		return false;
	*ret = c->i++;
	return true;
}

static void
generator_question(void)
{
	struct counter c = { .i = 0 };
	int64_t began = bench_now();
	long v;

	while (numbers(&c, &v))
		total += v;
	peer_each("generator", began, bench.n);
	bench_check(total == bench.n * (bench.n - 1) / 2,
	    "the sum of the values");
}

/* --- many --------------------------------------------------------------------- */

struct sieve {
	struct machine m;
	struct channel *in, *out;
	int prime;
	long i;
	int64_t began;
};

static void
count(struct machine *m)
{
	do
		m->v = m->at == 0 ? 2 : m->v + 1, m->at = 1;
	while (send(((struct sieve *)m)->out, m));
}

static void
sift(struct machine *m)
{
	struct sieve *s = (struct sieve *)m;

	if (m->at == 1)
		goto received;
	for (;;) {
		m->at = 1;
		if (!receive(s->in, m))
			return;
received:
		m->at = 2;
		if (m->v % s->prime != 0 && !send(s->out, m))
			return;
	}
}

static void
take_primes(struct machine *m)
{
	struct sieve *s = (struct sieve *)m, *next;
	int at = m->at;

	for (m->at = 1; s->i < bench.n; s->i++) {
		if (at == 0 && !receive(s->in, m))
			return;
		at = 0;
		s->prime = (int)m->v;
		next = make(sizeof *next);
		next->in = s->in;
		next->out = s->in = make(sizeof *next->out);
		next->prime = s->prime;
		channel_init(next->out, 0);
		start(&next->m, sift);
	}
	bench_result("sieve", (double)(bench_now() - s->began) / 1e9, "s");
	bench_check(bench.n != 5000 || s->prime == 48611,
	    "the 5000th is 48611");
	exit(0);		/* the others go with the process */
}

static void
sieve_question(void)
{
	static struct channel first;
	static struct sieve counting = { .out = &first };
	static struct sieve taking = { .in = &first };

	channel_init(&first, 0);
	taking.began = bench_now();
	start(&counting.m, count);
	start(&taking.m, take_primes);
	run();
}

struct tree {
	struct machine m;
	struct tree *parent;
	long number, size, sum;
	int left;		/* children that have not told yet */
};

/* The last child to tell its sum makes the parent go on. */
static void
node(struct machine *m)
{
	struct tree *t = (struct tree *)m, *child, *parent;
	long i;

	if (t->size > 1 && m->at == 0) {
		m->at = 1;
		t->left = 10;
		for (i = 0; i < 10; i++) {
			child = make(sizeof *child);
			child->parent = t;
			child->size = t->size / 10;
			child->number = t->number + i * child->size;
			start(&child->m, node);
		}
		return;
	}
	parent = t->parent;
	i = t->size == 1 ? t->number : t->sum;
	free(t);
	if (!parent) {
		total = i;
		return;
	}
	parent->sum += i;
	if (--parent->left == 0)
		push(&ready, &parent->m);
}

static void
skynet_question(void)
{
	struct tree *root = make(sizeof *root);
	int64_t began = bench_now();

	root->size = bench.n;
	start(&root->m, node);
	run();
	bench_result("skynet", (double)(bench_now() - began) / 1e9, "s");
	bench_result("skynet_peak", bench_memory("VmHWM:") / 1e6, "MB");
	bench_check(total == bench.n * (bench.n - 1) / 2,
	    "the sum of the leaves");
}

static struct channel never;

static void
waits(struct machine *m)
{
	total++;
	receive(&never, m);
}

static void
parked_question(void)
{
	double rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
	int64_t began = bench_now();
	long i;

	channel_init(&never, 0);
	for (i = 0; i < bench.n; i++)
		start(make(sizeof(struct machine)), waits);
	run();
	bench_check(total == bench.n, "all started");
	peer_each("parked_create", began, bench.n);
	bench_result("parked_rss", (bench_memory("VmRSS:") - rss) / bench.n,
	    "B");
	bench_result("parked_tables", (bench_memory("VmPTE:") - tables) /
	    bench.n, "B");
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "yield", yield_question },
		{ "spawn", spawn_question },
		{ "suspend", suspend_question },
		{ "pingpong", pingpong_question },
		{ "buffered", buffered_question },
		{ "generator", generator_question },
		{ "sieve", sieve_question },
		{ "skynet", skynet_question },
		{ "parked", parked_question },
		{ NULL, NULL }
	};

	return peer_main(argc, argv, questions);
}
