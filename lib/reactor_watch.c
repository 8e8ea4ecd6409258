/* SPDX-License-Identifier: MIT */
/*
 * reactor_watch.c - descriptors in a loop.
 *
 * Layer 7.  The rules, I1 to I4, are at the top of reactor.c.
 */
#include "reactor_inside.h"

#include <fcntl.h>
#include <stdlib.h>

/* A guess: long beside the time between two requests of a busy connection,
   short beside a person's patience.  See fd.c, "Behind our back". */
#define RECHECK		CO_MS(100)

static struct os_mutex listing;
static struct reactor *listed;	/* [listing] all */

/* --- all loops ------------------------------------------------------------ */

void
reactor_list(struct reactor *r)
{
	os_mutex_lock(&listing);
	r->next_listed = listed;
	listed = r;
	os_mutex_unlock(&listing);
}

void
reactor_unlist(struct reactor *r)
{
	struct reactor **at = &listed;

	os_mutex_lock(&listing);
	while (*at != r)
		at = &(*at)->next_listed;
	*at = r->next_listed;
	os_mutex_unlock(&listing);
}

/* --- events --------------------------------------------------------------- */

void
reactor_note(struct reactor *r, const struct watch *w, unsigned events)
{
	struct fired *e;

	if (r->nfired == r->room)
		return;		/* it comes again (I2) */
	e = &r->fired[r->nfired++];
	e->f = w->f;
	e->gen = w->gen;
	e->events = events;
}

static void
watch_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct watch *w = container_of(io, struct watch, io);
	unsigned events = 0;

	if (revents & EV_READ)
		events |= WATCH_READ;
	if (revents & EV_WRITE)
		events |= WATCH_WRITE;
	if (revents & EV_ERROR)
		events |= WATCH_FAILED;
	reactor_note(ev_userdata(loop), w, events);
}

/* --- watches -------------------------------------------------------------- */

/* Another thread may sleep in a round that does not know of the change. */
static void
changed(struct reactor *r)
{
	if (r->waiting)
		reactor_wake(r);
}

static void
make_fresh(struct watch *w)
{
	struct reactor *r = w->home;

	if (!w->is_fresh) {
		w->is_fresh = true;
		w->fresh_next = r->fresh;
		r->fresh = w;
	}
	changed(r);
}

static void
forget_fresh(struct watch *w)
{
	struct watch **at;

	if (!w->is_fresh)
		return;
	for (at = &w->home->fresh; *at != w; at = &(*at)->fresh_next)
		continue;
	*at = w->fresh_next;
	w->is_fresh = false;
}

static void
check_open(struct reactor *r, struct watch *w)
{
	if (ev_is_active(&w->io) && fcntl(w->io.fd, F_GETFD) < 0) {
		ev_io_stop(r->loop, &w->io);
		reactor_note(r, w, WATCH_FAILED);
	}
}

void
reactor_check_fresh(struct reactor *r)
{
	struct watch *w, *next;

	for (w = r->fresh; w; w = next) {
		next = w->fresh_next;
		w->is_fresh = false;
		check_open(r, w);
	}
	r->fresh = NULL;
}

void
reactor_check_all(struct reactor *r)
{
	struct watch *w;

	for (w = r->watches; w; w = w->next)
		check_open(r, w);
}

static int
libev_events(unsigned events)
{
	return (events & WATCH_READ ? EV_READ : 0) |
	    (events & WATCH_WRITE ? EV_WRITE : 0);
}

/* The lock is held, but who has the turn may be filling r->fired. */
int
reactor_assure_fired(struct reactor *r, size_t room)
{
	struct fired *next;

	if (room <= r->room_next)
		return 0;
	next = chaos_fail() ? NULL : malloc(room * sizeof *next);
	if (!next)
		return -ENOMEM;
	free(r->fired_next);
	r->fired_next = next;
	r->room_next = room;
	return 0;
}

/* The tables of libev and r->fired are about to grow.  The lock is held. */
static cold int
assure_room(struct reactor *r, size_t num)
{
	size_t watches = r->nwatches < r->assured ? r->assured :
	    2 * r->nwatches + 2;
	size_t highest = num > r->highest ? num : r->highest;
	int code = spare_assure(r, watches, highest + 1);

	if (code == 0)
		code = reactor_assure_fired(r, watches);
	if (code < 0)
		return code;
	r->assured = watches;
	r->highest = highest;
	return 0;
}

static int
watch_start(struct watch *w, struct reactor *r)
{
	size_t num = (size_t)w->io.fd;

	loop_lock(r);
	if (unlikely(num > r->highest || r->nwatches >= r->assured ||
	    spare_is_cut(r)) && assure_room(r, num) < 0) {
		loop_unlock(r);
		return -ENOMEM;
	}
	r->nwatches++;
	w->home = r;
	w->next = r->watches;
	if (w->next)
		w->next->prev = w;
	r->watches = w;
	ev_io_start(r->loop, &w->io);
	make_fresh(w);
	loop_unlock(r);
	return 0;
}

