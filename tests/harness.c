/* SPDX-License-Identifier: MIT */
/*
 * harness.c - main() of every test program; see harness.h.
 *
 * Check forks for each test, waits, and knows how it ended.  What a test has
 * to tell besides (its seed, why it was skipped, how far it came) lies in a
 * page that parent and child share.
 *
 * The watchdog is a timer of the child's own, so that it can show what it
 * hangs on before it dies.  Check's, some seconds later, is for a child that
 * cannot even do that.
 */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND	0
#endif

enum {
	DEFAULT_SECONDS = 60,
	MOST_SECONDS = 600,	/* in the short form, however slow it is */
	GRACE = 3,		/* s for a dump of what hangs; a guess */
	EXIT_SKIPPED = 77,
	EXIT_HANGS = 124,
	MOST_FDS = 4096,	/* above these, leaks are not seen */
	LEAVE_MS = 1000		/* for joined threads to be gone from /proc */
};

struct shared {
	uint64_t seed;		/* 0: the test did not ask for one */
	const char *file;	/* [atomic] the last assertion that held */
	int line;		/* [atomic] */
	bool hangs;		/* the watchdog came */
	char skipped[200];
};

static struct test *tests, **last_test = &tests;
static struct shared *shared;
static const struct test *running;

/* co_dump of <weft/inspect.h>, in programs that have it. */
extern void co_dump(FILE *) __attribute__((weak));

/* Saves what was counted for script/coverage, in programs that count: who ends
   by _exit or a signal must ask for it. */
extern void __gcov_dump(void) __attribute__((weak));

static void
save_counts(void)
{
	if (__gcov_dump)
		__gcov_dump();
}

void
test_register(struct test *t)
{
	*last_test = t;
	last_test = &t->next;
}

void
test_mark(const char *file, int line)
{
	if (!shared)
		return;
	__atomic_store_n(&shared->file, file, __ATOMIC_RELAXED);
	__atomic_store_n(&shared->line, line, __ATOMIC_RELAXED);
}

static long
env_number(const char *name, long otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtol(s, NULL, 0) : otherwise;
}

int64_t
test_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

int64_t
test_cpu_us(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * INT64_C(1000000) +
	    r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

uint64_t
test_seed(void)
{
	const char *s = getenv("SEED");

	if (shared->seed == 0) {
		uint64_t mix = (uint64_t)test_now() ^ (uint64_t)getpid() << 32;

		shared->seed = s && *s ? strtoull(s, NULL, 0) :
		    test_random(&mix) | 1;
	}
	return shared->seed;
}

bool
test_long(void)
{
	return env_number("WEFT_LONG", 0) != 0;
}

int
test_slow(void)
{
	int least = TEST_SANITIZED || RUNNING_ON_VALGRIND ? 10 : 1;
	int told = (int)env_number("WEFT_TEST_SLOW", 1);

	return told > least ? told : least;
}

bool
test_emulated(void)
{
	const char *wrapper = getenv("TEST_WRAPPER");

	return wrapper && strstr(wrapper, "qemu");
}

void
test_soak(const char *what, uint64_t n)
{
	if (getenv("WEFT_SOAK"))
		fprintf(stderr, "# soak: %s %llu\n", what,
		    (unsigned long long)n);
}

uint64_t
test_count(uint64_t few, uint64_t many)
{
	uint64_t part = (uint64_t)env_number("WEFT_LONG", 0);

	if (part > 0 && many > few)
		return many / part > few ? many / part : few;
	if (part > 0)
		return many;
	if (test_slow() == 1)
		return few;
	return few < 10 ? 1 : few / 10;
}

int
test_workers(int at)
{
	static const int usual[] = { 1, 2, 4, 16, 0 };
	int only = (int)env_number("WEFT_TEST_WORKERS", 0);

	if (only > 0)
		return at == 0 ? only : 0;
	/* valgrind runs one thread at a time, each for a whole slice: what 16
	   workers hand to each other takes minutes, and proves no more. */
	if (RUNNING_ON_VALGRIND && usual[at] > 4)
		return 0;
	return usual[at];
}

void
test_skip(const char *why)
{
	snprintf(shared->skipped, sizeof shared->skipped, "%s", why);
	save_counts();
	_exit(EXIT_SKIPPED);
}

/* --- what a test must not leave behind --- */

static int
count_dir(const char *path, bool *ret_seen)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d)) != NULL) {
		int number = atoi(e->d_name);

		if (e->d_name[0] == '.')
			continue;
		if (ret_seen && number == dirfd(d))
			continue;
		n++;
		if (ret_seen && number < MOST_FDS)
			ret_seen[number] = true;
	}
	closedir(d);
	return n;
}

