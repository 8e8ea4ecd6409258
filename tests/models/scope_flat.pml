/* SPDX-License-Identifier: MIT */
/*
 * scope_flat.pml - the root scope ends while its children come and go.
 *
 * Of: scope_child.h, scope_end.c (FLAT: flat_add, flat_remove, flat_visit,
 * wait_children).  The root scope keeps no list.  Child 0, which worker 0 has
 * spawned, runs on worker 1 and spawns child 1, which runs on worker 0.  Each
 * ends when it is cancelled, or before.  Meanwhile the main coroutine ends the
 * scope and leaves it.  The stores of both workers are in buffers, in order.
 *
 * BUG_LIGHT_END	record_is_live: E2 is a light barrier
 * BUG_NO_LOOK		root_is_left: who ends does not look whether the scope
 *			has ended
 * BUG_NO_OWN_LOCK	record_is_live: it does not take its own lock
 * BUG_LOOK_FIRST	root_is_left: who ends looks first, then counts
 */
mtype = { ID, FLAT };

bool id[2];			/* of the children */
short flat[2];			/* of the workers */
chan buffer[2] = [4] of { mtype, byte, short };
bool live[2];			/* the record is this child's */
bool own_lock[2], lock;		/* of the children, of the main coroutine */
bool marked[2];			/* the child's `ended` */
byte children = 1;
bool ended;			/* the scope's */
bool queued, waits, woken, left;

bool root_is_left = true, record_is_live = true, all_have_ended = true;

proctype memory(byte w)
{
	byte i;
	short v;

end:	do
	:: atomic { buffer[w]?ID(i, v) -> id[i] = v }
	:: atomic { buffer[w]?FLAT(i, v) -> flat[i] = v }
	od
}

inline flat_remove(c)
{
#ifdef BUG_LOOK_FIRST
	late = ended;
#endif
	buffer[me]!ID(c, 0);
	mine--;
	atomic { children--; buffer[me]!FLAT(me, mine) };	/* F1 */
#ifndef BUG_LOOK_FIRST
	late = ended;						/* F3 */
#endif
#ifdef BUG_NO_LOOK
	late = false;
#endif
	if
	:: late ->			/* flat_left_late */
#ifndef BUG_NO_OWN_LOCK
		atomic { !own_lock[c] && empty(buffer[me]) ->
			own_lock[c] = true };
		own_lock[c] = false;
#endif
		atomic { !lock && empty(buffer[me]) -> lock = true };
		wake = waits;
		waits = false;
		lock = false;
		if
		:: wake -> woken = true
		:: else
		fi
	:: else
	fi;
	live[c] = false			/* task_free */
}

proctype worker(byte me)
{
	bool wake, late;
	short mine;

	mine = 1 - me;
	if
	:: me == 1 ->			/* child 0 spawns: flat_add */
		live[1] = true;
		buffer[1]!ID(1, 1);
		mine++;
		atomic { children++; buffer[1]!FLAT(1, mine) };	/* F1 */
		if						/* F3 */
		:: ended -> flat_remove(1)
		:: else -> queued = true
		fi
	:: else ->
end:		queued && empty(buffer[1])	/* runq_steal */
	fi;
	if
	:: marked[1 - me]		/* a wait that is cancelled */
	:: skip
	fi;
	flat_remove(1 - me)
}

inline visit(c)				/* flat_visit */
{
	if
	:: id[c] ->
		atomic { !own_lock[c] -> own_lock[c] = true };
		if
		:: id[c] ->
			marked[c] = true;
			d_step {
				record_is_live = live[c];
				assert(record_is_live)
			}
		:: else
		fi;
		own_lock[c] = false
	:: else
	fi
}

proctype main()
{
	ended = true;					/* E1 */
#ifndef BUG_LIGHT_END
	empty(buffer[0]);				/* E2 */
	empty(buffer[1]);
#endif
	visit(0);					/* E3 */
	visit(1);
	do				/* wait_children */
	:: atomic { !lock -> lock = true };
		all_have_ended = (flat[0] == 0);
		if
		:: flat[1] + (all_have_ended -> 0 : flat[0]) == 0 -> break
		:: else
		fi;
		waits = true;
		lock = false;
		woken;
		woken = false
	od;
	lock = false;
	all_have_ended = (children == 0);
	assert(all_have_ended);
	left = true
}

init {
	atomic {
		id[0] = true;
		flat[0] = 1;
		live[0] = true;
		run memory(0);
		run memory(1);
		run worker(0);
		run worker(1);
		run main()
	}
	timeout;
	root_is_left = left;
	assert(root_is_left)
}
