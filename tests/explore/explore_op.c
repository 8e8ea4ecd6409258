/* SPDX-License-Identifier: MIT */
/*
 * explore_op.c - the operations of a model, and the bugs planted in them.
 */
#include "explore_inside.h"

#include <stdio.h>
#include <string.h>

static void
trace(const struct explore_site *at, const char *does, uint64_t value)
{
	static const char *const names[] = { "load", "store", "change", "cas",
		"fence", "light barrier", "heavy barrier", "pause", "point",
		"wait", "end" };
	const char *name = strrchr(at->file, '/');

	if (!ex.replaying)
		return;
	fprintf(stderr, "%5u  %*sthread %d: %s:%d, %s: %s %s%s", ex.op,
	    ex.current * 4, "", ex.current, name ? name + 1 : at->file,
	    at->line, at->func, names[at->op], at->what, does);
	if (does[strlen(does) - 1] == ' ')
		fprintf(stderr, "%#llx", (unsigned long long)value);
	fputc('\n', stderr);
}

/* Is the bug that is planted at this operation? */
static bool
bugged(struct explore_site *at)
{
	const struct explore_bug *b = ex.bug;

	if (at->round != ex.round) {
		at->round = ex.round;
		at->bugged = b && b->how != ITSELF && at->op == b->op &&
		    !strcmp(at->func, b->func) &&
		    (!b->what || !strcmp(at->what, b->what)) &&
		    (++ex.sites == b->nth || b->nth == 0);
	}
	ex.applied |= at->bugged;
	return at->bugged;
}

static void
held_store(struct thread *t)
{
	t->held = 0;
	memcpy(t->held_object, &t->held_value, t->held_size);
	memory_stored(ex.current, t->held_at, t->held_size);
}

/* Every operation begins so; NULL: outside of the threads of the model. */
static struct thread *
begin(struct explore_site *at)
{
	struct thread *t;

	if (ex.current == NOBODY)
		return NULL;
	t = &threads[ex.current];
	memory_sync(ex.current);
	ex.which = 0;
	if (++ex.op > MOST_OPS)
		explore_violation("it goes on without end", at->file, at->line);
	t->site = at;
	return t;
}

static void
begin_on(struct thread *t, struct explore_site *at, const void *p, size_t size,
    bool writes)
{
	t->object = (void *)(uintptr_t)p;
	t->size = size;
	t->at = memory_find(at, p, size);
	schedule(memory_matters(ex.current, t->at, size, writes));
}

static void
look(struct thread *t)
{
	memory_look(ex.current, t->at, t->size,
	    must_find(t, t->at, t->size));
	looked(t, t->at, t->size);
}

/* True: a bug gives another value, in t->scratch. */
static bool
forge(struct thread *t, struct explore_site *at)
{
	const struct explore_bug *b = ex.bug;

	if (!bugged(at) || (b->instead_of &&
	    memory_value(t->at, t->size) != b->instead_of))
		return false;
	if (b->how != FORGED && b->how != AS_BEFORE)
		return false;
	t->scratch = b->how == FORGED ? b->value : t->before;
	trace(at, " forged as ", t->scratch);
	return true;
}

const void *
explore_load(struct explore_site *at, const void *p, size_t size)
{
	struct thread *t;

	if (ex.current != NOBODY && threads[ex.current].impatient == at->func)
		return p;
	t = begin(at);
	if (!t)
		return p;
	begin_on(t, at, p, size, false);
	look(t);
	if (forge(t, at))
		return &t->scratch;
	t->before = memory_value(t->at, size);
	trace(at, " is ", t->before);
	if (!t->held || --t->held > 0)
		return p;
	memcpy(&t->scratch, p, size);
	ex.op++;
	ex.which = 0;
	schedule(true);
	held_store(t);
	return &t->scratch;
}

void *
explore_store(struct explore_site *at, void *p, size_t size)
{
	struct thread *t = begin(at);

	if (!t)
		return p;
	t->impatient = NULL;
	begin_on(t, at, p, size, true);
	if (bugged(at) && (ex.bug->how == LEFT_OUT || ex.bug->how == LATER)) {
		t->split = true;
		return &t->scratch;
	}
	return p;
}

