/* SPDX-License-Identifier: MIT */
/*
 * blocking.c - the blocking pool: co_blocking, and what the library itself
 * gives to it.
 *
 * Layer 7.  Built on os, park, reactor.
 *
 * One pool for each runtime, made at its first job.  A job lies in the frame
 * of the coroutine that waits for it.
 *
 * The threads of the pool take no lock of weft and wake no task: a lone worker
 * would lose its right to go without locks.  They post the finished job to the
 * loop that it came from, and whoever runs that wakes the task (job_done).
 *
 *	P1  a thread is in `idle` or has a job or looks at the queue under the
 *	    mutex: while a job is queued no thread is idle, and some thread
 *	    will come to look.  So a job is queued only when all that may exist
 *	    exist, or no more can be made but there is one.  Who is leaving
 *	    takes none, and does not count there.
 *	P2  who takes a thread out of `idle` gives it a job in the same moment.
 *	    A thread is never counted idle that has been called already.
 *	P3  a queued job is the submitter's until a thread takes it off the
 *	    queue; then it runs, and the submitter waits, cancelled or not.
 *	P4  a job is done when job_done has run; it is not touched after the
 *	    claim in there is decided.
 *	P5  a job that lies on the heap may be left while it runs: then
 *	    job_done is the last that knows it.
 *
 * Locks: pool->mutex is an os_mutex, taken by workers and pool threads, with
 * nothing under it.  A thread is made while it is held: that is rare, and the
 * count of threads is then never a guess.
 */
#include "blocking.h"

#include <stdlib.h>

#include <weft/io.h>

#include "reactor.h"

enum { THREADS = 64, THREADS_MOST = 4096 };

co_time co__blocking_keep = CO_SEC(10);	/* a guess, not measured */

static int all_threads;		/* [atomic] of all pools */

struct job {
	struct job *next, *prev;	/* [mutex] */
	bool queued;			/* [mutex] P3 */
	co_fn *fn;			/* [const] */
	void *arg;			/* [const] */
	int result;			/* [its thread, then the submitter] */
	struct reactor *reactor;	/* [const] */
	struct reactor_post post;
	struct lock lock;		/* LOCK_POOL */
	bool done;			/* [lock] */
	struct task *task;		/* [const] */
	uint64_t ticket;		/* [lock] of the present wait */
	void (*drop)(void *arg);	/* [const] NULL: lies in a frame */
	bool left;			/* [lock] nobody waits any more */
};

struct thread {
	struct thread *next;		/* [mutex] in idle or gone */
	struct thread *prev;		/* [mutex] in idle */
	struct pool *pool;		/* [const] */
	struct job *job;		/* [mutex; then its own] given to it */
	uint32_t bell;			/* [atomic] 1: it has been called */
	bool leaving;			/* [mutex] called to end */
	uint32_t let_in;		/* [its own] of rt->caught */
	struct os_thread os;
};

struct pool {
	struct os_mutex mutex;
	struct runtime *rt;		/* [const] */
	struct job *head, *tail;	/* [mutex] queued */
	struct thread *idle;		/* [mutex] the last one in is called
					   first, so that the others may go */
	struct thread *gone;		/* [mutex] ended, to be joined */
	int threads;			/* [mutex] that live ... */
	int leaving;			/* [mutex] ... and will take no job */
	int most;			/* [const] */
	bool ending;			/* [mutex] */
	uint32_t ended;			/* [atomic] how many have ended */
};

/* --- the queue and the idle ones; pool->mutex is held --------------------- */

static void
queue_push(struct pool *p, struct job *j)
{
	j->next = NULL;
	j->prev = p->tail;
	if (p->tail)
		p->tail->next = j;
	else
		p->head = j;
	p->tail = j;
	j->queued = true;
}

static void
queue_remove(struct pool *p, struct job *j)
{
	if (j->prev)
		j->prev->next = j->next;
	else
		p->head = j->next;
	if (j->next)
		j->next->prev = j->prev;
	else
		p->tail = j->prev;
	j->queued = false;
}

static struct job *
queue_pop(struct pool *p)
{
	struct job *j = p->head;

	if (j)
		queue_remove(p, j);
	return j;
}

static void
idle_push(struct pool *p, struct thread *th)
{
	th->prev = NULL;
	th->next = p->idle;
	if (th->next)
		th->next->prev = th;
	p->idle = th;
}

static void
idle_remove(struct pool *p, struct thread *th)
{
	if (th->prev)
		th->prev->next = th->next;
	else
		p->idle = th->next;
	if (th->next)
		th->next->prev = th->prev;
}

/* P2.  The caller rings the bell when it has dropped the mutex, or before:
   the thread is its own from here on and cannot end without it. */
static void
ring(struct thread *th)
{
	a_store_release(&th->bell, 1);	/* pairs with sleep_idle */
	os_futex_wake(&th->bell, 1);
}

