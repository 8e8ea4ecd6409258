/* SPDX-License-Identifier: MIT */
/*
 * dump_json.c - the dump as one object of JSON, for programs.
 *
 * Layer 10.  The same facts as in dump.c.  Addresses are strings: they do not
 * fit the numbers of all who read JSON.
 */
#include "dump.h"
#include "place.h"
#include "waitgraph.h"
#include "waits.h"

#include <weft/inspect.h>

struct json {
	struct text x;
	struct runtime *rt;
	co_time now;
	bool more;		/* the list has an element already */
};

/* --- members -------------------------------------------------------------- */

static void
key(struct text *x, const char *name)
{
	text_add(x, ", \"");
	text_json(x, name);
	text_add(x, "\": ");
}

static void
number(struct text *x, const char *name, uint64_t n)
{
	key(x, name);
	text_dec(x, n);
}

static void
string(struct text *x, const char *name, const char *s)
{
	key(x, name);
	text_add(x, "\"");
	text_json(x, s);
	text_add(x, "\"");
}

static void
address(struct text *x, const char *name, const void *at)
{
	key(x, name);
	text_add(x, "\"");
	text_hex(x, (uintptr_t)at);
	text_add(x, "\"");
}

static void
time_left(struct text *x, const char *name, co_time ns)
{
	number(x, name, ns > 0 ? (uint64_t)ns : 0);
}

static void
between(struct json *j)
{
	text_add(&j->x, j->more ? ",\n" : "\n");
	j->more = true;
}

/* --- a wait --------------------------------------------------------------- */

/* Members of an object that has been begun. */
static void
write_facts(struct text *x, const struct wait_facts *f)
{
	int i;

	text_add(x, "\"for\": \"");
	text_json(x, f->op);
	text_add(x, "\"");
	if (f->obj)
		address(x, "object", f->obj);
	for (i = 0; i < 2 && f->key[i]; i++)
		number(x, f->key[i], f->n[i]);
	if (f->fn) {
		key(x, "job");
		text_add(x, "{ ");
		place_add_json(x, f->fn);
		text_add(x, " }");
	}
	if (!f->holder_is)
		return;
	if (f->holder_thread)
		string(x, "holder", "thread");
	else
		number(x, "holder", f->holder_id);
}

static void
write_cases(struct text *x, const struct snap *s)
{
	const struct co_case *cases = NULL;
	struct wait_facts f;
	int i, n = wait_cases(s->obj, &cases);

	key(x, "cases");
	text_add(x, "[");
	for (i = 0; i < n && wait_case(&f, s, &cases[i]); i++) {
		text_add(x, i ? ", { " : " { ");
		write_facts(x, &f);
		text_add(x, " }");
	}
	text_add(x, " ]");
}

static void
write_wait(struct json *j, const struct snap *s, const struct wait_facts *f)
{
	struct text *x = &j->x;
	co_time until;

	key(x, "wait");
	text_add(x, "{ ");
	write_facts(x, f);
	if (s->why == WAIT_SELECT)
		write_cases(x, s);
	time_left(x, "since_ns", j->now - s->since);
	until = s->until < f->until ? s->until : f->until;
	if (until != CO_FOREVER)
		time_left(x, "left_ns", until - j->now);
	text_add(x, " }");
}

/* --- a coroutine ---------------------------------------------------------- */

static void
write_frames(struct text *x, const struct snap *s)
{
	struct backtrace b;
	int i;

	snap_backtrace(s, &b);
	key(x, "backtrace");
	text_add(x, "[");
	for (i = 0; i < b.n; i++) {
		text_add(x, i ? ", { " : " { ");
		place_add_json(x, b.pc[i]);
		text_add(x, " }");
	}
	text_add(x, " ]");
}

static void
write_task(struct task *t, void *arg)
{
	static const char *const states[] = {
		[SNAP_NEW] = "not begun", [SNAP_RUNNABLE] = "runnable",
		[SNAP_RUNNING] = "running", [SNAP_WAITING] = "waiting",
	};
	static const char *const priorities[] = {
		[CO_NORMAL] = "normal", [CO_HIGH] = "high", [CO_LOW] = "low",
	};
	struct json *j = arg;
	struct text *x = &j->x;
	struct wait_facts f;
	struct snap s;

	if (!wait_snap(&s, &f, j->rt, t))
		return;
	between(j);
	text_add(x, "  { \"id\": ");
	text_dec(x, s.id);
	string(x, "name", s.name);
	string(x, "state", states[s.state]);
	string(x, "priority", priorities[s.priority]);
	key(x, "pinned");
	text_add(x, s.pinned ? "true" : "false");
	if (s.state == SNAP_RUNNING)
		number(x, "worker", s.worker);
	if (s.state == SNAP_WAITING)
		write_wait(j, &s, &f);
	if (s.site) {
		number(x, "parent", s.parent);
		key(x, "spawned");
		text_add(x, "{ ");
		place_add_json(x, s.site);
		text_add(x, " }");
	}
	write_frames(x, &s);
	text_add(x, " }");
}

/* --- all ------------------------------------------------------------------ */

static void
write_cycle(const struct wait_node *n, void *arg)
{
	const struct wait_node *at = n;
	struct json *j = arg;
	struct wait_facts f;

	between(j);
	text_add(&j->x, "  [");
	do {
		wait_facts(&f, at->at.why, at->at.obj);
		text_add(&j->x, at == n ? " { \"id\": " : ", { \"id\": ");
		text_dec(&j->x, at->at.id);
		text_add(&j->x, ", ");
		write_facts(&j->x, &f);
		text_add(&j->x, " }");
		at = at->next;
	} while (at != n);
	text_add(&j->x, " ]");
}

static void
write_all(struct runtime *first, void *arg)
{
	struct json *j = arg;
	int found;

	text_add(&j->x, "{ \"weft\": 1");
	key(&j->x, "backtraces");
	text_add(&j->x, co__backtrace_works ? "true" : "false");
	key(&j->x, "coroutines");
	text_add(&j->x, "[");
	for (j->rt = first; j->rt; j->rt = j->rt->next)
		task_each(j->rt, write_task, j);
	text_add(&j->x, " ],\n\"cycles\": [");
	j->more = false;
	found = waitgraph_search(first, write_cycle, j);
	text_add(&j->x, " ]");
	if (found < 0)
		string(&j->x, "cycles_failed", "no memory");
	text_add(&j->x, " }\n");
}

EXPORT int
co_dump_json(FILE *to)
{
	struct json j = { .x = { .to = to }, .now = os_now() };

	if (!to)
		return -EINVAL;
	dump_list(write_all, &j);
	return dump_end(&j.x);
}
