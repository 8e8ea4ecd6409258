/* SPDX-License-Identifier: MIT */
/*
 * spawn_test.c - starting coroutines: co_spawn, co_spawn_with, co_go; names,
 * ids, priorities, pinning, stack sizes.
 */
#include "harness.h"

#include <alloca.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/inspect.h>
#include <weft/scope.h>
#include <weft/sync.h>

static int ran;		/* [atomic] */

static int
count(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED);
	return 0;
}

static int
counted(void)
{
	return __atomic_load_n(&ran, __ATOMIC_RELAXED);
}

static int
count_int(int *v)
{
	__atomic_add_fetch(&ran, *v, __ATOMIC_RELAXED);
	return 0;
}

/* --- what it refuses ------------------------------------------------------- */

static int
bad_input(void *arg)
{
	struct co_spawn_options o = { .priority = CO_NORMAL };
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		test_result(co_spawn(NULL, NULL), -EINVAL);
		test_result(co_spawn_with(NULL, NULL, NULL), -EINVAL);
		test_result(co_spawn_with(&o, NULL, NULL), -EINVAL);
		test_result(co_fork(NULL, count, NULL), -EINVAL);
		test_result(co_fork(&(struct co_task){ 0 }, NULL, NULL),
		    -EINVAL);
		o.stack_size = 1;
		test_result(co_spawn_with(&o, count, NULL), -EINVAL);
		o.stack_size = 16 * 1024 - 1;
		test_result(co_spawn_with(&o, count, NULL), -EINVAL);
		o.stack_size = SIZE_MAX;
		test_result(co_spawn_with(&o, count, NULL), -EINVAL);
		o.stack_size = (size_t)1 << 40;
		test_result(co_spawn_with(&o, count, NULL), -EINVAL);
		o.stack_size = 0;
		o.priority = (enum co_priority)3;
		test_result(co_spawn_with(&o, count, NULL), -EINVAL);
		o.priority = (enum co_priority)-1;
		test_result(co_spawn_with(&o, count, NULL), -EINVAL);
	}
	ck_assert_int_eq(counted(), 0);
	co_scope(s) {
		test_result(co_spawn_with(NULL, count, NULL), 0);
		o.priority = CO_NORMAL;
		test_result(co_spawn_with(&o, count, NULL), 0);
	}
	ck_assert_int_eq(counted(), 2);
	return 0;
}

TEST(bad_input_is_refused_and_starts_nothing)
{
	FOR_WORKERS(w) {
		ran = 0;
		test_result(test_run(w, bad_input, NULL), 0);
	}
}

static void *
spawn_outside(void *arg)
{
	struct co_spawn_options o = { .name = "x" };
	struct co_scope s;
	struct co_task t;

	test_result(co_spawn(count, NULL), -EINVAL);
	test_result(co_spawn_with(&o, count, NULL), -EINVAL);
	test_result(co_spawn_with(NULL, count, NULL), -EINVAL);
	test_result(co_fork(&t, count, NULL), -EINVAL);
	test_result(co_join(&t), -EINVAL);
	co_task_cancel(&t);
	test_result(co_go(count_int, 5), -EINVAL);
	co_scope(s)
		test_result(co_spawn(count, NULL), -EINVAL);
	test_result(s.status, 0);
	ck_assert(!co_inside());
	ck_assert_uint_eq(co_id(), 0);
	ck_assert_str_eq(co_name(), "");
	co_set_name("nobody");
	ck_assert_str_eq(co_name(), "");
	co_yield();
	co_yield_now();
	return arg;
}

static int
spawn_in_thread(void *arg)
{
	pthread_t t;

	(void)arg;
	ck_assert_int_eq(pthread_create(&t, NULL, spawn_outside, NULL), 0);
	pthread_join(t, NULL);
	return 0;
}

TEST(outside_of_a_coroutine_nothing_is_started)
{
	spawn_outside(NULL);
	spawn_in_thread(NULL);
	FOR_WORKERS(w)
		test_result(test_run(w, spawn_in_thread, NULL), 0);
	spawn_outside(NULL);
	ck_assert_int_eq(counted(), 0);
}

