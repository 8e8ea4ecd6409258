/* SPDX-License-Identifier: MIT */
/*
 * runtime.c - co_run: making a runtime, running it, taking it down.
 *
 * Layer 11: it hands the upper layers down to the scheduler.
 *
 * Nothing outlives co_run: the main task's fn runs in the root scope, which is
 * cancelled and waited for when fn returns; then `over` sends every worker out
 * of its loop, and co_run joins their threads.
 */
#include "census.h"
#include "deadlock.h"
#include "dump.h"
#include "fault.h"
#include "join.h"
#include "reactor.h"
#include "scope.h"
#include "signals.h"
#include "trim.h"
#include "watchdog.h"

#include <weft/inspect.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct os_mutex mutex;
static struct runtime *runtimes;	/* [mutex] */
static uint32_t readers;		/* [atomic; begins under mutex] futex */

static const struct hooks hooks = {
	.scope_expired = scope_expired,
	.all_asleep = deadlock_check,
	.tidy = trim_slice,
	.stack_left = census_note,
	.let_in = co__signals_let_in,
};

/* --- options -------------------------------------------------------------- */

/* A number, with k or K for 1024 of it; -1: it is none, or negative. */
static int64_t
number(const char *s)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno || end == s || n < 0)
		return -1;
	if (*end == 'k' || *end == 'K') {
		end++;
		if (__builtin_mul_overflow(n, 1024, &n))
			return -1;
	}
	return *end ? -1 : n;
}

/* 0 when the environment has none; -EINVAL when it is not in these bounds: who
   has set it is to hear which. */
static int64_t
env_number(const char *name, int64_t least, int64_t most)
{
	const char *s = getenv(name);
	int64_t n = s && *s ? number(s) : 0;

	if (n == 0 || (n >= least && n <= most))
		return n;
	fprintf(stderr, "weft: %s=%s: not a number from %lld to %lld\n", name,
	    s, (long long)least, (long long)most);
	return -EINVAL;
}

static int
read_options(struct runtime *rt, const struct co_options *o)
{
	int64_t workers = o ? o->workers : 0, watchdog = 0;
	int64_t stack = o && o->stack_size <= STACK_MAX ?
	    (int64_t)o->stack_size : 0;

	if (o && (o->workers < 0 || o->blocking_threads < 0 ||
	    (o->watchdog != 0 && o->watchdog < CO_MS(1)) ||
	    o->watchdog > CO_SEC(1000000) ||
	    o->stack_size > STACK_MAX / 4 ||
	    o->flags & ~(CO_DUMP_ON_SIGQUIT | CO_STACK_UNGUARDED |
	    CO_STACK_CENSUS)))
		return -EINVAL;
	if (workers == 0)
		workers = env_number("WEFT_WORKERS", 1, WORKERS_MAX);
	if (workers == 0)
		workers = os_cpus() < WORKERS_MAX ? os_cpus() : WORKERS_MAX;
	if (stack == 0)
		stack = env_number("WEFT_STACK", STACK_MIN, STACK_MAX / 4);
	if (stack == 0)
		stack = 256 * 1024;
	if (!o || o->watchdog == 0)
		watchdog = env_number("WEFT_WATCHDOG", 1, 1000000000);
	if (workers < 0 || workers > WORKERS_MAX || watchdog < 0 ||
	    stack < (int64_t)STACK_MIN)
		return -EINVAL;
	rt->nworkers = (uint32_t)workers;
	rt->default_stack = round_up((size_t)stack, os_page());
	rt->flags = o ? o->flags : 0;
	rt->reuse_stacks = REUSE_STACKS && !(rt->flags & CO_STACK_CENSUS);
	rt->watchdog_time = o && o->watchdog ? o->watchdog : CO_MS(watchdog);
	rt->blocking_threads = o && o->blocking_threads ?
	    o->blocking_threads : 64;
	return 0;
}

/* --- workers -------------------------------------------------------------- */

static int
worker_init(struct worker *w, struct runtime *rt, uint32_t index)
{
	w->rt = rt;
	w->index = index;
	w->self.worker = w;
	w->census = rt->flags & CO_STACK_CENSUS;
	w->turn_picks = TURN_PICKS;
	w->help_from = HELP_FROM;
	w->self.turn_end = TURN_PICKS;
	w->watch_gap = CO_MS(1);
	w->random = 0x9e3779b97f4a7c15u * (index + 1);
	runq_init(&w->runq, rt->nworkers > 1);
	w->now = w->polled = w->looked = os_now();
	timers_init(&w->timers);
	stack_cache_init(&w->stacks, rt->stacks);
	w->looks = calloc(rt->nworkers, sizeof *w->looks);
	if (!w->looks)
		return -ENOMEM;
	return rt->reactor->make(&w->reactor, w);
}

