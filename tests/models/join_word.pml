/* SPDX-License-Identifier: MIT */
/*
 * join_word.pml - a task's end, its joiner, and the joiner's change of mind.
 *
 * Of: join.c (STATES of co__word).  The joiner's first wait may be cancelled;
 * then it joins again.  Each wait has a waiter in a frame of its own, which is
 * gone when the wait is over; the handle is gone when it has been joined.  A
 * rival looks once, at any time.
 *
 * BUG_NO_BUSY		frame_is_alive: co__join_deliver says DONE at once, and
 *			looks at the waiter afterwards
 * BUG_NO_DEQUEUE	frame_is_alive: a cancelled joiner leaves its waiter
 * BUG_NO_BUSY_WAIT	frame_is_alive: it does not wait while the word says BUSY
 * BUG_WAKE_FIRST	handle_is_alive: the joiner is woken before DONE is said
 * BUG_NOT_TAKEN	one_joins: DONE is said also where a joiner was claimed
 * BUG_TAKE_PLAIN	one_joins: who finds DONE stores JOINED, without a swap
 */
#define RUNNING	0
#define DONE	1
#define BUSY	2
#define JOINED	3
#define TAKEN	4
#define WAITER	5		/* 5: of the first wait; 6: of the second */

byte word = RUNNING;
byte park;			/* of the joiner: odd, it waits */
byte code;			/* 1: cancelled; 2: joined */
bool woken, frame[2], handle = true, result, joined;

bool frame_is_alive = true, handle_is_alive = true, joined_in_the_end = true;
bool one_joins = true;
byte takers;

inline claim(ticket, won)
{
	d_step {
		won = (park == ticket);
		park = (won -> park + 1 : park)
	}
}

inline on_frame(i)
{
	d_step { frame_is_alive = frame[i]; assert(frame_is_alive) }
}

inline on_handle()
{
	d_step { handle_is_alive = handle; assert(handle_is_alive) }
}

active proctype task()			/* co__join_deliver */
{
	byte old;
	bool won;

	on_handle();
	result = true;
#ifdef BUG_NO_BUSY
	atomic { on_handle(); old = word; word = DONE };
#else
	atomic { on_handle(); old = word; word = BUSY };
#endif
	if
	:: old >= WAITER ->
		on_frame(old - WAITER);
		claim(2 * (old - WAITER) + 1, won)
	:: else
	fi;
#ifdef BUG_WAKE_FIRST
	if
	:: won -> atomic { code = 2; woken = true }
	:: else
	fi;
#endif
#ifndef BUG_NO_BUSY
#ifdef BUG_NOT_TAKEN
	atomic { on_handle(); word = DONE };
#else
	atomic { on_handle(); word = (won -> TAKEN : DONE) };
#endif
#endif
#ifndef BUG_WAKE_FIRST
	if
	:: won -> atomic { code = 2; woken = true }
	:: else
	fi
#endif
}

active proctype canceller()
{
	bool won;

end:	park == 1;
	claim(1, won);
	if
	:: won -> atomic { code = 1; woken = true }
	:: else
	fi
}

/* join_done: waits while the word says BUSY. */
inline join_done(ret)
{
	word != BUSY;
	ret = (word == DONE)
}

/* Who has the result. */
inline took()
{
	d_step {
		takers++;
		one_joins = (takers == 1);
		assert(one_joins);
		joined = result;
		handle = false
	}
}

inline join_take_done(won)
{
#ifdef BUG_TAKE_PLAIN
	won = true;
	word = JOINED;
#else
	atomic { won = (word == DONE); word = (won -> JOINED : word) };
#endif
	if
	:: won -> took()
	:: else
	fi
}

active proctype rival()
{
	bool done, won;

	if
	:: join_done(done);
		if
		:: done -> join_take_done(won)
		:: else
		fi
	:: skip				/* there is none */
	fi
}

active proctype joiner()
{
	byte i;
	bool done, won;

again:	join_done(done);
	if
	:: done -> goto take_done
	:: else
	fi;
	atomic { frame[i] = true; park = 2 * i + 1 };	/* wait_begin */
	atomic {			/* join_enqueue */
		done = (word != RUNNING);
		word = (done -> word : WAITER + i)
	};
	if
	:: done ->
		join_done(done);
		if
		:: !done -> goto refused	/* another one joins */
		:: else
		fi;
		claim(2 * i + 1, won);	/* wait_cancel */
		if
		:: !won -> woken; woken = false;	/* it was cancelled */
			frame[i] = false;
			i++;
			goto again
		:: else
		fi;
		frame[i] = false;
		goto take_done
	:: else
	fi;
	atomic { woken -> woken = false };	/* wait_park */
	if
	:: code == 1 ->
#ifndef BUG_NO_DEQUEUE
		atomic {		/* join_dequeue */
			done = (word != WAITER + i);
			word = (done -> word : RUNNING)
		};
#ifndef BUG_NO_BUSY_WAIT
		if
		:: done -> join_done(done)
		:: else
		fi;
#endif
#endif
		frame[i] = false;
		i++;
		goto again
	:: else ->
		frame[i] = false
	fi;
	word = JOINED;			/* join_take */
	took();
	goto refused;
take_done:
	join_take_done(won);
refused:
	skip
}

/* Another one comes when the joiner has been woken, and has not run. */
#ifndef BUG_NO_BUSY
active proctype latecomer()
{
end:	atomic {
		code == 2 && !joined;
		one_joins = (word != DONE);
		assert(one_joins)
	}
}
#endif

active proctype monitor()
{
	timeout;
	joined_in_the_end = joined;
	assert(joined_in_the_end)
}
