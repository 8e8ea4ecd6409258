/* SPDX-License-Identifier: MIT */
/*
 * runq_test.c - run queues: orders, bands, what a thief takes.
 *
 * Many threads at once: stress/runq_stress_test.c.
 */
#include "harness.h"

#include "runq.h"

enum { N = 64 };

static struct task tasks[N];
static struct runq q, other;

static void
fresh(void)
{
	int i;

	memset(&q, 0, sizeof q);
	memset(&other, 0, sizeof other);
	q.shared = other.shared = 1;
	memset(tasks, 0, sizeof tasks);
	for (i = 0; i < N; i++) {
		tasks[i].band = BANDS;
		tasks[i].id = (uint64_t)i;
	}
}

/* The ids that runq_take gives until it is empty, as letters. */
static const char *
drain(struct runq *from)
{
	static char text[N + 1];
	struct task *t;
	int n = 0;

	while ((t = runq_take(from)) != NULL)
		text[n++] = (char)('a' + t->id);
	text[n] = '\0';
	ck_assert_uint_eq(from->waiting, 0);
	ck_assert_uint_eq(from->bands, 0);
	ck_assert_ptr_null(runq_take(from));
	return text;
}

static void
push(int id, enum runq_band band)
{
	tasks[id].band = (uint8_t)band;
	runq_push_new(&q, &tasks[id]);
}

TEST(an_empty_queue_gives_nothing)
{
	uint32_t i;

	fresh();
	ck_assert_ptr_null(runq_take(&q));
	for (i = 0; i < 10; i++)
		ck_assert_ptr_null(runq_take_oldest(&q, i));
	ck_assert_int_eq(runq_steal(&other, &q, 100), 0);
	ck_assert_str_eq(drain(&q), "");
}

TEST(the_newest_of_the_new_comes_first_and_the_oldest_of_the_old)
{
	fresh();
	ck_assert_uint_eq(runq_push_new(&q, &tasks[0]), 1);
	ck_assert_uint_eq(runq_push_new(&q, &tasks[1]), 2);
	ck_assert_uint_eq(runq_push_old(&q, &tasks[2]), 3);
	ck_assert_uint_eq(runq_push_old(&q, &tasks[3]), 4);
	ck_assert_uint_eq(runq_push_new(&q, &tasks[4]), 5);
	ck_assert_str_eq(drain(&q), "ebacd");
}

TEST(the_same_task_may_come_again)
{
	int i;

	fresh();
	for (i = 0; i < 10; i++) {
		runq_push_new(&q, &tasks[0]);
		runq_push_old(&q, &tasks[1]);
		runq_push_new(&q, &tasks[2]);
		ck_assert_str_eq(drain(&q), "cab");
	}
}

/* Of those that run in turn, who yields comes after all the others. */
TEST(who_is_exchanged_comes_behind_the_others)
{
	fresh();
	ck_assert_ptr_null(runq_exchange(&q, &tasks[0]));
	ck_assert_str_eq(drain(&q), "");
	runq_push_old(&q, &tasks[1]);
	ck_assert_ptr_eq(runq_exchange(&q, &tasks[0]), &tasks[1]);
	ck_assert_ptr_eq(runq_exchange(&q, &tasks[1]), &tasks[0]);
	runq_push_new(&q, &tasks[2]);	/* the newest goes first */
	ck_assert_ptr_eq(runq_exchange(&q, &tasks[0]), &tasks[2]);
	ck_assert_uint_eq(q.waiting, 2);
	ck_assert_uint_eq(q.ticks, 6);
	ck_assert_str_eq(drain(&q), "ba");
}

TEST(who_is_exchanged_keeps_his_band)
{
	fresh();
	tasks[0].band = BAND_LOW;
	ck_assert_ptr_null(runq_exchange(&q, &tasks[0]));
	ck_assert_str_eq(drain(&q), "");
	push(1, BAND_HIGH);
	push(2, BANDS);
	ck_assert_ptr_eq(runq_exchange(&q, &tasks[0]), &tasks[1]);
	ck_assert_ptr_eq(runq_exchange(&q, &tasks[1]), &tasks[2]);
	tasks[3].band = BAND_PINNED;
	ck_assert_ptr_eq(runq_exchange(&q, &tasks[3]), &tasks[1]);
	ck_assert_uint_eq(q.waiting, 1);	/* a pinned one is not counted */
	ck_assert_ptr_eq(runq_exchange(&q, &tasks[2]), &tasks[3]);
	ck_assert_uint_eq(q.waiting, 2);
	ck_assert_str_eq(drain(&q), "ca");
}