static void
worker_fini(struct worker *w)
{
	if (!w->rt)
		return;
	if (w->reactor)
		w->rt->reactor->free(w->reactor);
	stack_cache_flush(&w->stacks);
	timers_fini(&w->timers);
	free(w->looks);
}

static void
run_loop(void *worker)
{
	struct worker *w = worker;

	co__self = &w->self;
	context_adopt(&w->ctx);
	watchdog_enter(w);
	worker_loop(w);
	watchdog_leave(w);
	context_drop(&w->ctx);
}

/* Reports to start_threads whether this thread can be a worker. */
static void
worker_thread(void *arg)
{
	struct worker *w = arg;
	struct runtime *rt = w->rt;
	int code = stack_fault_thread_init();

	if (code < 0)
		a_store_relaxed(&rt->start_code, code);
	if (a_add_acqrel(&rt->starting, -1u) == 1)
		os_futex_wake(&rt->starting, 1);
	if (code < 0)
		return;
	run_loop(w);
	co__self = &co__nobody;
	stack_fault_thread_fini();
}

static void
join_threads(struct runtime *rt, uint32_t n)
{
	uint32_t i;

	for (i = 1; i < n; i++)
		os_thread_join(&rt->workers[i].thread);
}

/* Starts all threads but the caller's and waits until each is able to work:
   0, or an error, with none left. */
static int
start_threads(struct runtime *rt)
{
	uint32_t i, left;
	int code = 0;

	co__awake_enter(rt->nworkers);
	rt->starting = rt->nworkers - 1;
	for (i = 1; i < rt->nworkers; i++) {
		code = os_thread_start(&rt->workers[i].thread, worker_thread,
		    &rt->workers[i]);
		if (code < 0)
			break;
	}
	a_add_acqrel(&rt->starting, i - rt->nworkers);	/* never started */
	while ((left = a_load_acquire(&rt->starting)) != 0)
		os_futex_wait(&rt->starting, left, CO_FOREVER);
	if (code == 0)
		code = a_load_relaxed(&rt->start_code);
	if (code < 0) {
		a_store_release(&rt->over, 1);	/* pairs with may_sleep */
		a_heavy_barrier();
		worker_wake_all(rt);
		join_threads(rt, i);
		co__awake_leave(rt->nworkers);
	}
	return code;
}

/* --- the main task -------------------------------------------------------- */

static void
dump_to_stderr(void)
{
	co_dump(stderr);
}

static int
main_body(void *arg)
{
	struct runtime *rt = arg;
	int code = 0;

	co_scope_enter(&rt->root,
	    &(struct co_scope_options){ .policy = CO_SUPERVISE });
	rt->root.co__flat = 1;
	if (rt->flags & CO_DUMP_ON_SIGQUIT)
		code = co__signals_call(SIGQUIT, dump_to_stderr);
	rt->result = code < 0 ? code : rt->fn(rt->arg);
	co_cancel(&rt->root);
	co_scope_leave(&rt->root);
	return 0;
}

static int
make_main(struct runtime *rt, struct task **ret)
{
	struct worker *w = &rt->workers[0];
	struct task *t = task_new(w);
	int code;

	if (!t)
		return -ENOMEM;
	code = stack_reserve_cached(&w->stacks, 0);
	if (code < 0)
		return code;
	t->u.begin.fn = main_body;
	t->u.begin.arg = rt;
	t->site = NULL;
	t->parent = 0;
	t->home = t->scope = NULL;
	t->handle = NULL;
	*ret = t;
	return 0;
}

/* --- co_run --------------------------------------------------------------- */

static void
enlist(struct runtime *rt)
{
	deadlock_own_threads((int)rt->nworkers);
	os_mutex_lock(&mutex);
	rt->next = runtimes;
	a_store_release(&runtimes, rt);
	if (rt->nworkers == 1)
		co__solo_begin(&rt->workers[0].self);
	os_mutex_unlock(&mutex);
}

