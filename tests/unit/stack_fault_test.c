/* SPDX-License-Identifier: MIT */
/*
 * stack_fault_test.c - an overflow is reported; any other fault is not ours.
 */
#include "harness.h"

#include "atomic.h"
#include "context.h"
#include "stack.h"
#include "stack_arena.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stack_pool *pool;
static struct stack_cache cache;
static struct stack *stack, *below;
static struct context home, other;

static void
say(const char *text)
{
	ck_assert_int_ge(write(STDERR_FILENO, text, strlen(text)), 0);
}

static void
report(const struct stack *s, const void *sp)
{
	char line[200];

	snprintf(line, sizeof line, "overflow of %s, %zu bytes%s\n",
	    s == stack ? "it" : s == below ? "its neighbour" : "another",
	    s->size, (char *)sp < s->hi ? "" : ", elsewhere");
	say(line);
}

static const void *
who_runs(void)
{
	return stack->owner;
}

static struct stack *
stack_new(size_t size)
{
	struct stack *s;

	if (stack_reserve(pool, size) != 0)
		abort();
	s = stack_get(&cache, size);
	s->owner = s;
	return s;
}

static void
setup(size_t size)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if (stack_fault_install(report, who_runs) != 0 ||
	    stack_fault_thread_init() != 0)
		abort();
	pool = stack_pool_new(size, false);
	stack_cache_init(&cache, pool);
	below = stack_new(0);
	stack = stack_new(0);
}

/* A switch orders nothing between two coroutines in the eyes of TSan. */
static void
baton(void)
{
	static uint32_t word;

	a_add_acqrel(&word, 1);
}

/* Runs fn on `stack`; returns only if fn does. */
static void (*on_stack)(void);

static void
entry(void)
{
	context_landed();
	baton();
	on_stack();
	baton();
	context_leave(&other, &home);
}

static void
run_on_stack(void (*fn)(void))
{
	on_stack = fn;
	context_adopt(&home);
	context_make(&other, stack->lo, stack->hi, entry);
	baton();
	context_switch(&home, &other);
	baton();
	context_drop(&other);
}

static noinline int
endless(int n)
{
	volatile char frame[300];

	frame[0] = (char)n;
	return n < 0 ? 0 : endless(n + 1) + frame[0];
}

static void
overflow(void)
{
	endless(0);
}

/* Sanitizers turn the signal into an exit after a report of their own. */
static bool
died(struct test_child r, int sig)
{
	return r.signal == sig || (test_slow() > 1 && r.code > 0);
}

/* An emulator has a line of its own to say after it. */
static bool
says_once(const char *err, const char *line)
{
	return strncmp(err, line, strlen(line)) == 0 && !strstr(err + 1, line);
}

static int
overflow_default(void *arg)
{
	setup(*(size_t *)arg);
	run_on_stack(overflow);
	return 0;
}

TEST(an_overflow_is_reported_and_the_process_dies_of_it)
{
	static size_t sizes[] = { 16384, 65536, 262144, 8 << 20 };
	struct test_child r;
	char want[64];
	size_t i;

	/* TSan keeps a stack of its own for calls, which is not that deep. */
	for (i = 0; i < ARRAY_LEN(sizes) - (test_slow() > 1); i++) {
		r = test_child(overflow_default, &sizes[i]);
		snprintf(want, sizeof want, "overflow of it, %zu bytes\n",
		    sizes[i]);
		test_has(r.err, want);
		ck_assert(died(r, SIGSEGV));
	}
}

static int
overflow_mprotect(void *arg)
{
	setenv("WEFT_STACK_GUARD", "mprotect", 1);
	return overflow_default(arg);
}

TEST(so_it_is_where_guards_are_protected_pages)
{
	size_t size = 65536;
	struct test_child r = test_child(overflow_mprotect, &size);

	test_has(r.err, "overflow of it, 65536 bytes\n");
	ck_assert(died(r, SIGSEGV));
}

static void *
thread_overflows(void *arg)
{
	(void)arg;
	if (stack_fault_thread_init() != 0)
		abort();
	run_on_stack(overflow);
	return NULL;
}

