/* SPDX-License-Identifier: MIT */
/*
 * waits.c - what a wait is for, read from the object itself.
 *
 * Layer 10.  Objects are the user's: by the time they are looked at they may be
 * gone.  So they are copied by the kernel (os_peek), and whoever needs to be
 * sure looks again whether the wait lasts (snap_holds).
 */
#include "waits.h"
#include "fd.h"
#include "os_look.h"
#include "select_case.h"

#include <weft/sync.h>

enum { TRIES = 8 };

/* script/weft-gdb.py reads it: compilers leave it as it is. */
__attribute__((used)) static const char *const ops[WAIT_REASONS] = {
	[WAIT_NONE] = "nothing", [WAIT_SLEEP] = "sleep",
	[WAIT_JOIN] = "join", [WAIT_SCOPE] = "children of scope",
	[WAIT_SEND] = "send on channel", [WAIT_RECV] = "receive from channel",
	[WAIT_SELECT] = "select", [WAIT_MUTEX] = "mutex",
	[WAIT_RWLOCK] = "rwlock", [WAIT_COND] = "condition",
	[WAIT_SEM] = "semaphore", [WAIT_EVENT] = "event",
	[WAIT_BARRIER] = "barrier", [WAIT_ONCE] = "once",
	[WAIT_WAITGROUP] = "waitgroup", [WAIT_FUTURE] = "future",
	[WAIT_BCAST] = "broadcast", [WAIT_SUB] = "subscription",
	[WAIT_WATCH] = "watch", [WAIT_READ] = "readable",
	[WAIT_WRITE] = "writable", [WAIT_BLOCKING] = "blocking job",
	[WAIT_SIGNAL] = "signal", [WAIT_FOREVER] = "nothing, for ever",
};

static void
count(struct wait_facts *f, int i, const char *key, uint64_t n)
{
	f->key[i] = key;
	f->n[i] = n;
}

static void
holder(struct wait_facts *f, const char *is, const void *task)
{
	if (!task)
		return;
	f->holder_is = is;
	f->holder = task;
	f->holder_id = snap_who(task, &f->holder_thread);
}

static void
channel(struct wait_facts *f, const void *obj)
{
	struct chan c;

	if (!os_peek(&c, obj, sizeof c))
		return;
	count(f, 0, "buffered", c.count);
	if (!c.unbounded)
		count(f, 1, "capacity", c.limit);
}

/* The first fields of a mutex, a rwlock and a once are alike. */
_Static_assert(offsetof(struct co_mutex, co__owner) ==
    offsetof(struct co_rwlock, co__owner) &&
    offsetof(struct co_mutex, co__owner) ==
    offsetof(struct co_once, co__owner), "one struct reads all three");

static void
owned(struct wait_facts *f, enum wait_reason why, const void *obj)
{
	struct co_mutex m;

	if (!os_peek(&m, obj, sizeof m))
		return;
	holder(f, why == WAIT_ONCE ? "done by" : "held by", m.co__owner);
	if (why == WAIT_RWLOCK && !m.co__owner && m.co__sync.co__n > 0)
		count(f, 0, "readers", (uint64_t)m.co__sync.co__n);
}

static void
counted(struct wait_facts *f, enum wait_reason why, const void *obj)
{
	struct co_barrier b;
	size_t size = why == WAIT_BARRIER ? sizeof b : sizeof b.co__sync;

	if (!os_peek(&b, obj, size))
		return;
	count(f, 0, why == WAIT_BARRIER ? "arrived" : "count",
	    (uint64_t)b.co__sync.co__n);
	if (why == WAIT_BARRIER)
		count(f, 1, "of", (uint64_t)b.co__size);
}

static void
joined(struct wait_facts *f, const void *obj)
{
	struct co_task h;

	if (!os_peek(&h, obj, sizeof h))
		return;
	count(f, 0, "task", h.co__id);
	f->holder = h.co__task;
	f->holder_id = h.co__id;
}

static void
children(struct wait_facts *f, const void *obj)
{
	struct co_scope s;

	if (os_peek(&s, obj, sizeof s) && !s.co__flat)
		count(f, 0, "children", s.co__count);
}

