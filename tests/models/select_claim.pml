/* SPDX-License-Identifier: MIT */
/*
 * select_claim.pml - exactly one case of a select takes effect.
 *
 * Of: select.c (EXACTLY ONE: sleep_until_chosen, dequeue_all), waiter.h (W1 to
 * W3), chan.h (chan_put, chan_put_rest).  One task receives from either of two
 * channels; each has a sender; and the select may be cancelled.  Its waiters
 * lie in its frame, which is gone when the select returns.
 *
 * BUG_NO_CLAIM		one_wakes: a sender takes what it finds in the queue
 * BUG_TOUCH_LATE	frame_is_alive: it looks at the waiter after the wake-up
 * BUG_LOOK_UNLOCKED	frame_is_alive: a sender that lost its claim looks at
 *			the waiter after unlocking
 * BUG_NO_DEQUEUE	frame_is_alive: the select leaves its waiters queued
 */
byte park = 1;			/* the select has begun to wait */
bool queued[2], lock[2];
bool alive = true, woken, cancelled, returned;
byte wakes, delivered, kept;

bool frame_is_alive = true, one_wakes = true, one_takes_effect = true;

inline touch()
{
	d_step { frame_is_alive = alive; assert(frame_is_alive) }
}

inline claim(won)
{
	d_step {
		won = (park == 1);
		park = 2
	}
}

inline wake()
{
	d_step {
		wakes++;
		one_wakes = (wakes == 1);
		assert(one_wakes);
		woken = true
	}
}

proctype sender(byte c)
{
	bool won, found;

	atomic { !lock[c] -> lock[c] = true };
	found = queued[c];
	if
	:: found ->
		touch();
		queued[c] = false;	/* waitq_claim */
		claim(won);
#ifdef BUG_NO_CLAIM
		won = true
#endif
	:: else
	fi;
	lock[c] = false;
	if
	:: won ->
		touch();		/* copies through slot */
		delivered++;
		wake();
#ifdef BUG_TOUCH_LATE
		touch()
#endif
	:: else ->
#ifdef BUG_LOOK_UNLOCKED
		if
		:: found -> touch()
		:: else
		fi;
#endif
		kept++
	fi
}

proctype canceller()
{
	bool won;

	claim(won);
	if
	:: won -> cancelled = true; wake()
	:: else
	fi
}

active proctype selector()
{
	byte c;

	atomic {			/* all locks are held */
		queued[0] = true;
		queued[1] = true;
		run sender(0);
		run sender(1);
		run canceller()
	}
	woken;
#ifndef BUG_NO_DEQUEUE
	for (c : 0 .. 1) {		/* dequeue_all */
		atomic { !lock[c] -> lock[c] = true };
		queued[c] = false;
		lock[c] = false
	}
#endif
	alive = false;
	returned = true
}

active proctype monitor()
{
	timeout;
	one_takes_effect = (returned && wakes == 1 && delivered + kept == 2 &&
	    delivered == (cancelled -> 0 : 1));
	assert(one_takes_effect)
}
