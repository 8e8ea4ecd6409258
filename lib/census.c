/* SPDX-License-Identifier: MIT */
/*
 * census.c - how much of their stacks coroutines use, by where they are
 * spawned.
 *
 * Layer 10.  With CO_STACK_CENSUS.  What a coroutine has touched is found by
 * which pages of its stack are there, when it has ended: so every stack is
 * given back but for its top page before the next one gets it, and a coroutine
 * never goes on with the stack of another.  That costs two system calls and the
 * page faults of each coroutine; sizes are of whole pages, as are those of
 * stacks.
 *
 * Rejected: painting the stack.  It touches all of it, 256 KiB for each, and
 * has to be looked through as well.
 *
 * The table is the process's, as programs report when their runtime has ended.
 * Locks: `mutex`, a leaf, which whoever ends takes: nothing is written under
 * it.  One reports at a time.
 */
#include "census.h"
#include "dump.h"
#include "place.h"
#include "snap.h"
#include "ticket.h"

#include <weft/inspect.h>

enum { SITES = 1024 };

struct site {
	const void *at;		/* the return address; NULL: main coroutine */
	uint64_t ended;
	uint64_t alive;		/* of this report */
	size_t most;		/* bytes touched */
	size_t size;		/* of the largest stack, guard included; 0: the
				   entry is free */
	size_t extra;		/* of that, what is not the coroutine's */
};

static struct os_mutex report_mutex;	/* taken before the other */
static struct os_mutex mutex;
static struct site sites[SITES];	/* [mutex] open addressing; half full
					   at most */
static uint64_t lost;			/* [mutex] there was no room */
static uint32_t used;			/* [mutex] */
static bool taken;			/* [mutex] there has been a census */
static struct site shown[SITES];	/* [report_mutex] copy of sites */

/* The mutex is held.  NULL: the table is full. */
static struct site *
site_of(const void *at)
{
	uint64_t hash = (uint64_t)(uintptr_t)at * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t i = (uint32_t)(hash >> 54), n;

	for (n = 0; n < SITES; n++, i = (i + 1) % SITES) {
		if (sites[i].size == 0) {
			if (used == SITES / 2)
				return NULL;
			used++;
			sites[i].at = at;
			return &sites[i];
		}
		if (sites[i].at == at)
			return &sites[i];
	}
	return NULL;
}

/* The mutex is held. */
static struct site *
note(const void *at, const struct stack *s, size_t touched)
{
	struct site *x = site_of(at);

	taken = true;
	if (!x) {
		lost++;
		return NULL;
	}
	if (s->size > x->size) {
		x->size = s->size;
		x->extra = s->size - (size_t)(s->hi - s->lo);
	}
	if (touched > x->most)
		x->most = touched;
	return x;
}

void
census_note(struct worker *w, const struct task *t)
{
	const struct task_ext *e = t->u.run.ext;
	size_t touched = stack_touched(e->stack);
	struct site *x;

	(void)w;
	os_mutex_lock(&mutex);
	x = note(t->site, e->stack, touched);
	if (x)
		x->ended++;
	os_mutex_unlock(&mutex);
	stack_trim(e->stack, e);
}

/* --- who lives ------------------------------------------------------------ */

/* One that runs may end meanwhile; it is counted then. */
static void
look_at(struct task *t, void *arg)
{
	struct runtime *rt = arg;
	struct snap s;
	struct stack stack;
	struct site *x;
	size_t touched;

	if (!snap_take(&s, rt, t) || s.state != SNAP_WAITING || !s.lo)
		return;
	memset(&stack, 0, sizeof stack);
	stack.lo = (char *)s.lo;
	stack.hi = (char *)s.stack;
	stack.size = s.stack_size;
	touched = stack_touched(&stack);
	if (!snap_holds(&s))
		return;
	os_mutex_lock(&mutex);
	x = note(s.site, &stack, touched);
	if (x)
		x->alive++;
	os_mutex_unlock(&mutex);
}

static void
look_at_runtimes(struct runtime *first, void *arg)
{
	struct runtime *rt;
	bool *found = arg;

	for (rt = first; rt; rt = rt->next) {
		if (rt->flags & CO_STACK_CENSUS) {
			*found = true;
			task_each(rt, look_at, rt);
		}
	}
}

/* --- the report ----------------------------------------------------------- */

/* Half as much again: what was not seen to happen may happen. */
static size_t
suggested(const struct site *x)
{
	size_t size = round_up(x->most + x->most / 2 + x->extra, os_page());

	return size < STACK_MIN ? STACK_MIN : size;
}

static void
say_site(struct text *x, const struct site *s)
{
	if (s->at)
		place_add_named(x, s->at);
	else
		text_add(x, "the main coroutine");
	text_add(x, ": ");
	text_dec(x, s->ended);
	text_add(x, " ended, ");
	text_dec(x, s->alive);
	text_add(x, " wait, at most ");
	text_dec(x, s->most);
	text_add(x, " of ");
	text_dec(x, s->size);
	text_add(x, " bytes, stack_size ");
	text_dec(x, suggested(s));
	text_add(x, " would do\n");
}

/* The hungriest first.  There are few, and it is asked for seldom. */
static int
say_all(struct text *x)
{
	size_t below = SIZE_MAX, next;
	int i, count = 0;

	for (; below > 0; below = next) {
		for (i = 0, next = 0; i < SITES; i++)
			if (shown[i].size && shown[i].most < below &&
			    shown[i].most > next)
				next = shown[i].most;
		for (i = 0; i < SITES && next; i++) {
			if (shown[i].size && shown[i].most == next) {
				say_site(x, &shown[i]);
				count++;
			}
		}
	}
	return count;
}

/* Counts who waits now, and copies the table: what `lost` says. */
static uint64_t
take_report(bool *ret_any)
{
	uint64_t n;
	int i;

	os_mutex_lock(&mutex);
	for (i = 0; i < SITES; i++)
		sites[i].alive = 0;
	os_mutex_unlock(&mutex);
	*ret_any = false;
	runtime_list(look_at_runtimes, ret_any);
	os_mutex_lock(&mutex);
	taken |= *ret_any;
	*ret_any = taken;
	memcpy(shown, sites, sizeof shown);
	n = lost;
	os_mutex_unlock(&mutex);
	return n;
}

EXPORT int
co_stack_report(FILE *to)
{
	struct text x = { .to = to };
	uint64_t unknown;
	bool any;
	int count;

	if (!to)
		return -EINVAL;
	os_mutex_lock(&report_mutex);
	unknown = take_report(&any);
	count = any ? say_all(&x) : -ESRCH;
	if (unknown) {
		text_dec(&x, unknown);
		text_add(&x, " more were spawned at places for which there was"
		    " no room\n");
	}
	os_mutex_unlock(&report_mutex);
	return dump_end(&x) < 0 ? -EIO : count;
}
