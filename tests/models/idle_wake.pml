/* SPDX-License-Identifier: MIT */
/*
 * idle_wake.pml - nothing is left runnable while everybody sleeps.
 *
 * Of: worker.c (WAKE: nod_off, may_sleep, worker_wake_one), search.c, sched.c
 * (maybe_call_help, inject_push).
 *
 * A busy worker queues two tasks and then computes; it does not run them.  A
 * thread that is not ours sends a task.  Two workers search, run and sleep.  In
 * the end, when both sleep, fewer than two tasks wait on the busy worker (a
 * single one is left to it, see WATCH) and none was sent in vain.
 *
 * The busy worker's stores to its queue are in a buffer until memory takes
 * them or a heavy barrier does; all else is atomic operations.  Left out: that
 * a call for help may be put off for up to a millisecond, as it is made again
 * in every turn.
 *
 * BUG_LIGHT_SLEEP	nobody_is_left: S2 is a light barrier
 * BUG_NO_SECOND_LOOK	nobody_is_left: S3 is left out
 * BUG_LOOK_FIRST	nobody_is_left: S3 comes before S1
 * BUG_OWN_FLAG		nobody_is_left: asleep_count++ comes after S3
 */
byte waiting, buffer;		/* of the busy worker: seen; in its buffer */
bool buffered;
byte inject;			/* tasks from the other thread */
bool asleep[2], bell[2];	/* bell: what reactor_wake leaves */
byte asleep_count, searching;

bool nobody_is_left = true;

active proctype memory()
{
end:	do
	:: atomic { buffered -> waiting = buffer; buffered = false }
	od
}

/* claim_sleeper: a CAS, then the count. */
inline claim_sleeper(w, won)
{
	atomic { won = asleep[w]; asleep[w] = false };
	if
	:: won -> asleep_count--
	:: else
	fi
}

inline wake_one(won)
{
	claim_sleeper(0, won);
	if
	:: won -> bell[0] = true
	:: else ->
		claim_sleeper(1, won);
		if
		:: won -> bell[1] = true
		:: else
		fi
	fi
}

active proctype pusher()
{
	byte i;
	bool won;

	for (i : 1 .. 2) {
		atomic {				/* R1, in a section */
			!buffered ->
			buffer = waiting + 1;
			buffered = true;
			if
			:: buffer < 2 -> goto next	/* keeps it */
			:: else
			fi
		}
							/* R2, light */
		if					/* R3 */
		:: asleep_count > 0 && searching == 0 ->
			wake_one(won)
		:: else
		fi;
next:		skip
	}
}

active proctype foreign()
{
	bool won;

	inject++;
	if
	:: asleep_count > 0 -> wake_one(won)
	:: else
	fi
}

inline take_inbound()
{
	atomic {
		if
		:: inject > 0 -> inject--; found = true
		:: else
		fi
	}
}

/* runq_steal: inside, the owner's buffer has been emptied. */
inline steal()
{
	if
	:: waiting > 0 ->
		atomic {
			!buffered;
			if
			:: waiting > 0 ->
				waiting = waiting - (waiting + 1) / 2;
				found = true
			:: else
			fi
		}
	:: else
	fi
}

inline search()
{
	found = false;
	searching++;
	take_inbound();
	if
	:: !found -> steal()
	:: else
	fi;
	atomic { searching--; last = (searching == 0) };
	if				/* hands on */
	:: last && found && waiting >= 2 -> wake_one(won)
	:: else
	fi
}

inline may_sleep()
{
	stay = (inject > 0);
	stay = (stay || waiting >= 2)
}

inline nod_off()
{
#ifdef BUG_LOOK_FIRST
	may_sleep();					/* S3 */
#endif
	asleep[me] = true;				/* S1 */
#ifndef BUG_OWN_FLAG
	asleep_count++;
#endif
#ifndef BUG_LIGHT_SLEEP
	!buffered;					/* S2 */
#endif
#ifndef BUG_LOOK_FIRST
	may_sleep();					/* S3 */
#endif
#ifdef BUG_NO_SECOND_LOOK
	stay = false;
#endif
#ifdef BUG_OWN_FLAG
	asleep_count++;
#endif
	if
	:: !stay ->
end:		atomic { bell[me] -> bell[me] = false }
	:: else
	fi;
	claim_sleeper(me, won)
}

active [2] proctype worker()
{
	byte me;
	bool found, won, last, stay;

	me = _pid - 3;
	do
	:: search();
		if
		:: found			/* runs it */
		:: else -> nod_off()
		fi
	od
}

active proctype monitor()
{
	timeout;
	nobody_is_left = (waiting < 2 && inject == 0);
	assert(nobody_is_left)
}
