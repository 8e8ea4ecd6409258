/* SPDX-License-Identifier: MIT */
/*
 * boost_context.cpp - Boost.Context: the switch and no scheduler.  Stacks are
 * those that it has by default (malloc), and come from a pool in spawn.
 */
#include "peer.h"

#include <boost/context/detail/fcontext.hpp>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

#include <memory>
#include <utility>

namespace ctx = boost::context;

namespace {

long total;

void
other_side(ctx::detail::transfer_t t)
{
	for (;;) {
		total++;
		t = ctx::detail::jump_fcontext(t.fctx, nullptr);
	}
}

/* fcontext: the same level as weft's own switch. */
void
switch_question()
{
	const std::size_t size = 64 * 1024;
	std::unique_ptr<char[]> stack(new char[size]);
	ctx::detail::transfer_t t = { ctx::detail::make_fcontext(
	    stack.get() + size, size, other_side), nullptr };
	int64_t start = bench_now();

	for (long i = 0; i < bench.n; i++)
		t = ctx::detail::jump_fcontext(t.fctx, nullptr);
	peer_each("switch", start, 2.0 * bench.n);
	bench_check(total == bench.n, "all switches");
}

void
spawn_question()
{
	ctx::pooled_fixedsize_stack stacks;
	int64_t start = bench_now();

	for (long i = 0; i < bench.n; i++)
		ctx::fiber(std::allocator_arg, stacks, [](ctx::fiber &&f) {
			total++;
			return std::move(f);
		}).resume();
	peer_each("spawn_join", start, bench.n);
	bench_check(total == bench.n, "each ran once");
}

void
generator_question()
{
	long value = 0, sum = 0;
	bool done = false;
	ctx::fiber f([&](ctx::fiber &&caller) {
		for (long i = 0; i < bench.n; i++) {
			value = i;
			caller = std::move(caller).resume();
		}
		done = true;
		return std::move(caller);
	});
	int64_t start = bench_now();

	for (f = std::move(f).resume(); !done; f = std::move(f).resume())
		sum += value;
	peer_each("generator", start, bench.n);
	bench_check(sum == bench.n * (bench.n - 1) / 2,
	    "the sum of the values");
}

}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "switch", switch_question },
		{ "spawn", spawn_question },
		{ "generator", generator_question },
		{ nullptr, nullptr }
	};

	return peer_main(argc, argv, questions);
}
