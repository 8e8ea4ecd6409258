/* SPDX-License-Identifier: MIT */
/* values.bad.c - what the compiler must not take for a value's type. */
#include <weft/values.h>

struct point {
	int x, y;
};

static int
takes_doubles(co_future(double) f)
{
	return co_future_fail(f, -1);
}

static int
gives_ints(co_gen(int) g, void *arg)
{
	return co_gen_yield(g, *(int *)arg);
}

int all(co_future(int) f, co_bcast(int) b, co_sub(int) s, co_watch(int) w,
    co_gen(int) g, chan(int) c);
int
all(co_future(int) f, co_bcast(int) b, co_sub(int) s, co_watch(int) w,
    co_gen(int) g, chan(int) c)
{
	co_future(double) doubles = co_future_new(double);
	struct point point = { 0, 0 };
	uint64_t version = 0;
	int i = 0, n = takes_doubles(doubles) + gives_ints(g, &i);
	double d = point.x;

	n += co_future_get(f, &i) + co_sub_recv(s, &i);
	n += co_watch_next(w, &i, &version) + co_bcast_send(b, 1);
	n += chan_send(c, i) + (int)d;
#ifdef CASE_1 /* a future of ints for one of doubles */
	n += takes_doubles(f);
#endif
#ifdef CASE_2 /* a channel for a future */
	n += co_future_set(c, 1);
#endif
#ifdef CASE_3 /* a future for a channel */
	n += chan_send(f, 1);
#endif
#ifdef CASE_4 /* a struct into a future of ints */
	n += co_future_set(f, point);
#endif
#ifdef CASE_5 /* a future's value as another type */
	n += co_future_get(f, &d);
#endif
#ifdef CASE_6 /* a select on a future as another type */
	n += co_select(co_on_future(f, &d));
#endif
#ifdef CASE_7 /* a broadcast received from, not a subscription */
	n += co_sub_recv(b, &i);
#endif
#ifdef CASE_8 /* a subscription sent to */
	n += co_bcast_send(s, 1);
#endif
#ifdef CASE_9 /* a subscription of another type */
	co_sub(double) other = co_bcast_subscribe(b);
	co_sub_unref(other);
#endif
#ifdef CASE_10 /* a subscription to a watch */
	co_sub_unref(co_bcast_subscribe(w));
#endif
#ifdef CASE_11 /* a subscription's value as another type */
	n += co_sub_recv(s, &d);
#endif
#ifdef CASE_12 /* a select on a subscription as another type */
	n += co_select(co_on_sub(s, &d));
#endif
#ifdef CASE_13 /* a pointer into a broadcast of ints */
	n += co_bcast_send(b, &i);
#endif
#ifdef CASE_14 /* a watch's value as another type */
	n += co_watch_get(w, &d, NULL);
#endif
#ifdef CASE_15 /* a version that is no uint64_t */
	n += co_watch_next(w, &i, &i);
#endif
#ifdef CASE_16 /* a watch set to a struct */
	n += co_watch_set(w, point);
#endif
#ifdef CASE_17 /* a watch that begins with a struct */
	w = co_watch_new(int, point);
#endif
#ifdef CASE_18 /* a watch made for another type */
	w = co_watch_new(double, 1);
#endif
#ifdef CASE_19 /* a generator of another type than its function */
	co_gen_free(co_gen_new(double, gives_ints, NULL));
#endif
#ifdef CASE_20 /* a generator's value as another type */
	n += co_gen_next(g, &d);
#endif
#ifdef CASE_21 /* a struct given by a generator of ints */
	n += co_gen_yield(g, point);
#endif
#ifdef CASE_22 /* a future made for another type */
	f = co_future_new(double);
#endif
#ifdef CASE_23 /* a status that is no int */
	n += co_select(co_on_future(f, &i, &d));
#endif
#ifdef CASE_24 /* a watch for a future */
	f = w;
#endif
#ifdef CASE_25 /* a status, as of co_on_future, to get */
	n += co_future_get(f, &i, &n);
#endif
#ifdef CASE_26 /* two outcomes */
	n += co_future_set(f, 1, 2);
#endif
	return n;
}
