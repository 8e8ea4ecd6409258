/* SPDX-License-Identifier: MIT */
/*
 * fd_close.pml - a descriptor is closed while others use and wait for it.
 *
 * Of: fd.c (F3, F4: fd_enter, fd_leave, co_close), fd_wait.c (fd_wait,
 * co__fd_event), fd.h (STATES).  A reader is in a call on the number; somebody
 * closes it; as soon as the kernel has it back it stands for another file, and
 * a second reader waits for that.  A note of the loop about the first file may
 * be late.  Statements in atomic { } are one section of f->lock.
 *
 * BUG_CLOSE_AT_ONCE	new_file_is_usable: co_close does not wait for users
 * BUG_NO_GENERATION	event_is_of_this_file: any note counts
 * BUG_FREE_LAST	new_file_is_usable: the record is freed after close(2)
 * BUG_NO_RECHECK	everybody_knows: fd_wait does not look at the state
 */
mtype = { FREE, OPEN, CLOSING };

mtype state = OPEN;
byte gen = 1, users = 1;	/* the reader is in a call */
byte waiter;			/* 0: nobody; else the reader of that file */
byte file = 1;			/* what the number stands for; 0: nothing */
byte note;			/* the generation that the loop noted; 0: no */
bool woken[3], closed[3];
bool data;			/* there is something to read in file 1 */
bool left;

bool number_is_ours = true, event_is_of_this_file = true,
    new_file_is_usable = true, everybody_knows = true;

/* read(2), by the reader of `mine`. */
inline system_call(mine)
{
	d_step { number_is_ours = (file == mine); assert(number_is_ours) }
}

inline leave()
{
	atomic {			/* fd_leave */
		users--;
		last = (users == 0 && state == CLOSING);
#ifndef BUG_FREE_LAST
		state = (last -> FREE : state)
#endif
	};
	close_num()
}

/* close(2); the last one does it. */
inline close_num()
{
	if
	:: last ->
#ifndef BUG_CLOSE_AT_ONCE
		file = 0;
#endif
#ifdef BUG_FREE_LAST
		state = FREE
#endif
	:: else
	fi
}

/* The loop of file 1: notes an event, and tells of it later. */
active proctype loop()
{
	byte noted;
	bool won;

	do
	:: atomic { waiter == 1 && !data -> data = true; noted = 1 };
		atomic {		/* co__fd_event */
#ifndef BUG_NO_GENERATION
			won = (noted == gen && state == OPEN && waiter > 0);
#else
			won = (state == OPEN && waiter > 0);
#endif
			if
			:: won ->
				event_is_of_this_file = (waiter == 1);
				assert(event_is_of_this_file);
				woken[waiter] = true;
				waiter = 0
			:: else
			fi
		}
	:: break
	od
}

active proctype closer()		/* co_close */
{
	bool last, won;

	atomic {
		state = CLOSING;
		gen++;
		won = (waiter == 1);
		closed[1] = won;
		waiter = 0;
		last = (users == 0);
#ifndef BUG_FREE_LAST
		state = (last -> FREE : state)
#endif
	};
#ifdef BUG_CLOSE_AT_ONCE
	file = 0;
#endif
	close_num();
	if
	:: won -> woken[1] = true
	:: else
	fi
}

active proctype second()
{
end1:	atomic { file == 0 -> file = 2 };	/* socket(2) gives the number */
	atomic {				/* fd_enter, first_use */
		new_file_is_usable = (state != CLOSING);
		assert(new_file_is_usable);
		state = OPEN;
		gen++;
		users++
	};
	system_call(2);
	atomic { waiter = 2 };
end2:	woken[2]
}

active proctype reader()
{
	bool last;

	do
	:: system_call(1);
		if
		:: data -> break
		:: else
		fi;
		atomic {		/* fd_wait */
#ifndef BUG_NO_RECHECK
			if
			:: state != OPEN -> break
			:: else
			fi;
#endif
			waiter = 1
		};
		woken[1] -> woken[1] = false;
		if
		:: closed[1] -> break
		:: else
		fi
	od;
	leave();
	left = true
}

active proctype monitor()
{
	timeout;
	everybody_knows = left && file == 2;
	assert(everybody_knows)
}
