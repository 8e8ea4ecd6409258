/* SPDX-License-Identifier: MIT */
/*
 * signal.c - signals as something that coroutines wait for.
 *
 * Layer 7.  Built on reactor, park, select.h.
 *
 * The handler is the process's; who wants a signal is each runtime's own.
 *
 *	handler			for each runtime that wants it: pending = 1 or
 *	(any thread)		due = 1 or both, as `wanted` says, and its
 *				post goes to a loop, once at a time
 *	deliver, in that loop	due: it is 0 again, and call is made;
 *				pending and somebody waits: one of them gets
 *				it, and pending is 0 again
 *
 *	S1  pending is taken under the lock, by whoever gets the signal.
 *	S2  who enqueues looks at pending under the lock: a signal is either
 *	    seen by him or delivered to him.
 *	S3  a struct signals goes only when it is out of `wanted` and no handler
 *	    runs (in_handler): a handler that begins later does not find it.
 *	S4  the runtime's threads let through what it catches, from before they
 *	    next run a coroutine or a job (let_in): what was raised on one that
 *	    did not yet is pending there until then.
 *
 * Locks: LOCK_FD, one for each signal; `mutex` guards the dispositions.
 */
#include "signals.h"
#include "reactor.h"
#include "select.h"

#include <signal.h>
#include <stdlib.h>

#include <weft/io.h>

enum { SIGNALS = 65, RUNTIMES = 64 };
enum { FOR_CALL = 1, FOR_WAITERS = 2 };

struct one_signal {
	uint32_t pending;	/* [atomic] for those who wait; S1 */
	uint32_t due;		/* [atomic] for the call */
	uint32_t wanted;	/* [atomic] what for this runtime catches it */
	struct lock lock;	/* LOCK_FD */
	struct waitq q;		/* [lock] */
	void (*call)(void);	/* [before FOR_CALL] what weft itself does when
				   it comes, whoever waits for it besides */
};

struct signals {
	struct reactor *reactor;	/* [const] where deliver runs */
	struct reactor_post post;
	uint32_t posted;		/* [atomic] */
	sigset_t blocked;		/* [worker 0] of those let in, what its
					   thread had blocked before */
	struct one_signal of[SIGNALS];
};

static struct signals *wanted[RUNTIMES]; /* [atomic; written under mutex] */
static uint32_t in_handler;			/* [atomic] */
static struct os_mutex mutex;
static struct sigaction before[SIGNALS];	/* [mutex] */
static unsigned users[SIGNALS];			/* [mutex] runtimes */

/* --- arriving ------------------------------------------------------------- */

static void
tell(struct signals *s, int signo)
{
	struct one_signal *one = &s->of[signo];
	uint32_t what_for = a_load_acquire(&one->wanted);

	if (!what_for)
		return;
	if (what_for & FOR_CALL)
		a_xchg_seqcst(&one->due, 1);
	if (what_for & FOR_WAITERS)
		a_xchg_seqcst(&one->pending, 1);
	if (a_xchg_seqcst(&s->posted, 1) == 0)	/* pairs with deliver */
		reactor_post(s->reactor, &s->post);
}

static void
handler(int signo)
{
	struct signals *s;
	int i, saved = errno;

	a_add_seqcst(&in_handler, 1);			/* S3 */
	for (i = 0; i < RUNTIMES; i++) {
		s = a_load_seqcst(&wanted[i]);
		if (s)
			tell(s, signo);
	}
	a_add_seqcst(&in_handler, -1u);
	errno = saved;
}

static void
deliver_one(struct signals *s, struct one_signal *one)
{
	struct waiter *w = NULL;

	if (a_load_acquire(&one->due) && a_xchg_seqcst(&one->due, 0))
		one->call();
	if (!a_load_acquire(&one->pending))
		return;
	lock_take(&one->lock, LOCK_FD);
	if (a_load_acquire(&one->pending)) {
		w = waitq_claim(&one->q);
		if (w)
			a_store_relaxed(&one->pending, 0);	/* S1 */
	}
	lock_drop(&one->lock, LOCK_FD);
	if (w) {
		reactor_release(s->reactor);
		task_wake(w->task, w->index);
	}
}