/* --- a pool thread -------------------------------------------------------- */

static void job_done(struct reactor_post *post);

/* What the job raised has been caught when it is over, at the latest. */
static void
run(struct thread *th, struct job *j)
{
	struct runtime *rt = th->pool->rt;

	context_words_default();	/* not those of who ran before */
	runtime_let_in(rt, &th->let_in);
	j->result = j->fn(j->arg);
	runtime_let_in(rt, &th->let_in);
	j->post.run = job_done;
	reactor_post(j->reactor, &j->post);
}

/* The mutex is held. */
static void
let_go(struct pool *p, struct thread *th)
{
	th->leaving = true;
	p->leaving++;
}

/* In `idle`.  Gives a job, or NULL: end. */
static struct job *
sleep_idle(struct pool *p, struct thread *th)
{
	co_time until = os_now() + co__blocking_keep;
	bool called;

	while (!a_load_acquire(&th->bell)) {	/* pairs with ring */
		if (os_futex_wait(&th->bell, 0, until) != -ETIMEDOUT)
			continue;
		os_mutex_lock(&p->mutex);
		called = th->job || th->leaving;
		if (!called) {
			idle_remove(p, th);
			let_go(p, th);
		}
		os_mutex_unlock(&p->mutex);
		if (!called)
			return NULL;
		until = CO_FOREVER;	/* the bell is about to ring */
	}
	a_store_relaxed(&th->bell, 0);
	return th->job;
}

static struct job *
next_job(struct pool *p, struct thread *th)
{
	struct job *j;
	bool leave;

	os_mutex_lock(&p->mutex);
	th->job = NULL;
	j = queue_pop(p);
	leave = !j && p->ending;
	if (leave)
		let_go(p, th);
	else if (!j)
		idle_push(p, th);	/* now it may be told to leave */
	os_mutex_unlock(&p->mutex);
	return j || leave ? j : sleep_idle(p, th);
}

static void
thread_main(void *arg)
{
	struct thread *th = arg;
	struct pool *p = th->pool;
	struct job *j;

	for (j = th->job; j; j = next_job(p, th))
		run(th, j);
	a_add_acqrel(&all_threads, -1);
	os_mutex_lock(&p->mutex);
	p->threads--;
	p->leaving--;
	th->next = p->gone;
	p->gone = th;
	os_mutex_unlock(&p->mutex);
	a_add_acqrel(&p->ended, 1);
	os_futex_wake(&p->ended, 1);
}

/* --- giving it work ------------------------------------------------------- */

static void
join_gone(struct thread *th)
{
	struct thread *next;

	for (; th; th = next) {
		next = th->next;
		os_thread_join(&th->os);
		free(th);
	}
}

/* The mutex is held. */
static int
thread_new(struct pool *p, struct job *j)
{
	struct thread *th = chaos_fail() ? NULL : calloc(1, sizeof *th);
	int code;

	if (!th)
		return -ENOMEM;
	th->pool = p;
	th->job = j;
	a_add_acqrel(&all_threads, 1);
	code = os_thread_start(&th->os, thread_main, th);
	if (code < 0) {
		a_add_acqrel(&all_threads, -1);
		free(th);
		return code;
	}
	p->threads++;
	return 0;
}

/* P1. */
static int
submit(struct pool *p, struct job *j)
{
	struct thread *th = NULL, *gone;
	int code = 0;

	os_mutex_lock(&p->mutex);
	gone = p->gone;
	p->gone = NULL;
	if (p->idle) {
		th = p->idle;
		idle_remove(p, th);
		th->job = j;
	} else if (p->threads - p->leaving < p->most) {
		code = thread_new(p, j);
		if (code < 0 && p->threads > p->leaving) {
			queue_push(p, j);
			code = 0;
		}
	} else {
		queue_push(p, j);
	}
	os_mutex_unlock(&p->mutex);
	if (th)
		ring(th);
	join_gone(gone);
	return code;
}

/* True: it was queued still, and will never run. */
static bool
withdraw(struct pool *p, struct job *j)
{
	bool queued;

	os_mutex_lock(&p->mutex);
	queued = j->queued;
	if (queued)
		queue_remove(p, j);
	os_mutex_unlock(&p->mutex);
	return queued;
}

static struct pool *
pool_of(struct runtime *rt)
{
	struct pool *p = a_load_acquire((struct pool **)&rt->blocking);
	int most = rt->blocking_threads;

	if (likely(p != NULL))
		return p;
	p = chaos_fail() ? NULL : calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->rt = rt;
	p->most = most <= 0 ? THREADS : most > THREADS_MOST ? THREADS_MOST :
	    most;
	if (!a_cas_acqrel((struct pool **)&rt->blocking, NULL, p)) {
		free(p);
		p = a_load_acquire((struct pool **)&rt->blocking);
	}
	return p;
}