static struct co_scope *lent;
static pthread_barrier_t gate;

static void *
lend_scope(void *arg)
{
	struct co_scope s;

	co_scope(s) {
		lent = &s;
		pthread_barrier_wait(&gate);
		pthread_barrier_wait(&gate);
	}
	return arg;
}

static int
spawn_into_threads_scope(void *arg)
{
	pthread_t t;

	(void)arg;
	pthread_barrier_init(&gate, NULL, 2);
	ck_assert_int_eq(pthread_create(&t, NULL, lend_scope, NULL), 0);
	pthread_barrier_wait(&gate);
	/* Nothing of this runtime would wait for such a child. */
	test_result(co_spawn_with(&(struct co_spawn_options){ .scope = lent },
	    count, NULL), -EINVAL);
	pthread_barrier_wait(&gate);
	pthread_join(t, NULL);
	pthread_barrier_destroy(&gate);
	return 0;
}

TEST(the_scope_of_a_plain_thread_takes_no_children)
{
	FOR_WORKERS(w)
		test_result(test_run(w, spawn_into_threads_scope, NULL), 0);
	ck_assert_int_eq(counted(), 0);
}

/* --- order, scopes --------------------------------------------------------- */

static int began;

static int
note_begin(void *arg)
{
	(void)arg;
	began = 1;
	return 0;
}

static int
goes_on(void *arg)
{
	(void)arg;
	began = 0;
	test_result(co_spawn(note_begin, NULL), 0);
	ck_assert_int_eq(began, 0);
	co_yield();
	ck_assert_int_eq(began, 1);
	return 0;
}

TEST(the_spawner_goes_on_and_a_yield_lets_the_new_one_run)
{
	test_result(test_run(1, goes_on, NULL), 0);
}

static int
see_cancelled(void *arg)
{
	ck_assert(co_cancelled());
	test_result(co_sleep(0), -ECANCELED);
	return count(arg);
}

static int
cancel_before_they_begin(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 100; i++)
			test_result(co_spawn(see_cancelled, NULL), 0);
		co_cancel(&s);
		test_result(co_spawn(see_cancelled, NULL), -ECANCELED);
		test_result(co_spawn_with(NULL, see_cancelled, NULL),
		    -ECANCELED);
		test_result(co_go(count_int, 1000), -ECANCELED);
	}
	test_result(s.status, -ECANCELED);
	ck_assert_int_eq(counted(), 100);
	return 0;
}

TEST(what_was_spawned_with_success_runs_even_if_cancelled)
{
	ran = 0;
	test_result(test_run(1, cancel_before_they_begin, NULL), 0);
}

static int
sleep_a_little(void *arg)
{
	(void)arg;
	return co_sleep(CO_MS(50));
}

static int
spawn_late(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s, .timeout = CO_MS(1)) {
		test_result(co_sleep(CO_SEC(10)), -ETIMEDOUT);
		test_result(co_spawn(count, NULL), -ETIMEDOUT);
		test_result(co_go(count_int, 7), -ETIMEDOUT);
	}
	co_scope(s, .timeout = -1)
		test_result(co_spawn(count, NULL), -ETIMEDOUT);
	co_scope(s) {
		test_result(co_spawn(sleep_a_little, NULL), 0);
		co_shield()
			test_result(co_spawn(count, NULL), 0);
		ck_assert_int_eq(counted(), 1);	/* the shield has waited */
	}
	return 0;
}

TEST(a_scope_that_has_ended_gives_its_code_to_the_spawner)
{
	FOR_WORKERS(w) {
		ran = 0;
		test_result(test_run(w, spawn_late, NULL), 0);
		ck_assert_int_eq(counted(), 1);
	}
}

static int
spawn_outwards(void *arg)
{
	struct co_spawn_options o = { .scope = arg };
	struct co_scope s;

	co_scope(s)
		test_result(co_spawn_with(&o, sleep_a_little, NULL), 0);
	return 0;
}

static int
outer_waits(void *arg)
{
	struct co_scope s;
	int64_t begin = test_now();

	(void)arg;
	co_scope(s) {
		test_result(co_spawn(spawn_outwards, &s), 0);
	}
	test_between(test_now() - begin, CO_MS(50), CO_SEC(20));
	return 0;
}

