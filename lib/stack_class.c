/* SPDX-License-Identifier: MIT */
/*
 * stack_class.c - the stacks of one size: arenas, room for more, and back.
 *
 * Layer 2.  Invariants: stack_pool.h.
 */
#include "stack_pool.h"

#include <stdlib.h>

enum {
	ARENA_FIRST = 16,	/* stacks: 4 MiB, for small RLIMIT_AS */
	ARENA_MOST = 4096,	/* stacks: 1 GiB */
	WARM_LEAST = 256,
	WARM_MOST = 4096,
	WARM_SHARE = 32		/* of the most that were ever out: 3 % */
};

/* --- arenas, p->lock held ------------------------------------------------- */

struct stack_class *
stack_class_find(struct stack_pool *p, size_t size)
{
	struct stack_class *k = &p->class;

	while (k && k->size != size)
		k = k->next;
	return k;
}

static void
free_list_add(struct stack_class *k, struct stack_arena *a)
{
	struct stack_arena **at = &k->free;

	if (a->free_listed)
		return;
	while (*at && (*at)->age < a->age)
		at = &(*at)->free_next;
	a->free_next = *at;
	a->free_back = at;
	if (*at)
		(*at)->free_back = &a->free_next;
	*at = a;
	a->free_listed = true;
}

static void
free_list_remove(struct stack_arena *a)
{
	if (!a->free_listed)
		return;
	*a->free_back = a->free_next;
	if (a->free_next)
		a->free_next->free_back = a->free_back;
	a->free_listed = false;
}

static void
arena_link(struct stack_class *k, struct stack_arena *a)
{
	a->next = k->arenas;
	a->back = &k->arenas;
	if (a->next)
		a->next->back = &a->next;
	k->arenas = a;
	k->limit += a->ready;
	if (a->ready)
		free_list_add(k, a);
}

static void
arena_unlink(struct stack_class *k, struct stack_arena *a)
{
	*a->back = a->next;
	if (a->next)
		a->next->back = a->back;
	k->limit -= a->ready;
	free_list_remove(a);
}

static void
count_out(struct stack_class *k)
{
	k->out++;
	if (k->out > k->out_most)
		k->out_most = k->out;
}

struct stack *
stack_class_warm(struct stack_class *k)
{
	struct stack *s = k->warm;

	if (!s)
		return NULL;
	k->warm = s->next;
	k->warm_count--;
	count_out(k);
	return s;
}

/* Rather one that has been used: its guard is there, its page tables too. */
struct stack_place
stack_class_cold(struct stack_class *k)
{
	struct stack_arena *a = k->free;
	struct stack_place at = { .arena = a };

	bug_if(!a);		/* more were got than reserved */
	if (a->cold_head) {
		at.index = a->cold_head - 1;
		a->cold_head = a->link[at.index];
	} else {
		at.index = a->fresh++;
	}
	a->out++;
	if (!a->cold_head && a->fresh == a->ready)
		free_list_remove(a);
	count_out(k);
	return at;
}

static void
arena_give(struct stack_class *k, struct stack_arena *a, uint32_t index)
{
	a->link[index] = a->cold_head;
	a->cold_head = index + 1;
	a->out--;
	free_list_add(k, a);
}

/*
 * Empty arenas go back whole: only so do their page tables, an eighth of what
 * a stack of one page costs.  Enough stays to do without a system call when
 * spawning goes on; next_arena() makes the next ones larger again.
 */
static struct stack_arena *
class_shed(struct stack_class *k, struct stack_arena *a)
{
	if (a->out != 0 || a->ready < a->shape.count ||
	    k->limit - a->ready < k->promised + ARENA_FIRST)
		return NULL;
	arena_unlink(k, a);
	return a;
}

static uint32_t
warm_max(const struct stack_class *k)
{
	uint64_t max = k->out_most / WARM_SHARE;

	if (max < WARM_LEAST)
		return WARM_LEAST;
	return max > WARM_MOST ? WARM_MOST : (uint32_t)max;
}

/* --- taking stacks back --------------------------------------------------- */

/* No lock held. */
static void
shed_free(struct stack_pool *p, struct stack_class *k, struct stack_arena *list)
{
	struct stack_arena *a;
	bool freed;

	while ((a = list) != NULL) {
		list = a->next;
		freed = stack_arena_free(a);
		pool_lock(p);
		if (!freed)
			arena_link(k, a);
		else if (a_load_relaxed(&p->mode) == GUARD_OFF)
			a_store_relaxed(&p->mode, GUARD_MPROTECT);
		pool_unlock(p);
	}
}

/* n stacks of the caller's come back; p->lock held, and kept. */
static void
class_back(struct stack_pool *p, struct stack_class *k, uint32_t n,
    uint32_t credits)
{
	k->promised -= n + credits;
	k->out -= n;
	if (p->tight && k->promised < k->limit / 2)
		stack_pool_tight(p, false);
}

static void
put_warm(struct stack_pool *p, struct stack_class *k, struct stack **list,
    uint32_t n, uint32_t credits)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		stack_arena_tidy(list[i]);
	pool_lock(p);
	for (i = 0; i < n; i++) {
		list[i]->next = k->warm;
		k->warm = list[i];
	}
	k->warm_count += n;
	class_back(p, k, n, credits);
	pool_unlock(p);
}

static void
put_cold(struct stack_pool *p, struct stack_class *k, struct stack **list,
    uint32_t n, uint32_t credits)
{
	struct stack_place at[CACHE_MAX + 1];
	struct stack_arena *a, *shed = NULL;
	uint32_t i;

	for (i = 0; i < n; i++)
		at[i] = (struct stack_place){ list[i]->arena, list[i]->index };
	stack_arena_cool(at, n);
	pool_lock(p);
	class_back(p, k, n, credits);
	for (i = 0; i < n; i++) {
		arena_give(k, at[i].arena, at[i].index);
		a = class_shed(k, at[i].arena);
		if (a) {
			a->next = shed;
			shed = a;
		}
	}
	pool_unlock(p);
	shed_free(p, k, shed);
}

