/* SPDX-License-Identifier: MIT */
/*
 * explore_thread.c - the threads of a model: who runs, who spins, who waits.
 *
 * A thread that is to be preempted stands before its next operation.  Chosen
 * again, it makes that operation at once: to give way again without it would be
 * to choose the third one in its place.
 */
#include "explore_inside.h"

#include <stdio.h>
#include <string.h>

enum {
	STACK = 128 * 1024,
	FORCED = 10		/* counts that may run out in a schedule */
};

struct thread threads[EXPLORE_THREADS];

static char stacks[EXPLORE_THREADS][STACK] __attribute__((aligned(64)));
static ucontext_t main_ctx;

void
came(int t, unsigned at, size_t size)
{
	unsigned k;
	int i;

	for (i = 0; i < ex.nthreads; i++) {
		for (k = 0; i != t && k < LOOKS; k++) {
			struct look *l = &threads[i].looks[k];

			l->news |= l->at < at + size && at < l->at + l->size;
		}
	}
}

/* A look at what it looks at already is the newer of both. */
void
looked(struct thread *t, unsigned at, size_t size)
{
	unsigned k;

	for (k = 0; k < LOOKS; k++)
		if (t->looks[k].at == at && t->looks[k].size == size)
			break;
	if (k == LOOKS)
		k = t->nlooks++ % LOOKS;
	t->looks[k] = (struct look){ at, size, false };
}

static bool
has_news(const struct thread *t)
{
	unsigned k;

	for (k = 0; k < LOOKS; k++)
		if (t->looks[k].news)
			return true;
	return false;
}

/* Something that it has looked at may change without that anybody runs. */
static bool
may_have_news(int i)
{
	unsigned k;

	for (k = 0; k < LOOKS; k++)
		if (memory_awaits(i, threads[i].looks[k].at,
		    threads[i].looks[k].size))
			return true;
	return false;
}

void
spun(struct thread *t)
{
	t->stale = !has_news(t);
	memcpy(t->spun, t->looks, sizeof t->spun);
	memset(t->looks, 0, sizeof t->looks);
	t->nlooks = 0;
}

bool
must_find(struct thread *t, unsigned at, size_t size)
{
	unsigned k;
	bool must;

	for (k = 0; k < LOOKS; k++)
		if (t->spun[k].at == at && t->spun[k].size == size)
			break;
	if (k == LOOKS)
		t->stale = false;	/* it has left the loop */
	must = t->stale && memory_awaits(ex.current, at, size);
	if (must)
		t->stale = false;
	return must;
}

int
explore_self(void)
{
	return ex.current;
}

static void
arrive(int t)
{
	ex.current = t;
	memory_show(t);
	if (ex.model->enter)
		ex.model->enter(t);
}

static void
go(int t)
{
	int from = ex.current;

	if (t == from)
		return;
	arrive(t);
	swapcontext(from == NOBODY ? &main_ctx : &threads[from].ctx,
	    &threads[t].ctx);
}

static bool
runnable(int i)
{
	struct thread *t = &threads[i];

	switch (t->state) {
	case READY:
		return true;
	case SPINS:
		return has_news(t) || may_have_news(i);
	case WAITS:
		return t->ready(t->arg);
	default:
		return false;
	}
}

/* Others than the current thread; how many. */
static int
others(int *ret)
{
	int i, n = 0;

	for (i = 0; i < ex.nthreads; i++)
		if (i != ex.current && runnable(i))
			ret[n++] = i;
	return n;
}

static void
out(void)
{
	ex.current = NOBODY;
	setcontext(&main_ctx);
}

void
explore_violation(const char *says, const char *file, int line)
{
	const char *name = strrchr(file, '/');

	if (ex.violation[0] == '\0')
		snprintf(ex.violation, sizeof ex.violation, "%s (%s:%d)", says,
		    name ? name + 1 : file, line);
	if (ex.current == NOBODY)
		longjmp(ex.jump, 1);
	out();
}

bool
counts_down(const struct explore_site *at)
{
	return ex.model->patience && !strcmp(at->func, ex.model->patience);
}

/*
 * Nobody can run.  In the end every store comes to memory; who counts while it
 * waits has then counted to its end.
 */
static void
nobody_runs(void)
{
	bool all_ended = true, pending = false, some = false;
	int i;

	for (i = 0; i < ex.nthreads; i++) {
		all_ended &= threads[i].state == ENDED;
		pending |= memory_pending(i);
		memory_drain(i, ex.current);
	}
	if (all_ended)
		out();
	for (i = 0; i < ex.nthreads; i++) {
		if (threads[i].state != SPINS)
			continue;
		if (!pending && (!counts_down(threads[i].site) ||
		    ++ex.forced > FORCED))
			continue;
		threads[i].state = READY;
		some = true;
		if (!pending)
			threads[i].impatient = threads[i].site->func;
	}
	if (!some)
		explore_violation("nobody can go on", "explore", 0);
}

void
block(enum state state)
{
	int who[EXPLORE_THREADS], n;

	threads[ex.current].state = state;
	ex.op++;
	ex.which = 0;
	while (threads[ex.current].state == ENDED || !runnable(ex.current)) {
		n = others(who);
		if (n > 0) {
			go(who[choose(n)]);
			break;
		}
		nobody_runs();
	}
	threads[ex.current].state = READY;
}

void
schedule(bool matters)
{
	int who[EXPLORE_THREADS], n, c;

	if (!ex.replaying && (!matters || ex.preemptions >= ex.bound))
		return;
	n = others(who);
	c = choose_first(n + 1);
	if (c == 0)
		return;
	ex.preemptions++;
	go(who[c - 1]);
}

static void
thread_main(void)
{
	ex.model->thread[ex.current]();
	operation_end();
	block(ENDED);
}

void
threads_run(void)
{
	int i;

	for (i = 0; i < ex.nthreads; i++) {
		struct thread *t = &threads[i];
		ucontext_t keep = t->ctx;

		memset(t, 0, sizeof *t);
		t->ctx = keep;
		t->ctx.uc_stack.ss_sp = stacks[i];
		t->ctx.uc_stack.ss_size = STACK;
		t->ctx.uc_link = NULL;
		makecontext(&t->ctx, thread_main, 0);
	}
	go(choose(ex.nthreads));	/* it comes back by out() */
}
