/* SPDX-License-Identifier: MIT */
/*
 * select_look.pml - no case is overlooked.
 *
 * Of: select.c (NO CASE IS OVERLOOKED: select_once).  There is always a value
 * in one of two channels: somebody puts one into the second before he takes
 * the one out of the first, and so on.  A select that tries both must not come
 * to co_otherwise.
 *
 * BUG_LOOK_EACH	one_is_ready: there is no look with all locks held
 * BUG_UNLOCK_EARLY	one_is_ready: nor are all held at the same time
 */
byte count[2];
bool lock[2];

bool one_is_ready = true;

inline take(c)
{
	atomic { !lock[c] -> lock[c] = true }
}

active proctype juggler()
{
	byte c;

	count[0] = 1;
	do
	:: c < 4 ->
		take((c + 1) % 2);
		count[(c + 1) % 2]++;
		lock[(c + 1) % 2] = false;
		take(c % 2);
		count[c % 2]--;
		lock[c % 2] = false;
		c++
	:: else -> break
	od
}

inline look(c)
{
	found = found || count[c] > 0
}

active proctype selector()
{
	bool found;

	count[0] > 0;
	take(0);			/* LOOK_EACH, in some order */
	look(0);
	lock[0] = false;
	take(1);
	look(1);
	lock[1] = false;
#ifndef BUG_LOOK_EACH
	take(0);			/* lock_all, by address */
#ifdef BUG_UNLOCK_EARLY
	look(0);
	lock[0] = false;
	take(1);
	look(1);
	lock[1] = false;
#else
	take(1);
	look(0);			/* LOOK_LOCKED */
	look(1);
	lock[0] = false;
	lock[1] = false;
#endif
#endif
	one_is_ready = found;		/* else: co_otherwise */
	assert(one_is_ready)
}
