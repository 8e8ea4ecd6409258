/* SPDX-License-Identifier: MIT */
/*
 * explore.c - all schedules of a model, one after the other.
 *
 * CHOICES.  A schedule is what choose() gave.  Those choices lie in `path`; the
 * next schedule is the same up to the last one that has alternatives left, and
 * takes the next of these.  From there on always 0, which is: to go on, to
 * leave stores where they are.
 *
 * A choice is known by the number of the operation before which it is made,
 * counted in this schedule, and which one of that operation it is.  So those
 * that are not 0 say all, for a replay.
 */
#include "explore_inside.h"
#include "harness.h"

#include <signal.h>

enum {
	BOUND = 3,
	PATH = 20000,		/* choices in a schedule */
	REPLAYED = 1000
};

struct choice {
	int n, taken;
	unsigned op, which;
};

struct explorer ex = { .current = NOBODY };

static struct choice path[PATH];
static unsigned depth, length;
static struct choice replayed[REPLAYED];
static int nreplayed;

/* --- choices -------------------------------------------------------------- */

static int
choose_as(int n, unsigned as)
{
	struct choice *c;
	int i;

	if (ex.replaying) {
		for (i = 0; i < nreplayed; i++)
			if (replayed[i].op == ex.op && replayed[i].which == as)
				return replayed[i].taken < n ?
				    replayed[i].taken : 0;
		return 0;
	}
	if (n == 1)
		return 0;
	if (depth == PATH) {
		fputs("explore: a schedule has too many choices\n", stderr);
		abort();
	}
	c = &path[depth];
	if (depth == length) {
		*c = (struct choice){ .n = n, .op = ex.op, .which = as };
		length++;
	} else if (c->n != n || c->op != ex.op || c->which != as) {
		fputs("explore: a model is not the same each time\n", stderr);
		abort();
	}
	depth++;
	return c->taken;
}

int
choose(int n)
{
	return choose_as(n, ++ex.which);
}

int
choose_first(int n)
{
	return choose_as(n, 0);
}

/* False: there is no next schedule. */
static bool
next_path(void)
{
	while (length > 0 && path[length - 1].taken + 1 == path[length - 1].n)
		length--;
	if (length == 0)
		return false;
	path[length - 1].taken++;
	return true;
}

/* --- one schedule --------------------------------------------------------- */

static void
fault(int sig)
{
	(void)sig;
	explore_violation("it crashed", "explore", 0);
}

static void
run_once(void)
{
	depth = ex.op = ex.which = 0;
	ex.preemptions = ex.forced = 0;
	memory_reset();
	if (setjmp(ex.jump) == 0) {
		ex.model->setup();
		memory_begin();
		threads_run();
	}
	if (ex.violation[0] == '\0' && setjmp(ex.jump) == 0) {
		memory_show(NOBODY);
		ex.model->end();
	}
}

/* --- all of them ---------------------------------------------------------- */

struct result {
	uint64_t schedules;
	bool complete;
};

static uint64_t
most(void)
{
	return test_long() ? UINT64_MAX : 20 * 1000 * 1000;
}

/* Ends at the first violation. */
static struct result
explore_all(void)
{
	struct result r = { 0, false };

	length = 0;
	ex.violation[0] = '\0';
	do {
		run_once();
		r.schedules++;
		if (ex.violation[0] != '\0')
			return r;
		if (memory_learned()) {
			length = 0;
			r.schedules = 0;
			r.complete = false;
			continue;
		}
		r.complete = !next_path();
	} while (!r.complete && r.schedules < most());
	return r;
}

static void
plant(const struct explore_bug *b)
{
	ex.bug = b;
	ex.round++;
	ex.sites = 0;
	ex.applied = false;
}

static void
print_replay(void)
{
	const char *comma = "";
	unsigned i;

	fprintf(stderr, "WEFT_EXPLORE='%s %s ", ex.model->name,
	    ex.bug ? ex.bug->name : "sound");
	for (i = 0; i < length; i++) {
		if (path[i].taken == 0)
			continue;
		fprintf(stderr, "%s%u.%u=%d", comma, path[i].op, path[i].which,
		    path[i].taken);
		comma = ",";
	}
	fprintf(stderr, "'\n");
}

static void
no_violation(void)
{
	ck_assert_msg(ex.violation[0] == '\0', "%s: %s", ex.model->name,
	    ex.violation);
}