int
test_fds(void)
{
	bool seen[MOST_FDS];

	return count_dir("/proc/self/fd", seen);
}

int
test_threads(void)
{
	return count_dir("/proc/self/task", NULL);
}

static void
check_fds(const bool *before)
{
	bool after[MOST_FDS] = { false };
	char path[64], what[200];
	int fd;

	count_dir("/proc/self/fd", after);
	for (fd = 0; fd < MOST_FDS; fd++) {
		ssize_t n;

		if (!after[fd] || before[fd])
			continue;
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n = readlink(path, what, sizeof what - 1);
		what[n > 0 ? n : 0] = '\0';
		ck_abort_msg("left descriptor %d open: %s", fd, what);
	}
}

static void
check_threads(int before)
{
	struct timespec nap = { 0, 1000000 };
	int i, now = 0;

	/* A thread that was joined may stay in /proc for a moment. */
	for (i = 0; i < LEAVE_MS; i++) {
		now = test_threads();
		if (now <= before)
			return;
		nanosleep(&nap, NULL);
	}
	ck_abort_msg("left %d threads running", now - before);
}

/* --- the watchdog --- */

/* A signal handler: nothing of Check's is safe here. */
static void
on_time_out(int sig)
{
	static const char line[] = "harness: time is up; what hangs:\n";
	ssize_t n = write(STDERR_FILENO, line, sizeof line - 1);

	(void)n;
	(void)sig;
	shared->hangs = true;
	if (co_dump) {
		co_dump(stderr);
		fflush(stderr);
	}
	_exit(EXIT_HANGS);
}

/* What hangs is to be said before script/test stops the whole entry. */
static int
seconds_of(const struct test *t)
{
	int told = (int)env_number("WEFT_TEST_TIMEOUT", 0);
	int s = (t->seconds > 0 ? t->seconds : DEFAULT_SECONDS) * test_slow();

	if (told > 0)
		return told;
	return s > MOST_SECONDS && !test_long() ? MOST_SECONDS : s;
}

/* Not SIGALRM, which Check, and tests of interrupted calls, use. */
static void
watchdog_start(const struct test *t)
{
	struct sigaction act = {
		.sa_handler = on_time_out,
		.sa_flags = SA_ONSTACK
	};
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL };
	static char room[64 * 1024];	/* for co_dump; a guess */
	stack_t stack = { .ss_sp = room, .ss_size = sizeof room };
	struct itimerspec when = { .it_value.tv_sec = seconds_of(t) };
	timer_t timer;

	sigaltstack(&stack, NULL);
	event.sigev_signo = SIGRTMAX - 2;
	sigaction(event.sigev_signo, &act, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
		timer_settime(timer, 0, &when, NULL);
}

/* --- one test --- */

static void *
return_at_once(void *arg)
{
	return arg;
}

/* TSan's own thread comes with the first one that is made: not the test's. */
static void
wake_sanitizer(void)
{
	pthread_t thread;

	if (TEST_TSAN &&
	    pthread_create(&thread, NULL, return_at_once, NULL) == 0)
		pthread_join(thread, NULL);
}

/*
 * Makes the threads beside us come that a sanitizer or an emulator keeps, and
 * counts them all.  They are no reason to say nothing of a deadlock.
 */
static int
count_companions(void)
{
	char text[16];
	int n;

	wake_sanitizer();
	n = test_threads();
	snprintf(text, sizeof text, "%d", n - 1);
	setenv("WEFT_IGNORE_THREADS", text, 1);
	return n;
}

/* In the child. */
static void
test_main(int at)
{
	const struct test *t = running;
	bool fds[MOST_FDS] = { false };
	int threads;

	(void)at;
	if (getenv("CK_FORK") == NULL) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		fflush(stdout);
		dup2(STDERR_FILENO, STDOUT_FILENO);	/* stdout is TAP's */
		watchdog_start(t);
	}
	count_dir("/proc/self/fd", fds);
	threads = count_companions();
	t->run();
	if (!t->leaves_threads)
		check_threads(threads);
	if (!t->leaves_fds)
		check_fds(fds);
}

