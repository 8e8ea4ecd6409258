/* SPDX-License-Identifier: MIT */
/*
 * inject/scenarios.c - see scenarios.h.
 *
 * Only calls of the library are to fail, so what a scenario itself needs of
 * libc is what inject/fault.h does not wrap (pipe, socketpair, fopen), or the
 * __real_ one.
 */
#include "inject/scenarios.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <weft.h>

#define TRY(expr) do { \
	long try__code = (long)(expr); \
	if (try__code < 0) \
		return (int)try__code; \
} while (0)

#define sure(what) do { \
	if (!(what)) \
		die(#what, __LINE__); \
} while (0)

#define WITH_CHAN	__attribute__((cleanup(drop_chan)))
#define WITH_FD		__attribute__((cleanup(drop_fd)))

int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg);
int __real_unlink(const char *path);
int __real_rmdir(const char *path);
int __real_close(int fd);

static void
die(const char *what, int line)
{
	fprintf(stderr, "scenarios.c:%d: not so: %s\n", line, what);
	abort();
}

static void
drop_chan(void *at)
{
	chan_unref(*(void **)at);
}

static void
drop_fd(int *fd)
{
	if (*fd >= 0)
		co_close(*fd);
}

static int
nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* --- coroutines ----------------------------------------------------------- */

static int
add_one(void *arg)
{
	co_yield_now();
	__atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
give_seven(void *arg)
{
	(void)arg;
	return co_sleep(CO_US(10)) < 0 ? -ECANCELED : 7;
}

static int
spawn_join(void *arg)
{
	struct co_spawn_options o = { .name = "named", .pinned = true,
	    .stack_size = 64 * 1024, .priority = CO_HIGH };
	struct co_task t[3];
	struct co_scope s;
	int n = 0, i, code = 0, forked, result = 0;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 40 && code == 0; i++)
			code = co_spawn(add_one, &n);
		if (code == 0)
			code = co_spawn_with(&o, add_one, &n);
	}
	TRY(code);
	TRY(s.status);
	sure(n == 41);
	for (forked = 0; forked < 3 && code == 0; forked++)
		code = co_fork(&t[forked], give_seven, NULL);
	if (code < 0)
		forked--;
	for (i = 0; i < forked; i++) {
		result = co_join(&t[i]);
		sure(result == 7 || result == -ECANCELED);
		code = code == 0 && result < 0 ? result : code;
	}
	return code;
}

struct large {
	char bytes[6000];
	int *n;
};

