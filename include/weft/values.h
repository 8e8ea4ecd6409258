/* SPDX-License-Identifier: MIT */
/*
 * <weft/values.h> - futures, broadcasts, watches, generators.  The full text:
 * co_values(3).
 *
 *	co_future(T)	one outcome, many readers
 *	co_bcast(T)	every value to every subscriber: co_sub(T)
 *	co_watch(T)	the latest value and its version
 *	co_gen(T)	values made one at a time, on request
 *
 * They are typed as channels are, counted (_ref, _unref; the generator is not),
 * and may be used from coroutines and plain threads.  What waits gives the code
 * of the scope that ended it, and then it has had no effect.  NULL: -EINVAL.
 */
#ifndef WEFT_VALUES_H
#define WEFT_VALUES_H

#include <weft/chan.h>

#ifdef __cplusplus
extern "C" {
#endif

enum co_bcast_policy {
	CO_BCAST_WAIT,	/* senders wait for the slowest subscriber */
	CO_BCAST_DROP	/* the oldest values go; receivers learn how many */
};

/* _ref returns its argument; the last _unref frees.  NULL is allowed. */
void *co_future_ref(void *f);
void co_future_unref(void *f);
void *co_bcast_ref(void *b);
void co_bcast_unref(void *b);	/* the last one closes b */
void *co_sub_ref(void *s);
void co_sub_unref(void *s);	/* the last one leaves */
void *co_watch_ref(void *w);
void co_watch_unref(void *w);
void co_gen_free(void *g);	/* ends fn first: its co_gen_yield fails */

/* code < 0 becomes the outcome: 0; -EALREADY: there is one; -EINVAL. */
int co_future_fail(void *f, int code);
/* No more values: 0, or -EPIPE: it was closed. */
int co_bcast_close(void *b);

/* What the macros call; from C++ these are the interface. */
void *co__future_new(size_t size, size_t align);
int co__future_set(void *f, const void *value);
int co__future_get(void *f, void *ret_value);
struct co_case co__on_future(void *f, void *value, int *status);
void *co__bcast_new(size_t size, size_t align, size_t capacity, int policy);
int co__bcast_send(void *b, const void *value);
void *co__bcast_subscribe(void *b);
int co__sub_recv(void *s, void *ret_value);
struct co_case co__on_sub(void *s, void *value, int *status);
void *co__watch_new(size_t size, size_t align, const void *initial);
int co__watch_set(void *w, const void *value);
int co__watch_get(void *w, void *ret_value, uint64_t *ret_version);
int co__watch_next(void *w, void *ret_value, uint64_t *version);
struct co_case co__on_watch(void *w, void *value, uint64_t *version);
void *co__gen_new(size_t size, int (*fn)(void *g, void *arg), void *arg);
int co__gen_yield(void *g, const void *value);
int co__gen_next(void *g, void *ret_value);

#ifndef __cplusplus

#define co_future(T)	CO__TYPED(T, 2)
#define co_bcast(T)	CO__TYPED(T, 3)
#define co_sub(T)	CO__TYPED(T, 4)
#define co_watch(T)	CO__TYPED(T, 5)
#define co_gen(T)	CO__TYPED(T, 6)

/* NULL: no memory.
   set: 0, or -EALREADY.  get waits: 0, or the code it failed with. */
#define co_future_new(T) \
	((co_future(T))co__future_new(sizeof(T), __alignof__(T)))
#define co_future_set(f, ...)	CO__PUT(co__future_set, 2, f, __VA_ARGS__)
#define co_future_get(f, ...)	CO__GET(co__future_get, 2, f, __VA_ARGS__)
/* co_on_future(f, &v [, &status]): status becomes 0, or the failure. */
#define co_on_future(f, ...)	CO__CASE(co__on_future, 2, f, __VA_ARGS__)

/* NULL: no memory, or a capacity of 0.
   send waits (CO_BCAST_WAIT): 0, or -EPIPE: closed.  A cancellation point. */
#define co_bcast_new(T, capacity, policy) \
	((co_bcast(T))co__bcast_new(sizeof(T), __alignof__(T), (capacity), \
	    (policy)))
#define co_bcast_send(b, ...)	CO__PUT(co__bcast_send, 3, b, __VA_ARGS__)

/* Sees every value sent from now on.  NULL: no memory.
   recv waits: how many values were missed just before this one, or -EPIPE:
   closed and drained, and the variable is zeroed. */
#define co_bcast_subscribe(...) \
	CO__SUBSCRIBE(CO__UNIQUE(co__b), CO__UNIQUE(co__o), __VA_ARGS__)
#define CO__SUBSCRIBE(a, o, ...)	CO__SUBSCRIBE2(a, o, __VA_ARGS__)
#define CO__SUBSCRIBE2(a, o, ...) __extension__ ({ \
	__auto_type a = CO__ONE(__VA_ARGS__); \
	__typeof__(**a) (*o)[3] = a; \
	(__typeof__(**a) (*)[4])co__bcast_subscribe((void *)o); })
