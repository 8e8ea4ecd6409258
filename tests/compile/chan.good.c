/* SPDX-License-Identifier: MIT */
/* chan.good.c - channels as api promises them: types, places, nesting. */
#include <weft/chan.h>

/* Users of an empty struct, and of statement expressions, use GNU C. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
struct empty {
};
static const struct empty no_value = { };
#pragma GCC diagnostic pop

struct big {
	char bytes[100000];
};
struct job {
	chan(int) reply;
	chan(chan(int)) replies;
	const char *what;
};

chan(int) a_global;
extern chan(double) another;
chan(double) another;

chan(int) gives_one(chan(int) c);
chan(int)
gives_one(chan(int) c)
{
	return c;
}

static int
takes(chan(int) in, chan(const char *) names, chan(struct job) jobs)
{
	chan(int) list[3] = { in, NULL, chan_new(int, CHAN_UNBOUNDED) };
	struct job job = { in, chan_new(chan(int), 1), "it" };
	const char *name = NULL;
	int v = 0, n = 0;

	n += chan_send(in, 1);
	n += chan_send(in, 'x');	/* converted, as by assignment */
	n += chan_send(in, v + 2);
	n += chan_send(names, "text");
	n += chan_send(jobs, job);
	n += chan_send(jobs, (struct job){ in, NULL, "a, b" });
	n += chan_send(job.replies, in);
	n += chan_recv(list[0], &v);
	n += chan_recv(names, &name);
	n += chan_recv(job.replies, &list[1]);
	n += chan_try_send(in, 3);
	n += chan_try_recv(in, &v);
	n += (int)chan_len(in) + (int)chan_cap(in) + chan_closed(in);
	n += chan_close(in);
	chan_unref(chan_ref(in));
	list[2] = chan_ref(in);
	return n;
}

/* Every macro in another's argument. */
static int
nests(chan(int) a, chan(int) b, chan(chan(int)) cc)
{
	int x = 0, y = 0;
	chan(int) got;

	chan_send(a, chan_send(b, chan_recv(a, &x)));
	chan_send(chan_recv(cc, &got) ? a : got, chan_try_recv(b, &y));
	chan_recv(chan_send(a, 1) ? a : b, chan_send(a, 2) ? &x : &y);
	chan_send(a, co_select(co_on_recv(a, &x), co_on_send(b, y)));
	chan_send(a, __extension__ ({ chan_send(a, chan_send(b, 1)); }));
	return co_select(
	    co_on_recv(chan_send(a, 1) ? a : b, &x),
	    co_on_send(b, chan_recv(a, &y)),
	    co_on_send(a, co_select(co_on_recv(b, &x), co_otherwise)));
}

static int
other_types(void)
{
	chan(struct empty) signals = chan_new(struct empty, 0);
	chan(struct big) bigs = chan_new(struct big, 1);
	chan(int (*)(void *)) functions = chan_new(int (*)(void *), 4);
	chan(unsigned char) bytes = chan_new(unsigned char, 4);
	chan(_Bool) flags = chan_new(_Bool, 4);
	chan(long double) reals = chan_new(long double, 4);
	struct empty none = no_value;
	static struct big big;
	unsigned char byte = 0;
	int (*function)(void *) = NULL;
	long double real = 0;
	_Bool flag = 0;
	int n = 0;

	n += chan_send(signals, none) + chan_recv(signals, &none);
	n += chan_send(signals, no_value);
	n += chan_send(bigs, big) + chan_recv(bigs, &big);
	n += chan_send(functions, function) + chan_recv(functions, &function);
	n += chan_send(bytes, byte) + chan_recv(bytes, &byte);
	n += chan_send(flags, flag) + chan_recv(flags, &flag);
	n += chan_send(reals, real) + chan_recv(reals, &real);
	return n;
}

static int
loops(chan(int) in, chan(const char *) names)
{
	int sum = 0;

	chan_each(int, v, in)
		sum += v;
	chan_each(const char *, name, names) {
		chan_each(int, w, in) {
			if (w == 3)
				break;
			sum += name[w];
		}
		if (sum)
			continue;
	}
	chan_each(int, x, *(chan(int)[]){ in, in })
		sum += x;
	return sum;
}

static int
selects(chan(int) a, chan(double) b, struct co_task *task, struct co_event *e)
{
	int x = 0, status = 0, result = 0;
	double y = 0;
	const double z = 1;
	struct co_case list[5];

	switch (co_select(co_on_recv(a, &x, &status), co_on_send(b, y),
	    co_on_send(b, 3, &status), co_on_recv(b, &y),
	    co_on_join(task), co_on_join(task, &result), co_on_event(e),
	    co_on_timeout(CO_MS(50)))) {
	case 0:
		x++;
		break;
	default:
		break;
	}
	x += co_select(co_on_recv(a, &x), co_otherwise);
	list[0] = co_on_recv(a, &x);
	list[1] = co_on_send_from(b, &y);
	list[2] = co_on_timeout(CO_SEC(1));
	list[3] = co_on_send_from(b, &z, &status);
	list[4] = co_otherwise;
	x += chan_send_from(b, &z) + chan_try_send_from(b, &z);
	return x + co_select_v(list, 5) + co_select_v(list, 0);
}

int good(void);
int
good(void)
{
	return takes(NULL, NULL, NULL) + nests(NULL, NULL, NULL) +
	    other_types() + loops(gives_one(a_global), NULL) +
	    selects(NULL, another, NULL, NULL);
}
