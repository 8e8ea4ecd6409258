/* SPDX-License-Identifier: MIT */
/*
 * chaos.c - seeded disturbance for --enable-chaos builds.
 *
 * Layer 0.  Invariants:
 *
 *	I1  one generator per thread, seeded from WEFT_CHAOS_SEED and the order
 *	    in which threads first come here.
 *	I2  nothing here takes a lock or calls back into weft.
 */
#include "chaos.h"

#ifdef WEFT_CHAOS

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static _Thread_local uint64_t state;
static uint64_t seed;		/* [atomic] 0: not read yet */
static uint32_t chance;		/* of 1000; written before seed is published */
static uint32_t fail_chance;	/* of 1000000; likewise */
static uint32_t threads;	/* [atomic] */

static uint32_t
env_number(const char *name, uint32_t otherwise)
{
	const char *s = getenv(name);

	return s && *s ? (uint32_t)strtoul(s, NULL, 10) : otherwise;
}

static uint64_t
first_use(void)
{
	uint64_t want = env_number("WEFT_CHAOS_SEED", 0), none = 0;
	char line[64];
	int n;

	chance = env_number("WEFT_CHAOS", 5);
	fail_chance = env_number("WEFT_CHAOS_FAIL", 0);
	if (want == 0) {
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		want = (uint32_t)ts.tv_nsec | 1;
	}
	if (__atomic_compare_exchange_n(&seed, &none, want, false,
	    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) && getenv("WEFT_CHAOS_LOUD")) {
		n = snprintf(line, sizeof line, "WEFT_CHAOS_SEED=%lu\n",
		    (unsigned long)want);
		n = (int)write(STDERR_FILENO, line, (size_t)n);
	}
	return __atomic_load_n(&seed, __ATOMIC_ACQUIRE);
}

static uint32_t
next(void)
{
	uint64_t x = state;

	if (x == 0) {
		x = __atomic_load_n(&seed, __ATOMIC_ACQUIRE);
		if (x == 0)
			x = first_use();
		x += 0x9e3779b97f4a7c15u *
		    (1 + __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED));
	}
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	state = x;
	return (uint32_t)(x >> 32);
}

void
co__chaos_point(void)
{
	uint32_t r = next();
	struct timespec nap = { 0, 0 };

	if (likely(r % 1000 >= chance))
		return;
	r >>= 10;
	if (r % 16 != 0) {
		sched_yield();
	} else {
		nap.tv_nsec = (long)(next() % 200000);
		nanosleep(&nap, NULL);
	}
}

bool
co__chaos_fail(void)
{
	return fail_chance && next() % 1000000 < fail_chance;
}

#else
typedef int chaos_is_off;	/* a translation unit may not be empty */
#endif
