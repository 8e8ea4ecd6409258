/* SPDX-License-Identifier: MIT */
/*
 * explore_inside.h - what the files of the explorer share.
 */
#ifndef WEFT_EXPLORE_INSIDE_H
#define WEFT_EXPLORE_INSIDE_H

#include <setjmp.h>
#include <ucontext.h>

#include "explore.h"

enum { NOBODY = -1, MEMORY = 8192, MOST_OPS = 20000 };

/* --- explore_memory.c: what each thread sees ------------------------------ */

/* Nothing is shared. */
void memory_reset(void);
/* What setup has made is what everybody sees. */
void memory_begin(void);
/* Where in the shared memory; a violation if nowhere. */
unsigned memory_find(const struct explore_site *at, const void *p, size_t size);
/* Thread t runs: what it has stored plainly goes into its buffer. */
void memory_sync(int t);
/* From here on the objects are what t sees; it was synced before. */
void memory_show(int t);
/* t, which runs, has stored there. */
void memory_stored(int t, unsigned at, size_t size);
/* The same, but that store overtakes those before it. */
void memory_overtakes(int t, unsigned at, size_t size);
/* The object is changed, of all threads at once; the buffer of t is empty. */
void memory_changed(int t, unsigned at, size_t size);
/* t is about to look there: the explorer chooses what has come to memory;
   `must`: something that it does not see yet. */
void memory_look(int t, unsigned at, size_t size, bool must);
/* Is there something? */
bool memory_awaits(int t, unsigned at, size_t size);
/* The whole buffer of t comes to memory; `who` runs. */
void memory_drain(int t, int who);
bool memory_pending(int t);
/* Does it matter when t reads or writes there?  Learns that it does. */
bool memory_matters(int t, unsigned at, size_t size, bool writes);
/* Forgets what was learned: another model. */
void memory_forget(void);
/* Has anything been learned since this was last asked? */
bool memory_learned(void);
uint64_t memory_value(unsigned at, size_t size);

/* --- explore_thread.c ----------------------------------------------------- */

enum { LOOKS = 4 };		/* loads in a loop that spins; a guess */

enum state { READY, SPINS, WAITS, ENDED };

struct look {
	unsigned at;
	size_t size;
	bool news;		/* others have stored there since */
};

struct thread {
	ucontext_t ctx;
	enum state state;
	bool (*ready)(void *);	/* WAITS */
	void *arg;
	struct look looks[LOOKS];	/* the last ones */
	unsigned nlooks;
	struct look spun[LOOKS];	/* those before it spun ... */
	bool stale;		/* ... and it goes on for what is there in a
				   buffer: its next look there must find it */
	const char *impatient;	/* the function that it counts down in */
	/* The operation that it is in. */
	struct explore_site *site;
	void *object;
	unsigned at;
	size_t size;
	uint64_t scratch;	/* a bug puts a value there, or takes it */
	uint64_t before;	/* what its last load gave */
	bool split;
	/* LATER: a store that waits for so many loads; 0: none. */
	uint64_t held;
	void *held_object;
	unsigned held_at;
	size_t held_size;
	uint64_t held_value;
};

extern struct thread threads[EXPLORE_THREADS];

/* Runs the threads of the model until they have ended, or a violation. */
void threads_run(void);
/* Before an operation: others may come in. */
void schedule(bool matters);
/* The current thread cannot go on, or has ended. */
void block(enum state state);
/* A store by t has come to memory: who spins on it goes on. */
void came(int t, unsigned at, size_t size);
/* t looks there, in an operation. */
void looked(struct thread *t, unsigned at, size_t size);
/* It goes on after it spun. */
void spun(struct thread *t);
/* Must this look find what is not in memory yet? */
bool must_find(struct thread *t, unsigned at, size_t size);
/* Does it spin in the function that counts? */
bool counts_down(const struct explore_site *at);

/* --- explore_op.c --------------------------------------------------------- */

/* The end of a thread is an operation too. */
void operation_end(void);

/* --- explore.c ------------------------------------------------------------ */

/* The exploration, and the schedule that is being run. */
extern struct explorer {
	const struct explore_model *model;
	const struct explore_bug *bug;
	int bound;
	int nthreads, current;
	unsigned op;		/* the number of the operation */
	unsigned which;		/* choices made before it */
	int preemptions;
	int forced;		/* counts that had to run out */
	bool replaying;
	unsigned round;		/* of a bug; see struct explore_site */
	unsigned sites;		/* where the bug may be: met in this round */
	bool applied;		/* the bug was met */
	char violation[256];	/* "": none so far */
	jmp_buf jump;		/* out of setup or end */
} ex;

/* 0 ... n - 1, all of them in the course of time. */
int choose(int n);
int choose_first(int n);	/* the one before all others */

#endif
