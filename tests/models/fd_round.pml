/* SPDX-License-Identifier: MIT */
/*
 * fd_round.pml - news from before a wait began does not end it; later news does.
 *
 * Of: reactor.c (run_loop, serve_fired), fd_wait.c (take_event, fd_enqueue; F2
 * and F5 in fd.c).  The loop notes what the kernel told, and serves the note
 * some time later.  In between the only reader may read what was there, look,
 * find nothing and wait.  He is on the loop's worker, where nothing runs
 * between the kernel's answer and its count, or on another; there the answer
 * may grow old in that moment.
 *
 * BUG_ANY_ROUND	no_old_news: the rounds are not compared
 * BUG_COUNT_LATE	no_old_news: the round is counted when it is served
 * BUG_EDGE	nothing_is_left: the kernel tells of each change once
 * BUG_UNLIT	nothing_is_left: news that was left out counts as wanted by
 *		nobody
 */
bool level;			/* there is something to read */
bool lit;			/* the loop looks for it */
bool told;			/* only BUG_EDGE */
byte rounds, strikes;
bool waiting, woken;
byte began;			/* waiter.round */
bool same_worker;

bool no_old_news = true, nothing_is_left = true;

active proctype peer()
{
	byte i;

	for (i : 1 .. 3) {
		atomic { !level -> level = true; told = false }
	}
}

active proctype reader()
{
	byte got;

	if
	:: same_worker = true
	:: skip
	fi;
	do
	:: got == 3 -> break
	:: else ->
		if
		:: atomic { level -> level = false }; got++
		:: !level ->
			atomic {	/* fd_enqueue; the lock is held */
				waiting = true;
				woken = false;
				began = rounds;
				lit = true
			};
			woken;
			no_old_news = no_old_news && (level || !same_worker)
		fi
	od
}

inline nobody_wants_it()
{
	strikes++;
	if
	:: strikes == 2 -> strikes = 0; lit = false
	:: else
	fi
}

#ifdef BUG_ANY_ROUND
#define ANY_ROUND	true
#else
#define ANY_ROUND	false
#endif
#ifdef BUG_COUNT_LATE
#define count(now)	skip
#define count_late()	rounds++
#else
#define count(now)	if :: now -> rounds++ :: else fi
#define count_late()	skip
#endif

active proctype loop()
{
	bool note;

end:	do
	:: atomic {			/* run_loop */
			!note && lit && level && !told ->
			note = true;
#ifdef BUG_EDGE
			told = true;
#endif
			count(same_worker)
		};
		count(!same_worker)
	:: note ->
		atomic {		/* co__fd_event; the lock is held */
			note = false;
			count_late();
			if
			:: waiting && (began < rounds || ANY_ROUND) ->
				waiting = false;
				woken = true;
				strikes = 0
			:: waiting && !(began < rounds || ANY_ROUND) ->
#ifdef BUG_UNLIT
				nobody_wants_it();
#endif
				skip
			:: !waiting -> nobody_wants_it()
			fi
		}
	od
}

active proctype monitor()
{
	timeout;
	nothing_is_left = !(waiting && level);
	assert(no_old_news);
	assert(nothing_is_left)
}
