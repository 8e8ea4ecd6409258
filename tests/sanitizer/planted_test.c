/* SPDX-License-Identifier: MIT */
/*
 * planted_test.c - do the sanitizers see through coroutines?
 *
 * Each planted bug runs in a process of its own and must be reported, by name;
 * its clean twin does the same work properly and must be silent.  In a build
 * without a sanitizer there is nothing to test, and all is skipped.
 */
#include "harness.h"

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

/* What the sanitizers read before main: for this program only. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_stack_use_after_return=1:detect_leaks=1:exitcode=97";
}

const char *
__tsan_default_options(void)
{
	return "exitcode=97:halt_on_error=0";
}

struct plant {
	co_fn *fn;
	int workers;
};

static int
run_plant(void *arg)
{
	struct plant *p = arg;

	return test_run(p->workers, p->fn, NULL);
}

/* report NULL: none must come. */
static void
expect(co_fn *fn, int workers, const char *report)
{
	struct plant p = { fn, workers };
	struct test_child c = test_child(run_plant, &p);

	if (report) {
		test_has(c.err, report);
		ck_assert_int_ne(c.code, 0);
	} else {
		ck_assert_msg(c.code == 0 && !strstr(c.err, "Sanitizer"),
		    "%d workers, code %d, signal %d: %s", workers, c.code,
		    c.signal, c.err);
	}
}

static void
only_with(int it, const char *what)
{
	if (!it)
		test_skip(what);
}

/* --- addresses -------------------------------------------------------------- */

static int *volatile shared_at;
static volatile int sink;

static int
free_and_read(void *arg)
{
	int *p = malloc(sizeof *p);

	ck_assert_ptr_nonnull(p);
	*p = 1;
	if (!arg)
		free(p);
	co_yield();
	sink = *p;
	if (arg)
		free(p);
	return 0;
}

static int
heap_bug(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		co_spawn(free_and_read, NULL);
		co_spawn(free_and_read, &s);
	}
	return 0;
}

static int
heap_clean(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 50; i++)
			co_spawn(free_and_read, &s);
	return s.status;
}

/* A frame that is gone when the other coroutine writes to it; the coroutine
   that it was of is still there. */
static volatile bool written;

static int *__attribute__((noinline))
same(int *p)
{
	__asm__ volatile("" : "+r"(p));
	return p;
}

static void __attribute__((noinline))
publish_local(void)
{
	int local = 5;

	shared_at = same(&local);
	co_yield();
	sink = local;
}

static int
publish(void *arg)
{
	(void)arg;
	publish_local();
	while (!written)
		co_yield();
	return 0;
}

static int
write_late(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 5; i++)
		co_yield();
	*shared_at = 6;
	written = true;
	return 0;
}

static int
return_bug(void *arg)
{
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		co_spawn(write_late, NULL);
		co_spawn(publish, NULL);
	}
	return 0;
}

/* A local of a frame that is parked, written by another. */
static int
fill(void *arg)
{
	char *to = arg;

	memset(to, 7, 100);
	co_yield();
	return 0;
}

static int
return_clean(void *arg)
{
	char local[100];
	struct co_scope s;
	int i;

	(void)arg;
	for (i = 0; i < 50; i++) {
		co_scope(s)
			co_spawn(fill, local);
		sink = local[99];
	}
	return 0;
}

/* It is ASan's to see, before UBSan does. */
__attribute__((no_sanitize("undefined")))
static int
overrun(void *arg)
{
	char local[16];
	volatile int n = 16;

	(void)arg;
	memset(local, 0, sizeof local);
	co_yield();
	local[n] = 1;
	sink = local[0];
	return 0;
}

static int
overrun_bug(void *arg)
{
	struct co_scope s;

	co_scope(s)
		co_spawn(overrun, arg);
	return 0;
}

static int
leak(void *arg)
{
	char *volatile p = malloc(1234);

	if (arg)
		free(p);
	p = NULL;
	co_yield();
	return 0;
}

static int
leak_bug(void *arg)
{
	struct co_scope s;

	co_scope(s)
		co_spawn(leak, arg);
	return 0;
}

TEST(a_use_after_free_in_a_coroutine_is_reported)
{
	only_with(TEST_ASAN, "needs AddressSanitizer");
	FOR_WORKERS(w) {
		expect(heap_bug, w, "heap-use-after-free");
		expect(heap_clean, w, NULL);
	}
}

