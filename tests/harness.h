/* SPDX-License-Identifier: MIT */
/*
 * harness.h - the frame that every test program stands in.
 *
 * A program is a file of tests, linked with harness.c, which has main():
 *
 *	TEST(close_wakes_every_receiver)
 *	{
 *		...
 *		ck_assert_int_eq(chan_close(ch), 0);
 *	}
 *
 * Each test runs in a process of its own, by Check.  It fails by an assertion,
 * a signal, an exit, or by
 *
 *	time		60 s by default; ten times that under sanitizers,
 *			valgrind and emulators
 *	descriptors	one open at its end that was not open before
 *	threads		one there at its end that was not there before
 *
 * The program's arguments are parts of names: which tests to run.  -l lists
 * them.  It speaks TAP on its standard output; what tests print goes to
 * stderr.
 *
 *	SEED=n			replays a failure; see test_seed()
 *	WEFT_LONG=1		the long form of every test, or with WEFT_LONG=N
 *				an N-th of it; see test_count()
 *	WEFT_TEST_WORKERS=n	FOR_WORKERS goes over n only
 *	WEFT_TEST_TIMEOUT=s	in place of all of these times
 *	WEFT_TEST_SLOW=n	how much slower than usual this machine is
 *	CK_FORK=no		all in one process, for a debugger
 */
#ifndef WEFT_TESTS_HARNESS_H
#define WEFT_TESTS_HARNESS_H

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weft/co.h>

/*
 * Check tells its parent of every assertion that holds, by a write to a file:
 * a lock, a malloc and 40 bytes each, which changes what threads do.  Here it
 * is a store or two, enough to say how far a test that crashed had come.
 */
#define _mark_point(file, line)	test_mark((file), (line))

struct test {
	const char *name;
	const char *file;
	int line;
	void (*run)(void);
	struct test *next;	/* in the order of the file */
	/* Options, after the name: TEST(x, .seconds = 120). */
	int seconds;		/* 0: 60 */
	bool only_by_name;	/* when an argument is its whole name */
	bool leaves_threads;	/* on purpose, at its end */
	bool leaves_fds;
	int signal;		/* it must end by this signal, e.g. SIGABRT */
	int status;		/* ... or exit with this status, not 0 */
};

