/* SPDX-License-Identifier: MIT */
/*
 * <weft/co.h> - running, spawning, joining.  The full text: co(3).
 *
 * Results are >= 0, or a negative errno; errno itself is not read, and means
 * nothing after a call.
 * A call marked "waits" parks the coroutine, never its worker thread.  It is a
 * cancellation point: when the scope it runs in has ended it fails with that
 * scope's code (-ECANCELED, -ETIMEDOUT, or that of a child that failed), and
 * then it has had no effect.  Under a deadline -ENOMEM does the same.
 */
#ifndef WEFT_CO_H
#define WEFT_CO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Time: nanoseconds of the monotonic clock, and durations in nanoseconds. */
typedef int64_t co_time;

#define CO_NS(n)	((co_time)(n))
#define CO_US(n)	((co_time)((n) * INT64_C(1000)))
#define CO_MS(n)	((co_time)((n) * INT64_C(1000000)))
#define CO_SEC(n)	((co_time)((n) * INT64_C(1000000000)))
#define CO_FOREVER	INT64_MAX

/* A coroutine's body.  Returns 0, a value, or a negative errno. */
typedef int co_fn(void *arg);

struct co_options {		/* all fields zero: the defaults */
	int workers;		/* worker threads; 0: $WEFT_WORKERS, else one
				   for each CPU this process may use */
	size_t stack_size;	/* bytes reserved for each coroutine; 0:
				   $WEFT_STACK, else 256 KiB; least 16 KiB */
	int blocking_threads;	/* most threads of the blocking pool; 0: 64,
				   more than 4096 are as 4096 */
	unsigned flags;		/* CO_DUMP_ON_SIGQUIT, and so on */
	co_time watchdog;	/* names on stderr who keeps a worker busy for
				   so long, 1 ms to 1e6 s; 0: $WEFT_WATCHDOG, in
				   ms, else nobody; see co_inspect(3) */
};

#define CO_DUMP_ON_SIGQUIT	0x1u	/* SIGQUIT writes co_dump to stderr */
#define CO_STACK_UNGUARDED	0x2u	/* where no more guards can be had, go
					   on without, instead of -ENOMEM */
#define CO_STACK_CENSUS		0x4u	/* for co_stack_report(3); it costs some
					   microseconds for each coroutine */

/*
 * Runs fn(arg) as the first coroutine and returns what it returned, once every
 * coroutine has ended; those that still run when fn returns are cancelled.
 * The calling thread is one of the workers.  options may be NULL.
 * -EINVAL: fn is NULL, an option is out of range, or the caller is a coroutine.
 * -ENOMEM, -EAGAIN, -EMFILE: no memory, threads or descriptors to start with.
 * -EDEADLK: every coroutine slept and nothing could ever wake one; see co(3).
 * -ECHILD: in a child that was forked after its parent had used weft.
 */
int co_run(const struct co_options *options, co_fn *fn, void *arg);

/*
 * Starts fn(arg) as a coroutine of the innermost scope, which waits for it.
 * It is queued; the caller goes on.  Does not wait.
 * -EINVAL: fn is NULL, or the caller is no coroutine.  -ENOMEM, -EAGAIN: no
 * memory or no stacks.  The scope's code: it has ended.
 */
int co_spawn(co_fn *fn, void *arg);

enum co_priority {
	CO_NORMAL,		/* lower ones are delayed, never starved */
	CO_HIGH,
	CO_LOW
};

struct co_scope;

struct co_spawn_options {	/* all fields zero: as co_spawn */
	const char *name;	/* copied; 31 bytes are kept */
	size_t stack_size;	/* 0: the runtime's */
	bool pinned;		/* never leaves the worker that spawned it */
	enum co_priority priority;
	struct co_scope *scope;	/* NULL: the innermost of the caller */
};

int co_spawn_with(const struct co_spawn_options *options, co_fn *fn, void *arg);

/*
 * co_go(fn, VALUE): starts fn with a pointer to a copy of VALUE that lives on
 * the new stack.  fn is int fn(T *) or int fn(const T *), VALUE a T; the
 * compiler checks it.
 * Several arguments: co_go(worker, (struct job){ in, 3 }).
 * 0, or the errors of co_spawn; -EMSGSIZE: more than half of a stack.
 */
#define co_go(fn, ...) \
	CO__GO(CO__UNIQUE(co__go_fn), CO__UNIQUE(co__go_v), fn, __VA_ARGS__)
#define CO__GO(f, v, fn, ...)	CO__GO2(f, v, fn, __VA_ARGS__)
#define CO__GO2(f, v, fn, ...) __extension__ ({ \
	__auto_type v = CO__ONE(__VA_ARGS__); \
	__typeof__(__builtin_choose_expr(__builtin_types_compatible_p( \
	    __typeof__(&*(fn)), int (*)(const __typeof__(v) *)), \
	    (int (*)(const __typeof__(v) *))0, \
	    (int (*)(__typeof__(v) *))0)) f = (fn); \
	co__go((co_fn *)(void (*)(void))f, &v, sizeof v, __alignof__(v)); })

/* A name that no nested macro uses again. */
#define CO__UNIQUE(name)	CO__PASTE(name, __COUNTER__)
#define CO__PASTE(a, b)		CO__PASTE2(a, b)
#define CO__PASTE2(a, b)	a##b
/* One value; commas only in braces: a second one is an error, no operator. */
#define CO__ONE(...)		__builtin_choose_expr(1, __VA_ARGS__, 0)

int co__go(co_fn *fn, const void *value, size_t size, size_t align);

/* A forked coroutine: the caller's storage until it has been joined. */
struct co_task {
	uintptr_t co__word;
	void *co__task;
	uint64_t co__id;
	int co__result;
};

/*
 * As co_spawn, but its result goes to its one joiner, and nowhere else.  On
 * failure *t need not be joined.
 */
int co_fork(struct co_task *t, co_fn *fn, void *arg);

/*
 * Waits until *t has ended and returns its result.  Any thread may call it, one
 * at a time.  -EDEADLK: t is the caller.  -EINVAL: t is NULL, never forked,
 * already joined, or another caller is joining it.
 */
int co_join(struct co_task *t);

/* Every wait in *t gives -ECANCELED from now on.  Nothing if it has ended. */
void co_task_cancel(struct co_task *t);

/*
 * Lets the other runnable coroutines go first.  No cancellation point.  From
 * a plain thread it gives the processor away.
 */
#if !defined __cplusplus
void co_yield(void);
#elif __cplusplus < 202002L && \
    !defined __cpp_impl_coroutine && !defined __cpp_coroutines
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"	/* gcc 9 has no such: */
#pragma GCC diagnostic ignored "-Wc++20-compat"
void co_yield(void);
#pragma GCC diagnostic pop
#endif
void co_yield_now(void);	/* the same; co_yield is a keyword of C++20, and
				   of C++17 with -fcoroutines */

/*
 * Waits for the duration, or until the time: 0, or the code of the scope that
 * ended it.  Never early.  A time that has passed: 0 at once, after a yield.
 */
int co_sleep(co_time duration);
int co_sleep_until(co_time when);
co_time co_now(void);		/* reads the clock */

bool co_inside(void);		/* is the caller a coroutine? */
uint64_t co_id(void);		/* unique in a runtime, from 1; 0 outside */
const char *co_name(void);	/* "" when it has none; until the next set */
void co_set_name(const char *name);	/* copied; 31 bytes are kept */

#ifdef __cplusplus
}
#endif

#endif