TEST(a_child_may_be_put_into_a_scope_further_out)
{
	FOR_WORKERS(w)
		test_result(test_run(w, outer_waits, NULL), 0);
}

/* --- names and ids --------------------------------------------------------- */

static int
check_name(void *arg)
{
	ck_assert_str_eq(co_name(), arg);
	co_yield();
	ck_assert_str_eq(co_name(), arg);
	return count(NULL);
}

static int
name_them(void *arg)
{
	static const char exact[] = "0123456789012345678901234567890";
	char text[64];
	struct co_scope s;
	struct co_spawn_options o = { .name = text };

	(void)arg;
	co_scope(s) {
		strcpy(text, "first");
		test_result(co_spawn_with(&o, check_name, "first"), 0);
		strcpy(text, "012345678901234567890123456789012345");
		test_result(co_spawn_with(&o, check_name, (void *)exact), 0);
		strcpy(text, exact);
		test_result(co_spawn_with(&o, check_name, (void *)exact), 0);
		strcpy(text, "");
		test_result(co_spawn_with(&o, check_name, ""), 0);
		test_result(co_spawn(check_name, ""), 0);
		strcpy(text, "gone");
	}
	ck_assert_int_eq(counted(), 5);
	ck_assert_str_eq(co_name(), "");
	strcpy(text, "mine");
	co_set_name(text);
	strcpy(text, "other");
	ck_assert_str_eq(co_name(), "mine");
	co_set_name("0123456789012345678901234567890123456789");
	ck_assert_str_eq(co_name(), exact);
	co_set_name(co_name());
	ck_assert_str_eq(co_name(), exact);
	co_set_name(NULL);
	ck_assert_str_eq(co_name(), "");
	return 0;
}

TEST(names_are_copied_and_cut_at_31_bytes)
{
	FOR_WORKERS(w) {
		ran = 0;
		test_result(test_run(w, name_them, NULL), 0);
	}
}

enum { IDS = 3000 };
static uint64_t ids[IDS];
static int n_ids;	/* [atomic] */

static int
note_id(void *arg)
{
	uint64_t id = co_id();

	(void)arg;
	ck_assert_uint_ge(id, 1);
	if (id & 1)
		co_yield();
	ck_assert_uint_eq(co_id(), id);
	ids[__atomic_fetch_add(&n_ids, 1, __ATOMIC_RELAXED)] = id;
	return 0;
}

