/* SPDX-License-Identifier: MIT */
/*
 * <weft/scope.h> - scopes: children, deadlines, cancellation.  Full text:
 * co_scope(3).
 *
 *	struct co_scope s;
 *	co_scope(s, .timeout = CO_SEC(5)) {
 *		co_spawn(fetch, &a);
 *		co_spawn(fetch, &b);
 *	}
 *	if (s.status < 0) ...
 *
 * A scope is left, by its end, break, return or goto, only when all coroutines
 * spawned in it have ended.  What they have pointers to is declared outside of
 * its braces: what is inside has gone by then.  It may be ended early for one
 * reason, the first: a child failed, its deadline passed, it was cancelled,
 * or a scope around it ended.  From then on every wait inside gives that code.
 * Scopes work in plain threads too; spawning does not.
 */
#ifndef WEFT_SCOPE_H
#define WEFT_SCOPE_H

#include <weft/co.h>

#ifdef __cplusplus
extern "C" {
#endif

enum co_policy {
	CO_FAIL_FAST,	/* a child that returns < 0 cancels the rest */
	CO_SUPERVISE	/* failures are counted and cancel nobody */
};

struct co_scope {
	int status;		/* once left: 0, or the code of the reason */
	unsigned failures;	/* children that returned < 0 */
	/* The rest belongs to the library. */
	int co__ended;		/* code that waits inside give; 0: none */
	unsigned char co__policy, co__shield, co__left, co__open, co__hit,
	    co__flat;
	struct co_scope *co__outer;
	void *co__owner;
	void *co__children[2];
	size_t co__count;
	uint64_t co__ticket;
	co_time co__deadline;
	struct co_scope *co__armer;
	void *co__heap;
	uint32_t co__timer, co__timer_state;
};

struct co_scope_options {	/* all fields zero: no deadline, fail fast */
	co_time timeout;	/* from now; 0: none; negative: has passed */
	co_time deadline;	/* on the clock of co_now(); 0: none */
	enum co_policy policy;
	bool shield;		/* as co_shield, below */
	unsigned char co__zero;
};

/*
 * Enters and leaves by hand.  options may be NULL.  Leaving waits for the
 * children and returns s->status; scopes are left in the reverse order of
 * entering, by the coroutine or thread that entered.  Leaving is no
 * cancellation point.  -EINVAL: s is NULL, or not the innermost scope.
 * -ENOMEM: a plain thread's first use of the library found no memory.
 */
int co_scope_enter(struct co_scope *s, const struct co_scope_options *options);
int co_scope_leave(struct co_scope *s);

/*
 * Ends the scope with -ECANCELED.  From any thread, at any time while s is
 * entered; does not wait; a second time does nothing.
 */
void co_cancel(struct co_scope *s);

/* Has the scope that the caller is in ended, for whatever reason? */
bool co_cancelled(void);

#ifndef __cplusplus

/* co_scope(s [, .timeout = ...] [, .deadline = ...] [, .policy = ...]
   [, .shield = true]) { } */
#define co_scope(...) \
	CO__SCOPE_FOR(CO__UNIQUE(co__scope_at), \
	    CO__FIRST(__VA_ARGS__, 0), CO__REST(__VA_ARGS__, .co__zero = 0))
#define CO__SCOPE_FOR(at, s, ...)	CO__SCOPE_FOR2(at, s, __VA_ARGS__)
#define CO__SCOPE_FOR2(at, s, ...) \
	for (struct co_scope *at __attribute__((cleanup(co__scope_cleanup))) \
	    = co__scope_begin(&(s), \
	    &(struct co_scope_options){ __VA_ARGS__ }); \
	    at; at = co__scope_end(at))

/* co_timeout(duration) { }: waits inside give -ETIMEDOUT once it has passed. */
#define co_timeout(duration) \
	CO__TIMEOUT_FOR(CO__UNIQUE(co__block_at), (duration))
/* co_shield() { }: waits inside are not ended by what happens outside. */
#define co_shield()	CO__SHIELD_FOR(CO__UNIQUE(co__block_at))
/* The duration is kept in the scope: a condition is looked at twice. */
#define CO__TIMEOUT_FOR(at, x) \
	CO__BLOCK_FOR(at, x, co__timeout_begin(&at, at.co__deadline))
#define CO__SHIELD_FOR(at) \
	CO__BLOCK_FOR(at, 0, co__shield_begin(&at, 0))
#define CO__BLOCK_FOR(at, x, condition) \
	for (struct co_scope at __attribute__((cleanup(co__block_cleanup))) \
	    = { .co__open = 0, .co__deadline = x }; condition; \
	    (void)co__scope_end(&at))

#define CO__FIRST(a, ...)	a
#define CO__REST(a, ...)	__VA_ARGS__

struct co_scope *co__scope_begin(struct co_scope *s,
    const struct co_scope_options *options);
struct co_scope *co__scope_end(struct co_scope *s);
bool co__timeout_begin(struct co_scope *s, co_time duration);
bool co__shield_begin(struct co_scope *s, int unused);
void co__scope_cleanup(struct co_scope **s);
void co__block_cleanup(struct co_scope *s);

/*
 * CO_LOCAL(T, name); at file scope declares a value that each coroutine has
 * of its own.  A spawned coroutine begins with its spawner's values; a value
 * is zero before it was set.  co_local_set gives 0 or -ENOMEM.
 */
#define CO_LOCAL(T, name) \
	struct { struct co__local_key key; __typeof__(T) *type; } name \
	    = { { sizeof(T) }, 0 }
#define co_local_set(name, ...) \
	CO__LOCAL_SET(CO__UNIQUE(co__local_v), name, __VA_ARGS__)
#define CO__LOCAL_SET(x, name, ...)	CO__LOCAL_SET2(x, name, __VA_ARGS__)
#define CO__LOCAL_SET2(x, name, ...) __extension__ ({ \
	__typeof__(*(name).type) x = CO__ONE(__VA_ARGS__); \
	co__local_set(&(name).key, &x); })
#define co_local_get(name)	CO__LOCAL_GET(CO__UNIQUE(co__local_v), name)
#define CO__LOCAL_GET(x, name)	CO__LOCAL_GET2(x, name)
#define CO__LOCAL_GET2(x, name) __extension__ ({ \
	__typeof__(*(name).type) x; \
	co__local_get(&(name).key, &x); x; })

#endif /* !__cplusplus */

struct co__local_key {
	size_t size;
};
int co__local_set(const struct co__local_key *key, const void *value);
void co__local_get(const struct co__local_key *key, void *ret_value);

#ifdef __cplusplus
}
#endif

#endif
