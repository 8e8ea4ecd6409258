/* SPDX-License-Identifier: MIT */
/*
 * runq_stress_test.c - one owner and many thieves: each task is taken once.
 */
#include "harness.h"

#include <pthread.h>

#include "os.h"
#include "runq.h"

enum { TASKS = 5000, THIEVES = 15 };

static struct task tasks[TASKS];
static uint8_t where[TASKS];	/* [atomic] 0: with the owner; 1: on a queue */
static struct runq q;
static int over;		/* [atomic] */
static uint64_t taken, stolen;	/* [atomic] */

/* What the queue gave is taken by exactly one. */
static void
take(struct task *t)
{
	uint8_t was = __atomic_exchange_n(&where[t - tasks], 0,
	    __ATOMIC_ACQ_REL);

	ck_assert_int_eq(was, 1);
}

/* A list of those that came back, for the owner: a stack with one popper of
   all. */
static struct task *returned;	/* [atomic] linked by prev */

static void
give_back(struct task *t)
{
	struct task *head = __atomic_load_n(&returned, __ATOMIC_RELAXED);

	do {
		t->prev = head;
	} while (!__atomic_compare_exchange_n(&returned, &head, t, false,
	    __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void *
thief(void *arg)
{
	static _Thread_local struct runq own;
	uint64_t random = (uint64_t)(uintptr_t)arg * 77 + 1, n;
	struct task *t;

	own.shared = 0;
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		/* Who found nothing lets the owner have the processor: with 15
		   that never do, on two processors, it hardly gets one. */
		if (runq_steal(&own, &q,
		    1 + (uint32_t)test_below(&random, 300)) == 0)
			os_give_way();
		for (n = 0; (t = runq_take(&own)) != NULL; n++) {
			take(t);
			give_back(t);
		}
		__atomic_add_fetch(&stolen, n, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void
push(struct task *t, uint64_t dice)
{
	ck_assert_int_eq(__atomic_exchange_n(&where[t - tasks], 1,
	    __ATOMIC_ACQ_REL), 0);
	t->band = dice % 16 == 0 ? BAND_HIGH : dice % 16 == 1 ? BAND_LOW :
	    dice % 16 == 2 ? BAND_PINNED : BANDS;
	if (dice & 16)
		runq_push_new(&q, t);
	else
		runq_push_old(&q, t);
}

/* Pushes and takes until `n` have been taken by somebody, some by thieves. */
static void
own(uint64_t n, uint64_t random)
{
	struct task *mine = NULL, *t;
	uint64_t pushed = 0, dice;
	int i;

	for (i = 0; i < TASKS; i++) {
		tasks[i].prev = mine;
		mine = &tasks[i];
	}
	while (pushed < n ||
	    __atomic_load_n(&stolen, __ATOMIC_RELAXED) < n / 10000) {
		dice = test_random(&random);
		if (!mine)
			mine = __atomic_exchange_n(&returned, NULL,
			    __ATOMIC_ACQUIRE);
		for (i = (int)(dice >> 8 & 31); i > 0 && mine; i--) {
			t = mine;
			mine = t->prev;
			push(t, dice >> i);
			pushed++;
		}
		for (i = (int)(dice >> 16 & 31); i > 0; i--) {
			t = dice >> 32 & 1 ? runq_take(&q) :
			    runq_take_oldest(&q, (uint32_t)i);
			if (!t)
				break;
			take(t);
			t->prev = mine;
			mine = t;
			taken++;
		}
	}
	while ((t = runq_take(&q)) != NULL) {
		take(t);
		taken++;
	}
}

static void
play(int thieves, uint64_t n)
{
	pthread_t t[THIEVES];
	struct task *left;
	intptr_t i;

	memset(&q, 0, sizeof q);
	q.shared = 1;
	over = 0;
	taken = stolen = 0;
	returned = NULL;
	for (i = 0; i < thieves; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, thief, (void *)i),
		    0);
	own(n, test_seed());
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	for (i = 0; i < thieves; i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_eq(q.waiting, 0);
	ck_assert_uint_eq(q.bands, 0);
	for (i = 0; i < TASKS; i++)
		ck_assert_int_eq(where[i], 0);
	for (left = returned; left; left = left->prev)
		ck_assert(left >= tasks && left < tasks + TASKS);
	ck_assert_uint_ge(taken + stolen, n);
	fprintf(stderr, "# %d thieves: %llu taken, %llu stolen\n", thieves,
	    (unsigned long long)taken, (unsigned long long)stolen);
}

TEST(each_task_is_taken_by_the_owner_or_by_one_thief, .seconds = 300)
{
	uint64_t n = test_count(1000000, 1000000000);

	os_init();
	play(1, n);
	play(3, n);
	/* With so many the owner is seldom on a processor. */
	play(THIEVES, n / 30);
	test_soak("queued tasks among thieves", 2 * n + n / 30);
}

/* Two plain fences in place of membarrier(2). */
TEST(it_holds_without_membarrier, .seconds = 300)
{
	setenv("WEFT_NO_MEMBARRIER", "1", 1);
	os_init();
	play(3, test_count(3000000, 100000000));
}