static int
overflow_in_thread(void *arg)
{
	pthread_t t;

	(void)arg;
	setup(65536);
	pthread_create(&t, NULL, thread_overflows, NULL);
	pthread_join(t, NULL);
	return 0;
}

TEST(an_overflow_in_another_thread_is_reported)
{
	struct test_child r = test_child(overflow_in_thread, NULL);

	test_has(r.err, "overflow of it, 65536 bytes\n");
	ck_assert(died(r, SIGSEGV));
}

static int
overflow_among_many(void *arg)
{
	int i;

	(void)arg;
	setup(65536);
	for (i = 0; i < 3000; i++) {
		stack_put(&cache, stack);
		stack_new(0);
		stack = stack_new(i % 3 ? 0 : 32768 + 4096 * (size_t)(i % 200));
	}
	stack_put(&cache, stack);
	stack = stack_new(0);
	run_on_stack(overflow);
	return 0;
}

TEST(it_is_found_among_many_arenas)
{
	struct test_child r = test_child(overflow_among_many, NULL);

	test_has(r.err, "overflow of it, 65536 bytes\n");
	ck_assert(died(r, SIGSEGV));
}

/* A frame that is larger than what is left, but not than the guard. */
static noinline void
large_frame(void)
{
	volatile char frame[12000];

	frame[0] = 1;
	frame[11999] = 2;
	__asm__ volatile("" : : "r"(frame) : "memory");
	say("not reached");
}

static void
near_the_end(void)
{
	char *here = __builtin_frame_address(0);

	if (here - stack->lo > 9000) {
		near_the_end();
		__asm__ volatile("");	/* no tail call */
		return;
	}
	large_frame();
}

static int
overflow_by_frame(void *arg)
{
	(void)arg;
	setup(262144);
	run_on_stack(near_the_end);
	return 0;
}

TEST(a_frame_that_reaches_into_the_guard_is_reported)
{
	struct test_child r;

	if (test_slow() > 1)
		test_skip("sanitizers move large frames elsewhere");
	r = test_child(overflow_by_frame, NULL);
	test_has(r.err, "overflow of it, 262144 bytes\n");
	ck_assert_int_eq(r.signal, SIGSEGV);
}

/* Its far end is touched first.  Compilers for aarch64 leave it without a
   probe, as it is smaller than the guard that they expect. */
static noinline void
jumping_frame(void)
{
	volatile char frame[60000];

	frame[0] = 1;
	__asm__ volatile("" : : "r"(frame) : "memory");
	say("not reached");
}

static void
jump_near_the_end(void)
{
	char *here = __builtin_frame_address(0);

	if (here - stack->lo > 3000) {
		jump_near_the_end();
		__asm__ volatile("");	/* no tail call */
		return;
	}
	jumping_frame();
}

static int
overflow_by_jump(void *arg)
{
	(void)arg;
	setup(262144);
	run_on_stack(jump_near_the_end);
	return 0;
}

TEST(no_frame_that_the_compiler_leaves_without_a_probe_jumps_over_a_guard)
{
	struct test_child r;

	if (TEST_ASAN)
		test_skip("it moves large frames elsewhere");
	r = test_child(overflow_by_jump, NULL);
	test_has(r.err, "overflow of it, 262144 bytes\n");
	ck_assert(died(r, SIGSEGV));
}

/* --- where a signal's frame has no room ---------------------------------- */

static volatile sig_atomic_t user_signals;

static void
user_signal(int sig)
{
	(void)sig;
	user_signals++;
}

/* Its handler is to run right below our frame. */
static noinline void
signal_at(const char *lowest)
{
	char *here = __builtin_frame_address(0);

	if (here - lowest > 400) {
		signal_at(lowest);
		__asm__ volatile("");	/* no tail call */
		return;
	}
	pthread_kill(pthread_self(), SIGUSR1);
	say(user_signals ? "handled\n" : "lost\n");
}

static void
signal_near_the_end(void)
{
	signal_at(stack->lo + 600);
}

