/* SPDX-License-Identifier: MIT */
/*
 * worker.h - a worker thread and the runtime that it belongs to.
 *
 * Layer 4.  Written by worker.c, sched.c, runtime.c; read by those above.
 */
#ifndef WEFT_WORKER_H
#define WEFT_WORKER_H

#include "os.h"
#include "runq.h"
#include "timer.h"

struct reactor;

/*
 * What the scheduler needs from the layers above it, handed down by runtime.c:
 * of the reactor (layer 7) ...
 *
 * poll: runs the loop once; wait_ns < 0: for ever, 0: not at all.  wake: from
 * any thread, the poll that runs or the next one returns.  waits: something
 * outside may still make a task runnable.
 */
struct reactor_ops {
	int (*make)(struct reactor **ret, struct worker *w);
	void (*free)(struct reactor *r);
	int (*poll)(struct reactor *r, int64_t wait_ns);
	void (*wake)(struct reactor *r);
	bool (*waits)(struct reactor *r);
};

/* ... and of others. */
struct hooks {
	void (*scope_expired)(struct co_scope *s);
	/* Everybody sleeps: is it for ever?  When to look again, ns; < 0:
	   when somebody wakes us. */
	int64_t (*all_asleep)(struct runtime *rt);
	/* Housekeeping that one worker does now and then, on its own stack;
	   the time to come again. */
	co_time (*tidy)(struct worker *w);
	/* Where w->census: t, which has ended, has left its stack. */
	void (*stack_left)(struct worker *w, const struct task *t);
	/* The signals that rt catches reach the calling thread from now on. */
	void (*let_in)(struct runtime *rt, uint32_t *let_in);
};

enum {
	WORKERS_MAX = 1024,
	TURN_PICKS = 256,
	HELP_FROM = 2,		/* waiting tasks, as a rule */
	WATCHES = 2,
	SPIN_TIME = 40 * 1000	/* ns: about what it costs to be woken */
};

struct look {			/* what a thief saw of a victim */
	co_time at;		/* of the first of two looks; 0: none */
	uint64_t ticks;		/* of the victim, then */
};

struct worker_stats {		/* [owner; read by anybody] */
	uint64_t spawned, ended, steals, stolen, sleeps, polls, timers,
	    gathers;
};

/* Plain stores that others may read. */
#define stat_add(w, field, n) \
	a_store_relaxed(&(w)->stats.field, (w)->stats.field + (uint64_t)(n))

struct worker {
	struct self self;		/* first: self_get()->worker's own */
	struct runtime *rt;		/* [const] */
	uint32_t index;			/* [const] */
	int32_t turn_picks;		/* [owner] so many are a turn */
	uint32_t turns;			/* [owner] */
	bool go_native;			/* [owner] poll before the next task */
	uint32_t help_from;		/* [owner; read by all] so many that
					   wait are worth a thief */
	struct task *prev;		/* [owner] whom it switched away from */
	struct task *dead;		/* [owner] ended, still on its stack */
	struct task *pending;		/* [owner] picked, may be on_cpu yet */
	struct context ctx;		/* [owner] the thread's own stack */
	struct runq runq;
	struct timers timers;
	struct stack_cache stacks;	/* [owner] */
	struct task *free_tasks;	/* [owner] */
	uint32_t free_count;		/* [owner] */
	uint64_t next_id, end_id;	/* [owner] a block of ids */
	co_time now;			/* [owner] as of the last turn */
	co_time polled;			/* [owner] last reactor poll */
	co_time cache_trimmed;		/* [owner] last stack_cache_trim */
	co_time looked;			/* [owner] at others, being busy */
	uint64_t random;		/* [owner] */
	co_time help_at;		/* [owner] no call for help before */
	co_time help_gap;		/* [atomic] doubled; reset by thieves */
	co_time watch_gap;		/* [owner] */
	struct look *looks;		/* [owner] what it saw of the others */
	struct reactor *reactor;	/* [const] */
	struct os_thread thread;	/* [runtime.c] */
	int tid;			/* [atomic] its thread writes it, the
					   watchdog reads it; 0: none */
	bool refused;			/* [owner] watchdog.c */
	uint32_t let_in;		/* [owner] of rt->caught */
	bool census;			/* [const] CO_STACK_CENSUS */
	int64_t flat;			/* [owner; read at the end] children of
					   the root scope: begun less ended */
	struct worker_stats stats;
	/* Touched by others. */
	uint32_t asleep cache_aligned;	/* [atomic] 1: in its reactor's poll,
					   to be woken; who makes it 0 wakes */
	struct lock inbox_lock;		/* LOCK_INJECT */
	struct tasklist inbox;		/* [inbox_lock] pinned, from others */
	uint32_t inbox_count;		/* [atomic] */
	uint64_t seen_ticks;		/* [atomic; who watches] */
	co_time seen_at;		/* [who watches] */
};