static int
collect_ids(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	ck_assert(co_inside());
	note_id(NULL);
	co_scope(s)
		for (i = 1; i < IDS; i++) {
			test_result(co_spawn(note_id, NULL), 0);
			if (i % 100 == 0)
				co_yield();	/* records are used again */
		}
	return 0;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

TEST(no_two_coroutines_of_a_runtime_have_one_id)
{
	int i;

	FOR_WORKERS(w) {
		n_ids = 0;
		test_result(test_run(w, collect_ids, NULL), 0);
		ck_assert_int_eq(n_ids, IDS);
		qsort(ids, IDS, sizeof *ids, by_value);
		for (i = 1; i < IDS; i++)
			ck_assert_uint_ne(ids[i - 1], ids[i]);
	}
}

/* --- co_go ----------------------------------------------------------------- */

struct job {
	int n;
	char text[20];
	double d;
};

static int
take_job(struct job *j)
{
	co_yield();
	ck_assert_int_eq(j->n, 3);
	ck_assert_str_eq(j->text, "abc");
	ck_assert(j->d == 2.5);
	ck_assert_uint_eq((uintptr_t)j % __alignof__(struct job), 0);
	j->n = 99;		/* it is ours */
	return count(NULL);
}

struct wide {
	_Alignas(64) char c;
};

static int
take_wide(struct wide *v)
{
	ck_assert_uint_eq((uintptr_t)v % 64, 0);
	ck_assert_int_eq(v->c, 'w');
	return count(NULL);
}

struct large {
	char c[100 * 1000];
};

static int
take_large(struct large *v)
{
	size_t i;

	for (i = 0; i < sizeof v->c; i += 1000)
		ck_assert_int_eq(v->c[i], 'l');
	co_yield();
	return count(NULL);
}

struct too_large {
	char c[5 << 20];	/* over half of the stack */
};

static int
take_too_large(struct too_large *v)
{
	(void)v;
	return count(NULL);
}

struct empty {};

static int
take_empty(struct empty *v)
{
	ck_assert_ptr_nonnull(v);
	return count(NULL);
}

static int
take_char(char *c)
{
	ck_assert_int_eq(*c, 'c');
	return count(NULL);
}

static int evaluated;

static int
once(int v)
{
	evaluated++;
	return v;
}

static struct large large;
static struct too_large too_large;

static int
go_with_values(void *arg)
{
	struct co_scope s;
	struct job j = { 3, "abc", 2.5 };
	struct wide w = { 'w' };

	(void)arg;
	evaluated = 0;
	memset(&large, 'l', sizeof large);
	co_scope(s) {
		test_result(co_go(take_job, j), 0);
		test_result(co_go(take_job, (struct job){ 3, "abc", 2.5 }), 0);
		j.n = 4;
		test_result(co_go(take_wide, w), 0);
		test_result(co_go(take_char, (char)'c'), 0);
		test_result(co_go(take_large, large), 0);
		test_result(co_go(take_empty, (struct empty){}), 0);
		test_result(co_go(count_int, once(10)), 0);
		test_result(co_go(take_too_large, too_large), -EMSGSIZE);
		w.c = 'x';
		memset(&large, 'm', sizeof large);
	}
	ck_assert_int_eq(counted(), 16);
	ck_assert_int_eq(evaluated, 1);
	return 0;
}

TEST(co_go_copies_its_value_to_the_new_stack)
{
	FOR_WORKERS(w) {
		struct co_options o = { .workers = w, .stack_size = 8 << 20 };

		ran = 0;
		test_result(co_run(&o, go_with_values, NULL), 0);
	}
}

struct page {
	_Alignas(4096) char c[4096];
};

struct two_pages {
	_Alignas(4096) char c[8192];
};

static int
take_page(struct page *v)
{
	/* There is no room for more than this. */
	if ((uintptr_t)v % 4096 != 0 || v->c[4095] != 'p')
		abort();
	return count(NULL);
}

static int
take_two_pages(struct two_pages *v)
{
	(void)v;
	return count(NULL);
}

static struct page page;
static struct two_pages two_pages;

/* What is aligned by pages may cost one more. */
static int
go_with_pages(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	page.c[4095] = 'p';
	co_scope(s) {
		for (i = 0; i < 64; i++) {	/* stacks of all colours */
			test_result(co_go(take_page, page), 0);
			test_result(co_go(take_two_pages, two_pages),
			    -EMSGSIZE);
		}
	}
	ck_assert_int_eq(counted(), 64);
	return 0;
}

/* co_go makes its copy here, too. */
static int
go_from_a_larger_stack(void *arg)
{
	struct co_spawn_options o = { .stack_size = 1 << 18 };
	struct co_scope s;

	co_scope(s)
		test_result(co_spawn_with(&o, go_with_pages, arg), 0);
	return s.status;
}

TEST(a_value_aligned_by_pages_fits_or_is_refused)
{
	if (test_slow() > 1)
		test_skip("the smallest stacks are too small for sanitizers");
	FOR_WORKERS(w) {
		struct co_options o = { .workers = w, .stack_size = 16384 };

		ran = 0;
		test_result(co_run(&o, go_from_a_larger_stack, NULL), 0);
	}
}

/* --- stack sizes ----------------------------------------------------------- */

static int
use_stack(void *arg)
{
	size_t n = (size_t)(uintptr_t)arg, i;
	volatile char *p = alloca(n);

	for (i = 0; i < n; i += 1024)
		p[i] = (char)i;
	co_yield();
	for (i = 0; i < n; i += 1024)
		ck_assert_int_eq(p[i], (char)i);
	return count(NULL);
}

static int
various_stacks(void *arg)
{
	static const size_t sizes[] = { 16 * 1024, 17000, 40 * 1024, 65536,
	    255 * 1024, 256 * 1024, 257 * 1024, 1 << 20, 3 << 20, 32 << 20 };
	struct co_spawn_options o = { .name = "" };
	struct co_scope s;
	size_t i, j;

	(void)arg;
	for (j = 0; j < 20; j++) {
		co_scope(s) {
			for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
				o.stack_size = sizes[i];
				test_result(co_spawn_with(&o, use_stack,
				    (void *)(uintptr_t)(sizes[i] / 8 * 7 -
				    6 * 1024)), 0);
			}
		}
	}
	ck_assert_int_eq(counted(), 20 * (int)(sizeof sizes / sizeof *sizes));
	return 0;
}