TEST(high_comes_before_and_low_behind_the_others)
{
	fresh();
	push(0, BAND_LOW);
	push(1, BANDS);
	push(2, BAND_HIGH);
	push(3, BAND_LOW);
	push(4, BAND_HIGH);
	push(5, BANDS);
	ck_assert_uint_eq(q.waiting, 6);
	ck_assert_str_eq(drain(&q), "cefbad");
}

TEST(pinned_ones_take_every_other_turn_and_are_not_counted)
{
	const char *text;
	int i, n = 0;

	fresh();
	for (i = 0; i < 10; i++)
		push(i, i < 5 ? BAND_PINNED : BANDS);
	ck_assert_uint_eq(q.waiting, 5);
	text = drain(&q);
	ck_assert_uint_eq(strlen(text), 10);
	for (i = 0; i < 6; i++)
		n += text[i] < 'f';
	ck_assert_int_eq(n, 3);		/* of any six in the mixture */
	for (i = 0, n = 'a'; i < 10; i++)	/* in their order */
		if (text[i] < 'f')
			ck_assert_int_eq(text[i], n++);
}

TEST(the_oldest_is_taken_from_each_list_in_turn)
{
	int which[5] = { 0 }, i;
	struct task *t;

	fresh();
	for (i = 0; i < 50; i++) {
		tasks[i].band = i / 10 < 3 ? (uint8_t)(i / 10) : BANDS;
		if (i / 10 == 4)
			runq_push_old(&q, &tasks[i]);
		else
			runq_push_new(&q, &tasks[i]);
	}
	for (i = 0; i < 50; i++) {
		t = runq_take_oldest(&q, (uint32_t)i);
		ck_assert_ptr_nonnull(t);
		/* Each list gives its oldest: id 0, 10, 20, 30, 40 first. */
		ck_assert_int_eq((int)t->id % 10, which[t->id / 10]++);
		if (i % 5 == 4)
			ck_assert_int_eq(which[0] + which[1] + which[2] +
			    which[3] + which[4], 5 * (i / 5 + 1));
	}
	for (i = 0; i < 5; i++)
		ck_assert_int_eq(which[i], 10);
	ck_assert_uint_eq(q.waiting, 0);
	ck_assert_uint_eq(q.bands, 0);
}

TEST(a_thief_takes_the_older_half)
{
	int i;

	fresh();
	for (i = 0; i < 6; i++)
		push(i, BANDS);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 3);
	ck_assert_uint_eq(q.waiting, 3);
	ck_assert_uint_eq(other.waiting, 3);
	ck_assert_str_eq(drain(&other), "abc");	/* the oldest runs first */
	ck_assert_str_eq(drain(&q), "fed");
}

TEST(a_thief_takes_a_lone_task_and_no_more_than_it_may)
{
	int i;

	fresh();
	push(0, BANDS);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 1);
	ck_assert_str_eq(drain(&other), "a");
	for (i = 0; i < 20; i++)
		push(i, BANDS);
	ck_assert_int_eq(runq_steal(&other, &q, 4), 4);
	ck_assert_uint_eq(q.waiting, 16);
	ck_assert_str_eq(drain(&other), "abcd");
}

TEST(a_thief_takes_turns_between_the_lists_and_leaves_the_pinned)
{
	int i;

	fresh();
	for (i = 0; i < 4; i++)
		push(i, BANDS);
	for (i = 4; i < 8; i++)
		runq_push_old(&q, &tasks[i]);
	for (i = 8; i < 12; i++)
		push(i, BAND_PINNED);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 4);
	ck_assert_str_eq(drain(&other), "aebf");
	ck_assert_int_eq(runq_steal(&other, &q, 100), 2);
	ck_assert_str_eq(drain(&other), "cg");
	ck_assert_int_eq(runq_steal(&other, &q, 100), 1);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 1);
	ck_assert_str_eq(drain(&other), "hd");	/* two raids */
	ck_assert_int_eq(runq_steal(&other, &q, 100), 0);
	ck_assert_str_eq(drain(&q), "ijkl");
}

TEST(a_thief_takes_high_and_low_ones_with_their_rank)
{
	fresh();
	push(0, BAND_LOW);
	push(1, BAND_HIGH);
	push(2, BAND_LOW);
	push(3, BAND_HIGH);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 2);
	ck_assert_uint_eq(q.waiting, 2);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 1);
	ck_assert_uint_eq(other.bands, 1u << BAND_HIGH | 1u << BAND_LOW);
	ck_assert_str_eq(drain(&q), "c");
	ck_assert_uint_eq(strlen(drain(&other)), 3);
}

