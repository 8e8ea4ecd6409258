/* SPDX-License-Identifier: MIT */
/*
 * trim_hold.pml - stack pages are given back while their task may be woken.
 *
 * Of: trim.c (HOLD: hold, trim_batch), sched.h (sched_claim_cpu, sched_landed),
 * worker.c (wait_off_cpu).  A task waits twice.  Two workers, one for each
 * wait, claim it, run it and, the first of them, let it wait again.  The stores
 * of a worker are in a buffer, in order; also that of its claim, as processors
 * may keep back the store of an atomic operation that is no full barrier.
 *
 * BUG_LIGHT_HOLD	stack_is_idle: T2 is a light barrier
 * BUG_NO_SECOND_LOOK	stack_is_idle: T3 is left out
 * BUG_STORE_BACK	one_runs: T4 stores 0, whatever is there
 */
#define HELD	2

mtype = { PARK, ON_CPU };

byte park = 1;			/* the first wait; the second is 5 */
byte on_cpu;
chan buffer[2] = [4] of { mtype, byte };
bool trimming;
byte runners;

bool stack_is_idle = true, one_runs = true;

active [2] proctype memory()
{
	byte v;

end:	do
	:: atomic { buffer[_pid]?PARK(v) -> park = v }
	:: atomic { buffer[_pid]?ON_CPU(v) -> on_cpu = v }
	od
}

inline check()
{
	d_step {
		stack_is_idle = !(trimming && runners > 0);
		assert(stack_is_idle);
		one_runs = (runners < 2);
		assert(one_runs)
	}
}

active [2] proctype worker()
{
	byte me;

	me = _pid - 2;
	atomic { park == 1 + 4 * me && empty(buffer[me]) ->
		buffer[me]!PARK(2 + 4 * me) };	/* P1: wait_claim */
	on_cpu == 0;				/* P2 */
	buffer[me]!ON_CPU(1);
	runners++;
	check();
	if
	:: me == 0 ->
		buffer[me]!PARK(5);		/* wait_begin */
		runners--;			/* leaves the stack */
		buffer[me]!ON_CPU(0)		/* sched_landed */
	:: else
	fi
}

active proctype trimmer()
{
	byte was, seen, i;

	for (i : 1 .. 2) {
		seen = park;
		if
		:: !(seen & 1) -> goto next
		:: else
		fi;
		atomic {				/* T1 */
			was = on_cpu;
			on_cpu = (was == 0 -> HELD : was)
		}
		if
		:: was != 0 -> goto next
		:: else
		fi;
#ifndef BUG_LIGHT_HOLD
		empty(buffer[0]);			/* T2 */
		empty(buffer[1]);
#endif
#ifndef BUG_NO_SECOND_LOOK
		if
		:: park != seen -> goto back		/* T3 */
		:: else
		fi;
#endif
		trimming = true;
		check();
		trimming = false;
back:
#ifdef BUG_STORE_BACK
		on_cpu = 0;				/* T4 */
#else
		atomic { on_cpu = (on_cpu == HELD -> 0 : on_cpu) };
#endif
next:		skip
	}
}