TEST(each_coroutine_gets_the_stack_that_it_asked_for)
{
	if (test_slow() > 1)
		test_skip("frames are larger under sanitizers");
	FOR_WORKERS(w) {
		ran = 0;
		test_result(test_run(w, various_stacks, NULL), 0);
	}
}

static int
until_refused(void *arg)
{
	struct co_spawn_options o = { .stack_size = 64 << 20 };
	struct co_scope s;
	int round, n = 0, code = 0;

	(void)arg;
	for (round = 0; round < 3; round++) {
		ran = 0;
		co_scope(s) {
			for (n = 0; n < 1000000; n++) {
				code = co_spawn_with(&o, count, NULL);
				if (code < 0)
					break;
			}
		}
		if (code != -ENOMEM && code != -EAGAIN)
			return 1;
		if (n < 2 || s.status != 0 || counted() != n)
			return 2;
	}
	return 0;
}

static int
in_little_room(void *arg)
{
	struct rlimit room = { 4L << 30, 4L << 30 };

	if (setrlimit(RLIMIT_AS, &room) < 0)
		return 3;
	return test_run((int)(intptr_t)arg, until_refused, NULL);
}

TEST(running_out_of_stacks_fails_the_spawn_and_nothing_else)
{
	if (test_slow() > 1)
		test_skip("sanitizers need the address space");
	FOR_WORKERS(w)
		ck_assert_int_eq(test_child(in_little_room,
		    (void *)(intptr_t)w).code, 0);
}

/* --- pinning, priorities --------------------------------------------------- */

static struct co_event go_on;

static int
stays(void *arg)
{
	pthread_t here = pthread_self();
	int i;

	(void)arg;
	for (i = 0; i < 200; i++) {
		switch (i % 3) {
		case 0:
			co_yield();
			break;
		case 1:
			test_result(co_sleep(CO_US(20)), 0);
			break;
		default:
			test_result(co_event_wait(&go_on), 0);
		}
		ck_assert(pthread_equal(pthread_self(), here));
	}
	return count(NULL);
}

static void
burn(int64_t ns)
{
	int64_t until = test_now() + ns;

	while (test_now() < until)
		continue;
}

static int
roam(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 200; i++) {
		burn(CO_US(10));
		co_event_set(&go_on);
		co_yield();
		co_event_reset(&go_on);
	}
	co_event_set(&go_on);
	return 0;
}

static int
pin_some(void *arg)
{
	struct co_spawn_options o = { .pinned = true };
	struct co_scope s;
	int i;

	(void)arg;
	go_on = (struct co_event)CO_EVENT_INIT;
	co_scope(s) {
		for (i = 0; i < 20; i++) {
			test_result(co_spawn_with(&o, stays, NULL), 0);
			test_result(co_spawn(roam, NULL), 0);
			co_yield();	/* perhaps to another worker */
		}
	}
	ck_assert_int_eq(counted(), 20);
	return 0;
}

TEST(a_pinned_coroutine_never_leaves_its_worker)
{
	FOR_WORKERS(w) {
		ran = 0;
		test_result(test_run(w, pin_some, NULL), 0);
	}
}

static chan(int) from_thread;

static int
pinned_receiver(void *arg)
{
	pthread_t here = pthread_self();
	int v, n = 0;

	(void)arg;
	while (chan_recv(from_thread, &v) == 0) {
		ck_assert(pthread_equal(pthread_self(), here));
		n++;
	}
	__atomic_add_fetch(&ran, n, __ATOMIC_RELAXED);
	return 0;
}