static int
take_large(struct large *l)
{
	sure(l->bytes[0] == 1 && l->bytes[5999] == 2);
	__atomic_add_fetch(l->n, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
take_pointer(int **n)
{
	__atomic_add_fetch(*n, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
arguments(void *arg)
{
	struct large *l = (struct large *)calloc(1, sizeof *l);
	struct co_scope s;
	int n = 0, code = -ENOMEM;

	(void)arg;
	if (!l)
		return -ENOMEM;
	l->bytes[0] = 1;
	l->bytes[5999] = 2;
	l->n = &n;
	co_scope(s) {
		code = co_go(take_large, *l);
		if (code == 0)
			code = co_go(take_pointer, &n);
	}
	free(l);
	TRY(code);
	sure(n == 2);
	return s.status;
}

static int
sleep_long(void *arg)
{
	(void)arg;
	return co_sleep(CO_SEC(1000));
}

static int
scopes(void *arg)
{
	struct co_scope s, inner;
	int code = 0;

	(void)arg;
	co_scope(s, .timeout = CO_MS(1)) {
		code = co_spawn(sleep_long, NULL);
		co_scope(inner, .policy = CO_SUPERVISE) {
			if (code == 0)
				code = co_spawn(sleep_long, NULL);
		}
	}
	TRY(code);
	sure(s.status == -ETIMEDOUT || s.status == -ENOMEM);
	co_timeout(CO_MS(1)) {
		code = co_sleep(CO_SEC(1000));
	}
	sure(code == -ETIMEDOUT || code == -ENOMEM);
	co_scope(s) {
		co_cancel(&s);
		co_shield() {
			code = co_sleep(CO_US(10));
		}
	}
	sure(code == 0 || code == -ENOMEM);
	return code;
}

static int
sleep_a_little(void *arg)
{
	return co_sleep(CO_US((intptr_t)arg % 7 * 50));
}

static int
sleepers(void *arg)
{
	struct co_scope s;
	intptr_t i;
	int code = 0;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 200 && code == 0; i++)
			code = co_spawn(sleep_a_little, (void *)i);
	}
	TRY(code);
	return s.status;
}

CO_LOCAL(int, small_local);
CO_LOCAL(struct large, large_local);

static int
use_locals(void *arg)
{
	(void)arg;
	sure(co_local_get(small_local) == 5);
	TRY(co_local_set(small_local, 6));
	sure(co_local_get(small_local) == 6);
	co_set_name("a name of its own");
	return co_sleep(CO_US(10));
}

static int
locals(void *arg)
{
	struct co_scope s;
	struct co_stats stats;
	FILE *null;
	int code = 0;

	(void)arg;
	TRY(co_local_set(small_local, 5));
	co_set_name("main");
	co_scope(s) {
		code = co_spawn(use_locals, NULL);
		if (code == 0)
			code = co_spawn(use_locals, NULL);
	}
	TRY(code);
	TRY(s.status);
	sure(co_local_get(small_local) == 5);
	TRY(co_stats_get(&stats));
	null = fopen("/dev/null", "w");
	if (!null)
		return 0;
	code = co_dump(null);
	fclose(null);
	return code;
}

/* --- channels, select ----------------------------------------------------- */

struct pair {
	chan(int) there, back;
	int n;
};

static int
send_all(void *arg)
{
	struct pair *p = arg;
	int i;

	for (i = 1; i <= p->n; i++)
		TRY(chan_send(p->there, i));
	return chan_close(p->there);
}

/* All arrive that were sent, or somebody says why not. */
static int
through(size_t capacity, int n)
{
	WITH_CHAN chan(int) ch = chan_new(int, capacity);
	struct pair p = { .there = ch, .n = n };
	struct co_scope s;
	long sum = 0;
	int v, code = 0;

	if (!ch)
		return -ENOMEM;
	co_scope(s) {
		code = co_spawn(send_all, &p);
		while (code == 0 && (code = chan_recv(ch, &v)) == 0)
			sum += v;
	}
	TRY(code == -EPIPE ? 0 : code);
	TRY(s.status);
	sure(sum == (long)n * (n + 1) / 2);
	return 0;
}

static int
channels(void *arg)
{
	(void)arg;
	TRY(through(0, 10));
	TRY(through(3, 10));
	return through(CHAN_UNBOUNDED, 3000);
}

static int
answer_pair(void *arg)
{
	struct pair *p = arg;
	int v, i, which;

	for (i = 0; i < p->n; i++) {
		which = co_select(co_on_recv(p->there, &v),
		    co_on_timeout(CO_SEC(1000)));
		TRY(which);
		TRY(co_select(co_on_send(p->back, v + 1),
		    co_on_recv(p->there, &v)));
	}
	return 0;
}

static int
select_channels(void *arg)
{
	WITH_CHAN chan(int) there = chan_new(int, 0);
	WITH_CHAN chan(int) back = chan_new(int, 1);
	struct pair p = { there, back, 10 };
	struct co_scope s;
	int i, v = 0, code = 0;

	(void)arg;
	if (!there || !back)
		return -ENOMEM;
	co_scope(s) {
		code = co_spawn(answer_pair, &p);
		for (i = 0; i < p.n && code == 0; i++) {
			code = chan_send(there, i);
			if (code == 0)
				code = co_select(co_on_recv(back, &v));
			sure(code != 0 || v == i + 1);
		}
		if (code < 0)
			co_cancel(&s);
	}
	TRY(code);
	return s.status;
}

/* Of many cases; the last one is ready. */
static int
select_many(void *arg)
{
	enum { MANY = 100 };
	WITH_CHAN chan(int) never = chan_new(int, 0);
	WITH_CHAN chan(int) ready = chan_new(int, 1);
	struct co_case c[MANY];
	int i, v = 0, code;

	(void)arg;
	if (!never || !ready)
		return -ENOMEM;
	for (i = 0; i < MANY; i++)
		c[i] = co_on_recv(never, &v);
	c[MANY - 2] = co_on_timeout(CO_MS(1));
	code = co_select_v(c, MANY);
	TRY(code);
	sure(code == MANY - 2);
	c[MANY - 1] = co_on_recv(ready, &v);
	TRY(chan_send(ready, 9));
	code = co_select_v(c, MANY);
	TRY(code);
	sure(code == MANY - 1 && v == 9);
	return 0;
}

struct all_kinds {
	struct co_event event;
	co_future(int) future;
	co_bcast(int) bcast;
	co_sub(int) sub;
	co_watch(int) watch;
	struct co_task task;
	int pipe[2];
};

/* Wakes the cases of select_kinds, one after the other. */
static int
wake_kinds(void *arg)
{
	struct all_kinds *k = arg;

	TRY(co_sleep(CO_US(20)));
	co_event_set(&k->event);
	TRY(co_sleep(CO_US(20)));
	TRY(co_future_set(k->future, 1));
	TRY(co_sleep(CO_US(20)));
	TRY(co_bcast_send(k->bcast, 2));
	TRY(co_sleep(CO_US(20)));
	TRY(co_watch_set(k->watch, 3));
	TRY(co_sleep(CO_US(20)));
	return (int)co_write(k->pipe[1], "x", 1);
}

static int
wait_kinds(struct all_kinds *k)
{
	unsigned seen = 0;
	uint64_t version = 1;
	int which, v, status = 0;

	while (seen != 0x7f) {
		which = co_select(
		    seen & 1 ? (struct co_case){ 0 } : co_on_event(&k->event),
		    seen & 2 ? (struct co_case){ 0 } :
		    co_on_future(k->future, &v),
		    seen & 4 ? (struct co_case){ 0 } :
		    co_on_sub(k->sub, &v, &status),
		    seen & 8 ? (struct co_case){ 0 } :
		    co_on_watch(k->watch, &v, &version),
		    seen & 16 ? (struct co_case){ 0 } :
		    co_on_readable(k->pipe[0], &status),
		    seen & 32 ? (struct co_case){ 0 } :
		    co_on_join(&k->task, &v),
		    seen & 64 ? (struct co_case){ 0 } :
		    co_on_writable(k->pipe[1], &status));
		TRY(which);
		TRY(which == 2 || which == 4 || which == 6 ? status : 0);
		TRY(which == 5 ? v : 0);
		seen |= 1u << which;
	}
	return 0;
}

static int
select_kinds_with(struct all_kinds *k)
{
	struct co_scope s;
	int code = 0, joined = 1;

	co_scope(s) {
		code = co_fork(&k->task, wake_kinds, k);
		if (code == 0) {
			code = wait_kinds(k);
			if (code < 0) {
				co_task_cancel(&k->task);
				joined = co_join(&k->task);
			}
		}
	}
	(void)joined;		/* -EINVAL: the select has joined it */
	return code < 0 ? code : s.status;
}

static int
select_kinds(void *arg)
{
	struct all_kinds k = { .event = CO_EVENT_INIT, .pipe = { -1, -1 } };
	int code = -ENOMEM;

	(void)arg;
	if (pipe(k.pipe) < 0)
		return -EMFILE;
	k.future = co_future_new(int);
	k.bcast = co_bcast_new(int, 4, CO_BCAST_WAIT);
	k.sub = k.bcast ? co_bcast_subscribe(k.bcast) : NULL;
	k.watch = co_watch_new(int, 0);
	if (k.future && k.sub && k.watch)
		code = select_kinds_with(&k);
	co_future_unref(k.future);
	co_sub_unref(k.sub);
	co_bcast_unref(k.bcast);
	co_watch_unref(k.watch);
	co_close(k.pipe[0]);
	co_close(k.pipe[1]);
	return code;
}

/* --- values --------------------------------------------------------------- */

static int
count_to_three(co_gen(int) g, void *arg)
{
	int i;

	(void)arg;
	for (i = 1; i <= 3; i++)
		TRY(co_gen_yield(g, i));
	return 0;
}

static int
generators(void *arg)
{
	co_gen(int) g = co_gen_new(int, count_to_three, NULL);
	int v, code = 0, sum = 0;

	(void)arg;
	if (!g)
		return -ENOMEM;
	while ((code = co_gen_next(g, &v)) == 0)
		sum += v;
	co_gen_free(g);
	sure(code != -EPIPE || sum == 6);
	TRY(code == -EPIPE ? 0 : code);
	g = co_gen_new(int, count_to_three, NULL);
	if (!g)
		return -ENOMEM;
	code = co_gen_next(g, &v);
	co_gen_free(g);		/* in the midst of it */
	return code;
}

static int
hear_all(void *arg)
{
	co_sub(int) sub = arg;
	int v, code = 0, sum = 0;

	while ((code = co_sub_recv(sub, &v)) >= 0)
		sum += v;
	sure(code != -EPIPE || sum == 55);
	return code == -EPIPE ? 0 : code;
}

static int
broadcast(void *arg)
{
	co_bcast(int) b = co_bcast_new(int, 4, CO_BCAST_WAIT);
	co_sub(int) sub[3] = { NULL, NULL, NULL };
	struct co_scope s;
	int i, code = b ? 0 : -ENOMEM;

	(void)arg;
	for (i = 0; i < 3 && code == 0; i++) {
		sub[i] = co_bcast_subscribe(b);
		if (!sub[i])
			code = -ENOMEM;
	}
	co_scope(s) {
		for (i = 0; i < 3 && code == 0; i++)
			code = co_spawn(hear_all, (void *)sub[i]);
		for (i = 1; i <= 10 && code == 0; i++)
			code = co_bcast_send(b, i);
		if (code == 0)
			code = co_bcast_close(b);
		else
			co_cancel(&s);
	}
	for (i = 0; i < 3; i++)
		co_sub_unref(sub[i]);
	co_bcast_unref(b);
	return code < 0 ? code : s.status;
}

static int
set_future(void *arg)
{
	co_future(int) f = arg;

	return co_future_set(f, 3);
}

static int
futures(void *arg)
{
	co_future(int) f = co_future_new(int);
	co_watch(int) w = co_watch_new(int, 1);
	uint64_t version = 0;
	struct co_scope s;
	int v = 0, code = f && w ? 0 : -ENOMEM;

	(void)arg;
	co_scope(s) {
		if (code == 0)
			code = co_spawn(set_future, (void *)f);
		if (code == 0)
			code = co_future_get(f, &v);
		sure(code != 0 || v == 3);
		if (code == 0)
			code = co_watch_next(w, &v, &version);
		sure(code != 0 || v == 1);
	}
	co_future_unref(f);
	co_watch_unref(w);
	return code < 0 ? code : s.status;
}

/* --- synchronisation, threads --------------------------------------------- */

struct shared {
	struct co_mutex mutex;
	struct co_rwlock rwlock;
	struct co_cond cond;
	struct co_sem sem;
	struct co_event event;
	struct co_barrier barrier;
	struct co_once once;
	struct co_waitgroup group;
	chan(int) ch;
	int n, written, go, failed;
};

#define SHARED(parties) { \
	.mutex = CO_MUTEX_INIT, .rwlock = CO_RWLOCK_INIT, \
	.cond = CO_COND_INIT, .sem = CO_SEM_INIT(1), .event = CO_EVENT_INIT, \
	.barrier = CO_BARRIER_INIT(parties), .once = CO_ONCE_INIT, \
	.group = CO_WAITGROUP_INIT }

static int
first_time(void *arg)
{
	struct shared *s = arg;

	s->go = 1;
	return 0;
}

static int
use_locks(struct shared *s)
{
	TRY(co_mutex_lock(&s->mutex));
	s->n++;
	co_yield_now();
	TRY(co_mutex_unlock(&s->mutex));
	TRY(co_rwlock_rdlock(&s->rwlock));
	co_yield_now();
	TRY(co_rwlock_unlock(&s->rwlock));
	TRY(co_rwlock_wrlock(&s->rwlock));
	s->written++;
	TRY(co_rwlock_unlock(&s->rwlock));
	TRY(co_sem_wait(&s->sem));
	TRY(co_sem_post(&s->sem));
	return co_once_do(&s->once, first_time, s);
}

static int
use_all(void *arg)
{
	struct shared *s = arg;
	struct co_scope scope;
	int code = 0;

	TRY(use_locks(s));
	TRY(co_barrier_wait(&s->barrier));
	TRY(co_mutex_lock(&s->mutex));
	co_scope(scope, .timeout = CO_MS(1)) {
		code = co_cond_wait(&s->cond, &s->mutex);
	}
	TRY(co_mutex_unlock(&s->mutex));
	TRY(code == -ETIMEDOUT ? 0 : code);
	TRY(co_event_wait(&s->event));
	return co_waitgroup_done(&s->group);
}

static int
synchronisation(void *arg)
{
	struct shared s = SHARED(3);
	struct co_scope scope;
	int i, code = 0;

	(void)arg;
	co_scope(scope) {
		code = co_waitgroup_add(&s.group, 3);
		for (i = 0; i < 3 && code == 0; i++)
			code = co_spawn(use_all, &s);
		if (code == 0)
			code = co_sleep(CO_US(10));
		if (code == 0)
			code = co_event_set(&s.event);
		if (code == 0)
			code = co_waitgroup_wait(&s.group);
		else
			co_cancel(&scope);
	}
	TRY(code);
	TRY(scope.status);
	sure(s.n == 3 && s.written == 3 && s.go == 1);
	return 0;
}

/* A plain thread; where it fails it closes the channel, which ends all. */
static void *
thread_main(void *arg)
{
	struct shared *s = arg;
	struct co_scope scope;
	int v = 0, code, got = 0;

	code = use_locks(s);
	while (code == 0 && (code = chan_recv(s->ch, &v)) == 0)
		got += v;
	if (code == -EPIPE) {
		sure(got == 55);
		code = co_scope_enter(&scope, &(struct co_scope_options){
		    .timeout = CO_MS(1) });
		if (code == 0) {
			code = co_select(co_on_timeout(CO_SEC(1000)),
			    co_on_event(&s->event));
			co_scope_leave(&scope);
			code = code == -ETIMEDOUT ? 0 : code;
		}
	} else {
		chan_close(s->ch);
	}
	s->failed = code;
	return NULL;
}

static int
send_ten(struct shared *s)
{
	int i;

	for (i = 1; i <= 10; i++)
		TRY(chan_send(s->ch, i));
	return chan_close(s->ch);
}

static int
join_thread(void *arg)
{
	return pthread_join(*(pthread_t *)arg, NULL);
}

static int
threads(void *arg)
{
	WITH_CHAN chan(int) ch = chan_new(int, 1);
	struct shared s = SHARED(1);
	pthread_t t;
	int code, joined;

	(void)arg;
	if (!ch)
		return -ENOMEM;
	s.ch = ch;
	if (__real_pthread_create(&t, NULL, thread_main, &s))
		return -EAGAIN;
	code = use_locks(&s);
	if (code == 0)
		code = send_ten(&s);
	if (code < 0)
		chan_close(ch);
	joined = co_blocking(join_thread, &t);
	if (joined < 0)
		pthread_join(t, NULL);
	TRY(s.failed);
	TRY(code);
	return joined;
}

/* --- descriptors ---------------------------------------------------------- */

static const char text[] = "A text that goes there and comes back.\n";

enum { TEXT = sizeof text };

/* Gives back what it gets, until the end. */
static int
echo(int fd)
{
	char buf[TEXT];
	ssize_t n;

	while ((n = co_read(fd, buf, sizeof buf)) > 0)
		TRY(co_write_full(fd, buf, (size_t)n));
	return (int)n;
}

static int
serve_one(void *arg)
{
	WITH_FD int fd = co_accept(*(int *)arg, NULL, NULL);

	TRY(fd);
	return echo(fd);
}

static int
call_and_check(int fd)
{
	char buf[TEXT];
	ssize_t n;
	int i;

	for (i = 0; i < 3; i++) {
		TRY(co_write_full(fd, text, TEXT));
		n = co_read_full(fd, buf, TEXT);
		TRY(n);
		if (n < TEXT)
			return -EPIPE;		/* it failed over there */
		sure(memcmp(buf, text, TEXT) == 0);
	}
	return 0;
}

static int
call_server(void *arg)
{
	WITH_FD int fd = co_dial(arg);

	TRY(fd);
	return call_and_check(fd);
}

static int
echo_at(const char *address, const char *host)
{
	char at[256], name[256];
	WITH_FD int fd = co_listen(address);
	struct co_scope s;
	int code = 0;

	TRY(fd);
	TRY(co_address(fd, at, sizeof at));
	if (host)
		snprintf(name, sizeof name, "tcp:%s:%.5s", host,
		    strrchr(at, ':') + 1);
	co_scope(s) {
		code = co_spawn(serve_one, &fd);
		if (code == 0)
			code = co_spawn(call_server, host ? name : at);
		if (code < 0)
			co_cancel(&s);
	}
	TRY(code);
	return s.status;
}

static int
tcp(void *arg)
{
	(void)arg;
	return echo_at("tcp:127.0.0.1:0", NULL);
}

static int
unix_sockets(void *arg)
{
	char at[64];

	(void)arg;
	snprintf(at, sizeof at, "unix:@weft-inject-%d", (int)getpid());
	return echo_at(at, NULL);
}

static int
names(void *arg)
{
	struct addrinfo *list = NULL;
	int code = 0;

	(void)arg;
	co_timeout(CO_SEC(60))
		code = co_resolve("localhost", NULL, NULL, &list);
	TRY(code);
	freeaddrinfo(list);
	return echo_at("tcp:127.0.0.1:0", "localhost");
}

static int
answer_datagrams(void *arg)
{
	struct sockaddr_storage from;
	socklen_t len;
	char buf[TEXT];
	ssize_t n;
	int i;

	for (i = 0; i < 3; i++) {
		len = sizeof from;
		n = co_recvfrom(*(int *)arg, buf, sizeof buf, 0,
		    (struct sockaddr *)&from, &len);
		TRY(n);
		TRY(co_sendto(*(int *)arg, buf, (size_t)n, 0,
		    (struct sockaddr *)&from, len));
	}
	return 0;
}

static int
send_datagrams(void *arg)
{
	WITH_FD int fd = co_dial(arg);
	char buf[TEXT];
	ssize_t n;
	int i;

	TRY(fd);
	for (i = 0; i < 3; i++) {
		TRY(co_send(fd, text, TEXT, 0));
		n = co_recv(fd, buf, TEXT, 0);
		TRY(n);
		sure(n == TEXT && memcmp(buf, text, TEXT) == 0);
	}
	return 0;
}

static int
udp(void *arg)
{
	char at[256];
	WITH_FD int fd = co_listen("udp:127.0.0.1:0");
	struct co_scope s;
	int code = 0;

	(void)arg;
	TRY(fd);
	TRY(co_address(fd, at, sizeof at));
	co_scope(s) {
		code = co_spawn(answer_datagrams, &fd);
		if (code == 0)
			code = co_spawn(send_datagrams, at);
		if (code < 0)
			co_cancel(&s);
	}
	TRY(code);
	return s.status;
}

/* A descriptor by a message, and vectors. */
static int
messages(void *arg)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
	    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	char byte = 'm';
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
	    .msg_control = &control, .msg_controllen = sizeof control };
	int pair[2], code, fd;

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -EMFILE;
	memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
	code = (int)co_sendmsg(pair[0], &m, 0);
	if (code >= 0) {
		memset(&control, 0, sizeof control);
		code = (int)co_recvmsg(pair[1], &m, 0);
	}
	if (code >= 0) {
		sure(control.head.cmsg_type == SCM_RIGHTS);
		memcpy(&fd, CMSG_DATA(&control.head), sizeof(int));
		co_close(fd);
	}
	co_close(pair[0]);
	co_close(pair[1]);
	return code < 0 ? code : 0;
}