/* --- waiting for a job ---------------------------------------------------- */

static void
job_drop(struct job *j)
{
	j->drop(j->arg);
	free(j);
}

/* On whoever runs the loop, or at the end of the runtime. */
static void
job_done(struct reactor_post *post)
{
	struct job *j = container_of(post, struct job, post);
	struct task *t = j->task;
	bool left, won;

	reactor_release(j->reactor);
	lock_take(&j->lock, LOCK_POOL);
	left = j->left;
	j->done = true;
	won = !left && wait_claim(t, j->ticket);
	lock_drop(&j->lock, LOCK_POOL);
	if (won)
		task_wake(t, 0);
	else if (left)
		job_drop(j);
}

/* It runs: no cancellation ends this wait. */
static void
wait_for_end(struct task *t, struct job *j)
{
	bool done;

	lock_take(&j->lock, LOCK_POOL);
	done = j->done;
	if (!done)
		j->ticket = wait_begin_shielded(t, WAIT_BLOCKING, j->fn);
	lock_drop(&j->lock, LOCK_POOL);
	if (!done)
		wait_park(t, CO_FOREVER);
}

/* True: it runs on, and belongs to job_done. */
static bool
leave(struct job *j)
{
	bool left;

	lock_take(&j->lock, LOCK_POOL);
	left = j->left = !j->done;
	lock_drop(&j->lock, LOCK_POOL);
	return left;
}

/*
 * Gives it to the pool and waits: 0, it has run; or a code < 0, and it never
 * runs, or was left.
 */
static int
do_job(struct task *t, struct job *j, bool *ret_left)
{
	struct pool *p = pool_of(worker_self()->rt);
	int code;

	*ret_left = false;
	if (!p)
		return -ENOMEM;
	j->task = t;
	j->reactor = reactor_here();
	j->ticket = wait_begin(t, WAIT_BLOCKING, j->fn);
	reactor_hold(j->reactor);
	code = submit(p, j);
	if (code < 0) {
		reactor_release(j->reactor);
		if (!wait_cancel(t, j->ticket))
			wait_park(t, CO_FOREVER);
		return code;
	}
	code = wait_park(t, CO_FOREVER);
	if (code >= 0)
		return 0;
	if (withdraw(p, j)) {
		reactor_release(j->reactor);
		return code;
	}
	if (j->drop && leave(j)) {
		*ret_left = true;
		return code;
	}
	wait_for_end(t, j);
	return 0;
}

int
blocking_run(struct task *t, co_fn *fn, void *arg, int *ret_result)
{
	struct job j = { .fn = fn, .arg = arg };
	bool left;
	int code;

	if (t->kind == TASK_FOREIGN) {
		*ret_result = fn(arg);
		return 0;
	}
	code = do_job(t, &j, &left);
	if (code == 0)
		*ret_result = j.result;
	return code;
}

int
blocking_run_apart(struct task *t, co_fn *fn, void *arg,
    void (*drop)(void *arg), int *ret_result)
{
	struct job *j;
	bool left;
	int code;

	if (t->kind == TASK_FOREIGN) {
		*ret_result = fn(arg);
		return 0;
	}
	j = chaos_fail() ? NULL : calloc(1, sizeof *j);
	if (!j) {
		drop(arg);
		return -ENOMEM;
	}
	j->fn = fn;
	j->arg = arg;
	j->drop = drop;
	code = do_job(t, j, &left);
	if (code < 0) {
		if (!left)
			job_drop(j);
		return code;
	}
	*ret_result = j->result;
	free(j);
	return 0;
}

EXPORT int
co_blocking(co_fn *fn, void *arg)
{
	struct task *t;
	int code, result;

	if (!fn)
		return -EINVAL;
	code = wait_enter(&t);
	if (code)
		return code;
	code = blocking_run(t, fn, arg, &result);
	return code < 0 ? code : result;
}

/* --- the end -------------------------------------------------------------- */

void
co__blocking_end(struct runtime *rt)
{
	struct pool *p = rt->blocking;
	struct thread *th, *next;
	uint32_t ended;
	int left;

	if (!p)
		return;
	rt->blocking = NULL;
	os_mutex_lock(&p->mutex);
	p->ending = true;
	for (th = p->idle; th; th = next) {
		next = th->next;
		let_go(p, th);
		ring(th);
	}
	p->idle = NULL;
	os_mutex_unlock(&p->mutex);
	for (;;) {
		ended = a_load_acquire(&p->ended);
		os_mutex_lock(&p->mutex);
		left = p->threads;
		th = p->gone;
		os_mutex_unlock(&p->mutex);
		if (left == 0)
			break;
		os_futex_wait(&p->ended, ended, CO_FOREVER);
	}
	join_gone(th);
	free(p);
}

int
co__blocking_threads(void)
{
	return a_load_acquire(&all_threads);
}