struct runtime {
	struct worker *workers;		/* [const] */
	uint32_t nworkers;		/* [const] */
	uint32_t over;			/* [atomic] workers are to end */
	uint32_t starting;		/* [atomic] threads that have not said
					   whether they can work */
	int start_code;			/* [atomic] why one of them can not */
	uint32_t asleep_count cache_aligned;	/* [atomic] */
	uint32_t roused;		/* [atomic] sleepers ever taken out of
					   their sleep; wraps */
	uint32_t searching;		/* [atomic] */
	co_time gathered;		/* [atomic] when a worker last took all
					   from one it quarrelled with */
	uint32_t watch[WATCHES];	/* [atomic] sleepers that watch the
					   busy: worker.c */
	uint32_t inject_count cache_aligned;	/* [atomic] */
	struct lock inject_lock;	/* LOCK_INJECT */
	struct tasklist inject;		/* [inject_lock] from foreign threads */
	uint32_t outsiders;		/* [atomic] threads of others that wake
					   one of ours: it ends after them */
	uint64_t next_id;		/* [atomic] ids given to workers */
	uint64_t live;			/* [atomic] tasks that have not ended;
					   kept by the slab's callers */
	co_time recalled;		/* [atomic] last worker_recall_stacks */
	co_time tidy_at;		/* [atomic] next hooks.tidy; CO_FOREVER
					   while somebody is at it */
	uint64_t tidy_picks;		/* [who tidies; read by all] picks of
					   all workers, then */
	struct slab_chunk *trim_next;	/* [who tidies] trim.c */
	uint64_t trim_faults;		/* [who tidies] trim.c */
	bool trim_again;		/* [who tidies] trim.c */
	bool trim_more;			/* [who tidies; read by anybody] */
	uint32_t forced;		/* [atomic] deadlock.c; not 0: no
					   shield holds */
	uint32_t max_searching;		/* [const] */
	co_time spin_time;		/* [const] of a search before sleep */
	size_t default_stack;		/* [const] */
	bool reuse_stacks;		/* [const] a coroutine hands its stack
					   on, if it is of default_stack */
	unsigned flags;			/* [const] of co_options */
	int blocking_threads;		/* [const] */
	co_time watchdog_time;		/* [const] 0: none */
	void *watchdog;			/* [const] watchdog.c */
	struct stack_pool *stacks;	/* [const] */
	struct lock slab_lock;		/* LOCK_SLAB */
	struct slab_chunk *chunks;	/* [slab_lock; list grows at its head,
					   read without it by dumps] */
	struct task *free_tasks;	/* [slab_lock] */
	const struct reactor_ops *reactor;	/* [const] */
	const struct hooks *hooks;	/* [const] */
	void *blocking;			/* [blocking.c] its pool */
	void *signals;			/* [signal.c] */
	uint32_t caught;		/* [atomic; signal.c] how often it began
					   to catch a signal */
	co_fn *fn;			/* [const] */
	void *arg;			/* [const] */
	int result;			/* [main task] */
	bool deadlocked;		/* [who set forced; read at the end] */
	struct co_scope root;
	struct runtime *next;		/* [LOCK_RUNTIME] all that run */
};

/* The worker whose thread this is; NULL on a thread that is not ours.  Not to
   be kept across a wait. */
static inline struct worker *
worker_self(void)
{
	return self_get()->worker;
}

/* The worker that s, which is no other thread's, is of: one load less than
   s->worker. */
static always_inline struct worker *
worker_of(struct self *s)
{
	debug_assert(s->worker);
	return container_of(s, struct worker, self);
}

/* For a thread of rt, before it runs what is the user's: *let_in is what its
   mask lets through of rt->caught. */
static always_inline void
runtime_let_in(struct runtime *rt, uint32_t *let_in)
{
	if (unlikely(a_load_acquire(&rt->caught) != *let_in))
		rt->hooks->let_in(rt, let_in);
}

/* --- sched.c -------------------------------------------------------------- */

/* Queues t, which is claimed or new, where its kind belongs. */
void sched_ready(struct task *t);
/* The same, behind the others: what slept, or waited for a descriptor. */
void sched_ready_late(struct task *t);

/* --- worker.c ------------------------------------------------------------- */

/* How often it found a task to run, and how often it came to an end of them.
   It looks once more before each sleep. */
static inline uint64_t
worker_picks(const struct worker *w)
{
	uint64_t sleeps = a_load_acquire(&w->stats.sleeps);
	uint64_t ticks = a_load_relaxed(&w->runq.ticks);

	return ticks > sleeps ? ticks - sleeps : 0;
}

