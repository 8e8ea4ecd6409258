/* SPDX-License-Identifier: MIT */
/*
 * fault.c - names the coroutine that overflowed its stack.
 *
 * Layer 10.  Runs in a signal handler, on the alternate stack: no stdio, no
 * allocation; no dladdr, which may take the loader's lock: _dl_find_object of
 * newer C libraries is made for this.
 */
#include "fault.h"
#include "stack.h"
#include "task.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <unistd.h>

struct text {
	char at[320];
	size_t n;
};

static void
add(struct text *t, const char *s)
{
	while (*s && t->n < sizeof t->at)
		t->at[t->n++] = *s++;
}

static void
add_number(struct text *t, uint64_t n, unsigned base)
{
	char digits[24];
	size_t i = sizeof digits;

	digits[--i] = '\0';
	do {
		digits[--i] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	add(t, digits + i);
}

#if defined __GLIBC__ && __GLIBC_PREREQ(2, 35)
/* As addr2line wants it: file+0xoffset. */
static void
add_place(struct text *t, void *at)
{
	struct dl_find_object o;
	const char *name, *slash;

	if (_dl_find_object(at, &o) < 0 || !o.dlfo_link_map) {
		add(t, "0x");
		add_number(t, (uintptr_t)at, 16);
		return;
	}
	name = o.dlfo_link_map->l_name;
	if (!*name)
		name = program_invocation_short_name;
	slash = strrchr(name, '/');
	add(t, slash ? slash + 1 : name);
	add(t, "+0x");
	add_number(t, (uintptr_t)at - o.dlfo_link_map->l_addr, 16);
}
#else
static void
add_place(struct text *t, void *at)
{
	add(t, "0x");
	add_number(t, (uintptr_t)at, 16);
}
#endif

static void
report(const struct stack *s, const void *sp)
{
	const struct task *t = s->owner;
	const struct task_ext *e = t ? t->u.run.ext : NULL;
	struct text x = { .n = 0 };
	ssize_t n;

	add(&x, "stack overflow in coroutine ");
	if (t)
		add_number(&x, t->id, 10);
	if (e && e->name[0]) {
		add(&x, " \"");
		add(&x, e->name);
		add(&x, "\"");
	}
	add(&x, ", stack size ");
	add_number(&x, s->size, 10);
	add(&x, " bytes [0x");
	add_number(&x, (uintptr_t)s->lo, 16);
	add(&x, ", 0x");
	add_number(&x, (uintptr_t)s->hi, 16);
	add(&x, "), sp 0x");
	add_number(&x, (uintptr_t)sp, 16);
	if (e && e->site) {
		add(&x, ", spawned at ");
		add_place(&x, e->site);
		add(&x, " by ");
		add_number(&x, e->parent, 10);
	}
	add(&x, "\n");
	n = write(STDERR_FILENO, x.at, x.n);
	(void)n;
}

static void
where(void)
{
	const struct self *s = self_get();
	const struct task *t = s && s->worker ? s->current : NULL;
	struct text x = { .n = 0 };
	ssize_t n;

	if (!t)
		return;
	add(&x, " in coroutine ");
	add_number(&x, t->id, 10);
	if (t->u.run.ext->name[0]) {
		add(&x, " \"");
		add(&x, t->u.run.ext->name);
		add(&x, "\"");
	}
	n = write(STDERR_FILENO, x.at, x.n);
	(void)n;
}

int
fault_install(void)
{
	a_store_relaxed(&co__bug_where, where);
	return stack_fault_install(report);
}
