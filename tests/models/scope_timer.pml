/* SPDX-License-Identifier: MIT */
/*
 * scope_timer.pml - a scope is left while its deadline fires elsewhere.
 *
 * Of: scope.c (scope_arm_slow, timer_off, scope_expired), timer.c (timer_add,
 * timer_del, collect).  Two tasks that wait in the scope may arm its deadline,
 * on two workers; the scope is left when both have ended.  It lies in a frame.
 *
 * BUG_NO_WAIT		scope_is_alive: timer_off does not wait for what fires
 * BUG_FIRED_FIRST	scope_is_alive: FIRED is said before the scope has been
 *			ended
 * BUG_NO_CAS		it_is_left: both tasks arm it, one after it has fired
 * BUG_LOOK_EARLY	scope_is_alive: has_children and child_unlink without
 *			acquire and release: the state of the timer is loaded
 *			before the count of children
 * BUG_NO_LOCK		scope_is_alive: the scope is left without the lock under
 *			which the last child still looks at it
 */
mtype = { NONE, ARMED, FIRING, FIRED };

mtype state = NONE;
byte heap;			/* timers of this scope in heaps */
bool alive = true, lock;	/* of the task that the scope belongs to */
byte children = 2;

bool scope_is_alive = true, it_is_left = true;

inline touch()
{
	d_step { scope_is_alive = alive; assert(scope_is_alive) }
}

/* coro_sleep: arm; then the task sleeps and ends, or ends at once. */
active [2] proctype child()
{
	bool mine;

	if
	:: skip				/* it does not wait */
	:: touch();
#ifdef BUG_NO_CAS
		mine = (state == NONE);
		state = ARMED;
#else
		atomic {
			mine = (state == NONE);
			state = (mine -> ARMED : state)
		};
#endif
		if
		:: mine -> heap++	/* timer_add */
		:: else
		fi
	fi;
	atomic { !lock -> lock = true };	/* scope_remove */
	touch();
	children--;
	touch();
	lock = false
}

/* timers_expire, of two workers' heaps. */
active [2] proctype timers()
{
	if
	:: atomic { heap > 0 -> heap--; state = FIRING };	/* collect */
		touch();				/* scope_expired */
#ifdef BUG_FIRED_FIRST
		state = FIRED;
#endif
		atomic { !lock -> lock = true };
		touch();			/* scope_end */
		lock = false;
#ifndef BUG_FIRED_FIRST
		atomic { touch(); state = FIRED }
#endif
	:: !alive			/* its time does not come */
	fi
}

active proctype owner()
{
	bool off;
	mtype seen;

#ifdef BUG_LOOK_EARLY
	seen = state;
#endif
	if
	:: children == 0		/* has_children, without the lock */
	:: children > 0 -> atomic { !lock && children == 0 };
#ifdef BUG_LOOK_EARLY
		seen = state
#endif
	fi;
#ifndef BUG_LOOK_EARLY
	seen = state;
#endif
	if				/* timer_off */
	:: seen == NONE -> off = true
	:: seen == ARMED ->
		atomic {		/* timer_del */
			if
			:: heap > 0 -> heap--; off = true
			:: else
			fi
		}
	:: else
	fi;
#ifndef BUG_NO_WAIT
	off || state == FIRED;
#endif
#ifndef BUG_NO_LOCK
	atomic { !lock -> lock = true };
	lock = false;
#endif
	alive = false
}

active proctype monitor()
{
	timeout;
	it_is_left = !alive;
	assert(it_is_left)
}
