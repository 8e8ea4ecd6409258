/* SPDX-License-Identifier: MIT */
/* chan.bad.c - what the compiler must not take for a channel's type. */
#include <weft/chan.h>

struct point {
	int x, y;
};

static int
takes_doubles(chan(double) c)
{
	return chan_close(c);
}

int all(chan(int) ints, chan(int *) pointers, chan(double) doubles,
    chan(struct point) points);
int
all(chan(int) ints, chan(int *) pointers, chan(double) doubles,
    chan(struct point) points)
{
	int n = takes_doubles(doubles), i = 0;
	int *p = &i;
	double d = 0, *dp = &d;
	struct point point = { 0, 0 };
	const int fixed = 1;

	n += chan_send(pointers, p) + chan_recv(ints, &i);
	n += chan_recv(doubles, dp) + chan_send(points, point) + fixed;
#ifdef CASE_1 /* a double * into a chan(int *) */
	n += chan_send(pointers, dp);
#endif
#ifdef CASE_2 /* receiving a double into an int */
	n += chan_recv(doubles, &i);
#endif
#ifdef CASE_3 /* a chan(int) for a chan(double), as an argument */
	n += takes_doubles(ints);
#endif
#ifdef CASE_4 /* a chan(int) for a chan(double), assigned */
	doubles = ints;
#endif
#ifdef CASE_5 /* a struct into a chan(int) */
	n += chan_send(ints, point);
#endif
#ifdef CASE_6 /* an int into a chan(struct point) */
	n += chan_send(points, 1);
#endif
#ifdef CASE_7 /* a pointer into a chan(int) */
	n += chan_send(ints, p);
#endif
#ifdef CASE_8 /* receiving into a value, not a pointer */
	n += chan_recv(ints, i);
#endif
#ifdef CASE_9 /* receiving into a constant */
	n += chan_recv(ints, &fixed);
#endif
#ifdef CASE_10 /* trying to send another type */
	n += chan_try_send(pointers, dp);
#endif
#ifdef CASE_11 /* trying to receive into another type */
	n += chan_try_recv(doubles, &i);
#endif
#ifdef CASE_12 /* a select that receives into another type */
	n += co_select(co_on_recv(doubles, &i));
#endif
#ifdef CASE_13 /* a select that sends another type */
	n += co_select(co_on_send(pointers, dp));
#endif
#ifdef CASE_14 /* a select that sends from another type */
	n += co_select(co_on_send_from(doubles, &i));
#endif
#ifdef CASE_15 /* a loop over a channel of another type */
	chan_each(double, v, ints)
		n += v > 0;
#endif
#ifdef CASE_16 /* a channel made for another type */
	ints = chan_new(double, 1);
#endif
#ifdef CASE_17 /* something that is no channel */
	n += chan_send(&i, 1);
#endif
#ifdef CASE_18 /* a status that is no int */
	n += co_select(co_on_recv(ints, &i, &d));
#endif
#ifdef CASE_19 /* the join's result is no int */
	n += co_select(co_on_join((struct co_task *)0, &d));
#endif
#ifdef CASE_20 /* receiving into an int of the other sign */
	unsigned u = 0;
	n += chan_recv(ints, &u) + (int)u;
#endif
#ifdef CASE_21 /* a struct's send from an int in a select */
	n += co_select(co_on_send(points, 1));
#endif
#ifdef CASE_22 /* two values to send */
	n += chan_send(ints, 1, 2);
#endif
#ifdef CASE_23 /* a status, as of co_on_recv, to receive */
	n += chan_recv(ints, &i, &n);
#endif
#ifdef CASE_24 /* two names of values to send */
	n += chan_send(ints, i, n);
#endif
	return n;
}