TEST(a_thief_gives_up_on_an_owner_that_stays_inside)
{
	fresh();
	push(0, BANDS);
	runq_enter(&q);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 0);
	ck_assert_uint_eq(q.stop, 0);
	runq_leave(&q);
	ck_assert_int_eq(runq_steal(&other, &q, 100), 1);
}

TEST(a_second_thief_does_not_wait_for_the_first)
{
	fresh();
	push(0, BANDS);
	q.thief.word = 1;
	ck_assert_int_eq(runq_steal(&other, &q, 100), 0);
	q.thief.word = 0;
	ck_assert_int_eq(runq_steal(&other, &q, 100), 1);
}

/* Any sequence of operations against lists that are plainly right. */
struct model {
	int id[N], n;
};

static int
model_take(struct model *m, int at)
{
	int id = m->id[at];

	m->n--;
	memmove(&m->id[at], &m->id[at + 1],
	    (size_t)(m->n - at) * sizeof *m->id);
	return id;
}

static void
random_operations(bool shared)
{
	uint64_t random = test_seed(), i, n = test_count(100000, 10000000);
	struct model deque = { .n = 0 }, fifo = { .n = 0 }, unused = { .n = 0 };
	struct task *t;
	int id;

	fresh();
	runq_init(&q, shared);
	for (id = 0; id < N; id++)
		unused.id[unused.n++] = id;
	for (i = 0; i < n; i++) {
		switch (test_below(&random, 5)) {
		case 0:
			if (unused.n == 0)
				break;
			id = model_take(&unused, 0);
			runq_push_new(&q, &tasks[id]);
			deque.id[deque.n++] = id;
			break;
		case 1:
			if (unused.n == 0)
				break;
			id = model_take(&unused, 0);
			runq_push_old(&q, &tasks[id]);
			fifo.id[fifo.n++] = id;
			break;
		case 2:
			t = runq_take(&q);
			id = deque.n ? model_take(&deque, deque.n - 1) :
			    fifo.n ? model_take(&fifo, 0) : -1;
			ck_assert_int_eq(t ? (int)t->id : -1, id);
			if (t)
				unused.id[unused.n++] = id;
			break;
		case 3:
			if (unused.n == 0)
				break;
			t = runq_exchange(&q, &tasks[unused.id[0]]);
			id = deque.n ? model_take(&deque, deque.n - 1) :
			    fifo.n ? model_take(&fifo, 0) : -1;
			ck_assert_int_eq(t ? (int)t->id : -1, id);
			if (!t)
				break;
			fifo.id[fifo.n++] = model_take(&unused, 0);
			unused.id[unused.n++] = id;
			break;
		default:
			t = runq_take_oldest(&q, 0);
			id = deque.n ? model_take(&deque, 0) :
			    fifo.n ? model_take(&fifo, 0) : -1;
			ck_assert_int_eq(t ? (int)t->id : -1, id);
			if (t)
				unused.id[unused.n++] = id;
			break;
		}
		ck_assert_int_eq((int)q.waiting, deque.n + fifo.n);
	}
}

TEST(random_operations_agree_with_a_plain_list)
{
	random_operations(true);
	random_operations(false);
}

/* The straight way is left while there is something in a band, and no longer. */
TEST(bands_are_seen_with_thieves_and_without)
{
	int i, shared;

	for (shared = 0; shared < 2; shared++) {
		fresh();
		runq_init(&q, shared);
		push(0, BANDS);
		for (i = BAND_HIGH; i < BANDS; i++) {
			push(1, (enum runq_band)i);
			ck_assert_uint_eq(q.bands, 1u << i);
			push(2, BANDS);
			ck_assert_uint_eq(strlen(drain(&q)),
			    i == BAND_HIGH ? 3 : 2);
			ck_assert_uint_eq(q.bands, 0);
		}
		push(3, BANDS);
		push(4, BAND_HIGH);
		ck_assert_ptr_eq(runq_exchange(&q, &tasks[0]), &tasks[4]);
		ck_assert_uint_eq(q.bands, 0);
		ck_assert_ptr_eq(runq_exchange(&q, &tasks[4]), &tasks[3]);
		ck_assert_uint_eq(q.bands, 1u << BAND_HIGH);
		ck_assert_str_eq(drain(&q), "ea");
	}
}