static int
read_pipe(void *arg)
{
	char a[10], b[TEXT - 10];
	struct iovec v[2] = { { a, sizeof a }, { b, sizeof b } };
	ssize_t n = co_readv(*(int *)arg, v, 2);

	TRY(n);
	return n == 0 ? -EPIPE : 0;
}

static int
wait_for_close(void *arg)
{
	int code = co_wait_fd(*(int *)arg, CO_READ);

	return code == -EBADF || code == CO_READ ? 0 : code;
}

static int
use_pipe(int fd[2])
{
	struct iovec v[2] = { { (void *)(uintptr_t)text, 10 },
	    { (void *)(uintptr_t)(text + 10), TEXT - 10 } };
	struct co_scope s;
	int code = 0;

	co_scope(s) {
		code = co_spawn(read_pipe, &fd[0]);
		if (code == 0)
			code = co_sleep(CO_US(10));
		if (code == 0)
			code = (int)co_writev(fd[1], v, 2);
		if (code < 0)
			co_cancel(&s);
	}
	TRY(code);
	TRY(s.status);
	co_scope(s) {
		code = co_spawn(wait_for_close, &fd[0]);
		if (code == 0)
			code = co_sleep(CO_US(10));
		co_close(fd[0]);
		fd[0] = -1;
	}
	TRY(code);
	return s.status;
}