static void
explore_sound(void)
{
	int64_t begun = test_now();
	struct result r;

	plant(NULL);
	r = explore_all();
	fprintf(stderr, "# %s: %llu schedules, %d preemptions, %.2f s\n",
	    ex.model->name, (unsigned long long)r.schedules, ex.bound,
	    (double)(test_now() - begun) / 1e9);
	if (ex.violation[0] != '\0')
		print_replay();
	no_violation();
	ck_assert_msg(r.complete, "%s: more schedules than %llu",
	    ex.model->name, (unsigned long long)r.schedules);
	ck_assert_msg(r.schedules > 1, "%s: nothing to choose", ex.model->name);
}

/* With few preemptions first: what it finds is then easy to read. */
static void
explore_bugged(const struct explore_bug *b)
{
	const char *name = ex.model->name;
	uint64_t schedules = 0;
	int most_bound = ex.bound;

	for (ex.bound = 0; ex.bound <= most_bound; ex.bound++) {
		plant(b);
		schedules += explore_all().schedules;
		if (ex.violation[0] != '\0')
			break;
	}
	ex.bound = most_bound;
	ck_assert_msg(ex.applied, "%s: %s is nowhere", name, b->name);
	ck_assert_msg(ex.violation[0] != '\0', "%s: %s is not found", name,
	    b->name);
	fprintf(stderr, "# %s: %s finds \"%s\" in schedule %llu\n# ", name,
	    b->name, ex.violation, (unsigned long long)schedules);
	print_replay();
	ck_assert_msg(strstr(ex.violation, b->says) != NULL,
	    "%s: %s is \"%s\", not \"%s\"", name, b->name, ex.violation,
	    b->says);
}

/* "op.which=taken,..." */
static void
replay(const struct explore_bug *b, const char *text)
{
	int n = 0, used = 0;
	unsigned o, w;
	int c;

	for (; n < REPLAYED && sscanf(text, "%u.%u=%d%n", &o, &w, &c, &used) ==
	    3; n++) {
		replayed[n] = (struct choice){ .op = o, .which = w,
			.taken = c };
		text += used + (text[used] == ',');
	}
	nreplayed = n;
	ex.replaying = true;
	plant(b);
	ex.violation[0] = '\0';
	run_once();
	ex.replaying = false;
	fprintf(stderr, "# %s, %s: %s\n", ex.model->name, b ? b->name : "sound",
	    ex.violation[0] ? ex.violation : "no violation");
	no_violation();
}

/* WEFT_EXPLORE is set: is it about this model, and which bug? */
static void
replay_asked(const char *asked)
{
	char name[64], which_bug[64], text[16384] = "";
	const struct explore_bug *b = ex.model->bugs;

	if (sscanf(asked, "%63s %63s %16383s", name, which_bug, text) < 2)
		ck_abort_msg("WEFT_EXPLORE='model bug choices'");
	if (strcmp(name, ex.model->name) != 0)
		test_skip("another model is asked for");
	if (!strcmp(which_bug, "sound")) {
		replay(NULL, text);
		return;
	}
	while (b && b->name && strcmp(b->name, which_bug) != 0)
		b++;
	ck_assert_msg(b && b->name, "%s has no %s", name, which_bug);
	replay(b, text);
}

/* On a stack of its own: a bug may have destroyed that of the thread. */
static void
catch_faults(void)
{
	static char stack[64 * 1024];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction sa = { .sa_handler = fault,
		.sa_flags = SA_ONSTACK | SA_NODEFER };

	sigaltstack(&alt, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

void
explore(const struct explore_model *m)
{
	const char *asked = getenv("WEFT_EXPLORE");
	const char *asked_bound = getenv("WEFT_EXPLORE_BOUND");
	const struct explore_bug *b;
	int i;

	if (TEST_SANITIZED || test_slow() > 1 || test_emulated())
		test_skip("a single thread, and it takes its time");
	ex.model = m;
	ex.bound = asked_bound ? atoi(asked_bound) : BOUND;
	for (i = 0; i < EXPLORE_THREADS && m->thread[i]; i++)
		getcontext(&threads[i].ctx);
	ex.nthreads = i;
	catch_faults();
	memory_forget();
	if (asked && *asked) {
		replay_asked(asked);
		return;
	}
	explore_sound();
	for (b = m->bugs; b && b->name; b++)
		explore_bugged(b);
}
