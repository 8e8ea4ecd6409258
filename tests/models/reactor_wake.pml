/* SPDX-License-Identifier: MIT */
/*
 * reactor_wake.pml - a wake-up for who sleeps in his loop is not lost.
 *
 * Of: reactor.c (reactor_wake, wake_event, reactor_post, run_posts,
 * reactor_poll).  Two others have work for the owner of the loop: one posts
 * it, which whoever runs the loop does; one publishes it where only the owner
 * looks (a pinned task in his inbox).  Another worker may run the loop for a
 * moment.
 *
 * BUG_CLEAR_FIRST	nothing_is_left: the flag is cleared, then the eventfd
 *			emptied
 * BUG_LOOK_FIRST	nothing_is_left: the owner looks for work, then empties
 *			and clears
 * BUG_OTHER_EMPTIES	nothing_is_left: another worker's poll empties and
 *			clears too
 * BUG_OTHER_DRAINS	nothing_is_left: it empties, and does not clear
 */
byte posts, inbox;
bool woken, event_fd, turn;

bool nothing_is_left = true;

inline wake()
{
	atomic { was = woken; woken = true };
	if
	:: !was -> event_fd = true	/* write(2) */
	:: else
	fi
}

active [2] proctype poster()
{
	bool was;

	posts++;
	wake();
	posts++;
	wake()
}

active [2] proctype sender()
{
	bool was;

	inbox++;
	wake()
}

inline forget()
{
#ifdef BUG_CLEAR_FIRST
	woken = false;
	event_fd = false
#else
	event_fd = false;
	woken = false
#endif
}

active proctype owner()
{
	do
	:: atomic { !turn -> turn = true };
end:		event_fd;		/* ev_run sleeps */
#ifdef BUG_LOOK_FIRST
		posts = 0;
		inbox = 0;
		forget();
		turn = false
#else
		forget();		/* wake_event */
		posts = 0;		/* run_posts */
		turn = false;
		inbox = 0		/* sched_take_inbound */
#endif
	:: turn ->			/* -EBUSY: looks for work all the same */
		inbox = 0
	od
}

active proctype other()
{
	byte i;

	for (i : 1 .. 2) {
		if
		:: atomic { !turn -> turn = true };
#ifdef BUG_OTHER_EMPTIES
			if
			:: event_fd -> forget()
			:: else
			fi;
#endif
#ifdef BUG_OTHER_DRAINS
			event_fd = false;
#endif
			posts = 0;
			turn = false
		:: turn
		fi
	}
}

active proctype monitor()
{
	timeout;
	nothing_is_left = (posts == 0 && inbox == 0);
	assert(nothing_is_left)
}