void
explore_stored(void)
{
	struct thread *t = &threads[ex.current];

	if (ex.current == NOBODY)
		return;
	if (t->split) {
		t->split = false;
		trace(t->site, ex.bug->how == LATER ? " is held" :
		    " is left out", 0);
		if (ex.bug->how == LEFT_OUT)
			return;
		t->held = 1 + ex.bug->value;
		t->held_object = t->object;
		t->held_at = t->at;
		t->held_size = t->size;
		t->held_value = t->scratch;
		return;
	}
	if (bugged(t->site) && ex.bug->how == FORGED)
		memcpy(t->object, &ex.bug->value, t->size);
	trace(t->site, " = ", memory_value(t->at, t->size));
	if (bugged(t->site) && ex.bug->how == EARLIER)
		memory_overtakes(ex.current, t->at, t->size);
	else
		memory_stored(ex.current, t->at, t->size);
}

static void *
change(struct explore_site *at, void *p, size_t size)
{
	struct thread *t = begin(at);

	if (!t)
		return p;
	t->impatient = NULL;
	begin_on(t, at, p, size, true);
	t->split = bugged(at) && (ex.bug->how == SPLIT ||
	    ((ex.bug->how == FORGED || ex.bug->how == LEFT_OUT) &&
	    at->op == OP_CAS));
	if (!t->split)
		memory_drain(ex.current, ex.current);
	look(t);
	if (!t->split)
		return p;
	memcpy(&t->scratch, p, size);
	trace(at, ": as a load, is ", memory_value(t->at, size));
	return &t->scratch;
}

void *
explore_change(struct explore_site *at, void *p, size_t size)
{
	return change(at, p, size);
}

void *
explore_cas(struct explore_site *at, void *p, size_t size, const void *old)
{
	void *q = change(at, p, size);

	if (q != p && ex.bug->how != SPLIT)
		memcpy(q, old, size);
	return q;
}

void
explore_changed(void)
{
	struct thread *t = &threads[ex.current];

	if (ex.current == NOBODY)
		return;
	if (t->split && ex.bug->how == LEFT_OUT) {
		t->split = false;
		trace(t->site, " is left out", 0);
		return;
	}
	if (t->split) {
		t->split = false;
		ex.op++;
		ex.which = 0;
		schedule(true);
		memcpy(t->object, &t->scratch, t->size);
		memory_stored(ex.current, t->at, t->size);
		trace(t->site, ": as a store, = ",
		    memory_value(t->at, t->size));
		return;
	}
	if (bugged(t->site) && ex.bug->how == FORGED)
		memcpy(t->object, &ex.bug->value, t->size);
	memory_changed(ex.current, t->at, t->size);
	trace(t->site, " = ", memory_value(t->at, t->size));
}

static void
fence(struct explore_site *at, bool of_all)
{
	struct thread *t = begin(at);
	int i;

	if (!t)
		return;
	t->impatient = NULL;
	schedule(of_all || memory_pending(ex.current));
	if (bugged(at) && ex.bug->how == LEFT_OUT) {
		trace(at, "is left out", 0);
		return;
	}
	for (i = 0; i < ex.nthreads; i++)
		if (of_all || i == ex.current)
			memory_drain(i, ex.current);
	trace(at, ".", 0);
}

void
explore_fence(struct explore_site *at)
{
	fence(at, false);
}

void
explore_light(struct explore_site *at)
{
	if (!co__have_membarrier)
		fence(at, false);
}

void
explore_heavy(struct explore_site *at)
{
	fence(at, co__have_membarrier);
}

void
explore_stop(struct explore_site *at)
{
	if (!begin(at))
		return;
	trace(at, ".", 0);
	schedule(true);
}

void
explore_pause(struct explore_site *at)
{
	struct thread *t;

	if (ex.current == NOBODY)
		explore_violation("it spins with nobody else", at->file,
		    at->line);
	t = &threads[ex.current];
	if (t->impatient == at->func)
		return;
	begin(at);
	trace(at, ".", 0);
	if (counts_down(at) &&
	    (ex.replaying || ex.preemptions < ex.bound) && choose_first(2)) {
		ex.preemptions++;
		t->impatient = at->func;
		return;
	}
	block(SPINS);
	spun(t);
}

void
explore_until(struct explore_site *at, bool (*ready)(void *), void *arg)
{
	struct thread *t = begin(at);

	if (!t)
		return;
	trace(at, ".", 0);
	t->ready = ready;
	t->arg = arg;
	block(WAITS);
}

void
operation_end(void)
{
	static struct explore_site end = { .op = OP_END, .file = "explore",
		.func = "thread_main", .what = "" };

	if (threads[ex.current].held)
		held_store(&threads[ex.current]);
	begin(&end);
	trace(&end, ".", 0);
}

bool
explore_bug(const char *name)
{
	bool is = ex.bug && !strcmp(ex.bug->name, name);

	ex.applied |= is;
	return is;
}