static void *
send_many(void *arg)
{
	int i, n = (int)(intptr_t)arg;

	for (i = 0; i < n; i++)
		test_result(chan_send(from_thread, i), 0);
	chan_close(from_thread);
	return NULL;
}

static int
receive_pinned(void *arg)
{
	struct co_spawn_options o = { .pinned = true };
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 4; i++)
			test_result(co_spawn_with(&o, pinned_receiver, NULL),
			    0);
	return 0;
}

TEST(a_thread_wakes_a_pinned_coroutine_where_it_lives)
{
	intptr_t n = (intptr_t)test_count(3000, 300000);
	pthread_t t;

	FOR_WORKERS(w) {
		ran = 0;
		from_thread = chan_new(int, 0);
		ck_assert_int_eq(pthread_create(&t, NULL, send_many,
		    (void *)n), 0);
		test_result(test_run(w, receive_pinned, NULL), 0);
		pthread_join(t, NULL);
		chan_unref(from_thread);
		ck_assert_int_eq(counted(), n);
	}
}

static char order[64];
static int n_order;

static int
note_order(void *arg)
{
	order[n_order++] = *(char *)arg;
	return 0;
}

static int
rank_them(void *arg)
{
	static const enum co_priority rank[] = { CO_LOW, CO_NORMAL, CO_HIGH };
	struct co_spawn_options o = { .name = NULL };
	struct co_scope s;
	int i;

	(void)arg;
	n_order = 0;
	co_scope(s)
		for (i = 0; i < 9; i++) {
			o.priority = rank[i % 3];
			test_result(co_spawn_with(&o, note_order,
			    &"LNH"[i % 3]), 0);
		}
	order[n_order] = '\0';
	ck_assert_str_eq(order, "HHHNNNLLL");
	return 0;
}

TEST(higher_ones_run_before_lower_ones)
{
	test_result(test_run(1, rank_them, NULL), 0);
}

enum { TURNS = 4000 };

struct turns {
	struct co_scope scope;
	chan(int) talk;
	int normal, low;
};

static int
talk(void *arg)
{
	struct turns *t = arg;

	while (chan_send(t->talk, 1) == 0)
		;
	return 0;
}

static int
listen_on(void *arg)
{
	struct turns *t = arg;
	int v;

	while (chan_recv(t->talk, &v) == 0)
		;
	return 0;
}

static void
take_turns(struct turns *t, int *mine)
{
	co_time end;

	while (t->normal + t->low < TURNS) {
		(*mine)++;
		end = co_now() + CO_US(20);
		while (co_now() < end)
			;
		co_yield();
	}
	co_cancel(&t->scope);
}

static int
normal_turns(void *arg)
{
	take_turns(arg, &((struct turns *)arg)->normal);
	return 0;
}

static int
low_turns(void *arg)
{
	take_turns(arg, &((struct turns *)arg)->low);
	return 0;
}

static int
among_talkers(void *arg)
{
	struct co_spawn_options low = { .priority = CO_LOW };
	struct turns t = { .talk = chan_new(int, 0) };

	(void)arg;
	co_scope(t.scope) {
		test_result(co_spawn(talk, &t), 0);
		test_result(co_spawn(listen_on, &t), 0);
		test_result(co_spawn(normal_turns, &t), 0);
		test_result(co_spawn_with(&low, low_turns, &t), 0);
	}
	chan_unref(t.talk);
	ck_assert_msg(2 * t.normal > 3 * t.low && t.low > TURNS / 100,
	    "%d normal and %d low", t.normal, t.low);
	return 0;
}

/* They keep the newest end of the queue busy: both others live on what is left
   to the oldest. */
TEST(a_lower_one_has_fewer_turns_also_beside_a_pair_that_talks)
{
	test_result(test_run(1, among_talkers, NULL), 0);
}

static int spinning;	/* [atomic] */

static int
spin(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&spinning, __ATOMIC_RELAXED))
		co_yield();
	return 0;
}

