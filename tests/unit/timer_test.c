/* SPDX-License-Identifier: MIT */
/*
 * timer_test.c - timers against one sorted array: timer_model.h.
 */
#include "harness.h"

#include "timer_model.h"

static void
random_operations(uint64_t *seed, co_time range, uint64_t rounds)
{
	co_time now = 0;

	model_begin();
	while (rounds-- && now < INT64_MAX / 2) {
		int scope = (int)test_below(seed, MOST);

		switch (test_below(seed, 8)) {
		case 0:
			now += (co_time)test_below(seed,
			    (uint64_t)range / 8 + 2);
			expire(now);
			break;
		case 1:
		case 2:
			if (armed[scope])
				del(scope);
			break;
		default:
			if (!armed[scope])
				add(scope, now, now + (co_time)test_below(seed,
				    (uint64_t)range + 1));
			break;
		}
		if (rounds % 16 == 0)
			check_heap();
	}
	expire(CO_FOREVER);
	ck_assert_int_eq(n_model, 0);
	check_heap();
	timers_fini(&heap);
}

TEST(it_fires_in_the_order_of_a_sorted_array)
{
	static const co_time ranges[] = { 0, 1, 7, 100, 1000000,
		TIMER_LONG * 2, CO_SEC(1), CO_SEC(30), CO_SEC(600),
		INT64_MAX / 4 };
	uint64_t seed = test_seed();
	size_t i;

	for (i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
		random_operations(&seed, ranges[i], test_count(20000, 2000000));
}

TEST(equal_times_fire_in_the_order_of_arming_even_when_counters_wrap)
{
	int i;

	model_begin();
	heap.seq = next_seq = 0xffffffffu - MOST / 2;
	for (i = 0; i < MOST; i++)
		add(i, 0, 5);
	check_heap();
	expire(4);
	ck_assert_int_eq(n_fired, 0);
	expire(5);
	for (i = 0; i < MOST; i++)
		ck_assert_int_eq(fired[i], i);
	timers_fini(&heap);
}

TEST(the_ends_of_time)
{
	static const co_time times[] = { INT64_MIN, -1, 0, 1, INT64_MAX - 1,
		CO_FOREVER };
	int i;

	model_begin();
	ck_assert_int_eq(heap.next, CO_FOREVER);
	for (i = 5; i >= 0; i--)
		add(i, 0, times[i]);
	check_heap();
	expire(0);
	ck_assert_int_eq(n_fired, 3);
	expire(INT64_MAX - 1);
	ck_assert_int_eq(n_fired, 2);
	check_heap();
	del(5);
	check_heap();
	timers_fini(&heap);
}

/* The node is another one's by now. */
TEST(an_old_name_deletes_nothing)
{
	struct model old;

	model_begin();
	add(0, 0, 5);
	old = model[0];
	del(0);
	add(1, 0, 6);
	ck_assert_uint_eq(model[0].id, old.id);
	ck_assert(!timer_del(&heap, old.id, &scopes[0], 0));
	ck_assert(!timer_del(&heap, old.id, &scopes[1], 3));
	check_heap();
	del(1);
	timers_fini(&heap);
}

/* The index of what keeps model[i]: a heap or, after those, a wheel. */
static uint32_t
kept_by(int i)
{
	uint32_t index = heap.node[model[i].id].armed - 1;

	return index < TIMER_HEAPS ? index :
	    TIMER_HEAPS + (index - TIMER_HEAPS) / TIMER_SLOTS;
}

TEST(each_is_kept_by_what_is_made_for_its_distance)
{
	static const struct {
		co_time when;
		uint32_t in;
	} c[] = { { TIMER_LONG, TIMER_EXACT }, { TIMER_LONG + 1, 2 },
		{ CO_SEC(1), 2 }, { CO_MS(1100), 3 }, { CO_SEC(68), 3 },
		{ CO_SEC(69), TIMER_FAR } };
	co_time now = CO_SEC(1000000);
	int i;

	model_begin();
	for (i = 0; i < 6; i++) {
		add(i, now, now + c[i].when);
		ck_assert_uint_eq(kept_by(i), c[i].in);
	}
	check_heap();
	expire(now + CO_SEC(70));
	ck_assert_int_eq(n_fired, 6);
	check_heap();
	timers_fini(&heap);
}

/* A wheel has turned on with the clock, also when it was asked late. */
TEST(a_wheel_turns_with_the_clock)
{
	co_time now;
	int round;

	model_begin();
	for (round = 0, now = 0; round < 1000; round++, now += CO_MS(37)) {
		expire(now);
		add(round % MOST, now, now + CO_MS(300));
		ck_assert_uint_eq(kept_by(n_model - 1), TIMER_HEAPS);
		check_heap();
	}
	add(MOST - 1, 0, now + CO_MS(1));	/* a clock that was read late */
	check_heap();
	expire(now + CO_SEC(1));
	ck_assert_int_eq(n_model, 0);
	timers_fini(&heap);
}

TEST(the_earliest_of_a_slot_may_be_deleted)
{
	co_time now = CO_SEC(5), then = (now + CO_MS(800)) >> 22 << 22;

	model_begin();
	add(0, now, then + 10);
	add(1, now, then + 5);
	add(2, now, then + 7);
	del(1);				/* next is too early now */
	ck_assert_int_eq(heap.next, then + 5);
	expire(then + 6);		/* looks, and finds nothing */
	ck_assert_int_eq(n_fired, 0);
	ck_assert_int_eq(heap.next, then + 7);
	check_heap();
	add(3, now, then + 6);
	expire(then + 10);
	ck_assert_int_eq(n_fired, 3);
	check_heap();
	timers_fini(&heap);
}

TEST(a_million_are_armed_and_deleted_in_any_order)
{
	uint32_t n = (uint32_t)test_count(100000, 1000000), i, j, t;
	uint32_t *id = malloc(n * sizeof *id);
	uint64_t seed = test_seed();
	int64_t from = test_now();

	ck_assert_ptr_nonnull(id);
	timers_init(&heap);
	for (i = 0; i < n; i++)
		test_result(timer_add(&heap, 0,
		    (co_time)test_below(&seed, 2 * TIMER_LONG),
		    &scopes[i % MOST], 0, &id[i]), 0);
	for (i = n; i > 1; i--) {
		j = (uint32_t)test_below(&seed, i);
		t = id[i - 1];
		id[i - 1] = id[j];
		id[j] = t;
	}
	for (i = 0; i < n; i++)
		ck_assert(timer_del(&heap, id[i],
		    heap.node[id[i]].owner, 0));
	n_model = 0;
	check_heap();
	test_between(test_now() - from, 0, CO_SEC(2) * test_slow());
	timers_fini(&heap);
	free(id);
}
