/* SPDX-License-Identifier: MIT */
/* values.good.c - futures, broadcasts, watches, generators as promised. */
#include <weft/sync.h>
#include <weft/values.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
struct empty {
};
static const struct empty no_value = { };
#pragma GCC diagnostic pop

struct point {
	int x, y;
};
struct holder {
	co_future(struct point) f;
	co_bcast(const char *) b;
	co_sub(const char *) s;
	co_watch(double) w;
	co_gen(int) g;
	chan(co_future(int)) futures;
};

co_future(int) a_global;
extern co_watch(double) another;
co_watch(double) another;

co_future(int) gives(co_future(int) f);
co_future(int)
gives(co_future(int) f)
{
	return f;
}

static int
counts(co_gen(int) g, void *arg)
{
	int i;

	for (i = 0; i < *(int *)arg; i++)
		if (co_gen_yield(g, i) < 0)
			return -1;
	return co_gen_yield(g, 'x');	/* converted, as by assignment */
}

static int
futures(struct holder *h)
{
	co_future(struct point) p = co_future_new(struct point);
	co_future(struct empty) e = co_future_new(struct empty);
	co_future(int) i = co_future_new(int), got;
	struct point v = { 1, 2 };
	struct empty none;
	int n = 0, status = 0, x = 0;

	h->f = p;
	n += co_future_set(p, v);
	n += co_future_set(p, (struct point){ 3, 4 });
	n += co_future_set(h->f, (struct point){ .y = 4, .x = 3 });
	n += co_future_set(e, no_value);
	n += co_future_get(e, &none);
	n += co_future_set(i, 'x');
	n += co_future_fail(p, -5);
	n += co_future_get(p, &v);
	n += chan_send(h->futures, i);
	n += chan_recv(h->futures, &got);
	n += co_future_get(gives(got), &x);
	n += co_select(co_on_future(p, &v), co_on_future(i, &x, &status),
	    co_on_future(e, &none, &status), co_otherwise);
	i = co_future_ref(i);
	co_future_unref(i);
	return n;
}

static int
broadcasts(struct holder *h)
{
	co_bcast(const char *) b = co_bcast_new(const char *, 4,
	    CO_BCAST_DROP);
	co_sub(const char *) s = co_bcast_subscribe(b);
	char text[] = "text";
	const char *v = text;
	int n = 0, status = 0;

	h->b = b;
	h->s = co_bcast_subscribe(h->b);
	n += co_bcast_send(b, "text");
	n += co_bcast_send(b, text);
	n += co_sub_recv(s, &v);
	n += co_sub_recv(h->s, &v);
	n += co_select(co_on_sub(s, &v), co_on_sub(h->s, &v, &status));
	n += co_bcast_close(b);
	b = co_bcast_ref(b);
	co_bcast_unref(b);
	s = co_sub_ref(s);
	co_sub_unref(s);
	return n;
}

static int
watches(struct holder *h)
{
	co_watch(double) w = co_watch_new(double, 1);
	co_watch(struct point) p = co_watch_new(struct point,
	    (struct point){ 1, 2 });
	struct point v = { 5, 6 };
	uint64_t version = 0;
	double d = 0;
	int n = 0;

	h->w = w;
	co_watch_unref(co_watch_new(struct point, v));
	n += co_watch_set(w, 1);
	n += co_watch_set(p, (struct point){ 3, 4 });
	n += co_watch_get(w, &d, &version);
	n += co_watch_get(w, &d, NULL);
	n += co_watch_next(p, &v, &version);
	n += co_select(co_on_watch(w, &d, &version),
	    co_on_watch(h->w, &d, &version), co_on_timeout(CO_MS(1)));
	w = co_watch_ref(w);
	co_watch_unref(w);
	co_watch_unref(p);
	return n + (int)d;
}

static int
generators(struct holder *h)
{
	int limit = 3, v = 0, n = 0;
	co_gen(int) g = co_gen_new(int, counts, &limit);

	h->g = co_gen_new(int, g ? counts : NULL, NULL);
	while (co_gen_next(g, &v) == 0)
		n += v;
	n += co_gen_next(h->g, &v);
	co_gen_free(h->g);
	co_gen_free(g);
	return n;
}

/* Every macro in another's argument. */
static int
nests(co_future(int) f, co_watch(int) w, co_bcast(int) b, co_sub(int) s,
    co_gen(int) g)
{
	int x = 0, y = 0;
	uint64_t version = 0;

	co_future_set(f, co_future_set(f, co_future_get(f, &x)));
	co_future_set(co_watch_get(w, &x, NULL) ? f : f, co_sub_recv(s, &y));
	co_watch_set(w, co_watch_next(w, co_watch_set(w, 1) ? &x : &y,
	    &version));
	co_bcast_send(b, co_bcast_send(b, co_sub_recv(s, &x)));
	co_gen_yield(g, co_gen_next(g, &x));
	co_watch_unref(co_watch_new(int, co_future_get(f, &x)));
	co_sub_unref(co_bcast_subscribe(co_bcast_close(b) ? b : b));
	return co_select(
	    co_on_future(co_future_set(f, 1) ? f : f, &x),
	    co_on_sub(s, co_sub_recv(s, &x) ? &x : &y),
	    co_on_watch(w, &x, co_watch_get(w, &y, &version) ? &version :
	    &version));
}

/* Arguments with commas of their own, as initializers have. */
static int
commas(co_bcast(int) b, co_watch(struct co_sem) w)
{
	co_gen(int) g = co_gen_new(int, counts,
	    &(struct co_event)CO_EVENT_INIT);
	co_sub(int) s = co_bcast_subscribe(*(co_bcast(int)[]){ b, b });
	uint64_t version = 0;
	int n = 0;

	co_watch_unref(co_watch_new(struct co_sem,
	    (struct co_sem)CO_SEM_INIT(1)));
	n += co_watch_set(w, (struct co_sem)CO_SEM_INIT(1));
	n += co_watch_get(w, &(struct co_sem)CO_SEM_INIT(1), &version);
	n += co_watch_next(w, &(struct co_sem)CO_SEM_INIT(1),
	    (uint64_t[]){ 1, 2 });
	n += co_select(co_on_watch(w, &(struct co_sem)CO_SEM_INIT(1),
	    &version), co_on_event(&(struct co_event)CO_EVENT_INIT));
	co_gen_free(g);
	co_sub_unref(s);
	return n;
}

int good(struct holder *h);
int
good(struct holder *h)
{
	co_watch(int) w = co_watch_new(int, 0);
	co_bcast(int) b = co_bcast_new(int, 1, CO_BCAST_WAIT);
	int limit = 1;

	a_global = co_future_new(int);
	return futures(h) + broadcasts(h) + watches(h) + generators(h) +
	    nests(a_global, w, b, co_bcast_subscribe(b),
	    co_gen_new(int, counts, &limit)) + commas(b, NULL);
}
