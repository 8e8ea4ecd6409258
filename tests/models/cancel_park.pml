/* SPDX-License-Identifier: MIT */
/*
 * cancel_park.pml - a cancellation and a park cross; neither misses the other.
 *
 * Of: park.c and park_here.h (P1, P2, P3), park_inline.h (wait_begin,
 * wait_check), scope_end.c (end_tree, wake_ended: C1, C2, C3), atomic.h.
 *
 * The task's stores stay in a buffer, of which nobody else sees anything, until
 * the memory takes them; a_light_barrier() does not empty it.  a_heavy_barrier()
 * of another thread does, and so does an atomic operation of its own.
 *
 * BUG_LIGHT_CANCEL	nobody_sleeps_on: C2 is left out
 * BUG_ONE_PASS		nobody_sleeps_on: after C2 nobody is looked at again
 * BUG_LOOK_FIRST	nobody_sleeps_on: P3 comes before P1
 * BUG_NO_CLAIM		one_wakes: C3 wakes without a claim
 */
#define WAITS	2

byte park;			/* the ticket, as others see it; odd: waits */
bool buffered;			/* the task has stored `mine`, and only it
				   knows */
byte mine;			/* what the task thinks park is */
bool ended;			/* t->ended; the canceller's buffer is emptied
				   by its lock and C2: no need for a model */
byte wakes;			/* since the wait began */
bool cancelled, over;

bool nobody_sleeps_on = true, one_wakes = true, fails_once_ended = true;

/* The memory. */
active proctype memory()
{
end:	do
	:: atomic { buffered -> park = mine; buffered = false }
	od
}

/* wait_claim by another than the task: sees what memory has. */
inline claim(ticket, won)
{
	d_step {
		won = (park == ticket && (ticket & 1));
		park = (won -> ticket + 1 : park)
	}
}

inline wake()
{
	d_step {
		wakes++;
		one_wakes = (wakes == 1);
		assert(one_wakes)
	}
}

active proctype task()
{
	byte i;
	bool seen, was_cancelled;

	do
	:: i < WAITS ->
		was_cancelled = cancelled;
		if
		:: ended ->		/* wait_check */
			break
		:: else
		fi;
		d_step {
			fails_once_ended = !was_cancelled;
			assert(fails_once_ended)
		}
		wakes = 0;
#ifdef BUG_LOOK_FIRST
		seen = ended;				/* P3 */
#endif
		atomic {				/* P1 */
			!buffered;
			mine = park + 1;
			buffered = true
		}
							/* P2 */
#ifndef BUG_LOOK_FIRST
		seen = ended;				/* P3 */
#endif
		if
		:: seen ->
			d_step {	/* claims itself: a CAS */
				park = (buffered -> mine : park);
				buffered = false;
				seen = (park == mine);
				park = (seen -> mine + 1 : park)
			}
			if
			:: seen -> break
			:: else
			fi
		:: else
		fi;
		wakes == 1;		/* sched_park_here */
		i++
	:: else ->
		break
	od;
	over = true
}

/* Somebody who has what the task waits for, perhaps. */
active proctype waker()
{
	byte ticket;
	bool won;

	do
	:: ticket = park;
		claim(ticket, won);
		if
		:: won -> wake()
		:: else
		fi
	:: break
	od
}

inline wake_ended(ret_missed)
{
	ticket = park;					/* C3 */
#ifdef BUG_NO_CLAIM
	won = (ticket & 1);
	if
	:: won -> park = ticket + 1
	:: else
	fi;
#else
	claim(ticket, won);
#endif
	if
	:: won -> wake()
	:: else -> ret_missed = true
	fi
}

active proctype canceller()
{
	byte ticket;
	bool won, missed;

	ended = true;					/* C1 */
	wake_ended(missed);
	if
	:: missed ->
#ifndef BUG_LIGHT_CANCEL
		!buffered;				/* C2 */
#endif
#ifndef BUG_ONE_PASS
		wake_ended(missed)
#endif
	:: else
	fi;
	cancelled = true
}

active proctype monitor()
{
	if
	:: over
	:: timeout -> skip
	fi;
	nobody_sleeps_on = over;
	assert(nobody_sleeps_on)
}
