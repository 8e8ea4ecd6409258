/* SPDX-License-Identifier: MIT */
/*
 * rwlock_test.c - co_rwlock.  Cancellation: sync_test.c.
 */
#include "harness.h"

#include <pthread.h>
#include <signal.h>

#include <weft/scope.h>
#include <weft/sync.h>

static struct co_rwlock l;
static long count;		/* written under l for writing */
static int readers, writers;	/* atomic: who is inside */
static char trace[64];		/* in the order in which they went in */
static int n_trace;

static void
settle(void)
{
	int i;

	for (i = 0; i < 4; i++)
		co_yield();
}

static int
basics(void *arg)
{
	(void)arg;
	l = (struct co_rwlock)CO_RWLOCK_INIT;
	test_result(co_rwlock_rdlock(&l), 0);
	test_result(co_rwlock_rdlock(&l), 0);
	test_result(co_rwlock_try_rdlock(&l), 0);
	test_result(co_rwlock_try_wrlock(&l), -EAGAIN);
	test_result(co_rwlock_unlock(&l), 0);
	test_result(co_rwlock_unlock(&l), 0);
	test_result(co_rwlock_try_wrlock(&l), -EAGAIN);
	test_result(co_rwlock_unlock(&l), 0);
	test_result(co_rwlock_wrlock(&l), 0);
	test_result(co_rwlock_try_wrlock(&l), -EAGAIN);
	test_result(co_rwlock_try_rdlock(&l), -EAGAIN);
	test_result(co_rwlock_unlock(&l), 0);
	test_result(co_rwlock_try_wrlock(&l), 0);
	test_result(co_rwlock_unlock(&l), 0);
	return 0;
}

TEST(readers_share_and_writers_do_not)
{
	FOR_WORKERS(w)
		test_result(test_run(w, basics, NULL), 0);
	test_result(basics(NULL), 0);
}

/* --- order ---------------------------------------------------------------- */

/* One worker: R and W go in, note it, and stay until the others had a turn. */
static int
go_in(void *arg)
{
	char kind = *(const char *)arg;
	int code = kind == 'R' ? co_rwlock_rdlock(&l) : co_rwlock_wrlock(&l);

	if (code)
		return code;
	trace[n_trace++] = kind;
	settle();
	trace[n_trace++] = '.';
	return co_rwlock_unlock(&l);
}

static int
batches(void *arg)
{
	const char *plan = "RRWRRWWR", *p;
	struct co_scope s;

	(void)arg;
	l = (struct co_rwlock)CO_RWLOCK_INIT;
	n_trace = 0;
	co_scope(s) {
		test_result(co_rwlock_wrlock(&l), 0);
		for (p = plan; *p; p++) {
			test_result(co_spawn(go_in, (void *)p), 0);
			settle();
		}
		test_result(co_rwlock_unlock(&l), 0);
	}
	trace[n_trace] = '\0';
	ck_assert_str_eq(trace, "RR..W.RR..W.W.R.");
	return 0;
}

TEST(who_waits_goes_in_in_order_and_readers_in_a_row_together)
{
	test_result(test_run(1, batches, NULL), 0);
}

static int
read_once(void *arg)
{
	(void)arg;
	test_result(co_rwlock_rdlock(&l), 0);
	trace[n_trace++] = 'r';
	return co_rwlock_unlock(&l);
}

/* A reader behind a writer that gives up must not wait for what never comes. */
static int
writer_leaves(void *arg)
{
	struct co_task writer, reader;
	char w = 'W';

	(void)arg;
	l = (struct co_rwlock)CO_RWLOCK_INIT;
	n_trace = 0;
	test_result(co_rwlock_rdlock(&l), 0);
	test_result(co_fork(&writer, go_in, &w), 0);
	settle();
	test_result(co_rwlock_try_rdlock(&l), -EAGAIN);
	test_result(co_fork(&reader, read_once, NULL), 0);
	settle();
	ck_assert_int_eq(n_trace, 0);
	co_task_cancel(&writer);
	test_result(co_join(&writer), -ECANCELED);
	test_result(co_join(&reader), 0);
	ck_assert_int_eq(n_trace, 1);
	test_result(co_rwlock_try_rdlock(&l), 0);
	test_result(co_rwlock_unlock(&l), 0);
	test_result(co_rwlock_unlock(&l), 0);
	return 0;
}

TEST(a_writer_that_gives_up_lets_the_readers_behind_it_in)
{
	FOR_WORKERS(w)
		test_result(test_run(w, writer_leaves, NULL), 0);
}

/* --- many ----------------------------------------------------------------- */

struct crowd {
	int rounds;
	bool over;		/* atomic */
};