/* `posted` is cleared first: what comes while we look is posted again. */
static void
deliver(struct reactor_post *post)
{
	struct signals *s = container_of(post, struct signals, post);
	int i;

	a_xchg_seqcst(&s->posted, 0);	/* pairs with tell */
	for (i = 1; i < SIGNALS; i++)
		deliver_one(s, &s->of[i]);
}

/* --- catching ------------------------------------------------------------- */

/* Those that say that the thread itself went wrong cannot be waited for. */
static bool
can_be_caught(int signo)
{
	switch (signo) {
	case SIGKILL:
	case SIGSTOP:
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
		return false;
	default:
		return signo > 0 && signo < SIGNALS;
	}
}

/* The mutex is held. */
static int
enlist(struct runtime *rt)
{
	struct signals *s;
	int i;

	for (i = 0; i < RUNTIMES && wanted[i]; i++)
		continue;
	if (i == RUNTIMES)
		return -EAGAIN;
	s = chaos_fail() ? NULL : calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	sigemptyset(&s->blocked);
	s->reactor = rt->workers[0].reactor;
	s->post.run = deliver;
	/* Pairs with signal_of. */
	a_store_release((struct signals **)&rt->signals, s);
	a_store_release(&wanted[i], s);		/* pairs with handler */
	return 0;
}

/* The mutex is held. */
static int
catch(struct signals *s, int signo, uint32_t what_for)
{
	struct sigaction action = { .sa_handler = handler,
	    .sa_flags = SA_RESTART | SA_ONSTACK };
	uint32_t *uses = &s->of[signo].wanted;
	uint32_t old = *uses;

	sigfillset(&action.sa_mask);
	a_store_release(uses, old | what_for);   /* before one can come */
	if (old)
		return 0;
	if (users[signo] == 0 &&
	    sigaction(signo, &action, &before[signo]) < 0) {
		a_store_release(uses, 0);
		return -errno;
	}
	users[signo]++;
	return 0;
}

/* S4.  The mutex is held.  Who goes to sleep looks at `caught` once more. */
static void
tell_workers(struct runtime *rt)
{
	a_add_seqcst(&rt->caught, 1);
	a_light_barrier();	/* pairs with nod_off */
	worker_wake_all(rt);
}

/* Worker 0 runs on a thread that was there before and goes on after us. */
void
co__signals_let_in(struct runtime *rt, uint32_t *let_in)
{
	struct worker *w = worker_self();
	struct signals *s;
	sigset_t set, old;
	int i;

	sigemptyset(&set);
	sigemptyset(&old);
	os_mutex_lock(&mutex);
	s = rt->signals;
	*let_in = a_load_relaxed(&rt->caught);
	for (i = 1; i < SIGNALS; i++)
		if (a_load_relaxed(&s->of[i].wanted))
			sigaddset(&set, i);
	os_mutex_unlock(&mutex);
	pthread_sigmask(SIG_UNBLOCK, &set, &old);
	if (!w || w->index != 0)
		return;
	sigandset(&old, &old, &set);
	sigorset(&s->blocked, &s->blocked, &old);
}

/* The signal's record in the caller's runtime, which now catches it. */
static int
signal_of(int signo, void (*call)(void), struct signals **ret)
{
	uint32_t what_for = call ? FOR_CALL : FOR_WAITERS;
	struct worker *w = worker_self();
	struct runtime *rt;
	struct signals *s;
	int code = 0;

	if (!w || !can_be_caught(signo))
		return -EINVAL;
	rt = w->rt;
	s = a_load_acquire((struct signals **)&rt->signals);
	if (s && a_load_acquire(&s->of[signo].wanted) & what_for) {
		runtime_let_in(rt, &w->let_in);
		*ret = s;
		return 0;
	}
	os_mutex_lock(&mutex);
	if (!rt->signals)
		code = enlist(rt);
	s = rt->signals;
	if (code == 0 && !(s->of[signo].wanted & what_for)) {
		if (call)
			s->of[signo].call = call;
		code = catch(s, signo, what_for);
		if (code == 0)
			tell_workers(rt);
	}
	os_mutex_unlock(&mutex);
	runtime_let_in(rt, &w->let_in);
	*ret = s;
	return code;
}

int
co__signals_call(int signo, void (*call)(void))
{
	struct signals *s;

	return signal_of(signo, call, &s);
}

/* Or has the program put its own there since? */
static bool
is_ours(int signo)
{
	struct sigaction now;

	return sigaction(signo, NULL, &now) == 0 && now.sa_handler == handler;
}

