/* SPDX-License-Identifier: MIT */
/*
 * dump.c - a line or two for each coroutine.
 *
 * Layer 10.  Reads what others write, without a lock: a task may change while
 * it is looked at.  Records are type-stable and a bound task's ext lies on a
 * stack that stays mapped, so the worst is a line that mixes two moments.
 */
#include "dump.h"
#include "park.h"

#include <weft/inspect.h>

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>

static const char *const reasons[WAIT_REASONS] = {
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

struct dump {
	FILE *to;
	bool failed;
	co_time now;
};

static void
say(struct dump *d, const char *line, int n)
{
	if (n > 0 && fwrite(line, 1, (size_t)n, d->to) != (size_t)n)
		d->failed = true;
}

static const char *
state_of(const struct task *t, uint64_t park)
{
	if (park & PARK_WAITING)
		return "waiting";
	return a_load_relaxed(&t->on_cpu) ? "running" : "runnable";
}

static int
write_site(char *at, size_t room, void *site, uint64_t parent)
{
	Dl_info info = { 0 };
	const char *file = "?";
	uintptr_t offset = (uintptr_t)site;

	if (dladdr(site, &info) && info.dli_fname) {
		file = strrchr(info.dli_fname, '/');
		file = file ? file + 1 : info.dli_fname;
		offset -= (uintptr_t)info.dli_fbase;
	}
	if (info.dli_sname)
		return snprintf(at, room, "    spawned by %" PRIu64
		    " in %s (%s+0x%" PRIxPTR ")\n", parent, info.dli_sname,
		    file, offset);
	return snprintf(at, room, "    spawned by %" PRIu64 " in %s+0x%"
	    PRIxPTR "\n", parent, file, offset);
}

static void
dump_site(struct dump *d, void *site, uint64_t parent)
{
	char line[256];
	int n = write_site(line, sizeof line, site, parent);

	say(d, line, n < (int)sizeof line ? n : (int)sizeof line - 1);
}

/* The record may be reused while it is read: what was read between two looks
   at the same id belongs to one life, and its stack stays mapped. */
static void
dump_task(struct task *t, void *arg)
{
	struct dump *d = arg;
	uint64_t id = a_load_acquire(&t->id);
	uint64_t park = a_load_acquire(&t->park);
	bool bound = a_load_acquire(&t->bound);
	const struct task_ext *e = a_load_acquire(&t->u.run.ext);
	void *site = a_load_acquire(&t->u.begin.site);
	uint64_t parent = a_load_acquire(&t->u.begin.parent);
	char line[256];
	int n;

	if (id == 0 || a_load_relaxed(&t->id) != id ||
	    a_load_relaxed(&t->bound) != bound)
		return;
	if (!bound) {
		n = snprintf(line, sizeof line, "coroutine %" PRIu64
		    ": not begun\n", id);
		say(d, line, n);
		dump_site(d, site, parent);
		return;
	}
	n = snprintf(line, sizeof line, "coroutine %" PRIu64 "%s%.*s%s: %s",
	    id, e->name[0] ? " \"" : "", TASK_NAME - 1,
	    e->name, e->name[0] ? "\"" : "", state_of(t, park));
	say(d, line, n);
	if (park & PARK_WAITING) {
		n = snprintf(line, sizeof line, " for %s",
		    reasons[e->wait_reason % WAIT_REASONS]);
		say(d, line, n);
		if (e->wait_obj) {
			n = snprintf(line, sizeof line, " %p", e->wait_obj);
			say(d, line, n);
		}
	}
	say(d, "\n", 1);
	if (e->parent != 0)
		dump_site(d, e->site, e->parent);
}

static void
dump_runtime(struct runtime *rt, void *arg)
{
	task_each(rt, dump_task, arg);
}

EXPORT int
co_dump(FILE *to)
{
	struct dump d = { .to = to, .now = os_now() };

	if (!to)
		return -EINVAL;
	runtime_each(dump_runtime, &d);
	if (fflush(to) != 0)
		d.failed = true;
	return d.failed ? -EIO : 0;
}