static int
pipes(void *arg)
{
	int fd[2], code = 0;

	(void)arg;
	if (pipe(fd) < 0)
		return -EMFILE;
	code = use_pipe(fd);
	if (fd[0] >= 0)
		co_close(fd[0]);
	co_forget(fd[1]);
	__real_close(fd[1]);
	return code;
}

static int
write_stream(void *arg)
{
	struct co_stream *s = arg;

	TRY(co_stream_printf(s, "line %d\n", 1));
	TRY(co_stream_write_frame(s, text, TEXT));
	TRY(co_stream_write(s, text, TEXT));
	return co_stream_flush(s);
}

static int
read_stream(struct co_stream *s)
{
	char buf[TEXT + 1];
	ssize_t k;
	size_t n;
	int code = 0;

	k = co_stream_read_line(s, buf, sizeof buf);
	TRY(k);
	if (k == 0)
		return -EPIPE;
	sure(strcmp(buf, "line 1\n") == 0);
	code = co_stream_read_frame(s, buf, sizeof buf, &n);
	TRY(code);
	if (code == 0)
		return -EPIPE;
	sure(n == TEXT && memcmp(buf, text, TEXT) == 0);
	k = co_stream_read_until(s, buf, sizeof buf, "\n", 1);
	TRY(k);
	sure(k == TEXT - 1 || k == 0);
	return 0;
}

