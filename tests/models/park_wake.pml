/* SPDX-License-Identifier: MIT */
/*
 * park_wake.pml - leaving a stack while others may wake its task already.
 *
 * Of: task.h (TICKETS, ON_CPU), park_inline.h (wait_begin, wait_claim), sched.h
 * (sched_switch_to, sched_claim_cpu, sched_landed), worker.c (next_task,
 * wait_off_cpu).
 *
 * Two tasks wait twice each, on two workers.  Each wait has a waker; the first
 * one also has a timer that may come late, while its task is in the second.
 * Who wins a claim puts the task on the queue of either worker, at once: that
 * stands for a waker there, a thief, and a thread that is not ours.
 *
 * BUG_NO_ON_CPU	context_is_saved: on_cpu is not looked at
 * BUG_WAIT_ON_STACK	everybody_ran: a worker waits for on_cpu on the stack
 *			of the task that it leaves
 * BUG_NO_TICKET	woken_by_its_own: a claim only looks whether the task
 *			waits
 * BUG_NO_CLAIM		on_one_queue: the waker does not need to win
 */
#define NATIVE	2		/* no task: the worker's own stack */
#define NONE	3

byte park[2];			/* the ticket; odd: waits */
bool on_cpu[2];
bool saved[2];			/* its context is valid */
byte queued[2];
byte cause[2];			/* the ticket of who woke it */
byte ended;
chan runq[2] = [2] of { byte };

bool context_is_saved = true, everybody_ran = true, woken_by_its_own = true,
    on_one_queue = true;

/* sched_ready, or a thief, or inject_push. */
inline push(t, ticket)
{
	d_step {
		cause[t] = ticket;
		queued[t]++;
		on_one_queue = (queued[t] == 1);
		assert(on_one_queue)
	}
	if
	:: runq[0]!t
	:: runq[1]!t
	fi
}

/* wait_claim */
inline claim(t, ticket, won)
{
	d_step {
#if defined BUG_NO_CLAIM
		won = (park[t] >= ticket);
		park[t] = (park[t] == ticket -> ticket + 1 : park[t])
#elif defined BUG_NO_TICKET
		won = (park[t] & 1);
		park[t] = (won -> park[t] + 1 : park[t])
#else
		won = (park[t] == ticket);
		park[t] = (won -> ticket + 1 : park[t])
#endif
	}
}

/* Begins at its time; may lose, if somebody else may win. */
proctype waker(byte t, ticket)
{
	bool won;

	park[t] >= ticket;
	claim(t, ticket, won);
	if
	:: won -> push(t, ticket)
	:: else
	fi
}

/* The worker goes on in `to`, a task's stack. */
inline resume(to)
{
	d_step {
		on_cpu[to] = true;
		context_is_saved = saved[to];
		assert(context_is_saved);
		saved[to] = false;
		stack = to
	}
}

/* sched_landed: the stack that was left is idle now. */
inline landed()
{
	if
	:: prev < NATIVE -> on_cpu[prev] = false
	:: else
	fi;
	prev = NONE
}

proctype worker(byte me)
{
	byte stack = NATIVE, prev = NONE, pending = NONE, to = NONE;

native:	/* next_task, on the worker's own stack */
	if
	:: pending < NATIVE ->
		to = pending;
		pending = NONE
	:: else ->
end:		runq[me]?to;
		queued[to]--
	fi;
#ifndef BUG_NO_ON_CPU
	!on_cpu[to];			/* wait_off_cpu */
#endif
	resume(to);
	landed();

task:	/* on the stack of a task, which has just come back from a wait */
	atomic {
		woken_by_its_own = (park[stack] == 0 ||
		    cause[stack] == park[stack] - 1);
		assert(woken_by_its_own)
	}
	if
	:: park[stack] == 4 ->		/* it has waited twice */
		ended++;
		stack = NATIVE;		/* leave_for_good */
		goto native
	:: else
	fi;
	park[stack]++;			/* wait_begin: odd now */
	if				/* sched_next */
	:: runq[me]?to ->
		queued[to]--
	:: empty(runq[me]) ->
		to = NONE
	fi;
	if
	:: to == stack ->		/* woken already, and picked again */
		goto task
	:: else
	fi;
	prev = stack;
#if defined BUG_NO_ON_CPU
	if
	:: to < NATIVE ->
#elif defined BUG_WAIT_ON_STACK
	if
	:: to < NATIVE ->
		!on_cpu[to];
#else
	if
	:: to < NATIVE && !on_cpu[to] ->	/* sched_claim_cpu */
#endif
		saved[stack] = true;
		resume(to);
		landed();
		goto task
	:: else ->
		pending = to;
		saved[stack] = true;
		stack = NATIVE;
		landed();
		goto native
	fi
}

init {
	atomic {
		saved[0] = true;
		saved[1] = true;
		push(0, 0);
		push(1, 0);
		run worker(0);
		run worker(1);
		run waker(0, 1);
		run waker(0, 1);	/* the timer */
		run waker(0, 3);
		run waker(1, 1);
		run waker(1, 3);
	}
	if
	:: ended == 2
	:: timeout -> skip
	fi;
	everybody_ran = (ended == 2);
	assert(everybody_ran)
}