#define TEST(test_name, ...) \
	static void test__##test_name(void); \
	static struct test test__is_##test_name = { \
		.name = #test_name, .file = __FILE__, .line = __LINE__, \
		.run = test__##test_name, ##__VA_ARGS__ \
	}; \
	__attribute__((constructor)) static void \
	test__register_##test_name(void) \
	{ \
		test_register(&test__is_##test_name); \
	} \
	static void test__##test_name(void)

void test_register(struct test *t);
void test_mark(const char *file, int line);

/* The test ends here, as skipped; why is printed. */
void test_skip(const char *why) __attribute__((noreturn));

/* One number for the whole test: $SEED, or made; printed when it fails. */
uint64_t test_seed(void);

/* The next of a good sequence (splitmix64); any start will do. */
static inline uint64_t
test_random(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* 0 .. n - 1 */
static inline uint64_t
test_below(uint64_t *state, uint64_t n)
{
	return test_random(state) % n;
}

/* fegetround() asks the x87 alone on x86. */
static inline bool
test_rounds_to_nearest(void)
{
	volatile double one = 1, three = 3, ten = 10;

	/* The nearest to 1/3 is below it, to 1/10 above. */
	return one / three == 0x1.5555555555555p-2 &&
	    one / ten == 0x1.999999999999ap-4;
}

/* 1 where the test was built with AddressSanitizer, ThreadSanitizer. */
#if defined __SANITIZE_ADDRESS__
#define TEST_ASAN	1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define TEST_ASAN	1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN	0
#endif
#if defined __SANITIZE_THREAD__
#define TEST_TSAN	1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define TEST_TSAN	1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN	0
#endif
#define TEST_SANITIZED	(TEST_ASAN || TEST_TSAN)

/* 1 in a build with --enable-chaos. */
#ifdef WEFT_CHAOS
#define TEST_CHAOS	1
#else
#define TEST_CHAOS	0
#endif

bool test_long(void);		/* WEFT_LONG is set */

/* How much slower than usual: 1, or 10 under sanitizers, valgrind, qemu. */
int test_slow(void);
/* Soon, where 100 ms or less are asked for: others use this machine too, and
   with chaos each step may give the processor away. */
#define TEST_SOON	(CO_SEC(TEST_CHAOS ? 10 : 1) * test_slow())
/* Under qemu-user?  Memory is then the emulator's too, and vfork is a fork. */
bool test_emulated(void);

/*
 * How often to do something: `few`, a tenth of it (but at least 1) where
 * everything is slow, or `many` when WEFT_LONG=1; when WEFT_LONG=N an N-th of
 * that, but not less than `few`.
 */
uint64_t test_count(uint64_t few, uint64_t many);

/*
 * For script/soak, which adds them up: so many of these were done and found
 * right.  A line on stderr, "# soak: messages 1000", where $WEFT_SOAK is set.
 */
void test_soak(const char *what, uint64_t n);

/* FOR_WORKERS(w) { test_run(w, fn, arg); }: w is 1, 2, 4, 16 (not under
   valgrind). */
#define FOR_WORKERS(w) \
	for (int w##__at = 0, w; (w = test_workers(w##__at)) > 0; w##__at++)
int test_workers(int at);	/* 0: no more */

/* co_run with so many workers; 0: the default. */
static inline int
test_run(int workers, co_fn *fn, void *arg)
{
	struct co_options options = { .workers = workers };

	return co_run(&options, fn, arg);
}

/* On the clock of co_now(), without weft. */
int64_t test_now(void);

/* Microseconds of processor time that this process has used. */
int64_t test_cpu_us(void);

/* Descriptors open, and threads there, in this process. */
int test_fds(void);
int test_threads(void);

/*
 * Runs fn(arg) in a process of its own and catches what it writes to stderr:
 * for deaths.  It exits with what fn returns, if 0 .. 125.  Killed after
 * `seconds` times test_slow().
 */
struct test_child {
	int status;		/* as from waitpid */
	int code;		/* of exit; -1: ended by a signal */
	int signal;		/* that ended it; 0: it exited */
	const char *err;	/* what it wrote; until the next test_child */
};

struct test_child test_child_for(int seconds, int (*fn)(void *), void *arg);

static inline struct test_child
test_child(int (*fn)(void *), void *arg)
{
	return test_child_for(20, fn, arg);
}

/* What main() does; for the test of the harness itself. */
int test_program(int argc, char **argv);

/* What fn writes; free it.  *ret_code is what it returned. */
char *test_written(int (*fn)(FILE *to), int *ret_code);

/* Two ends of a stream, and both closed by co_close. */
void test_pair(int ret_fds[2]);
void test_close_pair(const int fds[2]);

/* A pipe that takes no byte more, and whose writer would wait. */
void test_full_pipe(int ret_fds[2]);

/* A listener on 127.0.0.1 whose queue is full: it answers no connection. */
struct test_blackhole {
	int fd[9];	/* of the listener, and of who fills the queue */
	unsigned short port;
};

void test_blackhole_open(struct test_blackhole *b);
void test_blackhole_close(struct test_blackhole *b);

/* Does text hold part?  Prints both if not. */
#define test_has(text, part) do { \
	const char *test__text = (text), *test__part = (part); \
	ck_assert_msg(strstr(test__text, test__part) != NULL, \
	    "no \"%s\" in \"%.2000s\"", test__part, test__text); \
} while (0)

/* A result that is an error or not: shown by name. */
#define test_result(expr, want) do { \
	long test__got = (long)(expr), test__want = (long)(want); \
	ck_assert_msg(test__got == test__want, "%s is %ld (%s), not %ld", \
	    #expr, test__got, test__got < 0 ? strerror((int)-test__got) : \
	    "no error", test__want); \
} while (0)

/* Within [from, to]: for times. */
#define test_between(expr, from, to) do { \
	int64_t test__got = (int64_t)(expr), test__from = (int64_t)(from); \
	int64_t test__to = (int64_t)(to); \
	ck_assert_msg(test__from <= test__got && test__got <= test__to, \
	    "%s is %lld, not in %lld..%lld", #expr, (long long)test__got, \
	    (long long)test__from, (long long)test__to); \
} while (0)

#endif
