/* SPDX-License-Identifier: MIT */
/*
 * chan_close.pml - a channel is closed while others send and receive.
 *
 * Of: chan.c (chan_wait, chan_close), chan.h (chan_put, chan_get and their
 * rests).  A rendezvous: one sends, one receives, one closes, and both waits
 * may be cancelled.  A value passes from frame to frame after the lock has been
 * let go.  Statements in atomic { } are one section of c->lock.
 *
 * BUG_NO_LOCK		everybody_returns: the close looks at the queues, and
 *			then says that the channel is closed
 * BUG_NO_CLAIM		no_value_is_lost: the peer is not claimed
 * BUG_WAKE_FIRST	frame_is_alive: the peer is woken before its value is
 *			copied
 * BUG_STAYS_QUEUED	frame_is_alive: a cancelled wait leaves its waiter
 */
#define SEND	0
#define RECV	1

bool closed;
bool queued[2], alive[2], woken[2];
byte park[2];			/* odd: waits */
bool failed[2];			/* by a close, or cancelled */
bool sent, received, copied;
byte returned;

bool frame_is_alive = true, no_value_is_lost = true, everybody_returns = true;

inline touch(i)
{
	d_step { frame_is_alive = alive[i]; assert(frame_is_alive) }
}

inline claim(i, won)
{
#ifdef BUG_NO_CLAIM
	won = true;
#else
	won = (park[i] == 1);
#endif
	park[i] = 2
}

/* waitq_claim, in the section of who calls */
inline take_peer(i, won)
{
	won = false;
	if
	:: queued[i] ->
		frame_is_alive = alive[i];
		assert(frame_is_alive);
		queued[i] = false;
		claim(i, won)
	:: else
	fi
}

inline operation(me, peer, done)
{
	atomic {			/* chan_put, chan_get */
		take_peer(peer, won);
		wait = !won && !closed;
		if
		:: wait ->		/* chan_wait */
			alive[me] = true;
			queued[me] = true;
			park[me] = 1
		:: else
		fi
	};
	if
	:: won ->
#ifdef BUG_WAKE_FIRST
		woken[peer] = true;
#endif
		touch(peer);		/* the rest: copies, wakes */
		copied = true;
#ifndef BUG_WAKE_FIRST
		woken[peer] = true;
#endif
		done = true
	:: wait ->
		woken[me];
#ifndef BUG_STAYS_QUEUED
		if
		:: failed[me] -> atomic { queued[me] = false }
		:: else
		fi;
#endif
		alive[me] = false;
		done = !failed[me]
	:: else				/* -EPIPE */
	fi;
	returned++
}

active proctype sender()
{
	bool won, wait;

	operation(SEND, RECV, sent)
}

active proctype receiver()
{
	bool won, wait;

	operation(RECV, SEND, received)
}

active proctype closer()		/* chan_close */
{
	bool won[2];

#ifndef BUG_NO_LOCK
	atomic {
		closed = true;
		take_peer(SEND, won[0]);
		take_peer(RECV, won[1])
	};
#else
	atomic { take_peer(SEND, won[0]) };
	atomic { take_peer(RECV, won[1]) };
	closed = true;
#endif
	if
	:: won[0] -> failed[SEND] = true; woken[SEND] = true
	:: else
	fi;
	if
	:: won[1] -> failed[RECV] = true; woken[RECV] = true
	:: else
	fi
}

active [2] proctype canceller()
{
	byte i;
	bool won;

	i = _pid - 3;
	if
	:: atomic { park[i] == 1 -> park[i] = 2; failed[i] = true };
		woken[i] = true
	:: skip
	fi
}

active proctype monitor()
{
	timeout;
	everybody_returns = (returned == 2);
	assert(everybody_returns);
	no_value_is_lost = (sent == received && sent == copied);
	assert(no_value_is_lost)
}
