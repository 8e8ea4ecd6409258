/* SPDX-License-Identifier: MIT */
/*
 * <weft/chan.h> - typed channels, and select over everything that can be
 * waited for.  The full text: chan(3), co_select(3).
 *
 *	chan(int) ch = chan_new(int, 16);
 *	chan_send(ch, 42);
 *	chan_recv(ch, &x);
 *
 *	switch (co_select(co_on_recv(a, &x), co_on_send(b, y),
 *	    co_on_timeout(CO_MS(50)))) {
 *	case 0: ...
 *	}
 *
 * A channel is FIFO, and so are those who wait for it.  All calls may be made
 * from coroutines and from plain threads.  The compiler checks the types.
 */
#ifndef WEFT_CHAN_H
#define WEFT_CHAN_H

#include <weft/co.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * As a capacity: sending never waits; it can fail with -ENOMEM, or the code of
 * the scope.  No number that a mistake in arithmetic gives, such as SIZE_MAX.
 */
#define CHAN_UNBOUNDED	(SIZE_MAX - 0x2545f4)

/*
 * The calls that need no type; ch is a chan(T), or NULL.
 *
 * chan_ref returns ch; the last chan_unref frees the channel and what is in
 * it.  chan_close: 0; -EPIPE: it was closed; -EINVAL: NULL.
 */
void *chan_ref(void *ch);
void chan_unref(void *ch);
int chan_close(void *ch);
size_t chan_len(const void *ch);	/* values in the buffer now */
size_t chan_cap(const void *ch);
bool chan_closed(const void *ch);

/*
 * What the macros call.  From C++ these are the interface: value points to
 * what chan_new was told the size and alignment of.
 *
 * Send and receive wait: 0; -EPIPE: closed, or closed and drained, and *value
 * is zeroed; -ENOMEM.  The try calls give -EAGAIN instead of waiting.
 */
void *co__chan_new(size_t size, size_t align, size_t capacity);
int co__chan_send(void *ch, const void *value);
int co__chan_recv(void *ch, void *value);
int co__chan_try_send(void *ch, const void *value);
int co__chan_try_recv(void *ch, void *value);

/*
 * One case of a select: what to wait for, and where the outcome goes.  It is
 * made by a co_on_...() and may be used again and again.  The members belong
 * to the library.  A zeroed one is never ready.
 */
struct co_case {
	uintptr_t co__kind;	/* a CO__CASE_ number, or the library's table */
	void *co__obj;		/* channel, task, event, ... */
	void *co__slot;		/* the value to send, or where it goes */
	int *co__status;	/* NULL, or where 0 or -EPIPE goes */
	int64_t co__arg;	/* a duration, descriptor, signal, ... */
	uintptr_t co__own[1];	/* as the kind likes */
};

/* A case's place in a queue, while the select waits. */
struct co__room {
	uint64_t co__words[9];
};

enum {
	CO__CASE_NEVER, CO__CASE_RECV, CO__CASE_SEND, CO__CASE_TIMEOUT,
	CO__CASE_OTHERWISE, CO__CASE_TABLE
};

/*
 * Waits until one case can go ahead, lets exactly that one take effect and
 * returns its index.  The choice among those that are ready on entry is
 * uniform; after that the first to become ready wins.  Negative: the code of
 * the scope that ended; -EINVAL: n < 0, no cases where n > 0, or a case that
 * cannot be waited for; -EDEADLK: a join of oneself; -ENOMEM.
 * More than 16 cases take memory from malloc; co_select takes none.
 */
int co_select_v(struct co_case *cases, int n);
int co__select(struct co_case *cases, int n, struct co__room *rooms);

/* The members that the kinds share; the rest need not be set. */
static inline struct co_case
co__case(uintptr_t kind, void *obj, void *slot, int *status)
{
	struct co_case c;

	c.co__kind = kind;
	c.co__obj = obj;
	c.co__slot = slot;
	c.co__status = status;
	return c;
}

static inline struct co_case
co__on_recv(void *ch, void *value, int *status)
{
	return co__case(CO__CASE_RECV, ch, value, status);
}

static inline struct co_case
co__on_send(void *ch, const void *value, int *status)
{
	return co__case(CO__CASE_SEND, ch, (void *)(uintptr_t)value, status);
}

