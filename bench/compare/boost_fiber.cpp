/* SPDX-License-Identifier: MIT */
/*
 * boost_fiber.cpp - Boost.Fiber: round_robin with one thread, work_stealing
 * with two.  Its stacks are 128 KiB, without guards; from the pool that it has
 * for many short fibers where that is faster, else from malloc, its default
 * (a million at once: 16 s against 24 s).
 */
#include "peer.h"

#include <boost/fiber/all.hpp>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace fib = boost::fibers;

namespace {

typedef fib::unbuffered_channel<long> rendezvous;

fib::pooled_fixedsize_stack &
stacks()
{
	static fib::pooled_fixedsize_stack pool;

	return pool;
}

/* Pooled stacks may be freed by another thread than took them: not for two. */
template <class Fn> fib::fiber
launch(Fn fn)
{
	if (bench.workers == 1)
		return fib::fiber(fib::launch::post, std::allocator_arg,
		    stacks(), fn);
	return fib::fiber(fib::launch::post, fn);
}

std::mutex ending_mutex;
fib::condition_variable_any ending;
bool ended;

/* Runs question() with -w threads that steal from each other. */
void
with_threads(void (*question)())
{
	unsigned n = (unsigned)bench.workers;
	std::vector<std::thread> threads;

	if (n == 1) {
		question();
		return;
	}
	for (unsigned i = 1; i < n; i++)
		threads.emplace_back([n] {
			fib::use_scheduling_algorithm<
			    fib::algo::work_stealing>(n);
			std::unique_lock<std::mutex> lock(ending_mutex);
			ending.wait(lock, [] { return ended; });
		});
	fib::use_scheduling_algorithm<fib::algo::work_stealing>(n);
	question();
	{
		std::unique_lock<std::mutex> lock(ending_mutex);

		ended = true;
	}
	ending.notify_all();
	for (auto &t : threads)
		t.join();
}

void
yield_run()
{
	auto yielder = [] {
		for (long i = 0; i < bench.n; i++)
			boost::this_fiber::yield();
	};
	int64_t start = bench_now();
	fib::fiber a = launch(yielder), b = launch(yielder);

	a.join();
	b.join();
	peer_each("yield", start, 2.0 * bench.n);
}

void
spawn_run()
{
	long rounds = bench.n / 1000;
	std::atomic<long> ran{0};
	int64_t start = bench_now();

	for (long i = 0; i < bench.n; i++)
		launch([&] {
			ran.fetch_add(1, std::memory_order_relaxed);
		}).join();
	peer_each("spawn_join", start, bench.n);
	bench_check(ran == bench.n, "each ran once");
	start = bench_now();
	for (long i = 0; i < rounds; i++) {
		fib::fiber f[1000];

		for (auto &one : f)
			one = launch([] {});
		for (auto &one : f)
			one.join();
	}
	peer_each("spawn_1000", start, rounds * 1000.0);
}

void
pingpong_run()
{
	rendezvous there, back;
	fib::fiber f = launch([&] {
		for (long v : there)
			back.push(v + 1);
	});
	int64_t start = bench_now();
	long v = 0;

	for (long i = 0; i < bench.n; i++) {
		there.push(v);
		v = back.value_pop();
	}
	peer_each("pingpong", start, 2.0 * bench.n);
	bench_check(v == bench.n, "every ball came back");
	there.close();
	f.join();
}

void
buffered_run()
{
	fib::buffered_channel<int> c(128);
	long sums[64][8] = { { 0 } }, sum = 0, wanted = 0;
	std::vector<fib::fiber> in, out;
	int64_t start = bench_now();
	char metric[32];

	for (long k = 0; k < bench.k; k++) {
		in.push_back(launch([&] {
			for (long i = 0; i < bench.n / bench.k; i++)
				c.push((int)(i & 0xff));
		}));
		out.push_back(launch([&c, s = sums[k]] {
			int v;

			while (c.pop(v) == fib::channel_op_status::success)
				*s += v;
		}));
	}
	for (auto &f : in)
		f.join();
	c.close();
	for (auto &f : out)
		f.join();
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	peer_each(metric, start, bench.n);
	for (auto &s : sums)
		sum += s[0];
	for (long i = 0; i < bench.n / bench.k; i++)
		wanted += i & 0xff;
	bench_check(sum == wanted * bench.k, "the sum of the messages");
}

void
mutex_run()
{
	int64_t start = bench_now();
	std::vector<fib::fiber> f;
	fib::mutex m;
	long count = 0;

	for (long i = 0; i < bench.n; i++) {
		std::unique_lock<fib::mutex> lock(m);

		count++;
	}
	peer_each("mutex_free", start, bench.n);
	start = bench_now();
	for (long k = 0; k < bench.k; k++)
		f.push_back(launch([&] {
			for (long i = 0; i < bench.n / bench.k; i++) {
				std::unique_lock<fib::mutex> lock(m);

				count++;
				boost::this_fiber::yield();
			}
		}));
	for (auto &one : f)
		one.join();
	peer_each("mutex_busy", start, bench.n);
	bench_check(count == bench.n + bench.n / bench.k * bench.k,
	    "every lock counts");
}

void
sieve_run()
{
	typedef fib::unbuffered_channel<int> stage;
	int64_t start = bench_now();
	auto c = std::make_shared<stage>();
	int prime = 0;

	launch([c] {
		for (int i = 2; c->push(i) == fib::channel_op_status::success;
		    i++)
			;
	}).detach();
	for (long i = 0; i < bench.n; i++) {
		auto d = std::make_shared<stage>();

		prime = c->value_pop();
		launch([c, d, prime] {
			for (int v : *c)
				if (v % prime != 0)
					d->push(v);
		}).detach();
		c = d;
	}
	bench_result("sieve", (double)(bench_now() - start) / 1e9, "s");
	bench_check(bench.n != 5000 || prime == 48611, "the 5000th is 48611");
	_exit(0);
}

void
skynet(rendezvous &out, long number, long size)
{
	rendezvous c;
	long sum = 0;

	if (size == 1) {
		out.push(number);
		return;
	}
	std::vector<fib::fiber> f;

	for (long i = 0; i < 10; i++)
		f.emplace_back(fib::launch::post, [&c, number, size, i] {
			skynet(c, number + i * (size / 10), size / 10);
		});
	for (int i = 0; i < 10; i++)
		sum += c.value_pop();
	for (auto &one : f)
		one.join();
	out.push(sum);
}

void
skynet_run()
{
	int64_t start = bench_now();
	rendezvous c;
	fib::fiber f([&] { skynet(c, 0, bench.n); });
	long sum = c.value_pop();

	f.join();
	bench_result("skynet", (double)(bench_now() - start) / 1e9, "s");
	bench_result("skynet_peak", bench_memory("VmHWM:") / 1e6, "MB");
	bench_check(sum == bench.n * (bench.n - 1) / 2,
	    "the sum of the leaves");
}

void
parked_run()
{
	double rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
	int64_t start = bench_now();
	static rendezvous c;
	static long started;

	for (long i = 0; i < bench.n; i++) {
		fib::fiber([] {
			long v;

			started++;
			(void)c.pop(v);
		}).detach();
		if (i % 1000 == 999)
			boost::this_fiber::yield();
	}
	while (started < bench.n)
		boost::this_fiber::yield();
	peer_each("parked_create", start, bench.n);
	bench_result("parked_rss", (bench_memory("VmRSS:") - rss) / bench.n,
	    "B");
	bench_result("parked_tables", (bench_memory("VmPTE:") - tables) /
	    bench.n, "B");
	_exit(0);
}

void
sleepers_run()
{
	int64_t start = bench_now();
	double cpu = bench_cpu();
	long left = bench.n;
	fib::fiber last;

	for (long i = 0; i < bench.n; i++)
		launch([i, &left] {
			unsigned state = bench_nap_seed(i);

			for (long k = 0; k < bench.k; k++)
				boost::this_fiber::sleep_for(
				    std::chrono::milliseconds(
				    bench_nap(&state)));
			left--;
		}).detach();
	while (left > 0)
		boost::this_fiber::sleep_for(std::chrono::milliseconds(10));
	bench_result("sleepers", bench_cpu() - cpu, "s");
	bench_result("sleepers_wall", (double)(bench_now() - start) / 1e9,
	    "s");
	_exit(0);
}

void yield_question() { with_threads(yield_run); }
void spawn_question() { with_threads(spawn_run); }
void pingpong_question() { with_threads(pingpong_run); }
void buffered_question() { with_threads(buffered_run); }
void mutex_question() { with_threads(mutex_run); }
void sieve_question() { with_threads(sieve_run); }
void skynet_question() { with_threads(skynet_run); }

}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "yield", yield_question },
		{ "spawn", spawn_question },
		{ "pingpong", pingpong_question },
		{ "buffered", buffered_question },
		{ "mutex", mutex_question },
		{ "sieve", sieve_question },
		{ "skynet", skynet_question },
		{ "parked", parked_run },
		{ "sleepers", sleepers_run },
		{ nullptr, nullptr }
	};

	return peer_main(argc, argv, questions);
}
