/* SPDX-License-Identifier: MIT */
/*
 * timer_fuzz.c - arming, deleting and firing timers in any order, against a
 * sorted array: timer_model.h.
 */
#include "fuzz.h"

#include "timer_model.h"

/* Near ones, equal ones, long ones, and the ends of time. */
static co_time
some_time(struct bytes *b, co_time now)
{
	switch (byte(b) % 8) {
	case 0:
		return CO_FOREVER;
	case 1:
		return INT64_MIN + byte(b);
	case 2:
		return now < INT64_MAX / 2 ? now + TIMER_LONG - 2 + byte(b) % 5
		    : now;
	case 3:
		return now + (now < INT64_MAX / 2 ?
		    (co_time)below(b, 65535) * CO_MS(1) : 0);
	default:
		return now < INT64_MAX / 2 ? now + byte(b) % 16 : now;
	}
}

static void
one_step(struct bytes *b, co_time *now)
{
	int scope = (int)below(b, MOST);

	switch (byte(b) % 4) {
	case 0:
		if (armed[scope])
			del(scope);
		break;
	case 1:
		if (*now < INT64_MAX / 2)
			*now += (co_time)below(b, 65535) << byte(b) % 16;
		expire(*now);
		break;
	default:
		if (!armed[scope])
			add(scope, *now, some_time(b, *now));
	}
	check_heap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	co_time now = 0;

	model_begin();
	heap.seq = next_seq = byte(&b) % 2 ? 0xfffffff0u : 0;
	while (b.left > 0)
		one_step(&b, &now);
	expire(CO_FOREVER);
	must(n_model == 0);
	check_heap();
	timers_fini(&heap);
	return 0;
}
