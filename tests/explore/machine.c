/* SPDX-License-Identifier: MIT */
/*
 * machine.c - see machine.h: what is below the code that is explored.
 */
#include "machine.h"

#include "lock.c"		/* its own variables are shared, too */

#include "chaos.h"
#include "sched.h"
#include "scope.h"

struct machine machine;
bool co__have_membarrier;
void (*co__bug_where)(void);

static enum machine_kind kinds[EXPLORE_THREADS];
static bool mutex_held;

static void
make_worker(int i)
{
	struct worker *w = &machine.worker[i];
	struct task *t = &machine.task[i];

	w->self.worker = w;
	w->self.current = t;
	w->rt = &machine.rt;
	t->worker = w;
	t->kind = TASK_CORO;
	t->band = BANDS;
	t->id = (uint64_t)i + 1;
	t->bound = 1;
	t->on_cpu = 1;
	t->u.run.ext = &machine.ext[i];
	explore_share(&w->self, sizeof w->self);
	explore_share(t, sizeof *t);
	explore_share_quietly(&machine.ready[i], sizeof machine.ready[i]);
}

static void
make_stand_in(int i)
{
	struct foreign *f = &machine.foreign[i];

	f->self.current = &f->task;
	f->task.kind = TASK_FOREIGN;
	f->task.id = (uint64_t)i + 1;
	f->task.u.run.ext = &f->ext;
	explore_share(&f->self, sizeof f->self);
	explore_share(&f->task, sizeof f->task);
	explore_share(&f->woken, sizeof f->woken);
}

void
machine_setup(enum machine_kind a, enum machine_kind b, enum machine_kind c)
{
	int i;

	memset(&machine, 0, sizeof machine);
	kinds[0] = a;
	kinds[1] = b;
	kinds[2] = c;
	mutex_held = false;
	co__have_membarrier = true;
	co__solo = NULL;
	co__shared = 1;
	co__foreign = 0;
	co__awake = 0;
	solo_after = 0;
	explore_share(&co__solo, sizeof co__solo);
	explore_share(&co__shared, sizeof co__shared);
	explore_share(&co__foreign, sizeof co__foreign);
	explore_share(&co__awake, sizeof co__awake);
	explore_share_quietly(&solo_after, sizeof solo_after);
	for (i = 0; i < EXPLORE_THREADS; i++) {
		if (kinds[i] == WORKER) {
			make_worker(i);
			co__awake++;
		} else if (kinds[i] == STAND_IN) {
			make_stand_in(i);
		}
	}
}

void
machine_enter(int thread)
{
	static struct self *selves[3];

	selves[WORKER] = &machine.worker[thread].self;
	selves[STAND_IN] = &machine.foreign[thread].self;
	selves[NEWCOMER] = &co__nobody;
	co__self = selves[kinds[thread]];
}

struct task *
machine_task(int thread)
{
	return kinds[thread] == WORKER ? &machine.task[thread] :
	    &machine.foreign[thread].task;
}

void
machine_cancel_wait(void)
{
	struct task *t = machine_task(0);
	uint64_t park = a_load_acquire(&t->park);

	if (park & PARK_WAITING && wait_claim(t, park))
		task_wake(t, -ECANCELED);
}

static struct task gone;

void
machine_forbid_gone(void)
{
	memset(&gone, 0, sizeof gone);
	gone.kind = TASK_CORO;
	explore_forbid(&gone, sizeof gone);
}

noinline void
machine_write_over_frames(void)
{
	void *volatile below[256];
	size_t i;

	for (i = 0; i < ARRAY_LEN(below); i++)
		below[i] = &gone;
}

void
machine_end(void)
{
	int i;

	for (i = 0; i < EXPLORE_THREADS; i++)
		explore_assert(!machine.ready[i] && !machine.foreign[i].woken,
		    "a task is woken that does not wait");
}

/* --- sched.c, worker.c: turns end at once: every park comes here ----------- */