static void
descriptor(struct wait_facts *f, const void *obj)
{
	int num;

	f->obj = NULL;
	if (os_peek(&num, (const char *)obj + offsetof(struct fd, num),
	    sizeof num))
		count(f, 0, "fd", (uint64_t)num);
}

void
wait_facts(struct wait_facts *ret, enum wait_reason why, const void *obj)
{
	memset(ret, 0, sizeof *ret);
	ret->op = ops[why];
	ret->obj = obj;
	ret->until = CO_FOREVER;
	if (why == WAIT_SLEEP) {
		ret->until = (co_time)(intptr_t)obj;
		ret->obj = NULL;
	} else if (why == WAIT_SIGNAL) {
		count(ret, 0, "signal", (uint64_t)(uintptr_t)obj);
		ret->obj = NULL;
	} else if (why == WAIT_BLOCKING) {
		ret->fn = obj;
		ret->obj = NULL;
	} else if (why == WAIT_SEND || why == WAIT_RECV) {
		channel(ret, obj);
	} else if (why == WAIT_MUTEX || why == WAIT_RWLOCK ||
	    why == WAIT_ONCE) {
		owned(ret, why, obj);
	} else if (why == WAIT_BARRIER || why == WAIT_WAITGROUP) {
		counted(ret, why, obj);
	} else if (why == WAIT_JOIN) {
		joined(ret, obj);
	} else if (why == WAIT_SCOPE) {
		children(ret, obj);
	} else if (why == WAIT_READ || why == WAIT_WRITE) {
		descriptor(ret, obj);
	}
}

bool
wait_snap(struct snap *ret, struct wait_facts *ret_facts, struct runtime *rt,
    struct task *t)
{
	int i;

	for (i = 0; i < TRIES; i++) {
		if (!snap_take(ret, rt, t))
			return false;
		if (ret->state != SNAP_WAITING)
			return true;
		wait_facts(ret_facts, ret->why,
		    ret->why == WAIT_SELECT ? NULL : ret->obj);
		if (snap_holds(ret))
			return true;
	}
	ret->state = SNAP_RUNNABLE;
	return true;
}

/* --- a select ------------------------------------------------------------- */

int
wait_cases(const void *obj, const struct co_case **ret_cases)
{
	struct select s;

	if (!os_peek(&s, obj, sizeof s) || s.n < 0)
		return 0;
	*ret_cases = s.cases;
	return s.n;
}

static bool
case_by_table(struct wait_facts *ret, const struct co_case *c)
{
	enum wait_reason why;

	if (!os_peek(&why, (const char *)c->co__kind +
	    offsetof(struct case_ops, why), sizeof why) ||
	    (unsigned)why >= WAIT_REASONS)
		return false;
	if (why == WAIT_READ || why == WAIT_WRITE) {
		wait_facts(ret, WAIT_NONE, NULL);
		ret->op = ops[why];
		count(ret, 0, "fd", (uint64_t)c->co__arg);
	} else if (why == WAIT_SIGNAL) {
		wait_facts(ret, why, (void *)(intptr_t)c->co__arg);
	} else {
		wait_facts(ret, why, c->co__obj);
	}
	return true;
}

static bool
look_at_case(struct wait_facts *ret, const struct co_case *c)
{
	struct co_case k;

	if (!os_peek(&k, c, sizeof k))
		return false;
	switch (k.co__kind) {
	case CO__CASE_RECV:
		wait_facts(ret, WAIT_RECV, k.co__obj);
		return true;
	case CO__CASE_SEND:
		wait_facts(ret, WAIT_SEND, k.co__obj);
		return true;
	case CO__CASE_TIMEOUT:
		wait_facts(ret, WAIT_NONE, NULL);
		ret->op = "timeout";
		count(ret, 0, "after_ns", (uint64_t)k.co__arg);
		return true;
	case CO__CASE_NEVER:
	case CO__CASE_OTHERWISE:
		wait_facts(ret, WAIT_NONE, NULL);
		return true;
	default:
		return case_by_table(ret, &k);
	}
}

bool
wait_case(struct wait_facts *ret, const struct snap *s,
    const struct co_case *c)
{
	return look_at_case(ret, c) && snap_holds(s);
}
