/* SPDX-License-Identifier: MIT */
/*
 * lock.c - the slow side of locks, the end of a solo, and checked ranks.
 *
 * Layer 1.
 */
#include "lock.h"
#include "os.h"

struct self co__nobody;
_Thread_local struct self *co__self = &co__nobody;
struct self *co__solo;
uint32_t co__shared = 1;
uint32_t co__foreign;
uint32_t co__awake;

/*
 * Ending a solo costs some microseconds on two processors: after one that was
 * short the next waits twice as long, after a long one little.  Guesses, not
 * measured.
 */
enum {
	SOLO_LONG = 1000 * 1000,	/* ns */
	REST_LEAST = 100 * 1000,
	REST_MOST = 8 * 1000 * 1000
};

static struct os_mutex solo_mutex;
static int64_t solo_since, rest = REST_LEAST;	/* [solo_mutex] */
static int64_t solo_after;	/* [atomic] no solo before that time */

#if defined self_get
noinline struct self *
co__self_get(void)
{
	__asm__ volatile("" ::: "memory");
	return co__self;
}
#endif

/*
 * Workers that wait for each other's locks all the time do less together than
 * one of them alone.  Measured on two processors, 4 and 32 pairs of coroutines
 * with one channel and some work between two messages (bench/talk; HACKING, the
 * life of a steal): the limit is where each of two meets a held lock once in
 * 2 us.
 */
enum {
	QUARREL = 64,			/* locks */
	QUARREL_TIME = QUARREL * 2000	/* ns */
};

static void
note_contention(struct self *s)
{
	int64_t now;

	if (!s->worker || ++s->contended < QUARREL)
		return;
	now = os_now();
	if (now - s->contended_at < QUARREL_TIME) {
		s->quarrels = true;
		s->turn_end = 0;
	}
	s->contended = 0;
	a_store_relaxed(&s->contended_at, now);
}

/*
 * The holder is inside a few dozen instructions, unless the kernel took its
 * processor away: then giving way is all that helps.  The counts are guesses,
 * not measured.
 */
cold void
co__lock_slow(struct lock *l)
{
	int round = 0, i;

	note_contention(self_get());
	do {
		for (i = 0; i < 64 && a_load_relaxed(&l->word) != 0; i++)
			a_pause();
		if (a_load_relaxed(&l->word) != 0) {
			if (++round < 32)
				os_give_way();
			else
				os_nap(50000);
		}
	} while (a_load_relaxed(&l->word) != 0 ||
	    a_xchg_acquire(&l->word, 1) != 0);
}

/* The mutex is held. */
static void
start_solo(struct self *s)
{
	solo_since = os_now();
	a_store_release(&co__solo, s);
}

cold void
co__solo_begin(struct self *s)
{
	if (!co__have_membarrier)
		return;		/* solo_enter counts on it */
	os_mutex_lock(&solo_mutex);
	if (a_load_relaxed(&co__shared)) {
		a_store_relaxed(&co__shared, 0);
		a_fence_seqcst();	/* pairs with co__foreign_enter,
					   co__awake_enter */
		if (a_load_acquire(&co__foreign) != 0 ||
		    a_load_acquire(&co__awake) != 1)
			a_store_release(&co__shared, 1);
		else
			start_solo(s);
	}
	os_mutex_unlock(&solo_mutex);
}

void
co__solo_try(struct self *s, int64_t now)
{
	if (a_load_relaxed(&co__awake) == 1 &&
	    a_load_relaxed(&co__foreign) == 0 &&
	    now >= a_load_relaxed(&solo_after))
		co__solo_begin(s);
}

/* The mutex is held. */
static void
take_rest(int64_t now)
{
	if (now - solo_since >= SOLO_LONG)
		rest = REST_LEAST;
	else if (rest < REST_MOST)
		rest *= 2;
	a_store_relaxed(&solo_after, now + rest);
}

cold void
co__solo_end(void)
{
	struct self *s;

	os_mutex_lock(&solo_mutex);
	s = a_load_relaxed(&co__solo);
	a_store_relaxed(&co__solo, NULL);
	if (s && s != self_get()) {
		a_heavy_barrier();	/* pairs with solo_enter */
		while (a_load_acquire(&s->crit) != 0)	/* with solo_leave */
			os_give_way();
		take_rest(os_now());
	}
	a_store_release(&co__shared, 1);
	os_mutex_unlock(&solo_mutex);
}

/*
 * Nobody else is alone when it returns; its own solo a worker finds as it left
 * it.  NULL is one that is just beginning, and nobody's.
 */
static void
count_in(uint32_t *count, uint32_t n)
{
	struct self *solo;

	a_add_seqcst(count, n);
	if (a_load_seqcst(&co__shared) != 0)	/* pairs with co__solo_begin */
		return;
	solo = a_load_seqcst(&co__solo);
	if (solo != self_get())
		co__solo_end();
}

void
co__foreign_enter(void)
{
	count_in(&co__foreign, 1);
}

void
co__foreign_leave(void)
{
	a_add_acqrel(&co__foreign, -1u);
}

void
co__awake_enter(uint32_t n)
{
	count_in(&co__awake, n);
}

void
co__awake_leave(uint32_t n)
{
	a_add_acqrel(&co__awake, -n);
}

#ifdef WEFT_DEBUG

void
co__lock_note(enum lock_rank rank)
{
	struct self *s = self_get();
	uint32_t top;

	if (s == &co__nobody)
		return;
	if (s->held > 0 && s->held <= SELF_RANKS) {
		top = s->ranks[s->held - 1];
		bug_if(top > (uint32_t)rank);
		bug_if(top == (uint32_t)rank && rank != LOCK_TASK &&
		    rank != LOCK_CHAN);
	}
	if (s->held < SELF_RANKS)
		s->ranks[s->held] = (uint8_t)rank;
	s->held++;
}

void
co__unlock_note(enum lock_rank rank)
{
	struct self *s = self_get();

	if (s == &co__nobody)
		return;
	bug_if(s->held == 0);
	s->held--;
	(void)rank;
}

void
co__locks_none_held(const char *where)
{
	struct self *s = self_get();

	if (s->held != 0)
		bug(where);
	if (s->mutexes != 0) {
		s->mutexes = 0;		/* what it says takes some */
		bug("a coroutine waits, yields or ends while it holds a "
		    "pthread mutex");
	}
}

#endif