int
watch_new(struct watch **ret, struct reactor *r, struct fd *f, int num,
    uint32_t gen, unsigned events)
{
	struct watch *w = chaos_fail() ? NULL : calloc(1, sizeof *w);
	int code = -EINVAL;

	if (!w)
		return -ENOMEM;
	w->f = f;
	w->gen = gen;
	ev_io_init(&w->io, watch_event, num, libev_events(events));
	if (likely(r != NULL)) {
		code = watch_start(w, r);
	} else {
		os_mutex_lock(&listing);		/* keeps it alive */
		if (listed)
			code = watch_start(w, listed);
		os_mutex_unlock(&listing);
	}
	if (unlikely(code < 0)) {
		free(w);
		return code;
	}
	*ret = w;
	return 0;
}

void
watch_set(struct watch *w, unsigned events)
{
	struct reactor *r = w->home;

	loop_lock(r);
	ev_io_stop(r->loop, &w->io);
	ev_io_modify(&w->io, libev_events(events));
	if (events) {
		ev_io_start(r->loop, &w->io);
		make_fresh(w);
	}
	loop_unlock(r);
}

void
watch_renew(struct watch *w)
{
	struct reactor *r = w->home;

	loop_lock(r);
	if (ev_is_active(&w->io)) {
		int events = w->io.events & (EV_READ | EV_WRITE);

		ev_io_stop(r->loop, &w->io);
		ev_io_set(&w->io, w->io.fd, events);
		ev_io_start(r->loop, &w->io);
		make_fresh(w);
	} else {
		ev_io_set(&w->io, w->io.fd, 0);	/* at its next start */
	}
	loop_unlock(r);
}

void
watch_drop(struct watch *w)
{
	struct reactor *r = w->home;
	uint64_t rounds = 0;
	bool kept;

	loop_lock(r);
	r->nwatches--;
	ev_io_stop(r->loop, &w->io);
	forget_fresh(w);
	if (w->prev)
		w->prev->next = w->next;
	else
		r->watches = w->next;
	if (w->next)
		w->next->prev = w->prev;
	kept = r->keeps && r->waiting;
	if (kept) {
		rounds = r->rounds;
		a_add_relaxed(&r->droppers, 1);
		reactor_wake(r);
	}
	loop_unlock(r);
	free(w);
	if (!kept)
		return;
	while (a_load_acquire(&r->rounds) == rounds)
		os_give_way();
	a_add_acqrel(&r->droppers, -1u);	/* pairs with drop_watches */
}

struct reactor *
watch_home(const struct watch *w)
{
	return w->home;
}

uint64_t
watch_round(const struct watch *w)
{
	return a_load_acquire(&w->home->rounds);
}

bool
watch_doubt(struct watch *w, struct fd *f, uint32_t gen)
{
	struct reactor *r = w->home;
	bool noted = true;

	loop_lock(r);
	if (r->ndoubts == r->doubts_room) {
		size_t room = r->doubts_room ? 2 * r->doubts_room : 64;
		struct doubt *d = realloc(r->doubts, room * sizeof *d);

		noted = d != NULL;
		if (noted) {
			r->doubts = d;
			r->doubts_room = room;
		}
	}
	if (noted) {
		r->doubts[r->ndoubts++] = (struct doubt){ f, gen };
		if (r->recheck_at == CO_FOREVER) {
			r->recheck_at = os_now() + RECHECK;
			changed(r);
		}
	}
	loop_unlock(r);
	return noted;
}

/* Called with the turn, not with the lock. */
void
reactor_recheck(struct reactor *r)
{
	struct doubt *list;
	size_t i, n;

	loop_lock(r);
	list = r->doubts;
	n = r->ndoubts;
	r->doubts = NULL;
	r->ndoubts = r->doubts_room = 0;
	r->recheck_at = CO_FOREVER;
	loop_unlock(r);
	for (i = 0; i < n; i++)
		co__fd_recheck(list[i].f, list[i].gen);
	free(list);
}

/* A descriptor that another runtime's task waits for finds a new home when
   that task, woken here, waits again. */
void
reactor_drop_watches(struct reactor *r)
{
	struct watch *w;

	for (;;) {
		struct fd *f;

		loop_lock(r);
		w = r->watches;
		f = w ? w->f : NULL;
		loop_unlock(r);
		if (!w)
			break;
		co__fd_unwatch(f, w);
	}
	while (a_load_acquire(&r->droppers))
		os_give_way();
}
