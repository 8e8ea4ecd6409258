/* SPDX-License-Identifier: MIT */
/*
 * runq_steal.pml - a worker in its own queue, and thieves.
 *
 * Of: runq.h (THIEVES: runq_enter, runq_leave), runq.c (co__runq_wait,
 * thief_enter, runq_steal).
 *
 * The owner's stores go through a buffer, in order.  A thief's heavy barrier
 * empties it; the owner's light one does not.
 *
 * BUG_LIGHT_THIEF	one_inside: the thief's barrier is a light one
 * BUG_LOOK_FIRST	one_inside: the owner looks at stop, then sets crit
 * BUG_NO_LOOK_AGAIN	one_inside: who waited for a thief goes on at once
 * BUG_LEAVE_EARLY	nothing_lost: crit = 0 is seen before what was done in
 *			the section (runq_leave without release)
 */
mtype = { CRIT, COUNT };

bool crit, stop, thief;
byte count;			/* tasks in the queue, as memory has it */
byte counts;			/* stores of it in the owner's buffer */
byte taken, stolen;
bool owner_in, thief_in;
chan buffer = [4] of { mtype, byte };

bool one_inside = true, nothing_lost = true;

active proctype memory()
{
	byte v;

end:	do
	:: atomic { buffer?CRIT(v) -> crit = v }
	:: atomic { buffer?COUNT(v) -> count = v; counts-- }
	od
}

inline check()
{
	d_step {
		one_inside = !(owner_in && thief_in);
		assert(one_inside)
	}
}

inline runq_enter()
{
#ifdef BUG_LOOK_FIRST
	!stop;
	buffer!CRIT(1);
#else
	buffer!CRIT(1);
	do
	:: stop ->			/* co__runq_wait */
		buffer!CRIT(0);
		!stop;
		buffer!CRIT(1)
#ifdef BUG_NO_LOOK_AGAIN
		; break
#endif
	:: !stop -> break
	od;
#endif
	owner_in = true;
	check()
}

inline runq_leave()
{
	owner_in = false;
#ifdef BUG_LEAVE_EARLY
	crit = false
#else
	buffer!CRIT(0)
#endif
}

/* count += d, from what the owner sees: its own last store, or memory. */
inline change(d)
{
	atomic { mine = (counts > 0 -> mine : count) };
	mine = mine + d;
	atomic { counts++; buffer!COUNT(mine) }
}

active proctype owner()
{
	byte mine, i;

	for (i : 1 .. 2) {
		runq_enter();
		change(1);		/* runq_push_new */
		runq_leave()
	}
	runq_enter();
	atomic { mine = (counts > 0 -> mine : count) };
	if
	:: mine > 0 ->			/* runq_take */
		change(-1);
		taken++
	:: else
	fi;
	runq_leave()
}

active [2] proctype robber()
{
	byte n;

	if
	:: atomic { !thief -> thief = true }
	:: thief -> goto out
	fi;
	stop = true;
#ifndef BUG_LIGHT_THIEF
	empty(buffer);			/* a_heavy_barrier() */
#endif
	if
	:: crit -> goto give_up
	:: !crit
	fi;
	thief_in = true;
	check();
	n = count;
	count = n - (n + 1) / 2;
	stolen = stolen + (n + 1) / 2;
	thief_in = false;
give_up:
	stop = false;
	thief = false;
out:	skip
}

active proctype monitor()
{
	timeout;
	nothing_lost = (count + taken + stolen == 2 && empty(buffer));
	assert(nothing_lost)
}