/* The loop of a worker on its thread's own stack; returns when rt->over. */
void worker_loop(struct worker *w);
/* Wakes w, if it sleeps. */
void worker_wake(struct worker *w);
/* Wakes one sleeper, if there is one. */
void worker_wake_one(struct runtime *rt);
void worker_wake_all(struct runtime *rt);
/* A spawn found no room: who sleeps gives back the stacks that he keeps. */
void worker_recall_stacks(struct runtime *rt);

/* --- search.c ------------------------------------------------------------- */

/* Looks for something to run, for a while, unless enough do; true: there is
   something on w's queue. */
bool search_tasks(struct worker *w);
/* Takes up to half of what waits on v; how many. */
int search_rob(struct worker *w, struct worker *v);
/* w quarrels: takes what waits on a worker that does so too. */
void search_gather(struct worker *w);
/* Does a worker but w have so much that it wants help? */
bool search_backlog(struct worker *w);

/* --- task.c --------------------------------------------------------------- */

struct task *co__task_new_slow(struct worker *w);

/* Is there a record that task_take may give? */
static always_inline bool
task_at_hand(const struct worker *w)
{
	return w->free_tasks && w->next_id != w->end_id;
}

static always_inline struct task *
task_take(struct worker *w)
{
	static const struct task fresh = { .kind = TASK_CORO, .band = BANDS };
	struct task *t = w->free_tasks;

	w->free_tasks = t->next;
	w->free_count--;
	t->worker = w;
	a_store_relaxed(&t->small, fresh.small);
	a_store_release(&t->id, w->next_id++);	/* with flat_visit */
	return t;
}

/* An ordinary coroutine that has not begun; NULL: no memory. */
static always_inline struct task *
task_new(struct worker *w)
{
	return likely(task_at_hand(w)) ? task_take(w) : co__task_new_slow(w);
}

enum { TASKS_KEPT = 4096 };	/* by a worker */

void co__task_give_batch(struct worker *w);

/* The worker has room for one more. */
static always_inline void
task_put(struct worker *w, struct task *t)
{
	a_store_relaxed(&t->id, 0);
	a_fence_release();	/* then the next one's facts: snap.c */
	t->next = w->free_tasks;
	w->free_tasks = t;
	w->free_count++;
}

static always_inline void
task_free(struct worker *w, struct task *t)
{
	task_put(w, t);
	if (unlikely(w->free_count > TASKS_KEPT))
		co__task_give_batch(w);
}

/* Sanitizers follow each task on a stack of its own. */
#if defined WEFT_TSAN || defined WEFT_ASAN
enum { REUSE_STACKS = 0 };
#else
enum { REUSE_STACKS = 1 };
#endif

/* entry() of every coroutine, in life.c: of one that may hand its stack on, and
   of one that may not. */
void co__task_main(void);
void co__task_main_once(void);

/* Gives t, which begins, a stack and a context. */
void task_bind(struct worker *w, struct task *t);
/* The same, with an ext that is made; its first frame is at `top`, below it. */
void task_bind_at(struct worker *w, struct task *t, char *top);
/* Makes t's ext at the top of s. */
struct task_ext *task_make_ext(struct worker *w, struct task *t,
    struct stack *s);

/* t, which begins, settles in e, which is of s. */
static always_inline void
task_settle(struct worker *w, struct task *t, struct task_ext *e,
    struct stack *s)
{
	e->fn = t->u.begin.fn;
	e->arg = t->u.begin.arg;
	e->wait_since = w->now;
	e->locals = NULL;
	e->trimmed = 0;
	e->wait_reason = WAIT_NONE;
	e->name[0] = '\0';
	s->owner = t;
	t->u.run.ctx.sp = NULL;		/* not u.begin.fn, for dumps */
	/* By itself: gcc would store both as one vector, for which the switch
	   that loads the first of them waits. */
	a_store_relaxed(&t->u.run.ext, e);
}

/* Then it may have a value to take, */
void co__task_take_value(struct task *t);

static always_inline void
task_take_value(struct task *t)
{
	if (unlikely(task_has_value(t)))
		co__task_take_value(t);
}

/* ... and is seen to have settled. */
static always_inline void
task_mark_bound(struct task *t)
{
	a_store_release(&t->bound, 1);	/* pairs with dumps */
}

void task_slab_free(struct runtime *rt);
/* Calls fn for each record that has an id; it may change under the reader. */
void task_each(struct runtime *rt, void (*fn)(struct task *, void *),
    void *arg);
/* The same for about n records, beginning at `from` (NULL: the first); where to
   go on, or NULL. */
struct slab_chunk *task_each_some(struct runtime *rt, struct slab_chunk *from,
    uint32_t n, void (*fn)(struct task *, void *), void *arg);

#endif
