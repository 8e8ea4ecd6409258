/* SPDX-License-Identifier: MIT */
/*
 * reactor.c - one libev loop for each worker.  What it watches:
 * reactor_watch.c.  No other file knows libev.
 *
 * Layer 7.  Built on os, worker.  Who waits for what is fd.c's business.
 *
 * A libev loop is not thread-safe.  Two things guard it:
 *
 *	r->turn	who runs the loop, or means to.  Only tried for, never waited
 *		for; held over the whole poll.
 *	r->lock	libev's data.  Held by who runs the loop, too, but for the
 *		system call in which it waits: libev's release and acquire
 *		callbacks let go of it there.  So any thread may start and stop
 *		watchers while the loop sleeps, and needs only wake it when
 *		there is more to look for than before.
 *
 * I1  libev's callbacks take no lock: they note (descriptor, generation, what
 *     happened) in r->fired, which is gone through when ev_run has returned
 *     and r->lock is free.  The descriptor's lock is therefore taken before
 *     r->lock, never after it.
 * I2  The notes are gone through in batches, one in each poll, and only then
 *     does the next round begin.  A note may be old: fd.c compares the
 *     generation, and the round (F5).  There is room for all that were watched
 *     when the round began.  Others may find none: their note is lost, and
 *     comes again, as all is level-triggered.
 * I3  A watch is in r->watches from watch_new to watch_drop.
 * I4  A descriptor is told to the kernel at the next ev_run.  Should it have
 *     been closed behind our back by then, libev would abort: so the numbers
 *     that are new are looked at just before (check_fresh).  All are told, and
 *     so looked at, when libev makes itself a new set, and in each round of
 *     poll(2).  Between the look and the call another thread may still close
 *     one: co_io(3), CAVEATS.
 *
 * Closing while the loop sleeps.  ev_io_stop leaves the descriptor in the
 * kernel's set; for epoll, close(2) takes it out.  (If a duplicate of it lives
 * on, its next event finds libev without a watcher, and libev makes itself a
 * new set.)  select(2) keeps the file itself, so that its peer would see no
 * end.  poll(2) may have been entered with the old set: then libev aborts for
 * the bad number.  With these two the close waits until the call is over
 * (watch_drop).
 *
 * Time.  libev's timers are not used: they count in milliseconds, from a clock
 * that was read a while ago.  A timerfd in the loop is armed with the absolute
 * time, and only when that comes before what it is armed for: a time that was
 * put off costs one early return of the poll, not a system call each time.
 *
 * Rejected: an epoll descriptor of our own in the loop, edge-triggered.  It
 * can be used from every thread without r->lock, but costs a second epoll_wait
 * in each turn and a nested wake-up for each event, and the other backends
 * would still need all of this.
 */
#include "reactor_inside.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "blocking.h"
#include "signals.h"

/* Times within this count as the same: a wait is computed from a clock that
   was read some 100 ns ago. */
#define SAME_TIME	CO_US(1)
/* A guess: how late an event may be because of a long queue. */
#define PATIENCE	CO_MS(10)
/*
 * So many are woken before the first of them runs: what waking has brought into
 * the cache is still there then.  Processor time of an echo, of 10,000
 * connections: 9.4 us when all were woken (512 at most), 8.6 with 128, 8.3 with
 * 64, 8.3 with 32, 8.6 with 16.
 */
enum { BATCH = 32 };

/*
 * libev tells the kernel of a number in no order with a thread that closes it,
 * or gets it anew for another file: the kernel puts them in order, and what
 * comes of it is at close_num in fd.c.  To ThreadSanitizer an epoll_ctl reads
 * the number and a close writes it: a race.  So it looks at what libev calls,
 * and not at libev.
 */
#ifdef WEFT_TSAN
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_end(void);
#define libev_begins()	__tsan_ignore_thread_begin()
#define libev_ends()	__tsan_ignore_thread_end()
#else
#define libev_begins()	((void)0)
#define libev_ends()	((void)0)
#endif

/* --- what libev calls ----------------------------------------------------- */

/*
 * The order is: empty the eventfd, clear the flag, look for work (the
 * caller of the poll).  Cleared first, a wake-up in between would be emptied
 * with the flag set, and all later ones would think that it is still there.
 */