static int
frame_without_room(void *arg)
{
	struct sigaction sa = { .sa_handler = user_signal };

	(void)arg;
	sigaction(SIGUSR1, &sa, NULL);
	setup(65536);
	run_on_stack(signal_near_the_end);
	return 0;
}

TEST(a_signal_whose_frame_has_no_room_is_an_overflow)
{
	struct test_child r;

	if (test_slow() > 1)
		test_skip("the frames of sanitizers are larger than that");
	r = test_child(frame_without_room, NULL);
	ck_assert_str_eq(r.err, "overflow of it, 65536 bytes\n");
	ck_assert_int_eq(r.signal, SIGSEGV);
}

/* No overflow that we know of, and it does not happen again by itself. */
static void
raise_kernels(void)
{
	siginfo_t info = { .si_signo = SIGSEGV, .si_code = SI_KERNEL };

	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid),
	    SIGSEGV, &info) < 0)
		say("refused, ");
	say("swallowed\n");
}

static int
fault_that_does_not_recur(void *arg)
{
	setup(65536);
	if (arg)
		run_on_stack(raise_kernels);
	else
		raise_kernels();
	return 0;
}

TEST(a_fault_that_does_not_come_again_kills_as_well)
{
	struct test_child r;
	int i;

	for (i = 0; i < 2; i++) {
		r = test_child(fault_that_does_not_recur, i ? &r : NULL);
		ck_assert_ptr_null(strstr(r.err, "swallowed"));
		ck_assert_ptr_null(strstr(r.err, "overflow of"));
		ck_assert(died(r, SIGSEGV));
	}
}

/* --- faults of others ---------------------------------------------------- */

static volatile char *volatile nowhere;

/* UBSan would speak first. */
__attribute__((no_sanitize("undefined")))
static void
null_write(void)
{
	*nowhere = 1;
}

static int
null_in_coroutine(void *arg)
{
	(void)arg;
	setup(65536);
	run_on_stack(null_write);
	return 0;
}

static int
null_in_thread(void *arg)
{
	(void)arg;
	setup(65536);
	null_write();
	return 0;
}

TEST(a_null_pointer_is_no_overflow)
{
	struct test_child r = test_child(null_in_coroutine, NULL);

	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
	r = test_child(null_in_thread, NULL);
	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
}

static int
stray_into_guard(void *arg)
{
	(void)arg;
	setup(65536);
	nowhere = stack->lo - 8;
	null_write();		/* from a thread's own stack */
	return 0;
}

static int
guard_of_unused(void *arg)
{
	(void)arg;
	setup(65536);
	stack->owner = NULL;
	run_on_stack(overflow);
	return 0;
}

/* As an array's overrun on the stack below it would. */
static int
guard_of_the_next(void *arg)
{
	struct stack *next;

	(void)arg;
	setup(16384);
	do
		next = stack_new(0);
	while (next->lo < stack->hi || (size_t)(next->lo - stack->hi) >
	    next->arena->shape.guard + 12288);
	nowhere = next->lo - 8;
	run_on_stack(null_write);
	return 0;
}

#if defined __x86_64__
/* Of an address that cannot be the kernel names none. */
static noinline void
wild_write_at(const char *lowest)
{
	if ((char *)__builtin_frame_address(0) - lowest > 400) {
		wild_write_at(lowest);
		__asm__ volatile("");	/* no tail call */
		return;
	}
	null_write();
}

static void
wild_write(void)
{
	wild_write_at(stack->lo + 600);
}

static int
wild_pointer(void *arg)
{
	(void)arg;
	setup(65536);
	nowhere = (volatile char *)0x6b6b6b6b6b6b6b6b;
	run_on_stack(wild_write);
	return 0;
}

TEST(a_wild_pointer_near_the_end_of_a_stack_is_no_overflow)
{
	struct test_child r = test_child(wild_pointer, NULL);

	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
}
#endif

TEST(a_stray_pointer_into_a_guard_is_no_overflow)
{
	struct test_child r = test_child(stray_into_guard, NULL);

	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
	r = test_child(guard_of_unused, NULL);
	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
	r = test_child(guard_of_the_next, NULL);
	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
}

