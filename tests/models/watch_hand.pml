/* SPDX-License-Identifier: MIT */
/*
 * watch_hand.pml - while some work and others sleep, one keeps watch.
 *
 * Of: worker.c (W1: take_watch, leave_watch, hand_on_watch, nod_off).  Three
 * workers sleep; work comes for some of them, and lasts.  In the end, if one
 * works and another sleeps, a sleeper holds watch 0, or watch 1 when that is
 * free, and not deep: he wakes by himself.  All is atomic operations and full
 * fences here.  Left out: that claim_sleeper counts a moment after it claims; who
 * takes a watch in that moment may be deep for one nap.
 *
 * BUG_KEEPS_QUIET	somebody_watches: who goes to work wakes nobody
 * BUG_STAYS_DEEP	somebody_watches: who takes a watch does not look again
 *			whether everybody sleeps
 * BUG_HAND_FIRST	somebody_watches: who goes to work hands on, and then
 *			leaves the watch
 */
#define N	3
#define FREE	0		/* of a watch; else (index + 1) * 2 + deep */

byte watch[2];
bool asleep[N], bell[N], job[N], works[N];
byte asleep_count;

bool somebody_watches = true;

inline claim_sleeper(w, won)
{
	d_step {
		won = asleep[w];
		asleep[w] = false;
		asleep_count = asleep_count - won
	}
}

inline wake(w, won)
{
	claim_sleeper(w, won);
	if
	:: won -> bell[w] = true
	:: else
	fi
}

inline wake_one(won)
{
	i = 0;
	do
	:: i < N ->
		wake(i, won);
		if
		:: won -> break
		:: else -> i++
		fi
	:: else -> break
	od
}

/* In a moment when the worker may think that all is quiet, or not. */
inline take_watch()
{
	if
	:: deep = (asleep_count == N)
	:: deep = false
	fi;
	i = 0;
	do
	:: i < 2 ->
		atomic {
			if
			:: watch[i] == FREE ->
				watch[i] = (me + 1) * 2 + deep;
				which = i
			:: else
			fi
		};
		if
		:: which < 2 -> break
		:: else -> i++
		fi
	:: else -> break
	od;
#ifndef BUG_STAYS_DEEP
	if
	:: which < 2 && deep && asleep_count != N ->
		watch[which] = (me + 1) * 2
	:: else
	fi
#endif
}

inline hand_on_watch()
{
	word = watch[0];
	if
	:: word == FREE -> word = watch[1]
	:: else
	fi;
	if
#ifndef BUG_KEEPS_QUIET
	:: word == FREE -> wake_one(won)
	:: word & 1 -> wake(word / 2 - 1, won)
#endif
	:: else
	fi
}

inline leave_watch()
{
	if
	:: which < 2 -> watch[which] = FREE; which = 2
	:: else
	fi
}

proctype worker(byte me)
{
	byte which = 2, i, word;
	bool deep, won;

	do
	:: asleep[me] = true;			/* nod_off */
		asleep_count++;
		if
		:: !job[me] ->
			take_watch();
end:			atomic { bell[me] -> bell[me] = false }
		:: else
		fi;
		claim_sleeper(me, won);
#ifndef BUG_HAND_FIRST
		leave_watch();
#endif
		if
		:: job[me] ->			/* next_task */
			hand_on_watch();
			leave_watch();
			works[me] = true;
			break
		:: else ->
			leave_watch()
		fi
	od
}

/* Somebody outside has work for two of them. */
proctype event(byte w)
{
	bool won;

	if
	:: job[w] = true;
		wake(w, won)
	:: skip
	fi
}

#define KEEPS(i)	(watch[i] != FREE && !(watch[i] & 1) && \
			    asleep[watch[i] / 2 - 1])

init {
	atomic {
		run worker(0);
		run worker(1);
		run worker(2);
		run event(0);
		run event(1)
	}
	timeout;
	somebody_watches = (!(works[0] || works[1]) || asleep_count == 0 ||
	    KEEPS(0) || (watch[0] == FREE && KEEPS(1)));
	assert(somebody_watches)
}