/* A text of several lines, as comments of TAP. */
static void
print_comment(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		printf("# %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void
print_result(int number, const struct test *t, int64_t ns, TestResult *result)
{
	double s = (double)ns / 1e9;

	if (shared->skipped[0]) {
		printf("ok %d - %s # SKIP %s\n", number, t->name,
		    shared->skipped);
		return;
	}
	if (tr_rtype(result) == CK_PASS) {
		printf("ok %d - %s (%.2f s)\n", number, t->name, s);
		return;
	}
	printf("not ok %d - %s (%.2f s)\n", number, t->name, s);
	printf("# %s:%d:\n", tr_lfile(result) ? tr_lfile(result) : t->file,
	    tr_lno(result) > 0 ? tr_lno(result) : t->line);
	print_comment(shared->hangs ? "the time is up" : tr_msg(result));
	if (shared->file)
		printf("# the last assertion that held: %s:%d\n",
		    shared->file, shared->line);
	if (shared->seed)
		printf("# SEED=%llu\n", (unsigned long long)shared->seed);
}

static bool
test_run_one(int number, const struct test *t)
{
	TTest test = { t->name, test_main, t->file, t->line };
	Suite *suite = suite_create(t->name);
	TCase *tcase = tcase_create(t->name);
	SRunner *runner = srunner_create(suite);
	TestResult **results;
	int64_t begin = test_now();
	bool good;

	memset(shared, 0, sizeof *shared);
	running = t;
	tcase_set_timeout(tcase, seconds_of(t) + GRACE);
	_tcase_add_test(tcase, &test, t->signal, t->status, 0, 1);
	suite_add_tcase(suite, tcase);
	fflush(NULL);
	srunner_run_all(runner, CK_SILENT);
	good = srunner_ntests_failed(runner) == 0 || shared->skipped[0];
	results = srunner_results(runner);
	print_result(number, t, test_now() - begin, results[0]);
	fflush(stdout);
	free(results);
	srunner_free(runner);
	return good;
}

/* --- a process inside of a test --- */

static void
on_abort(int sig)
{
	save_counts();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
child_main(int fd, int (*fn)(void *), void *arg)
{
	struct rlimit none = { 0, 0 };
	int code;

	if (__gcov_dump)
		signal(SIGABRT, on_abort);
	setrlimit(RLIMIT_CORE, &none);
	dup2(fd, STDERR_FILENO);
	if (fd != STDERR_FILENO)
		close(fd);
	code = fn(arg);
	fflush(NULL);
	save_counts();
	_exit(code >= 0 && code <= 125 ? code : 125);
}

/* Reads until everybody has closed the other end, or time is up. */
static char *
read_all(int fd, int64_t until)
{
	static char *text;
	static size_t room;
	size_t used = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - test_now();
		ssize_t n;

		if (room - used < 2) {
			room = room ? room * 2 : 65536;
			text = realloc(text, room);
			ck_assert_ptr_nonnull(text);
		}
		if (left <= 0 || poll(&p, 1, (int)(left / 1000000) + 1) == 0)
			break;
		n = read(fd, text + used, room - used - 1);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		used += n > 0 ? (size_t)n : 0;
	}
	text[used] = '\0';
	return text;
}

struct test_child
test_child_for(int seconds, int (*fn)(void *), void *arg)
{
	int64_t until = test_now() + seconds * test_slow() *
	    INT64_C(1000000000);
	struct test_child r = { 0 };
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fds[0]);
		count_companions();
		child_main(fds[1], fn, arg);
	}
	close(fds[1]);
	r.err = read_all(fds[0], until);
	close(fds[0]);
	if (test_now() >= until)
		kill(pid, SIGKILL);
	while (waitpid(pid, &r.status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	r.code = WIFEXITED(r.status) ? WEXITSTATUS(r.status) : -1;
	r.signal = WIFSIGNALED(r.status) ? WTERMSIG(r.status) : 0;
	return r;
}

/* --- the program --- */

static bool
chosen(const struct test *t, int n, char **parts)
{
	int i;

	for (i = 0; i < n; i++)
		if (t->only_by_name ? strcmp(t->name, parts[i]) == 0 :
		    strstr(t->name, parts[i]) != NULL)
			return true;
	return n == 0 && !t->only_by_name;
}

int
test_program(int argc, char **argv)
{
	bool list = argc > 1 && strcmp(argv[1], "-l") == 0;
	const struct test *t;
	int number = 0, failed = 0;

	argc -= 1 + list;
	argv += 1 + list;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	for (t = tests; t; t = t->next) {
		if (!chosen(t, argc, argv))
			continue;
		if (list)
			puts(t->name);
		else if (!test_run_one(++number, t))
			failed++;
	}
	if (!list)
		printf("1..%d\n", number);
	return failed > 0;
}

int
main(int argc, char **argv)
{
	return test_program(argc, argv);
}