static int
streams(void *arg)
{
	struct co_stream *s[2] = { NULL, NULL };
	struct co_scope scope;
	int pair[2], code = -ENOMEM;

	(void)arg;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -EMFILE;
	s[0] = co_stream_new(pair[0]);
	s[1] = co_stream_new(pair[1]);
	if (s[0] && s[1]) {
		co_scope(scope) {
			code = co_spawn(write_stream, s[0]);
			if (code == 0)
				code = read_stream(s[1]);
			if (code < 0)
				co_cancel(&scope);
		}
		code = code < 0 ? code : scope.status;
	}
	co_stream_free(s[0]);
	co_stream_free(s[1]);
	co_close(pair[0]);
	co_close(pair[1]);
	return code;
}

/* --- the blocking pool, files, processes, signals ------------------------- */

static int
job(void *arg)
{
	return __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static int
one_job(void *arg)
{
	int n = co_blocking(job, arg);

	return n < 0 ? n : 0;
}

static int
blocking(void *arg)
{
	struct co_scope s;
	int i, n = 0, code = 0;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 20 && code == 0; i++)
			code = co_spawn(one_job, &n);
	}
	TRY(code);
	TRY(s.status);
	sure(n == 20);
	return 0;
}

struct directory {
	char path[64], file[80], other[80], sub[80];
};