static int
killed(void *arg)
{
	(void)arg;
	setup(65536);
	kill(getpid(), SIGSEGV);
	usleep(1000);
	return 0;
}

TEST(a_signal_that_was_sent_is_no_overflow)
{
	struct test_child r = test_child(killed, NULL);

	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
}

static void *fault_at;

static void
user_action(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fault_at = info->si_addr;
	say(sig == SIGSEGV ? "user's\n" : "user's bus\n");
	_exit(7);
}

static int
user_before(void *arg)
{
	struct sigaction sa = { .sa_sigaction = user_action,
		.sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	setup(65536);
	run_on_stack(arg ? overflow : null_write);
	return 0;
}

TEST(a_handler_that_was_there_before_gets_what_is_not_ours)
{
	struct test_child r = test_child(user_before, NULL);

	ck_assert_str_eq(r.err, "user's\n");
	ck_assert_int_eq(r.code, 7);
	r = test_child(user_before, &r);
	test_has(r.err, "overflow of it, 65536 bytes\n");
	ck_assert_ptr_null(strstr(r.err, "user's"));
	ck_assert(died(r, SIGSEGV));
}

static void
user_returns(int sig)
{
	(void)sig;
	say("once\n");
}

static int
user_once(void *arg)
{
	struct sigaction sa = { .sa_handler = user_returns,
		.sa_flags = (int)SA_RESETHAND };

	(void)arg;
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	setup(65536);
	null_write();
	return 0;
}

TEST(a_handler_that_was_to_run_once_runs_once)
{
	struct test_child r = test_child(user_once, NULL);

	ck_assert_int_eq(strncmp(r.err, "once\n", 5), 0);
	ck_assert_ptr_null(strstr(r.err + 1, "once"));
	ck_assert(died(r, SIGSEGV));
}

static struct sigaction under;

static void
user_chained(int sig, siginfo_t *info, void *context)
{
	say("chained\n");
	under.sa_sigaction(sig, info, context);
}

static void
install_again(void)
{
	if (stack_fault_install(report, who_runs) != 0)
		abort();
}

static int
taken_away(void *arg)
{
	int i;

	setup(65536);
	for (i = 0; i < 20; i++) {
		signal(SIGSEGV, i % 2 ? SIG_DFL : SIG_IGN);
		signal(SIGBUS, i % 2 ? SIG_DFL : user_returns);
		install_again();
	}
	run_on_stack(arg ? overflow : null_write);
	return 0;
}

TEST(a_handler_that_was_taken_away_is_put_back)
{
	struct test_child r = test_child(taken_away, &r);

	ck_assert(says_once(r.err, "overflow of it, 65536 bytes\n"));
	ck_assert(died(r, SIGSEGV));
	r = test_child(taken_away, NULL);
	ck_assert_ptr_null(strstr(r.err, "overflow of"));
	ck_assert(died(r, SIGSEGV));
}

/* Theirs hands on to ours, and ours to theirs. */
static int
put_over_ours(void *arg)
{
	struct sigaction sa = { .sa_sigaction = user_chained,
		.sa_flags = SA_SIGINFO };

	setup(65536);
	sigaction(SIGSEGV, &sa, &under);
	install_again();
	install_again();
	run_on_stack(arg ? overflow : null_write);
	return 0;
}

TEST(a_handler_put_over_ours_comes_under_it_and_is_asked_once)
{
	struct test_child r = test_child(put_over_ours, &r);

	ck_assert(says_once(r.err, "overflow of it, 65536 bytes\n"));
	ck_assert(died(r, SIGSEGV));
	r = test_child(put_over_ours, NULL);
	ck_assert(says_once(r.err, "chained\n"));
	ck_assert(died(r, SIGSEGV));
}

static int caught;

static void
user_plain(int sig)
{
	caught += sig == SIGSEGV;
	if (mprotect((void *)nowhere, 4096, PROT_READ | PROT_WRITE) != 0)
		_exit(9);
}

static int
user_repairs(void *arg)
{
	struct sigaction sa = { .sa_handler = user_plain };
	int i;

	(void)arg;
	sigaction(SIGSEGV, &sa, NULL);
	setup(65536);
	nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0);
	for (i = 0; i < 3; i++) {
		run_on_stack(null_write);
		mprotect((void *)nowhere, 4096, PROT_NONE);
	}
	return caught == 3 ? 3 : 1;
}