struct task *
co__sched_turn(struct worker *w)
{
	uint32_t *ready = &machine.ready[w - machine.worker];

	while (!a_load_acquire(ready))
		os_give_way();
	a_store_relaxed(ready, 0);
	return w->self.current;
}

void
sched_ready(struct task *t)
{
	uint32_t *ready = &machine.ready[t - machine.task];

	explore_assert(t >= machine.task &&
	    t < machine.task + EXPLORE_THREADS, "nobody's task is woken");
	explore_assert(!a_load_relaxed(ready), "a task is woken twice");
	a_store_release(ready, 1);
}

void
sched_ready_late(struct task *t)
{
	sched_ready(t);
}

/* --- task.c --------------------------------------------------------------- */

void
task_each(struct runtime *rt, void (*fn)(struct task *, void *), void *arg)
{
	int i;

	(void)rt;
	for (i = 0; i < EXPLORE_THREADS; i++)
		fn(&machine.task[i], arg);
}

/* --- os_linux.c ----------------------------------------------------------- */

void
os_give_way(void)
{
	explore_pause(explore__site(OP_PAUSE, ""));
}

co_time
os_now(void)
{
	return 0;
}

void
os_nap(co_time duration)
{
	(void)duration;
	os_give_way();
}

int
os_futex_wait(uint32_t *word, uint32_t value, co_time until)
{
	(void)until;
	while (a_load_acquire(word) == value)
		os_give_way();
	return 0;
}

void
os_futex_wake(uint32_t *word, int n)
{
	(void)word;
	(void)n;
}

static bool
mutex_is_free(void *arg)
{
	(void)arg;
	return !mutex_held;
}

/* One is enough for all: models use lock.c's alone. */
void
os_mutex_lock(struct os_mutex *m)
{
	(void)m;
	explore_wait(mutex_is_free, NULL);
	a_fence_seqcst();
	mutex_held = true;
}

void
os_mutex_unlock(struct os_mutex *m)
{
	(void)m;
	a_fence_seqcst();
	mutex_held = false;
}

/* --- scope.c, bug.c ------------------------------------------------------- */

int
co__wait_noted(struct task *t, int code)
{
	(void)a_load_acquire(&t->ended);
	return code;
}

void
co__bug(const char *what, const char *file, int line)
{
	explore_violation(what, file, line);
	abort();
}

/* --- what the code could call and does not, here -------------------------- */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define NEVER(function, result) \
	function \
	{ \
		bug("it is never called: " #function); \
		return result; \
	}

/* What the switch of this build is made of. */
#if defined WEFT_ASAN || defined WEFT_TSAN
NEVER(struct context *context_switch(struct context *from, struct context *to),
    from)
NEVER(void context_leave(struct context *from, struct context *to), )
NEVER(void context_landed(void), )
#endif
#if defined WEFT_CONTEXT_BOOST
NEVER(struct context_transfer jump_fcontext(void *to, void *data),
    (struct context_transfer){ 0 })
#elif !defined CONTEXT_HOP
NEVER(void co__context_jump(struct context *from, struct context *to), )
#elif defined __x86_64__
__attribute__((used)) uint8_t co__context_reload;	/* by asm statements */
#endif

NEVER(void co__sched_bury(struct worker *w), )
NEVER(struct task *co__sched_go_native(struct worker *w, struct task *t,
    struct task *to), NULL)
NEVER(void co__sched_yield_turn(struct worker *w, struct task *t), )
NEVER(void task_bind(struct worker *w, struct task *t), )
NEVER(struct task *co__stand_in(void), NULL)
NEVER(int scope_arm_slow(struct co_scope *s, struct worker *w), 0)
NEVER(void scope_look(struct task *t, co_time now), )
NEVER(int timer_add(struct timers *h, co_time now, co_time when, void *owner,
    uint64_t ticket, uint32_t *ret_id), 0)
NEVER(bool timer_del(struct timers *h, uint32_t id, const void *owner,
    uint64_t ticket), false)

#ifdef WEFT_CHAOS
void
co__chaos_point(void)
{
}

bool
co__chaos_fail(void)
{
	return false;
}
#endif