static int
copy_file(int fd, const char *path)
{
	WITH_FD int out = co_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	off_t at = 0;
	ssize_t n;

	TRY(out);
	n = co_sendfile(out, fd, &at, TEXT);
	TRY(n);
	TRY(co_ftruncate(out, 10));
	return co_fdatasync(out);
}

static int
use_file(struct directory *d)
{
	WITH_FD int fd = co_open(d->file, O_RDWR | O_CREAT, 0600);
	struct stat st;
	char buf[TEXT];
	int pair[2];
	ssize_t n;

	TRY(fd);
	TRY(co_write_full(fd, text, TEXT));
	TRY(co_pwrite(fd, "A", 1, 0));
	TRY(co_fsync(fd));
	TRY(co_fstat(fd, &st));
	sure(st.st_size == TEXT);
	n = co_pread(fd, buf, TEXT, 0);
	TRY(n);
	sure(memcmp(buf, text, (size_t)n) == 0);
	TRY(copy_file(fd, d->other));
	if (pipe(pair) < 0)
		return -EMFILE;
	n = co_splice(fd, &(off_t){ 0 }, pair[1], NULL, TEXT, 0);
	co_close(pair[0]);
	co_close(pair[1]);
	return n < 0 ? (int)n : 0;
}

static int
use_directory(struct directory *d)
{
	struct co_dirent *list;
	struct stat st;
	size_t n;

	TRY(use_file(d));
	TRY(co_mkdir(d->sub, 0700));
	TRY(co_readdir(d->path, &list, &n));
	free(list);
	sure(n == 3);
	TRY(co_stat(d->file, &st));
	TRY(co_rename(d->file, d->other));
	TRY(co_lstat(d->other, &st));
	TRY(co_rmdir(d->sub));
	return co_unlink(d->other);
}

