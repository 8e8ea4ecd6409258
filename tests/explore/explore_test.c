/* SPDX-License-Identifier: MIT */
/*
 * explore_test.c - the explorer itself: small programs of which it is known
 * what a processor with store buffers can give.
 *
 * Each leaves what its loads gave as digits; all that may come must come, and
 * nothing else.
 */
#include "explore.h"

#include "harness.h"

static struct {
	uint32_t x, y, z;
} s;

static uint32_t a, b, c, d;
static bool seen[10000];

static void
setup(void)
{
	memset(&s, 0, sizeof s);
	a = b = c = d = 0;
	co__have_membarrier = true;
	explore_share(&s, sizeof s);
}

static void
setup_without(void)
{
	setup();
	co__have_membarrier = false;
}

static void
end(void)
{
	seen[a * 1000 + b * 100 + c * 10 + d] = true;
}

/* `all`: four digits each. */
static void
gives(const struct explore_model *m, const char *all)
{
	char got[256] = "";
	size_t n = 0;
	int i;

	memset(seen, 0, sizeof seen);
	explore(m);
	for (i = 0; i < 10000; i++)
		if (seen[i] && n + 6 < sizeof got)
			n += (size_t)snprintf(got + n, sizeof got - n, "%s%04d",
			    n ? " " : "", i);
	ck_assert_str_eq(got, all);
}

#define MODEL(is, ...) \
	(&(const struct explore_model){ .name = is, .setup = setup, \
	    .end = end, .thread = { __VA_ARGS__ } })

static void
x_then_y(void)
{
	a_store_release(&s.x, 1);
	a = a_load_acquire(&s.y);
}

static void
y_then_x(void)
{
	a_store_release(&s.y, 1);
	b = a_load_acquire(&s.x);
}

TEST(a_store_may_wait_in_its_buffer)
{
	gives(MODEL("store_buffer", x_then_y, y_then_x),
	    "0000 0100 1000 1100");
}

static void
x_fence_y(void)
{
	a_store_relaxed(&s.x, 1);
	a_fence_seqcst();
	a = a_load_relaxed(&s.y);
}

static void
y_fence_x(void)
{
	a_store_relaxed(&s.y, 1);
	a_fence_seqcst();
	b = a_load_relaxed(&s.x);
}

TEST(a_fence_empties_it_and_one_alone_does_not_help)
{
	gives(MODEL("fences", x_fence_y, y_fence_x), "0100 1000 1100");
	gives(MODEL("one_fence", x_fence_y, y_then_x),
	    "0000 0100 1000 1100");
}

static void
x_light_y(void)
{
	a_store_relaxed(&s.x, 1);
	a_light_barrier();
	a = a_load_relaxed(&s.y);
}

static void
y_heavy_x(void)
{
	a_store_relaxed(&s.y, 1);
	a_heavy_barrier();
	b = a_load_relaxed(&s.x);
}

TEST(a_heavy_barrier_makes_a_pair_with_a_light_one)
{
	struct explore_model without = *MODEL("light_without", x_light_y,
	    y_heavy_x);

	gives(MODEL("light_and_heavy", x_light_y, y_heavy_x),
	    "0100 1000 1100");
	gives(MODEL("light_and_fence", x_light_y, y_fence_x),
	    "0000 0100 1000 1100");
	without.setup = setup_without;
	gives(&without, "0100 1000 1100");
}

static void
message(void)
{
	s.x = 1;			/* plain */
	a_store_relaxed(&s.y, 1);
}

static void
receive(void)
{
	a = a_load_relaxed(&s.y);
	b = a_load_relaxed(&s.x);
}

TEST(stores_come_in_order_plain_ones_too)
{
	gives(MODEL("message", message, receive), "0000 0100 1100");
}

static void
x_y_x(void)
{
	a_store_relaxed(&s.x, 1);
	a = a_load_relaxed(&s.x);
	b = a_load_relaxed(&s.y);
}

static void
y_x_y(void)
{
	a_store_relaxed(&s.y, 1);
	c = a_load_relaxed(&s.y);
	d = a_load_relaxed(&s.x);
}

TEST(a_thread_sees_its_own_stores_first)
{
	gives(MODEL("forwarding", x_y_x, y_x_y), "1010 1011 1110 1111");
}

static void
write_x(void)
{
	a_store_relaxed(&s.x, 1);
}

static void
x_to_y(void)
{
	a = a_load_relaxed(&s.x);
	a_store_relaxed(&s.y, 1);
}

static void
y_and_x(void)
{
	b = a_load_relaxed(&s.y);
	c = a_load_relaxed(&s.x);
}

TEST(what_one_has_seen_others_see)
{
	/* Not 1100: y = 1 after x = 1 was seen, and then x = 0. */
	gives(MODEL("causality", write_x, x_to_y, y_and_x),
	    "0000 0010 0100 0110 1000 1010 1110");
}

static void
two_x_y(void)
{
	a_store_relaxed(&s.x, 1);
	a_store_relaxed(&s.y, 2);
}

static void
two_y_x(void)
{
	a_store_relaxed(&s.y, 1);
	a_store_relaxed(&s.x, 2);
}

static void
end_of_both(void)
{
	a = s.x;
	b = s.y;
	end();
}

TEST(stores_to_one_place_come_in_either_order)
{
	struct explore_model m = *MODEL("two_stores", two_x_y, two_y_x);

	m.end = end_of_both;
	gives(&m, "1200 2100 2200");
}

static void
add(void)
{
	a_add_relaxed(&s.x, 1);
}

static void
add_slowly(void)
{
	a_store_relaxed(&s.x, a_load_relaxed(&s.x) + 1);
}

static void
end_of_x(void)
{
	a = s.x;
	end();
}

TEST(a_change_is_one_step_and_a_load_and_a_store_are_two)
{
	struct explore_model m = *MODEL("change", add, add, add);

	m.end = end_of_x;
	gives(&m, "3000");
	m = *MODEL("load_and_store", add_slowly, add_slowly, add_slowly);
	m.end = end_of_x;
	gives(&m, "1000 2000 3000");
}

static void
signal_y(void)
{
	a_store_relaxed(&s.x, 1);
	a_store_release(&s.y, 1);
}

static void
spin_on_y(void)
{
	while (!a_load_acquire(&s.y))
		a_pause();
	a = a_load_relaxed(&s.x);
}

static void
spin_on_both(void)
{
	while (!a_load_acquire(&s.z) || !a_load_acquire(&s.y))
		a_pause();
	b = a_load_relaxed(&s.x);
}

static void
spin_on_either(void)
{
	while (!a_load_acquire(&s.z) && !a_load_acquire(&s.y))
		a_pause();
	b = a_load_relaxed(&s.x) + a_load_relaxed(&s.z);
}

static void
signal_z(void)
{
	a_store_release(&s.z, 1);
}

TEST(who_spins_goes_on_in_the_end)
{
	gives(MODEL("spin", spin_on_y, signal_y, spin_on_y), "1000");
	gives(MODEL("spin_on_both", spin_on_both, signal_y, signal_z), "0100");
	gives(MODEL("spin_on_either", spin_on_either, signal_y, signal_z),
	    "0100 0200");
}
