/* SPDX-License-Identifier: MIT */
/*
 * waitgraph.c - who waits for whom, and where that goes in a circle.
 *
 * Layer 10.  Edges are waits for somebody in particular: a mutex, a rwlock held
 * for writing, a once; a join; a scope, for each of its children.  Who waits
 * with a deadline is not in the graph: that ends by itself.
 *
 * While the rest of the program runs, a circle may be made of edges that were
 * never there together.  So one that was found is looked at again: first all
 * its edges, then all its tickets.  Those were seen before too, when the graph
 * was made: so each member has waited from then till now, and each edge was
 * there in between, at one moment with the others.  Who waits lets go of
 * nothing: only a cancellation can still help.
 *
 * Memory is mapped, not allocated: somebody may have stopped in the allocator.
 */
#include "waitgraph.h"
#include "ticket.h"
#include "waits.h"

enum { WHITE, ON_PATH, DONE };

struct graph {
	struct wait_node *nodes;
	struct wait_node **by_task;	/* in the order of their records */
	struct wait_node **by_home;	/* of the scopes they are children of */
	uint32_t n, most;
};

/* --- making it ------------------------------------------------------------ */

static void
count_waiting(struct task *t, void *arg)
{
	uint32_t *n = arg;

	*n += (a_load_relaxed(&t->park) & PARK_WAITING) != 0;
}

/* What n waits for.  False: for nobody in particular. */
static bool
read_edge(const struct snap *s, const void **ret_target, uint64_t *ret_id)
{
	struct wait_facts f;

	*ret_target = NULL;
	*ret_id = 0;
	if (s->why == WAIT_SCOPE)
		return s->obj != NULL;
	if (s->why != WAIT_MUTEX && s->why != WAIT_RWLOCK &&
	    s->why != WAIT_ONCE && s->why != WAIT_JOIN)
		return false;
	wait_facts(&f, s->why, s->obj);
	*ret_target = f.holder;
	*ret_id = f.holder_id;
	return f.holder && f.holder_id != 0;
}

struct filling {
	struct graph *g;
	struct runtime *rt;
};

static void
add_node(struct task *t, void *arg)
{
	struct filling *f = arg;
	struct graph *g = f->g;
	struct wait_node *n;

	if (!(a_load_relaxed(&t->park) & PARK_WAITING) || g->n == g->most)
		return;
	n = &g->nodes[g->n];
	if (!snap_take(&n->at, f->rt, t) || n->at.state != SNAP_WAITING ||
	    n->at.ended || n->at.until != CO_FOREVER ||
	    !read_edge(&n->at, &n->target, &n->target_id))
		return;
	g->by_task[g->n] = g->by_home[g->n] = n;
	g->n++;
}

/* --- order ---------------------------------------------------------------- */

static uintptr_t
key_of(const struct wait_node *n, bool home)
{
	return home ? (uintptr_t)n->at.home : (uintptr_t)n->at.task;
}

static void
sift(struct wait_node **a, uint32_t i, uint32_t n, bool home)
{
	struct wait_node *x = a[i];
	uint32_t child;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n &&
		    key_of(a[child], home) < key_of(a[child + 1], home))
			child++;
		if (key_of(a[child], home) <= key_of(x, home))
			break;
		a[i] = a[child];
		i = child;
	}
	a[i] = x;
}

/* The C library's own may allocate. */
static void
heap_sort(struct wait_node **a, uint32_t n, bool home)
{
	struct wait_node *top;
	uint32_t i;

	for (i = n / 2; i-- > 0; )
		sift(a, i, n, home);
	for (i = n; i-- > 1; ) {
		top = a[0];
		a[0] = a[i];
		a[i] = top;
		sift(a, 0, i, home);
	}
}