static void
wake_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct reactor *r = ev_userdata(loop);
	uint64_t n;

	if (unlikely(revents & EV_ERROR)) {
		r->lost = true;
		return;
	}
	if (!r->own_turn)
		return;		/* the owner's, who has not seen it */
	while (read(io->fd, &n, sizeof n) < 0 && errno == EINTR)
		continue;
	a_xchg_seqcst(&r->woken, 0);	/* pairs with reactor_wake */
}

static void
timer_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct reactor *r = ev_userdata(loop);

	(void)io;
	if (unlikely(revents & EV_ERROR))
		r->lost = true;
	r->expired = true;	/* arming anew makes it unreadable */
}

static void
plain_timer_event(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)timer;
	(void)revents;		/* that the wait ended is all */
}

static void
anew_event(struct ev_loop *loop, ev_fork *e, int revents)
{
	(void)e;
	(void)revents;
	reactor_check_all(ev_userdata(loop));
}

static void
call_events(struct ev_loop *loop)
{
	libev_ends();
	ev_invoke_pending(loop);
	libev_begins();
}

/*
 * A descriptor that the kernel has just refused to watch is an event that libev
 * has noted but would sleep over; of one that was not even told, so would we.
 */
static void
before_waiting(struct ev_loop *loop)
{
	struct reactor *r = ev_userdata(loop);

	libev_ends();
	if (unlikely(ev_pending_count(loop) > 0 || r->nfired > 0))
		reactor_wake(r);
	r->waiting = 1;
	loop_unlock(r);
	if (r->may_doze)
		co__awake_leave(1);
	libev_begins();
}

static void
after_waiting(struct ev_loop *loop)
{
	struct reactor *r = ev_userdata(loop);

	libev_ends();
	loop_lock(r);
	r->waiting = 0;
	a_store_release(&r->rounds, r->rounds + 1); /* pairs with watch_drop,
						       watch_round */
	if (r->may_doze) {
		/* Who is alone may want the lock inside a section, or wait
		   there for this round to end. */
		loop_unlock(r);
		co__awake_enter(1);
		loop_lock(r);
	}
	libev_begins();
}

static void
run_libev(struct reactor *r, int flags)
{
	libev_begins();
	ev_run(r->loop, flags);
	libev_ends();
}

/* --- making and freeing --------------------------------------------------- */

static struct os_mutex making;	/* libev sets statics in ev_loop_new */

static void
close_maybe(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void
start_own(struct reactor *r)
{
	r->lost = false;
	ev_io_start(r->loop, &r->wake_io);
	if (r->timer_fd >= 0)
		ev_io_start(r->loop, &r->timer_io);
}

/* The first round tells the kernel of what wakes the loop: without that it is
   none. */
static int
start_loop(struct reactor *r)
{
	start_own(r);
	errno = 0;
	run_libev(r, EVRUN_NOWAIT);
	return !r->lost ? 0 : errno ? -errno : -ENOMEM;
}

static void
free_loop(struct reactor *r)
{
	loop_lock(r);
	if (r->loop)
		ev_loop_destroy(r->loop);
	loop_unlock(r);
	spare_free(r);
	free(r->fired_next);
	free(r->fired);
}

static int
make_loop(struct reactor *r)
{
	int top = r->event_fd > r->timer_fd ? r->event_fd : r->timer_fd;
	int code = spare_assure(r, WATCHES_FIRST, (size_t)top + 1);

	if (code == 0)
		code = reactor_assure_fired(r, WATCHES_FIRST);
	if (code < 0)
		return code;
	r->assured = WATCHES_FIRST;
	r->highest = (size_t)top;
	os_mutex_lock(&making);
	spare_install();
	loop_lock(r);
	errno = 0;
	r->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOTIMERFD);
	loop_unlock(r);
	os_mutex_unlock(&making);
	if (!r->loop)
		return errno ? -errno : -ENOMEM;
	r->polls = ev_backend(r->loop) == EVBACKEND_POLL;
	r->keeps = r->polls || ev_backend(r->loop) == EVBACKEND_SELECT;
	ev_set_userdata(r->loop, r);
	ev_set_invoke_pending_cb(r->loop, call_events);
	ev_set_loop_release_cb(r->loop, before_waiting, after_waiting);
	ev_io_init(&r->wake_io, wake_event, r->event_fd, EV_READ);
	ev_io_init(&r->timer_io, timer_event, r->timer_fd, EV_READ);
	ev_timer_init(&r->plain_timer, plain_timer_event, 0., 0.);
	ev_fork_init(&r->anew_event, anew_event);
	loop_lock(r);	/* the callbacks let go of it */
	ev_fork_start(r->loop, &r->anew_event);
	code = start_loop(r);
	loop_unlock(r);
	return code;
}

