/* SPDX-License-Identifier: MIT */
/*
 * stack_class.c - the stacks of one size: arenas, room for more, and back.
 *
 * Layer 2.  Invariants: stack_pool.h.
 */
#include "stack_pool.h"

#include <stdlib.h>

enum {
	/* Stacks, and no more MiB than they have by default, not counting
	   shape.beyond: see at_most. */
	ARENA_FIRST = 16, ARENA_FIRST_MIB = 4,	/* for small RLIMIT_AS */
	ARENA_MOST = 4096, ARENA_MOST_MIB = 1024,
	WARM_LEAST = 256, WARM_LEAST_MIB = 64,
	WARM_MOST = 4096, WARM_MOST_MIB = 1024,
	WARM_SHARE = 32		/* of the most that were ever out: 3 % */
};

/* So many stacks, unless they are large ones: then what is in so many MiB. */
static uint32_t
at_most(const struct stack_class *k, uint32_t stacks, uint32_t mib)
{
	size_t n = ((size_t)mib << 20) / k->size;

	return n < stacks ? (uint32_t)n : stacks;
}

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
 * a stack of one page costs.  `spare` stacks stay besides those promised.
 */
static void
class_shed(struct stack_class *k, struct stack_arena *a, uint32_t spare,
    struct stack_arena **list)
{
	if (a->out != 0 || k->limit - a->ready < k->promised + spare)
		return;
	arena_unlink(k, a);
	a->next = *list;
	*list = a;
}

/* One at least, however large. */
static uint32_t
warm_max(const struct stack_class *k)
{
	uint32_t least = at_most(k, WARM_LEAST, WARM_LEAST_MIB);
	uint32_t most = at_most(k, WARM_MOST, WARM_MOST_MIB);
	uint64_t max = k->out_most / WARM_SHARE;

	if (max > most)
		max = most;
	if (max < least)
		max = least;
	return max ? (uint32_t)max : 1;
}

/* --- taking stacks back --------------------------------------------------- */

/* p->lock not held.  True if anything has gone. */
static bool
shed_free(struct stack_pool *p, struct stack_class *k, struct stack_arena *list)
{
	struct stack_arena *a;
	bool freed, any = false;

	while ((a = list) != NULL) {
		list = a->next;
		freed = stack_arena_free(a);
		any |= freed;
		pool_lock(p);
		if (!freed)
			arena_link(k, a);
		else if (a_load_relaxed(&p->mode) == GUARD_OFF)
			a_store_relaxed(&p->mode, GUARD_MPROTECT);
		pool_unlock(p);
	}
	return any;
}

/* n stacks of the caller's come back; p->lock held, and kept. */
static void
class_back(struct stack_pool *p, struct stack_class *k, uint32_t n,
    uint32_t credits)
{
	k->promised -= n + credits;
	k->out -= n;
	if (!p->tight)
		return;
	p->tight_puts += n + credits;
	/* Where as much stays in use nobody asks the system again. */
	if (k->promised < k->limit / 2 || p->tight_puts >= TIGHT_PUTS)
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

/* Of empty arenas enough stays to do without a system call when spawning goes
   on; next_arena() makes the next ones larger again. */
static bool
put_cold(struct stack_pool *p, struct stack_class *k, struct stack **list,
    uint32_t n, uint32_t credits)
{
	uint32_t i, spare = at_most(k, ARENA_FIRST, ARENA_FIRST_MIB);
	struct stack_place at[CACHE_MAX + 1];
	struct stack_arena *shed = NULL;

	for (i = 0; i < n; i++)
		at[i] = (struct stack_place){ list[i]->arena, list[i]->index };
	stack_arena_cool(at, n);
	pool_lock(p);
	class_back(p, k, n, credits);
	for (i = 0; i < n; i++) {
		arena_give(k, at[i].arena, at[i].index);
		if (at[i].arena->ready == at[i].arena->shape.count)
			class_shed(k, at[i].arena, spare, &shed);
	}
	pool_unlock(p);
	return shed_free(p, k, shed);
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

/* Warm stacks that no promise needs: they are promised to the caller, and out
   until he puts them. */
static uint32_t
take_idle(struct stack_pool *p, struct stack_class *k, struct stack **ret_list)
{
	uint32_t n = 0;

	pool_lock(p);
	while (n < CACHE_MAX && k->warm && k->promised < k->limit) {
		k->promised++;
		ret_list[n++] = stack_class_warm(k);
	}
	pool_unlock(p);
	return n;
}

/* p->growing held.  Gives back what a class has idle but for what lies in
   caches, arenas with unready stacks included. */
static bool
class_reclaim(struct stack_pool *p, struct stack_class *k)
{
	struct stack *list[CACHE_MAX];
	struct stack_arena *a, *next, *shed = NULL;
	bool any = false;
	uint32_t n;

	do {
		n = take_idle(p, k, list);
		any |= put_cold(p, k, list, n, 0);
	} while (n == CACHE_MAX);
	pool_lock(p);
	for (a = k->arenas; a; a = next) {
		next = a->next;
		class_shed(k, a, 0, &shed);
	}
	pool_unlock(p);
	any |= shed_free(p, k, shed);
	return any;
}

/* --- making room ---------------------------------------------------------- */

/* Each arena doubles its class, within bounds. */
static uint32_t
next_arena(const struct stack_class *k, uint64_t have)
{
	uint32_t first = at_most(k, ARENA_FIRST, ARENA_FIRST_MIB);
	uint32_t most = at_most(k, ARENA_MOST, ARENA_MOST_MIB);

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

/* p->growing held. */
static int
add_room(struct stack_pool *p, struct stack_class *k)
{
	struct stack_arena *a = find_unready(p, k);

	return a ? make_ready(p, k, a) : add_arena(p, k);
}

static struct stack_class *
class_next(struct stack_pool *p, const struct stack_class *k)
{
	struct stack_class *next;

	pool_lock(p);
	next = k->next;
	pool_unlock(p);
	return next;
}

/* p->growing held.  What is idle in one class may be what another one lacks. */
bool
stack_pool_reclaim(struct stack_pool *p)
{
	struct stack_class *k;
	bool any = false;

	for (k = &p->class; k; k = class_next(p, k))
		any |= class_reclaim(p, k);
	return any;
}

/* Returns 0 when there is something to promise, perhaps by someone else. */
static cold int
class_grow(struct stack_pool *p, struct stack_class *k)
{
	int error = 0;
	bool enough;

	os_mutex_lock(&p->growing);
	pool_lock(p);
	enough = k->promised < k->limit;
	pool_unlock(p);
	if (!enough) {
		error = add_room(p, k);
		if (error && stack_pool_reclaim(p))
			error = add_room(p, k);
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
