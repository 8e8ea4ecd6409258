/* SPDX-License-Identifier: MIT */
/*
 * solo_lock.pml - a lone worker goes without locks, until somebody comes.
 *
 * Of: lock.h (SOLO: solo_enter, lock_take, lock_drop), lock.c (co__solo_begin,
 * co__solo_end, co__foreign_enter, co__awake_enter).
 *
 * The worker twice tries to begin a solo and then goes through a section, and
 * may sleep in between.  Another worker goes through one, sleeps, and goes
 * through one more; a thread that is none goes through one.  The worker's plain
 * stores are in a buffer; a heavy barrier of another thread and its own atomic
 * operations empty that.
 *
 * BUG_LIGHT_END	word_tells: co__solo_end has a light barrier, so that one
 *			is inside by the lock and one without
 * BUG_NO_WAIT		one_inside: it does not wait for crit
 * BUG_NO_COUNT		word_tells: a solo begins without asking whether another
 *			thread is inside a section
 * BUG_LOOK_ONCE	word_tells: solo_enter does not look at co__solo again
 *			once crit is set
 * BUG_NO_AWAKE		word_tells: a solo begins without asking whether another
 *			worker is awake
 * BUG_WAKES_QUIETLY	word_tells: a worker that wakes does not end the solo
 */
mtype = { CRIT, COUNT };

bool crit, solo, shared = true, word, mutex;
byte foreign, awake = 2, count, counts;
bool worker_in;
byte others_in;
chan buffer = [4] of { mtype, byte };

bool one_inside = true, word_tells = true, nothing_lost = true;

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
		one_inside = (worker_in + others_in < 2);
		assert(one_inside)
	}
}

inline solo_begin()
{
	atomic { !mutex -> mutex = true };
	shared = false;
	empty(buffer);			/* a fence of its own */
	if
#ifndef BUG_NO_COUNT
	:: foreign > 0 -> shared = true
#endif
#ifndef BUG_NO_AWAKE
	:: awake != 1 -> shared = true
#endif
	:: else -> solo = true
	fi;
	mutex = false
}

inline solo_end()
{
	atomic { !mutex -> mutex = true };
	was = solo;
	solo = false;
	if
	:: was ->
#ifndef BUG_LIGHT_END
		empty(buffer);		/* a_heavy_barrier() */
#endif
#ifndef BUG_NO_WAIT
		!crit
#else
		skip
#endif
	:: else
	fi;
	shared = true;
	mutex = false
}

active proctype worker()
{
	byte mine, i;
	bool elided, was;

	for (i : 1 .. 2) {
		if
		:: shared -> solo_begin()	/* co__solo_try */
		:: else
		fi;
		elided = solo;		/* lock_take: solo_enter */
		if
		:: elided ->
			buffer!CRIT(1);
#ifndef BUG_LOOK_ONCE
			elided = solo;	/* after a_light_barrier() */
			if
			:: !elided -> buffer!CRIT(0)
			:: else
			fi
#endif
		:: else
		fi;
		if
		:: !elided -> atomic { !word && empty(buffer) -> word = true }
		:: else
		fi;
		worker_in = true;
		check();
		atomic { mine = (counts > 0 -> mine : count) };
		mine++;
		atomic { counts++; buffer!COUNT(mine) };
		d_step {		/* lock_drop */
			word_tells = (elided == !word);
			assert(word_tells)
		};
		worker_in = false;
		if
		:: elided -> buffer!CRIT(0)
		:: else -> atomic { empty(buffer) -> word = false }
		fi;
		if
		:: true -> atomic { empty(buffer) -> awake-- };
			atomic { empty(buffer) -> awake++ };
			if		/* co__awake_enter */
			:: !shared && !solo -> solo_end()
			:: else
			fi
		:: true
		fi
	}
}

inline section()
{
	atomic { !word -> word = true };
	others_in++;
	check();
	n = count;
	count = n + 1;
	others_in--;
	word = false
}

active proctype sleeper()
{
	byte n;
	bool was;

	section();
	awake--;
	awake++;			/* co__awake_enter */
#ifndef BUG_WAKES_QUIETLY
	if
	:: !shared -> solo_end()
	:: shared
	fi;
#endif
	section()
}

active proctype other()
{
	byte n;
	bool was;

	foreign++;			/* co__foreign_enter */
	if
	:: !shared -> solo_end()
	:: shared
	fi;
	section();
	foreign--
}

active proctype monitor()
{
	timeout;
	nothing_lost = (count == 5 && empty(buffer));
	assert(nothing_lost)
}