static int
reactor_make(struct reactor **ret, struct worker *w)
{
	struct reactor *r = aligned_alloc(CACHE_LINE,
	    round_up(sizeof *r, CACHE_LINE));
	int code;

	if (!r || chaos_fail()) {
		free(r);
		return -ENOMEM;
	}
	memset(r, 0, sizeof *r);
	r->owner = w;
	r->armed = r->recheck_at = CO_FOREVER;
	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->event_fd < 0) {
		code = -errno;
		free(r);
		return code;
	}
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC,
	    TFD_CLOEXEC | TFD_NONBLOCK);
	code = make_loop(r);
	if (code < 0) {
		free_loop(r);
		close_maybe(r->timer_fd);
		close(r->event_fd);
		free(r);
		return code;
	}
	reactor_list(r);
	*ret = r;
	return 0;
}

static int run_posts(struct reactor *r);

static void
reactor_free(struct reactor *r)
{
	struct runtime *rt;

	if (!r)
		return;
	rt = r->owner->rt;
	/* Before the first of them goes: a pool thread may still be in a
	   reactor_post that has been served. */
	co__blocking_end(rt);
	if (r->owner->index == 0)
		co__signals_end(rt);
	reactor_unlist(r);
	run_posts(r);		/* signals, jobs that nobody waited for */
	if (r->owner->index == 0)
		co__signals_free(rt);
	reactor_drop_watches(r);
	free_loop(r);
	close_maybe(r->timer_fd);
	close(r->event_fd);
	free(r->doubts);
	free(r);
}

/* --- waking, posting ------------------------------------------------------ */

/*
 * Only the first of many pays for the system call.  Who finds the flag set
 * knows that the owner will clear it before it looks for work, and so sees
 * the work that was published before.
 */
void
reactor_wake(struct reactor *r)
{
	static const uint64_t one = 1;
	int saved;

	if (a_xchg_seqcst(&r->woken, 1) != 0)	/* pairs with wake_event */
		return;
	saved = errno;		/* we may be in a signal handler */
	while (write(r->event_fd, &one, sizeof one) < 0 && errno == EINTR)
		continue;
	errno = saved;
}

void
reactor_hold(struct reactor *r)
{
	a_add_acqrel(&r->held, 1);
}

void
reactor_release(struct reactor *r)
{
	a_add_acqrel(&r->held, -1u);
}

void
reactor_post(struct reactor *r, struct reactor_post *p)
{
	struct reactor_post *head;

	do {
		head = a_load_relaxed(&r->posts);
		p->next = head;
	} while (!a_cas_acqrel(&r->posts, head, p)); /* pairs with run_posts */
	reactor_wake(r);
}

static int
run_posts(struct reactor *r)
{
	struct reactor_post *p, *next, *list = NULL;
	int n = 0;

	if (!a_load_relaxed(&r->posts))
		return 0;
	p = a_xchg_acqrel(&r->posts, NULL);
	for (; p; p = next) {		/* oldest first */
		next = p->next;
		p->next = list;
		list = p;
	}
	for (p = list; p; p = next, n++) {
		next = p->next;
		p->run(p);
	}
	return n;
}

/* --- the poll ------------------------------------------------------------- */