static int
low_work(void *arg)
{
	int i;

	for (i = 0; i < 50; i++)
		co_yield();
	if (__atomic_sub_fetch((int *)arg, 1, __ATOMIC_ACQ_REL) == 0)
		__atomic_store_n(&spinning, 0, __ATOMIC_RELAXED);
	return 0;
}

static int
starve(void *arg)
{
	static const enum co_priority rank[] = { CO_HIGH, CO_NORMAL, CO_LOW };
	struct co_spawn_options o = { .name = NULL };
	struct co_scope s;
	int i, left = 6;

	(void)arg;
	spinning = 1;
	co_scope(s) {
		for (i = 0; i < 24; i++) {
			o.priority = rank[i % 2];
			test_result(co_spawn_with(&o, spin, NULL), 0);
		}
		for (i = 0; i < 6; i++) {
			o.priority = rank[i % 3];
			test_result(co_spawn_with(&o, low_work, &left), 0);
		}
	}
	return 0;
}

TEST(lower_ones_are_delayed_and_never_starved)
{
	FOR_WORKERS(w)
		test_result(test_run(w, starve, NULL), 0);
}

/* --- many ------------------------------------------------------------------ */

static int
spawn_many(void *arg)
{
	uint64_t i, n = *(uint64_t *)arg;
	struct co_scope s;

	co_scope(s)
		for (i = 0; i < n; i++)
			test_result(co_spawn(count, NULL), 0);
	ck_assert_int_eq(counted(), (int)n);
	return 0;
}

TEST(one_spawns_a_hundred_thousand_before_any_of_them_runs)
{
	uint64_t n = test_count(100000, 1000000);

	FOR_WORKERS(w) {
		ran = 0;
		test_result(test_run(w, spawn_many, &n), 0);
	}
}

static int
next_of_chain(void *arg)
{
	intptr_t left = (intptr_t)arg;

	count(NULL);
	if (left > 1)
		test_result(co_spawn(next_of_chain, (void *)(left - 1)), 0);
	return 0;
}

static int
begin_chain(void *arg)
{
	struct co_scope s;

	co_scope(s)
		test_result(co_spawn(next_of_chain, arg), 0);
	return counted();
}

TEST(each_spawns_the_next_and_ends)
{
	intptr_t n = (intptr_t)test_count(100000, 1000000);

	FOR_WORKERS(w) {
		ran = 0;
		test_result(test_run(w, begin_chain, (void *)n), n);
	}
}

/* Skynet: a tree of ten children each; every leaf is a number. */
struct node {
	uint64_t first, size, sum;
};

static int
skynet(void *arg)
{
	struct node *at = arg, child[10];
	struct co_scope s;
	int i;

	if (at->size == 1) {
		at->sum = at->first;
		return 0;
	}
	co_scope(s)
		for (i = 0; i < 10; i++) {
			child[i].size = at->size / 10;
			child[i].first = at->first +
			    (uint64_t)i * child[i].size;
			test_result(co_spawn(skynet, &child[i]), 0);
		}
	for (i = 0, at->sum = 0; i < 10; i++)
		at->sum += child[i].sum;
	return s.status;
}

TEST(a_tree_of_coroutines_adds_up)
{
	uint64_t n = test_long() ? 1000000 : test_slow() > 1 ? 1000 : 100000;

	FOR_WORKERS(w) {
		struct node root = { 0, n, 0 };

		test_result(test_run(w, skynet, &root), 0);
		ck_assert_uint_eq(root.sum, n * (n - 1) / 2);
	}
}

/* --- inherited ------------------------------------------------------------- */

static int
fail_once(void *arg)
{
	(void)arg;
	return -EIO;
}

static int
failing_child(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		test_result(co_spawn(fail_once, NULL), 0);
		test_result(co_sleep(CO_SEC(100)), -EIO);
	}
	test_result(s.status, -EIO);
	ck_assert_uint_eq(s.failures, 1);
	return 0;
}

TEST(a_childs_negative_result_ends_the_scope_it_was_spawned_in)
{
	FOR_WORKERS(w)
		test_result(test_run(w, failing_child, NULL), 0);
}
