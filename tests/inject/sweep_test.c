/* SPDX-License-Identifier: MIT */
/*
 * inject/sweep_test.c - each short scenario, with each call failing in turn.
 *
 * The first call fails in the first run, the second in the second, and so on,
 * until a run is over before its turn comes; each with every error that the
 * call may give.  A run must give 0 or an error that is documented, and after
 * it the same scenario must do well, with as much memory, as many maps,
 * descriptors and threads as ever.
 *
 * The short form leaves runs out when there are many, beginning at a random
 * one; WEFT_LONG=1 makes all of them.
 */
#include "harness.h"
#include "inject/fault.h"
#include "inject/scenarios.h"

#include <limits.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* What an error leads to at the other end of a connection, or in a sibling. */
static const int always_allowed[] = {
	EAGAIN, ECANCELED, ECONNREFUSED, ECONNRESET, EMFILE, ENOMEM, EPIPE
};

/* What the child was about to do when it died. */
struct progress {
	uint64_t at;
	unsigned variant;
	int code;
	uint64_t runs;
	char name[64];
};

static struct progress *progress;

struct sweep {
	const struct scenario *s;
	const char *only;	/* of struct fault */
	uint64_t times;
	int workers;
	uint64_t most;		/* runs in the short form */
	bool cold;		/* each in a process that never used weft */
	uint64_t first, step;
};

static bool
is_allowed(int code)
{
	size_t i;

	if (code >= 0 || code == -fault_error())
		return code >= 0 || fault_error() != 0;
	for (i = 0; i < sizeof always_allowed / sizeof *always_allowed; i++)
		if (code == -always_allowed[i])
			return true;
	return false;
}

struct held {
	int64_t memory, mapped;
	int fds, threads;
};

/* A thread that was joined may stay in /proc for a moment. */
static struct held
held_now(int threads)
{
	struct held h = { .memory = fault_memory(), .mapped = fault_mapped(),
	    .fds = test_fds() };
	int64_t until = test_now() + INT64_C(1000000000);

	do
		h.threads = test_threads();
	while (h.threads > threads && test_now() < until);
	return h;
}

static int
complain(const char *what, int64_t got, int64_t wanted)
{
	fprintf(stderr, "call %llu, %s, variant %u: %s %lld, not %lld\n",
	    (unsigned long long)progress->at, progress->name,
	    progress->variant, what, (long long)got, (long long)wanted);
	return 1;
}

static int
compare(const struct held *now, const struct held *before)
{
	int bad = 0;

	if (now->memory != before->memory)
		bad += complain("pieces of memory", now->memory,
		    before->memory);
	if (now->mapped != before->mapped)
		bad += complain("bytes mapped", now->mapped, before->mapped);
	if (now->fds != before->fds)
		bad += complain("descriptors", now->fds, before->fds);
	/* Fewer: one that had ended was still there at first. */
	if (now->threads > before->threads)
		bad += complain("threads", now->threads, before->threads);
	return bad;
}

/* One run with a fault: 1 when it was not as it should be. */
static int
run_with(const struct sweep *w, uint64_t at, unsigned variant,
    uint64_t *ret_hits)
{
	struct fault f = { .only = w->only, .from = at, .times = w->times,
	    .variant = variant };
	int code;

	progress->at = at;
	progress->variant = variant;
	progress->name[0] = '\0';
	progress->runs++;
	fault_arm(&f);
	code = scenario_run(w->s, w->workers);
	*ret_hits = fault_disarm();
	progress->code = code;
	snprintf(progress->name, sizeof progress->name, "%s: %s", fault_name(),
	    strerror(fault_error()));
	if (*ret_hits == 0 && code != 0)
		return complain("without a fault: result", code, 0);
	return is_allowed(code) ? 0 : complain("result", code, 0);
}

static int
run_clean(const struct sweep *w)
{
	int code = scenario_run(w->s, w->workers);

	return code == 0 ? 0 : complain("afterwards: result", code, 0);
}

/* In a process of its own; gives how many runs went wrong. */
static int
sweep_warm(void *arg)
{
	const struct sweep *w = arg;
	struct held before, now;
	uint64_t at, hits = 1;
	unsigned variant;
	int bad = 0;

	if (run_clean(w) || run_clean(w))
		return 1;
	before = held_now(INT_MAX);
	for (at = w->first; hits && bad < 20; at += w->step) {
		variant = 0;
		do {
			bad += run_with(w, at, variant, &hits);
			bad += run_clean(w);
			now = held_now(before.threads);
			bad += compare(&now, &before);
			before = now;
		} while (hits && bad < 20 && ++variant < fault_variants());
	}
	return bad;
}

struct cold_run {
	const struct sweep *w;
	uint64_t at;
	unsigned variant;
};

enum { NOT_HIT = 100, MORE_VARIANTS = 50 };

