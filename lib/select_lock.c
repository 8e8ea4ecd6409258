/* SPDX-License-Identifier: MIT */
/*
 * select_lock.c - all locks of a select at once.
 *
 * Layer 6.  Used by select.c.
 *
 * They are taken in the order of rank and address, each once even if several
 * cases share it: so no two selects, and no two of whatever else holds at most
 * one of them, can wait for each other in a circle.
 */
#include "select_case.h"

/* Is the lock of case a to be taken before that of case b? */
static inline bool
before(const struct select *s, uint32_t a, uint32_t b)
{
	enum lock_rank ra = case_rank(&s->cases[a]);
	enum lock_rank rb = case_rank(&s->cases[b]);

	return ra != rb ? ra < rb :
	    (uintptr_t)s->rooms[a].lock < (uintptr_t)s->rooms[b].lock;
}

/* Shell's sort with Knuth's steps: for a few cases a plain insertion, and for
   65,536 of them some millions of comparisons; it needs no memory. */
static void
sort(struct select *s)
{
	uint32_t step = 1, k, at, i;

	while (step < s->nlocks / 9)
		step = 3 * step + 1;
	for (; step > 0; step /= 3) {
		for (k = step; k < s->nlocks; k++) {
			i = s->rooms[k].order;
			for (at = k; at >= step &&
			    before(s, i, s->rooms[at - step].order); at -= step)
				s->rooms[at].order = s->rooms[at - step].order;
			s->rooms[at].order = i;
		}
	}
}

/* The k-th lock in order, or NULL when it is the same as the one before. */
static struct lock *
lock_at(const struct select *s, uint32_t k)
{
	struct lock *l = s->rooms[s->rooms[k].order].lock;

	return k > 0 && s->rooms[s->rooms[k - 1].order].lock == l ? NULL : l;
}

void
co__select_lock(struct select *s)
{
	struct lock *l;
	uint32_t k;
	int i;

	s->nlocks = 0;
	for (i = 0; i < s->n; i++) {
		s->rooms[i].lock = l = case_lock(&s->cases[i]);
		if (l)
			s->rooms[s->nlocks++].order = (uint32_t)i;
	}
	sort(s);
	for (k = 0; k < s->nlocks; k++) {
		if ((l = lock_at(s, k)) != NULL)
			lock_take(l, case_rank(&s->cases[s->rooms[k].order]));
	}
}

void
co__select_unlock(struct select *s)
{
	const struct co_case *c;
	struct lock *l;
	uint32_t k;

	for (k = s->nlocks; k-- > 0; ) {
		if ((l = lock_at(s, k)) == NULL)
			continue;
		c = &s->cases[s->rooms[k].order];
		if (is_chan(c))
			co__chan_check(c->co__obj);
		lock_drop(l, case_rank(c));
	}
}
