/* SPDX-License-Identifier: MIT */
/*
 * life_stress_test.c - coroutines of every kind begin on stacks on which others
 * of every kind have ended: whatever those left there, nobody meets it.
 */
#include "harness.h"

#include <fenv.h>

#include <weft/inspect.h>
#include <weft/scope.h>

enum {
	CHILDREN = 8, DEPTH = 3, PADS = 24,
	/* Of a stack of 256 KiB each fits, but not both. */
	LARGE = 96 * 1024, ROOM = 170 * 1024
};

struct small { uint64_t of[2]; };
struct large { uint64_t of[LARGE / sizeof(uint64_t)]; };

static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD,
	FE_TOWARDZERO };

static uint64_t numbers;	/* [atomic] whoever asks gets another seed */
static uint64_t begun;		/* [atomic] */

static uint64_t
number(void)
{
	uint64_t seed = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);

	return test_random(&seed);
}

static void
begins(const char *name)
{
	__atomic_add_fetch(&begun, 1, __ATOMIC_RELAXED);
	ck_assert_str_eq(co_name(), name);
	ck_assert_int_eq(fegetround(), FE_TONEAREST);
	ck_assert(test_rounds_to_nearest());
	fesetround(modes[number() % 4]);	/* and leaves it so */
}

/* Frames that somebody else would spoil; at the bottom it may wait. */
static __attribute__((noinline)) void
down(unsigned levels, uint64_t tag)
{
	volatile uint64_t pad[PADS];
	int mode = fegetround(), i;

	for (i = 0; i < PADS; i++)
		pad[i] = tag + (uint64_t)i;
	if (levels > 0)
		down(levels - 1, tag + 1);
	else if (number() % 2)
		co_yield();
	for (i = 0; i < PADS; i++)
		ck_assert_uint_eq(pad[i], tag + (uint64_t)i);
	ck_assert_int_eq(fegetround(), mode);
}

/* Is all of a stack there? */
static __attribute__((noinline)) void
wide(void)
{
	volatile char room[ROOM];
	size_t i;

	for (i = 0; i < sizeof room; i += 4096)
		room[i] = 1;
}

static int
plain(void *arg)
{
	uint64_t tag = (uintptr_t)arg;

	begins("");
	if (tag % 8 == 0)
		wide();
	down(tag % 6, tag);
	return (int)(tag & INT16_MAX);
}

static int
on_odd_stack(void *arg)
{
	begins("");
	down(2, (uintptr_t)arg);
	return 0;
}

static int
named(void *arg)
{
	begins("the named one");
	down(3, (uintptr_t)arg);
	return 0;
}

static void
counts_up(const uint64_t *of, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++)
		ck_assert_uint_eq(of[i], of[0] + i);
}

#define COUNT_UP(v, from) do { \
	for (size_t up__ = 0; up__ < sizeof (v).of / sizeof *(v).of; up__++) \
		(v).of[up__] = (from) + up__; \
} while (0)

static int
with_word(uint64_t *value)
{
	uint64_t first = *value;

	begins("");
	down(first % 4, first);
	ck_assert_uint_eq(*value, first);
	return 0;
}

static int
with_small(struct small *value)
{
	begins("");
	down(2, value->of[0]);
	counts_up(value->of, 2);
	return 0;
}

static int
with_large(struct large *value)
{
	begins("");
	down(2, value->of[0]);
	counts_up(value->of, sizeof value->of / sizeof *value->of);
	return 0;
}

static int family(void *arg);

/* Begets one child; true: it is *task, which gives *result. */
static bool
beget(struct co_task *task, int *result, intptr_t depth)
{
	const struct co_spawn_options name = { .name = "the named one" };
	struct co_spawn_options odd = { .stack_size = 32768 };
	uint64_t tag = number();
	void *arg = (void *)(uintptr_t)tag;
	struct small small;
	struct large large;

	switch (number() % 10) {
	case 0:
		test_result(co_spawn(plain, arg), 0);
		return false;
	case 1:
		test_result(co_spawn_with(&name, named, arg), 0);
		return false;
	case 2:
		odd.priority = (enum co_priority)(tag % 3);
		odd.pinned = tag % 5 == 0;
		odd.stack_size <<= tag % 4;
		test_result(co_spawn_with(&odd, on_odd_stack, arg), 0);
		return false;
	case 3:
		test_result(co_go(with_word, tag), 0);
		return false;
	case 4:
		COUNT_UP(small, tag);
		test_result(co_go(with_small, small), 0);
		return false;
	case 5:
		COUNT_UP(large, tag);
		test_result(co_go(with_large, large), 0);
		return false;
	case 6:
		if (depth > 0)
			test_result(co_spawn(family, (void *)(depth - 1)), 0);
		return false;
	default:
		test_result(co_fork(task, plain, arg), 0);
		*result = (int)(tag & INT16_MAX);
		return true;
	}
}

static int
family(void *arg)
{
	struct co_task task[CHILDREN];
	int result[CHILDREN], i, n = 0;
	struct co_scope s;

	begins("");
	co_scope(s) {
		for (i = 0; i < CHILDREN; i++)
			n += beget(&task[n], &result[n], (intptr_t)arg);
		for (i = 0; i < n; i++)
			test_result(co_join(&task[i]), result[i]);
	}
	test_result(s.status, 0);
	return 0;
}

static int
families(void *arg)
{
	uint64_t n = *(uint64_t *)arg;
	struct co_stats stats;
	struct co_task task;

	while (n-- > 0) {
		test_result(co_fork(&task, family, (void *)(intptr_t)DEPTH), 0);
		test_result(co_join(&task), 0);
	}
	test_result(co_stats_get(&stats), 0);
	ck_assert_uint_eq(stats.all.spawned, begun);
	ck_assert_uint_eq(stats.all.ended, begun);
	return 0;
}

TEST(nobody_meets_what_another_left_on_his_stack)
{
	uint64_t n = test_count(400, 400000);

	FOR_WORKERS(w) {
		numbers = test_seed();
		begun = 0;
		test_result(test_run(w, families, &n), 0);
		test_soak("lives", begun);
	}
}