/* The first that has at least this key. */
static uint32_t
lower_bound(struct wait_node **a, uint32_t n, bool home, const void *key)
{
	uint32_t from = 0, to = n;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (key_of(a[mid], home) < (uintptr_t)key)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

/* --- searching ------------------------------------------------------------ */

static struct wait_node *
find_task(const struct graph *g, const void *task, uint64_t id)
{
	uint32_t i = lower_bound(g->by_task, g->n, false, task);

	if (i == g->n || g->by_task[i]->at.task != task ||
	    g->by_task[i]->at.id != id)
		return NULL;
	return g->by_task[i];
}

/* The next of those that n waits for and that wait themselves. */
static struct wait_node *
next_target(const struct graph *g, struct wait_node *n)
{
	uint32_t i;

	if (n->target)
		return n->tried++ ? NULL :
		    find_task(g, n->target, n->target_id);
	i = lower_bound(g->by_home, g->n, true, n->at.obj) + n->tried++;
	return i < g->n && g->by_home[i]->at.home == n->at.obj ?
	    g->by_home[i] : NULL;
}

static bool
is_confirmed(const struct wait_node *first)
{
	const struct wait_node *n = first;
	const void *target;
	uint64_t id;

	do {
		if (!read_edge(&n->at, &target, &id) || target != n->target ||
		    id != n->target_id)
			return false;
		n = n->next;
	} while (n != first);
	do {
		if (!snap_holds(&n->at))
			return false;
		n = n->next;
	} while (n != first);
	return true;
}

/* The path has come from `first` to `last`, which waits for `first`. */
static void
link_circle(struct wait_node *first, struct wait_node *last)
{
	struct wait_node *n = last, *next = first;

	for (;;) {
		n->next = next;
		if (n == first)
			return;
		next = n;
		n = n->via;
	}
}

/* Everything that can be come to from n, depth first. */
static int
search_from(const struct graph *g, struct wait_node *n,
    void (*found)(const struct wait_node *n, void *arg), void *arg)
{
	struct wait_node *to;
	int count = 0;

	n->via = NULL;
	n->mark = ON_PATH;
	while (n) {
		to = next_target(g, n);
		if (!to) {
			n->mark = DONE;
			n = n->via;
		} else if (to->mark == WHITE) {
			to->via = n;
			to->mark = ON_PATH;
			n = to;
		} else if (to->mark == ON_PATH) {
			link_circle(to, n);
			if (is_confirmed(to)) {
				found(to, arg);
				count++;
			}
		}
	}
	return count;
}

int
waitgraph_search(struct runtime *first,
    void (*found)(const struct wait_node *n, void *arg), void *arg)
{
	struct graph g = { .n = 0 };
	struct filling f = { .g = &g };
	size_t each = sizeof *g.nodes + 2 * sizeof *g.by_task;
	uint32_t i;
	int count = 0;

	for (f.rt = first; f.rt; f.rt = f.rt->next)
		task_each(f.rt, count_waiting, &g.most);
	if (g.most == 0)
		return 0;
	g.nodes = os_map(g.most * each);
	if (!g.nodes)
		return -ENOMEM;
	g.by_task = (struct wait_node **)(void *)(g.nodes + g.most);
	g.by_home = g.by_task + g.most;
	for (f.rt = first; f.rt; f.rt = f.rt->next)
		task_each(f.rt, add_node, &f);
	heap_sort(g.by_task, g.n, false);
	heap_sort(g.by_home, g.n, true);
	for (i = 0; i < g.n; i++)
		if (g.nodes[i].mark == WHITE)
			count += search_from(&g, &g.nodes[i], found, arg);
	os_unmap(g.nodes, g.most * each);
	return count;
}

/* --- in words ------------------------------------------------------------- */

static void
say_who(struct text *x, const struct snap *s)
{
	text_dec(x, s->id);
	text_name(x, s->name);
}

static void
say_edge(struct text *x, const struct snap *s)
{
	struct wait_facts f;

	if (s->why == WAIT_JOIN) {
		text_add(x, " joins ");
		return;
	}
	wait_facts(&f, s->why, s->obj);
	text_add(x, " waits for ");
	text_add(x, f.op);
	text_add(x, " ");
	text_hex(x, (uintptr_t)s->obj);
	text_add(x, s->why == WAIT_SCOPE ? ", one of them " :
	    s->why == WAIT_ONCE ? " done by " : " held by ");
}

void
waitgraph_say(const struct wait_node *n, void *text)
{
	const struct wait_node *at = n;
	struct text *x = text;

	text_add(x, "cycle: ");
	say_who(x, &n->at);
	do {
		if (at != n)
			text_add(x, ", which");
		say_edge(x, &at->at);
		at = at->next;
		say_who(x, &at->at);
	} while (at != n);
	text_add(x, "\n");
}