static int
sweep_cold(void *arg)
{
	const struct cold_run *c = arg;
	struct held before, now;
	uint64_t hits;
	int bad = run_with(c->w, c->at, c->variant, &hits);
	unsigned variants = fault_variants();

	bad += run_clean(c->w) || run_clean(c->w);
	before = held_now(INT_MAX);
	bad += run_clean(c->w);
	now = held_now(before.threads);
	bad += compare(&now, &before);
	return bad ? bad : hits == 0 ? NOT_HIT :
	    c->variant + 1 < variants ? MORE_VARIANTS : 0;
}

static void
check_child(const struct sweep *w, const struct test_child *c, bool good)
{
	ck_assert_msg(good, "%s: %s %d in run %llu, call %llu (%s), variant "
	    "%u, last code %d:\n%s", w->s->name, c->signal ? "signal" : "exit",
	    c->signal ? c->signal : c->code,
	    (unsigned long long)progress->runs,
	    (unsigned long long)progress->at, progress->name,
	    progress->variant, progress->code, c->err);
}

/* How many calls a run makes. */
static int
count_calls(void *arg)
{
	const struct sweep *w = arg;
	struct fault f = { .only = w->only };
	int code;

	if (!w->cold && run_clean(w))
		return 1;
	fault_arm(&f);
	code = scenario_run(w->s, w->workers);
	progress->runs = fault_calls();
	fault_disarm();
	return code == 0 ? 0 : 1;
}

static void
choose_runs(struct sweep *w)
{
	uint64_t seed = test_seed(), most = w->most, calls;
	struct test_child c = test_child(count_calls, w);

	check_child(w, &c, c.code == 0);
	calls = progress->runs;
	w->first = w->step = 1;
	if (test_slow() > 1)
		most = most / 5 + 1;
	if (test_long() || calls <= most)
		return;
	w->step = (calls + most - 1) / most;
	w->first = 1 + test_below(&seed, w->step);
}

static void
share_progress(void)
{
	progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(progress, MAP_FAILED);
}

static void
sweep(struct sweep w)
{
	struct test_child c;

	if (!progress)
		share_progress();
	choose_runs(&w);
	memset(progress, 0, sizeof *progress);
	if (!w.cold) {
		c = test_child_for(test_long() ? 3000 : 50, sweep_warm, &w);
		check_child(&w, &c, c.code == 0);
		return;
	}
	for (uint64_t at = w.first; ; at += w.step) {
		struct cold_run run = { &w, at, 0 };

		do {
			c = test_child(sweep_cold, &run);
			run.variant++;
		} while (c.code == MORE_VARIANTS);
		if (c.code == NOT_HIT)
			return;
		check_child(&w, &c, c.code == 0);
	}
}

#define MEMORY	" malloc calloc realloc aligned_alloc strdup mmap "

static void
sweep_each(struct sweep w)
{
	for (w.s = scenarios; w.s->name; w.s++)
		sweep(w);
}

/* Every call of one scenario, each with every error. */
#define SWEEP(scenario) \
	TEST(each_call_fails_once_in_##scenario, .seconds = 3600) \
	{ \
		sweep((struct sweep){ .s = scenario_find(#scenario), \
		    .times = 1, .workers = 1, .most = 150 }); \
		if (test_long()) \
			sweep((struct sweep){ .times = 1, .workers = 2, \
			    .s = scenario_find(#scenario) }); \
	}

SWEEP(arguments)
SWEEP(blocking)
SWEEP(broadcast)
SWEEP(channels)
SWEEP(dump_on_sigquit)
SWEEP(files)
SWEEP(futures)
SWEEP(generators)
SWEEP(locals)
SWEEP(messages)
SWEEP(names)
SWEEP(nothing)
SWEEP(pipes)
SWEEP(processes)
SWEEP(scopes)
SWEEP(select_channels)
SWEEP(select_kinds)
SWEEP(select_many)
SWEEP(signals)
SWEEP(sleepers)
SWEEP(spawn_join)
SWEEP(streams)
SWEEP(synchronisation)
SWEEP(tcp)
SWEEP(threads)
SWEEP(udp)
SWEEP(unguarded)
SWEEP(unix_sockets)

TEST(memory_runs_out_for_good, .seconds = 3600)
{
	sweep_each((struct sweep){ .only = MEMORY, .workers = 2, .most = 12 });
}

TEST(each_allocation_fails_in_a_process_that_is_new, .seconds = 3600)
{
	sweep_each((struct sweep){ .only = MEMORY, .times = 1, .workers = 2,
	    .cold = true, .most = 8 });
}

TEST(the_first_run_of_all_finds_no_descriptor_or_thread, .seconds = 3600)
{
	sweep((struct sweep){ .s = scenario_find("nothing"), .times = 1,
	    .workers = 3, .cold = true, .most = 100 });
	sweep((struct sweep){ .s = scenario_find("threads"), .times = 1,
	    .workers = 3, .cold = true, .most = 20 });
}