static int
files(void *arg)
{
	struct directory d = { .path = "/tmp/weft-inject-XXXXXX" };
	int code = 0;

	(void)arg;
	if (!mkdtemp(d.path))
		return -EMFILE;
	snprintf(d.file, sizeof d.file, "%s/file", d.path);
	snprintf(d.other, sizeof d.other, "%s/other", d.path);
	snprintf(d.sub, sizeof d.sub, "%s/sub", d.path);
	code = use_directory(&d);
	__real_unlink(d.file);
	__real_unlink(d.other);
	__real_rmdir(d.sub);
	__real_rmdir(d.path);
	return code;
}

/* Whatever happens, the process has been waited for in the end. */
static int
processes(void *arg)
{
	static char *const argv[] = { (char *)"cat", NULL };
	struct co_process_options o = { .pipe_in = true, .pipe_out = true,
	    .err_to_out = true, .directory = "/" };
	struct co_process p;
	int code, ended, status;

	(void)arg;
	TRY(co_spawn_process(&p, argv, &o));
	code = (int)co_write_full(p.in, text, TEXT);
	co_close(p.in);
	if (code >= 0) {
		char buf[TEXT];
		ssize_t n = co_read_full(p.out, buf, TEXT);

		sure(n < 0 || (n == TEXT && memcmp(buf, text, TEXT) == 0));
		code = n < 0 ? (int)n : 0;
	}
	co_close(p.out);
	ended = co_waitpid(p.pid, &status, 0);
	if (ended < 0) {
		while (waitid(P_PID, (id_t)p.pid, NULL, WEXITED) < 0 &&
		    errno == EINTR)
			continue;
	}
	TRY(code);
	return ended < 0 ? ended : 0;
}

