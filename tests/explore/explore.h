/* SPDX-License-Identifier: MIT */
/*
 * explore.h - a model checker for models in C, of the real code.
 *
 * The threads of a model are contexts in one process.  Before each operation of
 * atomic.h the explorer chooses who goes on, and runs the model again and again
 * until it has taken every choice: all schedules with at most 3
 * preemptions; changes where a thread waits, spins or ends are free.
 *
 * MEMORY is that of x86: a store goes into a buffer of its thread, in order,
 * and its thread sees it at once.  It comes to memory when that makes a
 * fence or an atomic read-modify-write, when another makes a heavy barrier, and
 * else when the explorer chooses.  It chooses at the last moment: when somebody
 * looks at that place, or stores over it.  Until then nobody can tell.  Plain
 * stores of the code to what is shared (explore_share) are found by comparing,
 * at the next operation, and go the same way.  Plain loads are not seen: code
 * that is right orders them by others; that it does is not checked.
 *
 * A model is asked about a thread only before an operation on what another
 * thread touches too, and one of them writes; what that is, is learned: when
 * an operation shows more of it, all begins anew.
 *
 * SPINNING (a_pause): the thread goes on when another one has stored where it
 * has looked, at one of its last four places.  If that store is still in a
 * buffer, its next look there makes it come to memory: so no loop goes round
 * for nothing.  Where nobody can run, all stores come to memory; if that helps
 * nobody, it is a violation.
 *
 * BUGS are planted in single operations, at run time: see struct explore_bug.
 *
 *	WEFT_EXPLORE='model bug choices'	runs that schedule only, with a
 *				trace; a failure says what to write there
 *	WEFT_EXPLORE_BOUND=n	as many preemptions, not 3
 */
#ifndef WEFT_EXPLORE_H
#define WEFT_EXPLORE_H

#include <stdint.h>

#include "explore_atomic.h"

enum { EXPLORE_THREADS = 3 };

enum explore_how {
	ITSELF,		/* the model asks explore_bug() */
	LEFT_OUT,	/* a store, a fence, a barrier is not there; a CAS
			   does nothing and says that it succeeded */
	FORGED,		/* a load gives `value`, another operation writes it;
			   a CAS succeeds in any case */
	SPLIT,		/* a read-modify-write is a load and a store */
	AS_BEFORE,	/* a load gives what the one before it gave */
	LATER,		/* a store is made after its thread's next load; with
			   `value`, so many loads later */
	EARLIER		/* a store overtakes those before it */
};

struct explore_bug {
	const char *name;
	const char *says;	/* part of the violation that it must cause;
				   "": any */
	enum explore_how how;
	enum explore_op op;	/* the operation of this kind ... */
	const char *func;	/* ... in this function ... */
	const char *what;	/* ... on this address, as it is written there,
				   or NULL: any */
	unsigned nth;		/* of several: in the order in which they are
				   met; 0: all of them */
	uint64_t value;
	uint64_t instead_of;	/* a load is forged only where it gives this */
};

/* One of those, in an operation; then .nth and what is below it. */
#define BUG_AT(is, must_say, in_which_way, kind, function, address, ...) \
	{ .name = is, .says = must_say, .how = in_which_way, .op = kind, \
	    .func = function, .what = address, ##__VA_ARGS__ }
/* One that the model has. */
#define BUG_ITSELF(is, must_say)	{ .name = is, .says = must_say }
#define BUG_LAST			{ .name = NULL }

struct explore_model {
	const char *name;
	void (*setup)(void);	/* before each schedule */
	void (*thread[EXPLORE_THREADS])(void);
	void (*end)(void);	/* all threads have ended */
	void (*enter)(int thread);	/* may be NULL: it goes on here */
	const char *patience;	/* the function whose a_pause may also give up:
				   its loop counts */
	const struct explore_bug *bugs;	/* the last has no name */
};

/* All of the model and each of its bugs; fails as a test does. */
void explore(const struct explore_model *m);

/* In setup: this is shared.  Of what is not, no operation may be made. */
void explore_share(void *p, size_t size);
/* The same, but nobody changes place with anybody at it. */
void explore_share_quietly(void *p, size_t size);
/* The same, but an operation on it is a violation: for what a thread looks at
   that uses memory after its end. */
void explore_forbid(const void *p, size_t size);

int explore_self(void);		/* 0 ... ; -1: in setup and end */
bool explore_bug(const char *name);

/* Others may come in here. */
#define explore_point()		explore_stop(explore__site(OP_POINT, ""))
void explore_stop(struct explore_site *at);

/* Waits until ready(arg), which looks only at what is not shared: the model's
   own notes, which all threads see at once. */
#define explore_wait(ready, arg) \
	explore_until(explore__site(OP_WAIT, #ready), (ready), (arg))
void explore_until(struct explore_site *at, bool (*ready)(void *), void *arg);

#define explore_assert(cond, says) do { \
	if (!(cond)) \
		explore_violation((says), __FILE__, __LINE__); \
} while (0)
void explore_violation(const char *says, const char *file, int line);

#endif