static void
delist(struct runtime *rt)
{
	struct runtime **at = &runtimes;
	uint32_t n;

	os_mutex_lock(&mutex);
	while ((n = a_load_acquire(&readers)) != 0) {	/* with read_end */
		os_mutex_unlock(&mutex);	/* a reader may read again */
		os_futex_wait(&readers, n, CO_FOREVER);
		os_mutex_lock(&mutex);
	}
	while (*at != rt)
		at = &(*at)->next;
	a_store_release(at, rt->next);
	os_mutex_unlock(&mutex);
	co__solo_end();
	co__awake_leave(rt->nworkers);
	deadlock_own_threads(-(int)rt->nworkers);
}

/* None goes from the list until the end; some may come at its front. */
static struct runtime *
read_begin(void)
{
	struct runtime *first;

	os_mutex_lock(&mutex);
	a_add_relaxed(&readers, 1);
	first = runtimes;
	os_mutex_unlock(&mutex);
	return first;
}

static void
read_end(void)
{
	if (a_add_acqrel(&readers, -1u) == 1)	/* pairs with delist */
		os_futex_wake(&readers, INT32_MAX);
}

void
runtime_list(void (*fn)(struct runtime *first, void *arg), void *arg)
{
	fn(read_begin(), arg);
	read_end();
}

void
runtime_each(void (*fn)(struct runtime *, void *), void *arg)
{
	struct runtime *rt;

	for (rt = read_begin(); rt; rt = rt->next)
		fn(rt, arg);
	read_end();
}

static int
build(struct runtime *rt)
{
	uint32_t i;
	int code = 0;

	rt->stacks = stack_pool_new(rt->default_stack,
	    rt->flags & CO_STACK_UNGUARDED);
	rt->workers = os_map_coloured(rt->nworkers * sizeof *rt->workers,
	    COLOUR_WORKER);
	if (!rt->stacks || !rt->workers)
		return -ENOMEM;
	for (i = 0; i < rt->nworkers && code == 0; i++)
		code = worker_init(&rt->workers[i], rt, i);
	rt->max_searching = rt->nworkers / 2;
	if (rt->max_searching > (uint32_t)os_cpus() / 2)
		rt->max_searching = (uint32_t)os_cpus() / 2;
	if (rt->max_searching == 0)
		rt->max_searching = 1;
	rt->spin_time = os_cpus() > 1 ? SPIN_TIME : 0;
	return code;
}

static void
demolish(struct runtime *rt)
{
	uint32_t i;

	for (i = rt->nworkers; rt->workers && i-- > 0; )
		worker_fini(&rt->workers[i]);
	task_slab_free(rt);
	if (rt->stacks)
		stack_pool_free(rt->stacks);
	os_unmap(rt->workers, rt->nworkers * sizeof *rt->workers);
	free(rt);
}

/*
 * The calling thread is worker 0.  The main task is queued only when the
 * runtime is on the list: from then on another worker may run it.  What it runs
 * may touch what other runtimes use; nobody there is alone since start_threads
 * has counted our workers.
 */
static int
run(struct runtime *rt, struct task *main_task)
{
	struct self *saved = co__self;

	enlist(rt);
	runq_push_new(&rt->workers[0].runq, main_task);
	os_to_the_end(run_loop, &rt->workers[0]);
	join_threads(rt, rt->nworkers);
	while (a_load_acquire(&rt->outsiders) != 0)	/* ready_elsewhere */
		os_give_way();
	join_settle();
	delist(rt);
	co__self = saved;
	return rt->deadlocked ? -EDEADLK : rt->result;
}

static int
build_and_run(struct runtime *rt)
{
	struct task *main_task;
	int code = build(rt);

	if (code == 0)
		code = make_main(rt, &main_task);
	if (code != 0)
		return code;
	code = stack_fault_thread_init();
	if (code < 0)
		return code;
	code = watchdog_start(rt);
	if (code == 0)
		code = start_threads(rt);
	if (code == 0)
		code = run(rt, main_task);
	watchdog_stop(rt);
	stack_fault_thread_fini();
	return code;
}

EXPORT int
co_run(const struct co_options *options, co_fn *fn, void *arg)
{
	struct self *s = self_get();
	struct runtime *rt;
	int code;

	if (!fn || s->worker)
		return -EINVAL;
	if (os_forked())
		return -ECHILD;
	os_init();
	rt = chaos_fail() ? NULL : calloc(1, sizeof *rt);
	if (!rt)
		return -ENOMEM;
	rt->fn = fn;
	rt->arg = arg;
	rt->reactor = &co__reactor_ops;
	rt->hooks = &hooks;
	rt->tidy_at = os_now() + CO_SEC(1);
	code = read_options(rt, options);
	if (code == 0)
		code = fault_install();
	if (code == 0)
		code = build_and_run(rt);
	demolish(rt);
	return code;
}