void
co__signals_end(struct runtime *rt)
{
	struct signals *s = rt->signals;
	int i;

	if (!s)
		return;
	pthread_sigmask(SIG_BLOCK, &s->blocked, NULL);
	os_mutex_lock(&mutex);
	for (i = 0; i < RUNTIMES; i++) {
		if (wanted[i] == s)
			a_store_release(&wanted[i], NULL);
	}
	for (i = 1; i < SIGNALS; i++) {
		if (s->of[i].wanted && --users[i] == 0 && is_ours(i))
			sigaction(i, &before[i], NULL);
	}
	os_mutex_unlock(&mutex);
	a_fence_seqcst();
	while (a_load_acquire(&in_handler))		/* S3 */
		os_give_way();
}

void
co__signals_free(struct runtime *rt)
{
	free(rt->signals);
	rt->signals = NULL;
}

/* --- waiting -------------------------------------------------------------- */

static bool
take_pending(struct one_signal *one)
{
	bool got;

	lock_take(&one->lock, LOCK_FD);
	got = a_xchg_seqcst(&one->pending, 0) != 0;
	lock_drop(&one->lock, LOCK_FD);
	return got;
}

/* S2.  False: it has come already. */
static bool
enqueue(struct signals *s, struct one_signal *one, struct waiter *w)
{
	bool there;

	lock_take(&one->lock, LOCK_FD);
	there = a_load_acquire(&one->pending) != 0;
	if (!there) {
		waitq_push(&one->q, w);
		reactor_hold(s->reactor);
	}
	lock_drop(&one->lock, LOCK_FD);
	return !there;
}

/* For one that was not chosen. */
static void
dequeue(struct signals *s, struct one_signal *one, struct waiter *w)
{
	lock_take(&one->lock, LOCK_FD);
	waitq_remove(&one->q, w);
	lock_drop(&one->lock, LOCK_FD);
	reactor_release(s->reactor);
}

EXPORT int
co_wait_signal(int signo)
{
	struct task *t;
	struct waiter w;
	struct signals *s;
	struct one_signal *one;
	int code;

	code = wait_enter(&t);
	if (code)
		return code;
	w = (struct waiter){ .task = t };
	code = signal_of(signo, NULL, &s);
	if (code < 0)
		return code;
	one = &s->of[signo];
	while (!take_pending(one)) {
		w.ticket = wait_begin(t, WAIT_SIGNAL,
		    (void *)(intptr_t)signo);
		if (enqueue(s, one, &w)) {
			code = wait_park(t, CO_FOREVER);
			if (code < 0)
				dequeue(s, one, &w);
			return code;
		}
		if (!wait_cancel(t, w.ticket) &&
		    (code = wait_park(t, CO_FOREVER)) < 0)
			return code;
	}
	return 0;
}

/* --- the case ------------------------------------------------------------- */

static struct one_signal *
case_one(const struct co_case *c)
{
	return &((struct signals *)c->co__own[0])->of[c->co__arg];
}

static int
case_open(struct co_case *c)
{
	struct signals *s = NULL;
	int code;

	if (c->co__arg < 0 || c->co__arg >= SIGNALS)
		return -EINVAL;
	code = signal_of((int)c->co__arg, NULL, &s);
	c->co__own[0] = (uintptr_t)s;
	return code;
}

static bool
case_take(struct co_case *c, struct case_taken *taken)
{
	(void)taken;
	return take_pending(case_one(c));
}

static int
case_enqueue(struct co_case *c, struct waiter *w)
{
	return enqueue((struct signals *)c->co__own[0], case_one(c), w) ? 0 : 1;
}

static void
case_dequeue(struct co_case *c, struct waiter *w)
{
	dequeue((struct signals *)c->co__own[0], case_one(c), w);
}

static const struct case_ops case_signal = {
	.why = WAIT_SIGNAL,
	.open = case_open,
	.take = case_take,
	.enqueue = case_enqueue,
	.dequeue = case_dequeue,
};

/* Caught from here on.  What is wrong with that the select says. */
EXPORT struct co_case
co_on_signal(int signo)
{
	struct co_case c = co__case((uintptr_t)&case_signal, NULL, NULL, NULL);
	struct signals *s;

	signal_of(signo, NULL, &s);
	c.co__arg = signo;
	return c;
}