#define co_sub_recv(s, ...)	CO__GET(co__sub_recv, 4, s, __VA_ARGS__)
/* co_on_sub(s, &v [, &status]): status becomes what recv would give. */
#define co_on_sub(s, ...)	CO__CASE(co__on_sub, 4, s, __VA_ARGS__)

/* Begins with version 1; NULL: no memory.  set and get do not wait: 0.
   next waits until the version differs from *version: 0.
   version is a uint64_t *; NULL in get: not asked for.  The brackets keep
   commas that v expands to, as of CO_SEM_INIT, from parting it. */
#define co_watch_new(T, ...) \
	CO__WATCH_NEW(CO__UNIQUE(co__v), T, __VA_ARGS__)
#define CO__WATCH_NEW(v, T, ...)	CO__WATCH_NEW2(v, T, __VA_ARGS__)
#define CO__WATCH_NEW2(v, T, ...) __extension__ ({ \
	__typeof__(T) v = CO__ONE(__VA_ARGS__); \
	(co_watch(T))co__watch_new(sizeof v, __alignof__(v), &v); })
#define co_watch_set(w, ...)	CO__PUT(co__watch_set, 5, w, __VA_ARGS__)
#define co_watch_get(w, v, ...) \
	CO__WATCH(co__watch_get, (w), (v), CO__ONE(__VA_ARGS__))
#define co_watch_next(w, v, ...) \
	CO__WATCH(co__watch_next, (w), (v), CO__ONE(__VA_ARGS__))
#define co_on_watch(w, v, ...) \
	CO__WATCH(co__on_watch, (w), (v), CO__ONE(__VA_ARGS__))
#define CO__WATCH(f, ...) \
	CO__WATCH2(CO__UNIQUE(co__a), CO__UNIQUE(co__o), CO__UNIQUE(co__p), \
	    f, __VA_ARGS__)
#define CO__WATCH2(a, o, p, f, ...)	CO__WATCH3(a, o, p, f, __VA_ARGS__)
#define CO__WATCH3(a, o, p, f, w, v, version) __extension__ ({ \
	__auto_type a = w; \
	__typeof__(**a) (*o)[5] = a, *p = v; \
	f((void *)o, (void *)p, version); })

/* fn: int fn(co_gen(T) g, void *arg).  It begins at the first next.  NULL: no
   memory, or no fn. */
#define co_gen_new(T, fn, ...) \
	CO__GEN_NEW(CO__UNIQUE(co__f), T, fn, __VA_ARGS__)
#define CO__GEN_NEW(f, T, fn, ...)	CO__GEN_NEW2(f, T, fn, __VA_ARGS__)
#define CO__GEN_NEW2(f, T, fn, ...) __extension__ ({ \
	int (*f)(co_gen(T), void *) = (fn); \
	(co_gen(T))co__gen_new(sizeof(T), \
	    (int (*)(void *, void *))(void (*)(void))f, \
	    CO__ONE(__VA_ARGS__)); })
/* In fn: 0, or -ECANCELED when the generator is being freed.  -EINVAL: not in
   fn, on its own stack, or inside a scope that fn entered. */
#define co_gen_yield(g, ...)	CO__PUT(co__gen_yield, 6, g, __VA_ARGS__)
/* 0; -EPIPE after fn returned >= 0, and the variable is zeroed, else what it
   returned.  -EDEADLK: from fn itself; -ENOMEM: no stack. */
#define co_gen_next(g, ...)	CO__GET(co__gen_next, 6, g, __VA_ARGS__)

#endif /* !__cplusplus */

#ifdef __cplusplus
}
#endif

#endif