TEST(a_use_after_return_across_a_switch_is_reported)
{
	only_with(TEST_ASAN, "needs AddressSanitizer");
	expect(return_bug, 1, "stack-use-after-return");
	FOR_WORKERS(w)
		expect(return_clean, w, NULL);
}

TEST(an_overrun_on_a_coroutines_stack_is_reported)
{
	only_with(TEST_ASAN, "needs AddressSanitizer");
	FOR_WORKERS(w)
		expect(overrun_bug, w, "stack-buffer-overflow");
}

static int
leak_child(void *arg)
{
	struct plant *p = arg;
	int code = run_plant(p);

	exit(code);		/* LeakSanitizer looks at exit */
}

TEST(a_leak_of_a_coroutine_is_reported)
{
	struct plant p = { leak_bug, 2 };
	struct test_child c;

	only_with(TEST_ASAN, "needs LeakSanitizer");
	c = test_child(leak_child, &p);
	test_has(c.err, "1234 byte(s)");
	p.fn = heap_clean;
	c = test_child(leak_child, &p);
	ck_assert_msg(c.code == 0, "%s", c.err);
}

/* --- races ------------------------------------------------------------------ */

static int plain;		/* the contested one */
static int came;		/* [relaxed: orders nothing] */

/*
 * Each is on a worker of its own when it touches the number; but not in the
 * same nanosecond, which the sanitizer would miss.  A switch orders what ran
 * before it and what runs after it, so races between two coroutines of a lone
 * worker are not seen: see context.c.
 */
static int
touch_at_once(void *arg)
{
	int me = __atomic_add_fetch(&came, 1, __ATOMIC_RELAXED);
	volatile int i;

	(void)arg;
	while (__atomic_load_n(&came, __ATOMIC_RELAXED) < 2)
		;
	for (i = 0; me == 1 && i < 10000; i++)
		;
	plain++;
	return 0;
}

static int
two_workers(void *arg)
{
	struct co_scope s;

	came = 0;
	co_scope(s) {
		co_spawn(touch_at_once, arg);
		co_spawn(touch_at_once, arg);
	}
	return 0;
}

TEST(a_race_between_two_workers_is_reported)
{
	only_with(TEST_TSAN, "needs ThreadSanitizer");
	expect(two_workers, 2, "data race");
	expect(two_workers, 4, "data race");
}

/* The clean twins: everything that orders one coroutine after another. */
static struct co_mutex mutex = CO_MUTEX_INIT;
static struct co_event event = CO_EVENT_INIT;
static chan(int *) pass;

static int
touch_locked(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 100; i++)
		co_locked(&mutex)
			plain++;
	return 0;
}

static int
touch_passed(void *arg)
{
	int i, *p;

	(void)arg;
	for (i = 0; i < 100; i++) {
		if (chan_recv(pass, &p) != 0)
			return 1;
		++*p;
		if (chan_send(pass, p) != 0)
			return 1;
	}
	return 0;
}

static int
touch_after_event(void *arg)
{
	int code = co_event_wait(&event);

	plain += arg == NULL;
	return code;
}

static int
add_one(void *arg)
{
	plain++;
	(void)arg;
	return 0;
}

static int
clean(void *arg)
{
	struct co_scope s;
	struct co_task t;
	int i;

	(void)arg;
	mutex = (struct co_mutex)CO_MUTEX_INIT;
	event = (struct co_event)CO_EVENT_INIT;
	pass = chan_new(int *, 1);
	co_scope(s) {
		plain = 1;
		for (i = 0; i < 4; i++)
			co_spawn(touch_locked, NULL);
	}
	plain++;		/* the scope was left */
	for (i = 0; i < 20; i++) {
		if (co_fork(&t, add_one, NULL) != 0 || co_join(&t) != 0)
			return 1;
		plain++;
	}
	co_scope(s) {
		for (i = 0; i < 3; i++)
			co_spawn(touch_passed, NULL);
		if (chan_send(pass, &plain) != 0)
			return 2;
	}
	co_scope(s) {
		co_spawn(touch_after_event, NULL);
		co_yield();
		plain++;
		co_event_set(&event);
	}
	chan_unref(pass);
	return plain == 1 + 400 + 1 + 40 + 300 + 2 ? 0 : 3;
}

TEST(what_is_ordered_is_not_reported)
{
	only_with(TEST_ASAN || TEST_TSAN, "needs a sanitizer");
	FOR_WORKERS(w)
		expect(clean, w, NULL);
}