static void
set_timerfd(struct reactor *r, co_time until)
{
	struct itimerspec spec = { { 0, 0 }, { 0, 0 } };

	if (until != CO_FOREVER) {
		spec.it_value.tv_sec = until / 1000000000;
		spec.it_value.tv_nsec = until % 1000000000;
	}
	timerfd_settime(r->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
	r->armed = until;
	r->expired = false;
}

static void
set_plain_timer(struct reactor *r, co_time until, co_time now)
{
	ev_timer_stop(r->loop, &r->plain_timer);
	if (until == CO_FOREVER)
		return;
	ev_now_update(r->loop);
	ev_timer_set(&r->plain_timer, (double)(until - now) / 1e9, 0.);
	ev_timer_start(r->loop, &r->plain_timer);
}

/* The lock is held.  False: the time has come already. */
static bool
set_timer(struct reactor *r, int64_t wait)
{
	co_time until = CO_FOREVER, now = 0;

	if (wait >= 0 || r->recheck_at != CO_FOREVER) {
		now = os_now();
		if (wait >= 0 && wait < CO_FOREVER - now)
			until = now + wait;
		if (r->recheck_at < until)
			until = r->recheck_at;
		if (until <= now)
			return false;
	}
	if (r->timer_fd < 0)
		set_plain_timer(r, until, now);
	else if (r->expired || until < r->armed - SAME_TIME)
		set_timerfd(r, until);
	return true;
}

/*
 * The owner looks in now and then while it has tasks to run.  What it woke the
 * last time it should run first: until a task has read what its descriptor
 * has, the descriptor is ready and takes a place in what the kernel gives.
 * (1000 connections, all busy: without this a third of the time went into
 * events that had been served already.)
 */
static bool
too_early(struct reactor *r)
{
	const struct runq *q = &r->owner->runq;

	return (int64_t)(a_load_relaxed(&q->ticks) - r->served_at) < 0 &&
	    !a_load_relaxed(&r->posts) && os_now() < r->patience;
}

static void
note_woken(struct reactor *r)
{
	const struct runq *q = &r->owner->runq;

	r->served_at = a_load_relaxed(&q->ticks) + a_load_relaxed(&q->waiting);
	r->patience = os_now() + PATIENCE;
}

/* A round begins.  The lock is held. */
static void
begin_fired(struct reactor *r)
{
	r->nfired = 0;
	if (likely(!r->fired_next))
		return;
	free(r->fired);
	r->fired = r->fired_next;
	r->room = r->room_next;
	r->fired_next = NULL;
}

/* True: what is in doubt is to be looked at. */
static bool
run_loop(struct reactor *r, int64_t wait)
{
	uint64_t rounds;
	bool due;

	loop_lock(r);
	begin_fired(r);
	if (unlikely(r->lost))
		start_own(r);
	reactor_check_fresh(r);
	if (unlikely(r->polls))
		reactor_check_all(r);
	if (wait != 0 && (!r->own_turn || r->nfired || !set_timer(r, wait)))
		wait = 0;
	r->may_doze = wait != 0;
	rounds = r->rounds;
	run_libev(r, wait == 0 ? EVRUN_NOWAIT : EVRUN_ONCE);
	if (unlikely(r->rounds == rounds))	/* told without a wait */
		a_store_release(&r->rounds, rounds + 1);
	due = r->recheck_at != CO_FOREVER && os_now() >= r->recheck_at;
	loop_unlock(r);
	return due;
}

/*
 * Wakes some of those that the last round found, under no lock and from the
 * last note to the first: libev tells of the newest event first.
 */
static int
serve_fired(struct reactor *r)
{
	const struct fired *e;
	int n = 0;

	while (r->nfired > 0 && n < BATCH) {
		e = &r->fired[--r->nfired];
		n += co__fd_event(e->f, e->gen, e->events, r->rounds);
	}
	return n;
}

/*
 * The scheduler's wait is 0 when it only wants to look; another worker than
 * the owner may do no more.
 */
static int
reactor_poll(struct reactor *r, int64_t wait)
{
	bool due;
	int n;

	if (a_xchg_acquire(&r->turn, 1) != 0)
		return -EBUSY;
	r->own_turn = worker_self() == r->owner;
	if (wait == 0 && r->own_turn && too_early(r)) {
		a_store_release(&r->turn, 0);
		return 0;
	}
	due = r->nfired == 0 && run_loop(r, wait);
	n = serve_fired(r);
	if (n > 1 && r->own_turn)
		note_woken(r);
	n += run_posts(r);
	if (unlikely(due))
		reactor_recheck(r);
	a_store_release(&r->turn, 0);	/* pairs with the exchange above */
	return n;
}

/* --- the deadlock detector's question ------------------------------------- */

static bool
reactor_waits(struct reactor *r)
{
	struct watch *w;
	bool found = a_load_acquire(&r->held) != 0 ||
	    a_load_acquire(&r->posts) != NULL;

	if (found)
		return true;
	loop_lock(r);
	/* A poll that is back from the kernel may hold what it brought. */
	found = a_load_acquire(&r->turn) != 0 && !r->waiting;
	for (w = r->watches; w && !found; w = w->next)
		found = co__fd_waited_for(w->f);
	loop_unlock(r);
	return found;
}

const struct reactor_ops co__reactor_ops = {
	.make = reactor_make,
	.free = reactor_free,
	.poll = reactor_poll,
	.wake = reactor_wake,
	.waits = reactor_waits,
};