static int
signals(void *arg)
{
	int which;

	(void)arg;
	/* It is caught from here on. */
	which = co_select(co_on_signal(SIGUSR1), co_otherwise);
	TRY(which);
	sure(which == 1);
	kill(getpid(), SIGUSR1);
	TRY(co_wait_signal(SIGUSR1));
	kill(getpid(), SIGUSR1);
	which = co_select(co_on_signal(SIGUSR1), co_on_timeout(CO_SEC(1000)));
	TRY(which);
	sure(which == 0);
	return 0;
}

/* --- all of them ---------------------------------------------------------- */

const struct scenario scenarios[] = {
	{ "arguments", arguments, 0 },
	{ "blocking", blocking, 0 },
	{ "broadcast", broadcast, 0 },
	{ "channels", channels, 0 },
	{ "dump_on_sigquit", nothing, CO_DUMP_ON_SIGQUIT },
	{ "files", files, 0 },
	{ "futures", futures, 0 },
	{ "generators", generators, 0 },
	{ "locals", locals, 0 },
	{ "messages", messages, 0 },
	{ "names", names, 0 },
	{ "nothing", nothing, 0 },
	{ "pipes", pipes, 0 },
	{ "processes", processes, 0 },
	{ "scopes", scopes, 0 },
	{ "select_channels", select_channels, 0 },
	{ "select_kinds", select_kinds, 0 },
	{ "select_many", select_many, 0 },
	{ "signals", signals, 0 },
	{ "sleepers", sleepers, 0 },
	{ "spawn_join", spawn_join, 0 },
	{ "streams", streams, 0 },
	{ "synchronisation", synchronisation, 0 },
	{ "tcp", tcp, 0 },
	{ "threads", threads, 0 },
	{ "udp", udp, 0 },
	{ "unguarded", spawn_join, CO_STACK_UNGUARDED },
	{ "unix_sockets", unix_sockets, 0 },
	{ NULL, NULL, 0 },
};

const struct scenario *
scenario_find(const char *name)
{
	const struct scenario *s = scenarios;

	while (s->name && strcmp(s->name, name) != 0)
		s++;
	sure(s->name != NULL);
	return s;
}

int
scenario_run(const struct scenario *s, int workers)
{
	struct co_options o = { .workers = workers, .flags = s->flags };

	return co_run(&o, s->fn, NULL);
}