/* They stay warm if there is room, without what they hold far down; otherwise
   they give their memory back. */
void
stack_class_put(struct stack_pool *p, struct stack_class *k,
    struct stack **list, uint32_t n, uint32_t credits)
{
	bool warm;

	pool_lock(p);
	warm = !p->tight && k->warm_count + n <= warm_max(k);
	pool_unlock(p);
	if (warm)
		put_warm(p, k, list, n, credits);
	else
		put_cold(p, k, list, n, credits);
}

/* --- making room ---------------------------------------------------------- */

/* Each arena doubles its class, within bounds. */
static uint32_t
next_arena(const struct stack_class *k, uint64_t have)
{
	uint64_t first = ARENA_FIRST, most = ARENA_MOST;
	size_t whole = (size_t)1 << 30;

	if (most > whole / k->size)
		most = whole / k->size;		/* STACK_MAX: 1 */
	if (first > (whole >> 8) / k->size)
		first = (whole >> 8) / k->size;
	if (have < first)
		have = first;
	if (have > most)
		have = most;
	return have ? (uint32_t)have : 1;
}

/* p->growing held.  An arena with stacks that may not be promised yet. */
static struct stack_arena *
find_unready(struct stack_pool *p, struct stack_class *k)
{
	struct stack_arena *a;

	pool_lock(p);
	for (a = k->arenas; a; a = a->next)
		if (a->ready < a->shape.count)
			break;
	pool_unlock(p);
	return a;
}

/* p->growing held; only its holder changes `ready`, and frees no arena that
   has unready stacks. */
static int
make_ready(struct stack_pool *p, struct stack_class *k, struct stack_arena *a)
{
	uint32_t n = a->shape.count - a->ready;
	int error = 0;

	if (a_load_relaxed(&p->mode) == GUARD_MPROTECT) {
		if (n > CREDIT_BATCH)
			n = CREDIT_BATCH;
		error = stack_arena_protect(a, a->ready, n);
		if (error && !p->allow_unguarded)
			return error;
		if (error)
			a_store_relaxed(&p->mode, GUARD_OFF);
	}
	pool_lock(p);
	a->ready += n;
	k->limit += n;
	free_list_add(k, a);
	pool_unlock(p);
	return 0;
}

/* p->growing held. */
static int
add_arena(struct stack_pool *p, struct stack_class *k)
{
	struct stack_arena *a;
	enum guard_mode mode = a_load_relaxed(&p->mode);

	a = stack_arena_new(k->size, next_arena(k, k->limit), &mode);
	if (!a)
		return -ENOMEM;
	a->class = k;
	a->age = p->ages++;
	a_store_relaxed(&p->mode, mode);
	if (mode != GUARD_MPROTECT)
		a->ready = a->shape.count;
	pool_lock(p);
	arena_link(k, a);
	pool_unlock(p);
	return mode == GUARD_MPROTECT ? make_ready(p, k, a) : 0;
}

/* Returns 0 when there is something to promise, perhaps by someone else. */
static cold int
class_grow(struct stack_pool *p, struct stack_class *k)
{
	struct stack_arena *a;
	int error = 0;
	bool enough;

	os_mutex_lock(&p->growing);
	pool_lock(p);
	enough = k->promised < k->limit;
	pool_unlock(p);
	if (!enough) {
		a = find_unready(p, k);
		error = a ? make_ready(p, k, a) : add_arena(p, k);
		pool_lock(p);
		stack_pool_tight(p, error != 0);
		pool_unlock(p);
	}
	os_mutex_unlock(&p->growing);
	return error;
}

int
stack_class_promise(struct stack_pool *p, struct stack_class *k, uint32_t most)
{
	uint64_t n;
	int error;

	for (;;) {
		pool_lock(p);
		n = k->limit - k->promised;
		if (n > 0)
			break;
		pool_unlock(p);
		error = class_grow(p, k);
		if (error)
			return error;
	}
	if (p->tight)
		n = 1;
	if (n > most)
		n = most;
	k->promised += n;
	pool_unlock(p);
	return (int)n;
}

struct stack_class *
stack_class_of(struct stack_pool *p, size_t size)
{
	struct stack_class *k, *new;

	pool_lock(p);
	k = stack_class_find(p, size);
	pool_unlock(p);
	if (k)
		return k;
	new = chaos_fail() ? NULL : calloc(1, sizeof *new);
	if (!new)
		return NULL;
	new->size = size;
	pool_lock(p);
	k = stack_class_find(p, size);
	if (!k) {
		new->next = p->class.next;
		p->class.next = new;
		k = new;
		new = NULL;
	}
	pool_unlock(p);
	free(new);
	return k;
}

/* --- all of it ------------------------------------------------------------ */

void
stack_class_unmap(struct stack_class *k)
{
	struct stack_arena *a;

	while ((a = k->arenas) != NULL) {
		k->arenas = a->next;
		/* Refused: a part of it was locked or its map cannot be cut.
		   What is left are addresses. */
		(void)stack_arena_free(a);
	}
}

void
stack_class_stats(const struct stack_class *k, struct stack_stats *ret)
{
	const struct stack_arena *a;

	for (a = k->arenas; a; a = a->next) {
		ret->mapped += a->shape.count;
		ret->unguarded += a_load_relaxed(&a->waived);
		ret->maps += 1 + 2 * (uint64_t)a_load_relaxed(&a->protected);
	}
	ret->reserved += k->promised;
	ret->in_use += k->out;
}