/* Ready when the duration, counted from the select's begin, has passed. */
static inline struct co_case
co_on_timeout(co_time duration)
{
	struct co_case c;

	c.co__kind = CO__CASE_TIMEOUT;
	c.co__arg = duration;
	return c;
}

/* Chosen when no other case is ready: the select does not wait. */
#define co_otherwise	co__otherwise()
static inline struct co_case
co__otherwise(void)
{
	struct co_case c;

	c.co__kind = CO__CASE_OTHERWISE;
	return c;
}

/* The task has ended; when taken, it is joined.  result may be NULL. */
struct co_case co__on_join(struct co_task *task, int *result);

/* The event is set.  (struct co_event is in <weft/sync.h>.) */
struct co_event;
struct co_case co_on_event(struct co_event *e);

#ifndef __cplusplus

/*
 * TYPES.  An object that carries values of T is known to the compiler by a
 * pointer to an array of T that is never looked into.  The array's length says
 * what kind of object it is: 1 a channel; <weft/values.h> has the others.
 * Hence chan(int) is the same type wherever it is written, and no other one.
 */
#define CO__TYPED(T, length)	__typeof__(__typeof__(T) (*)[length])

/*
 * Calls of a typed object, for this header and others.  Each argument is
 * evaluated once; each name is used once in a translation unit.
 *
 * CO__PUT	f(obj, &copy of the value), the value converted to T.
 * CO__GET	f(obj, p), p being a T *.
 * CO__FROM	the same, p being a const T *.
 */
#define CO__PUT(f, length, obj, ...) \
	CO__PUT2(CO__UNIQUE(co__a), CO__UNIQUE(co__o), CO__UNIQUE(co__v), \
	    f, length, obj, __VA_ARGS__)
#define CO__PUT2(a, o, v, f, length, obj, ...) \
	CO__PUT3(a, o, v, f, length, obj, __VA_ARGS__)
#define CO__PUT3(a, o, v, f, length, obj, ...) __extension__ ({ \
	__auto_type a = (obj); \
	__typeof__(**a) (*o)[length] = a, v = CO__ONE(__VA_ARGS__); \
	f((void *)o, (const void *)&v); })

#define CO__GET(f, length, obj, ...) \
	CO__GET2(CO__UNIQUE(co__a), CO__UNIQUE(co__o), CO__UNIQUE(co__p), \
	    , f, length, obj, __VA_ARGS__)
#define CO__FROM(f, length, obj, ...) \
	CO__GET2(CO__UNIQUE(co__a), CO__UNIQUE(co__o), CO__UNIQUE(co__p), \
	    const, f, length, obj, __VA_ARGS__)
#define CO__GET2(a, o, p, q, f, length, obj, ...) \
	CO__GET3(a, o, p, q, f, length, obj, __VA_ARGS__)
#define CO__GET3(a, o, p, q, f, length, obj, ...) __extension__ ({ \
	__auto_type a = (obj); \
	__typeof__(**a) (*o)[length] = a; \
	q __typeof__(**a) *p = CO__ONE(__VA_ARGS__); \
	f((void *)o, (q void *)p); })

/*
 * CO__CASE	f(obj, p, status) where the arguments are p, a T *, and perhaps
 *		an int *: it makes a case.
 * CO__CASE_FROM	the same, p being a const T *.
 */
#define CO__CASE(f, length, obj, ...) \
	CO__CASE2(CO__UNIQUE(co__a), CO__UNIQUE(co__o), CO__UNIQUE(co__p), \
	    , f, length, obj, __VA_ARGS__)
#define CO__CASE_FROM(f, length, obj, ...) \
	CO__CASE2(CO__UNIQUE(co__a), CO__UNIQUE(co__o), CO__UNIQUE(co__p), \
	    const, f, length, obj, __VA_ARGS__)
#define CO__CASE2(a, o, p, q, f, length, obj, ...) \
	CO__CASE3(a, o, p, q, f, length, obj, __VA_ARGS__)
#define CO__CASE3(a, o, p, q, f, length, obj, ...) __extension__ ({ \
	__auto_type a = (obj); \
	__typeof__(**a) (*o)[length] = a; \
	struct { \
		q __typeof__(**a) *co__value; \
		int *co__status; \
	} p = { .co__value = __VA_ARGS__ }; \
	f((void *)o, (q void *)p.co__value, p.co__status); })