TEST(a_handler_that_repairs_the_fault_goes_on_working)
{
	struct test_child r = test_child(user_repairs, NULL);

	ck_assert_str_eq(r.err, "");
	ck_assert_int_eq(r.code, 3);
}

static int
ignored(void *arg)
{
	(void)arg;
	signal(SIGSEGV, SIG_IGN);
	setup(65536);
	kill(getpid(), SIGSEGV);
	say("goes on\n");
	null_write();
	return 0;
}

TEST(where_it_was_ignored_only_a_signal_sent_is)
{
	struct test_child r = test_child(ignored, NULL);

	test_has(r.err, "goes on\n");
	ck_assert(died(r, SIGSEGV));
}

/* --- alternate stacks ---------------------------------------------------- */

TEST(a_thread_gets_its_alternate_stack_back)
{
	static char small[16384];
	stack_t before = { .ss_sp = small, .ss_size = sizeof small }, now;
	stack_t large = { .ss_size = 1 << 20 };

	ck_assert_int_eq(sigaltstack(&before, NULL), 0);
	test_result(stack_fault_thread_init(), 0);
	sigaltstack(NULL, &now);
	ck_assert_ptr_ne(now.ss_sp, small);
	ck_assert_uint_ge(now.ss_size, 64 * 1024);
	test_result(stack_fault_thread_init(), 0);
	stack_fault_thread_fini();
	sigaltstack(NULL, &now);
	ck_assert_ptr_eq(now.ss_sp, small);
	stack_fault_thread_fini();

	large.ss_sp = malloc(large.ss_size);
	ck_assert_int_eq(sigaltstack(&large, NULL), 0);
	test_result(stack_fault_thread_init(), 0);
	sigaltstack(NULL, &now);
	ck_assert_ptr_eq(now.ss_sp, large.ss_sp);
	stack_fault_thread_fini();
	sigaltstack(NULL, &now);
	ck_assert_ptr_eq(now.ss_sp, large.ss_sp);
	now.ss_flags = SS_DISABLE;
	sigaltstack(&now, NULL);
	free(large.ss_sp);
}

/* --- arenas come and go while others fault ------------------------------- */

static bool stop;

static void *
arenas_come_and_go(void *arg)
{
	struct stack_pool *p;
	struct stack_cache c;
	int i;

	(void)arg;
	while (!a_load_relaxed(&stop)) {
		p = stack_pool_new(65536, false);
		stack_cache_init(&c, p);
		for (i = 0; i < 40; i++)
			if (stack_reserve_cached(&c, 0) != 0)
				abort();
		for (i = 0; i < 40; i++)
			stack_unreserve_cached(&c, 0);
		stack_cache_flush(&c);
		stack_pool_free(p);
	}
	return NULL;
}

static void
user_counts(int sig)
{
	(void)sig;
	if (++caught >= 20000)
		_exit(caught == 20000 ? 4 : 5);
}

static int
faults_meanwhile(void *arg)
{
	struct sigaction sa = { .sa_handler = user_counts };
	pthread_t t;

	(void)arg;
	sigaction(SIGSEGV, &sa, NULL);
	setup(65536);
	pthread_create(&t, NULL, arenas_come_and_go, NULL);
	null_write();		/* again and again, until the handler exits */
	return 0;
}

TEST(a_fault_while_arenas_come_and_go_finds_its_way)
{
	struct test_child r;

	if (test_slow() > 1)
		test_skip("a fault costs a sanitizer too much");
	r = test_child(faults_meanwhile, NULL);
	ck_assert_str_eq(r.err, "");
	ck_assert_int_eq(r.code, 4);
}
