/* SPDX-License-Identifier: MIT */
/*
 * dump.c - some lines for each coroutine, and the cycles among them.
 *
 * Layer 10.  Everything is read from outside (snap.h): no lock that a coroutine
 * needs is taken, no memory allocated, no code of the user run.
 */
#include "dump.h"
#include "place.h"
#include "waitgraph.h"
#include "waits.h"

#include <weft/inspect.h>

struct dump {
	struct text x;
	struct runtime *rt;
	co_time now;
};

static void
say_facts(struct text *x, const struct wait_facts *f)
{
	int i;

	text_add(x, f->op);
	if (f->obj) {
		text_add(x, " ");
		text_hex(x, (uintptr_t)f->obj);
	}
	if (f->fn) {
		text_add(x, " ");
		place_add_named(x, f->fn);
	}
	for (i = 0; i < 2 && f->key[i]; i++) {
		text_add(x, i ? ", " : " (");
		text_add(x, f->key[i]);
		text_add(x, " ");
		text_dec(x, f->n[i]);
	}
	text_add(x, i ? ")" : "");
	if (!f->holder_is)
		return;
	text_add(x, " ");
	text_add(x, f->holder_is);
	text_add(x, " ");
	if (f->holder_thread)
		text_add(x, "a thread");
	else if (f->holder_id)
		text_dec(x, f->holder_id);
	else
		text_add(x, "one that has ended");
}

static void
say_cases(struct text *x, const struct snap *s)
{
	const struct co_case *cases = NULL;
	struct wait_facts f;
	int i, n = wait_cases(s->obj, &cases);

	for (i = 0; i < n && wait_case(&f, s, &cases[i]); i++) {
		text_add(x, i ? "; " : " of: ");
		say_facts(x, &f);
	}
}

static void
say_wait(struct dump *d, const struct snap *s, const struct wait_facts *f)
{
	struct text *x = &d->x;
	co_time until;

	text_add(x, "waiting for ");
	say_facts(x, f);
	if (s->why == WAIT_SELECT)
		say_cases(x, s);
	text_add(x, ", since ");
	text_time(x, d->now - s->since);
	until = s->until < f->until ? s->until : f->until;
	if (until == CO_FOREVER)
		return;
	text_add(x, ", for at most ");
	text_time(x, until - d->now);
	text_add(x, " more");
}

static void
say_state(struct dump *d, const struct snap *s, const struct wait_facts *f)
{
	switch (s->state) {
	case SNAP_NEW:
		text_add(&d->x, "not begun");
		break;
	case SNAP_RUNNABLE:
		text_add(&d->x, "runnable");
		break;
	case SNAP_RUNNING:
		text_add(&d->x, "running on worker ");
		text_dec(&d->x, s->worker);
		break;
	case SNAP_WAITING:
		say_wait(d, s, f);
		break;
	}
}

static void
say_spawn(struct text *x, const struct snap *s)
{
	if (!s->site)
		return;
	text_add(x, "    spawned by ");
	text_dec(x, s->parent);
	text_add(x, " in ");
	place_add_named(x, s->site);
	text_add(x, "\n");
}

static void
say_frames(struct text *x, const struct snap *s)
{
	struct backtrace b;
	int i;

	if (!s->sp)
		return;
	if (!co__backtrace_works) {
		text_add(x, "    no backtrace in this build; sp ");
		text_hex(x, (uintptr_t)s->sp);
		text_add(x, "\n");
		return;
	}
	snap_backtrace(s, &b);
	for (i = 0; i < b.n; i++) {
		text_add(x, "    at ");
		place_add_named(x, b.pc[i]);
		text_add(x, "\n");
	}
}

static void
dump_task(struct task *t, void *arg)
{
	struct dump *d = arg;
	struct text *x = &d->x;
	struct wait_facts f;
	struct snap s;

	if (!wait_snap(&s, &f, d->rt, t))
		return;
	text_add(x, "coroutine ");
	text_dec(x, s.id);
	text_name(x, s.name);
	text_add(x, ": ");
	say_state(d, &s, &f);
	text_add(x, "\n");
	say_spawn(x, &s);
	say_frames(x, &s);
}

static void
dump_all(struct runtime *first, void *arg)
{
	struct dump *d = arg;

	for (d->rt = first; d->rt; d->rt = d->rt->next)
		task_each(d->rt, dump_task, d);
	if (waitgraph_search(first, waitgraph_say, &d->x) < 0)
		text_add(&d->x, "no memory to look for cycles\n");
}

void
dump_list(void (*fn)(struct runtime *first, void *arg), void *arg)
{
	static struct os_mutex mutex;

	os_mutex_lock(&mutex);
	runtime_list(fn, arg);
	os_mutex_unlock(&mutex);
}

int
dump_end(struct text *x)
{
	text_flush(x);
	if (fflush(x->to) != 0)
		x->failed = true;
	return x->failed ? -EIO : 0;
}

EXPORT int
co_dump(FILE *to)
{
	struct dump d = { .x = { .to = to }, .now = os_now() };

	if (!to)
		return -EINVAL;
	dump_list(dump_all, &d);
	return dump_end(&d.x);
}

/* --- cycles --------------------------------------------------------------- */

struct search {
	struct text x;
	int found;
};

static void
say_found(const struct wait_node *n, void *arg)
{
	struct search *s = arg;

	if (s->x.to)
		waitgraph_say(n, &s->x);
}

static void
search_all(struct runtime *first, void *arg)
{
	struct search *s = arg;

	s->found = waitgraph_search(first, say_found, s);
}

EXPORT int
co_find_cycles(FILE *to)
{
	struct search s = { .x = { .to = to } };

	dump_list(search_all, &s);
	if (to && dump_end(&s.x) < 0)
		return -EIO;
	return s.found;
}