#define chan(T)			CO__TYPED(T, 1)
#define chan_new(T, capacity) \
	((chan(T))co__chan_new(sizeof(T), __alignof__(T), (capacity)))
#define chan_send(ch, ...)	CO__PUT(co__chan_send, 1, ch, __VA_ARGS__)
#define chan_recv(ch, ...)	CO__GET(co__chan_recv, 1, ch, __VA_ARGS__)
#define chan_try_send(ch, ...)	CO__PUT(co__chan_try_send, 1, ch, __VA_ARGS__)
#define chan_try_recv(ch, ...)	CO__GET(co__chan_try_recv, 1, ch, __VA_ARGS__)
/* The same with a pointer to the value: no copy on the stack. */
#define chan_send_from(ch, ...)	CO__FROM(co__chan_send, 1, ch, __VA_ARGS__)
#define chan_try_send_from(ch, ...) \
	CO__FROM(co__chan_try_send, 1, ch, __VA_ARGS__)

/*
 * chan_each(T, v, ch) { }: receives into v until the channel is closed and
 * drained, or the wait is cancelled.
 */
#define chan_each(T, v, ...) \
	CO__CHAN_EACH(CO__UNIQUE(co__c), CO__UNIQUE(co__once), T, v, \
	    __VA_ARGS__)
#define CO__CHAN_EACH(c, once, T, v, ...) \
	CO__CHAN_EACH2(c, once, T, v, __VA_ARGS__)
#define CO__CHAN_EACH2(c, once, T, v, ...) \
	for (chan(T) c = CO__ONE(__VA_ARGS__), *once = &c; once; once = NULL) \
		for (__typeof__(T) v; co__chan_recv((void *)c, &v) == 0; )

/*
 * co_select(case, ...): co_select_v with the cases as arguments, and with room
 * for them on the caller's stack.
 */
#define co_select(...) \
	CO__SELECT(CO__UNIQUE(co__cases), CO__UNIQUE(co__rooms), __VA_ARGS__)
#define CO__SELECT(cases, rooms, ...)	CO__SELECT2(cases, rooms, __VA_ARGS__)
#define CO__SELECT2(cases, rooms, ...) __extension__ ({ \
	struct co_case cases[] = { __VA_ARGS__ }; \
	struct co__room rooms[sizeof cases / sizeof(struct co_case) + 1]; \
	co__select(cases, (int)(sizeof cases / sizeof(struct co_case)), \
	    rooms); })

/*
 * co_on_recv(ch, &x [, &status]), co_on_send(ch, value [, &status]),
 * co_on_send_from(ch, &value [, &status]): status becomes 0 or -EPIPE.
 *
 * The value of co_on_send lives in a compound literal, and so as long as the
 * block around it; hence no statement expression here.  The call of a function
 * that is never made checks its type, as an initializer alone would accept the
 * first member for the whole.
 */
#define co_on_recv(ch, ...)	CO__CASE(co__on_recv, 1, ch, __VA_ARGS__)
#define co_on_send_from(ch, ...) \
	CO__CASE_FROM(co__on_send, 1, ch, __VA_ARGS__)
#define co_on_send(ch, ...) \
	__extension__ co__on_send_box( \
	    (1 ? (ch) : (__typeof__(**(ch)) (*)[1])0), \
	    (__typeof__(((CO__BOX(**(ch)) (*)(__typeof__(**(ch)), ...))0) \
	    (__VA_ARGS__))[1]){ { .co__value = __VA_ARGS__ } }, \
	    sizeof(**(ch)))
#define CO__BOX(x) \
	struct { \
		__typeof__(x) co__value; \
		int *co__status; \
	}
static inline struct co_case
co__on_send_box(void *ch, void *box, size_t size)
{
	size_t at = (size + sizeof(int *) - 1) / sizeof(int *);

	return co__on_send(ch, box, ((int **)box)[at]);
}

/* co_on_join(&task [, &result]) */
#define co_on_join(...)	CO__ON_JOIN(__VA_ARGS__, NULL, NULL)
#define CO__ON_JOIN(task, result, ...)	co__on_join((task), (result))

#endif /* !__cplusplus */

#ifdef __cplusplus
}
#endif

#endif