static void
inside(int *mine, int most, int *others)
{
	int n = __atomic_add_fetch(mine, 1, __ATOMIC_SEQ_CST);

	ck_assert_int_le(n, most);
	ck_assert_int_eq(__atomic_load_n(others, __ATOMIC_SEQ_CST), 0);
	if (n % 3 == 0)
		co_yield();
	__atomic_sub_fetch(mine, 1, __ATOMIC_SEQ_CST);
}

static int
read_much(void *arg)
{
	const struct crowd *c = arg;
	int i;

	for (i = 0; i < c->rounds; i++) {
		test_result(co_rwlock_rdlock(&l), 0);
		inside(&readers, 1000, &writers);
		test_result(co_rwlock_unlock(&l), 0);
	}
	return 0;
}

static int
write_much(void *arg)
{
	const struct crowd *c = arg;
	long was;
	int i;

	for (i = 0; i < c->rounds; i++) {
		test_result(co_rwlock_wrlock(&l), 0);
		was = count;
		inside(&writers, 1, &readers);
		count = was + 1;
		test_result(co_rwlock_unlock(&l), 0);
	}
	return 0;
}

static int
crowd_run(void *arg)
{
	struct co_scope s;
	int i;

	co_scope(s) {
		for (i = 0; i < 20; i++)
			test_result(co_spawn(i % 4 ? read_much : write_much,
			    arg), 0);
	}
	return s.status;
}

static void *
read_thread(void *arg)
{
	read_much(arg);
	return NULL;
}

static void *
write_thread(void *arg)
{
	write_much(arg);
	return NULL;
}

TEST(it_excludes_on_many_workers_and_threads)
{
	struct crowd c = { .rounds = (int)test_count(200, 10000) };
	pthread_t a, b;

	FOR_WORKERS(w) {
		l = (struct co_rwlock)CO_RWLOCK_INIT;
		count = 0;
		ck_assert(!pthread_create(&a, NULL, read_thread, &c));
		ck_assert(!pthread_create(&b, NULL, write_thread, &c));
		test_result(test_run(w, crowd_run, &c), 0);
		ck_assert(!pthread_join(a, NULL));
		ck_assert(!pthread_join(b, NULL));
		ck_assert_int_eq(count, 6L * c.rounds);
	}
}

/* Readers that always overlap: without fairness no writer ever gets in. */
static int
read_until_over(void *arg)
{
	struct crowd *c = arg;

	while (!__atomic_load_n(&c->over, __ATOMIC_ACQUIRE)) {
		test_result(co_rwlock_rdlock(&l), 0);
		co_yield();
		test_result(co_rwlock_unlock(&l), 0);
	}
	return 0;
}

static int
starve(void *arg)
{
	struct crowd c = { .over = false };
	struct co_scope s;
	int i;

	(void)arg;
	l = (struct co_rwlock)CO_RWLOCK_INIT;
	co_scope(s) {
		for (i = 0; i < 4; i++)
			test_result(co_spawn(read_until_over, &c), 0);
		for (i = 0; i < 50; i++) {
			co_yield();
			test_result(co_rwlock_wrlock(&l), 0);
			test_result(co_rwlock_unlock(&l), 0);
		}
		__atomic_store_n(&c.over, true, __ATOMIC_RELEASE);
	}
	return 0;
}

TEST(writers_are_not_starved)
{
	FOR_WORKERS(w)
		test_result(test_run(w, starve, NULL), 0);
}

/* --- misuse --------------------------------------------------------------- */

static int
unlock_unlocked(void *arg)
{
	(void)arg;
	l = (struct co_rwlock)CO_RWLOCK_INIT;
	return -co_rwlock_unlock(&l);
}

static void *
unlock_thread(void *ret)
{
	*(int *)ret = co_rwlock_unlock(&l);
	return NULL;
}

static int
unlock_anothers(void *arg)
{
	pthread_t thread;
	int code = 0;

	(void)arg;
	l = (struct co_rwlock)CO_RWLOCK_INIT;
	test_result(co_rwlock_wrlock(&l), 0);
	ck_assert(!pthread_create(&thread, NULL, unlock_thread, &code));
	ck_assert(!pthread_join(thread, NULL));
	test_result(co_rwlock_try_rdlock(&l), -EAGAIN);
	test_result(co_rwlock_unlock(&l), 0);
	return -code;
}

static void
check_misuse(int (*fn)(void *), const char *words)
{
	struct test_child c = test_child(fn, NULL);

	if (c.signal == SIGABRT)
		test_has(c.err, words);
	else
		ck_assert_int_eq(c.code, EPERM);
}

TEST(unlocking_what_is_not_locked_is_refused)
{
	check_misuse(unlock_unlocked, "co_rwlock_unlock: nobody holds it");
}

TEST(unlocking_what_another_writes_is_refused)
{
	check_misuse(unlock_anothers, "co_rwlock_unlock: another thread");
}
