/* SPDX-License-Identifier: MIT */
/*
 * cxx20.cpp - C++20's coroutines: stackless, with the smallest scheduler and
 * channel that do the work.  One thread, no cancellation, no deadlines: the
 * floor, and no library that anybody could use.
 *
 * What waits is in a list through its own frame; a frame is from malloc.
 */
#include "peer.h"

#include <coroutine>
#include <utility>

namespace {

struct node {
	std::coroutine_handle<> h;
	node *next;
};

/* First in, first out. */
struct list {
	node *first = nullptr, **end = &first;

	void push(node *n)
	{
		n->next = nullptr;
		*end = n;
		end = &n->next;
	}
	node *pop()
	{
		node *n = first;

		if (n && !(first = n->next))
			end = &first;
		return n;
	}
};

list ready;

void
run()
{
	while (node *n = ready.pop())
		n->h.resume();
}

struct yield_now : node {
	bool await_ready() { return false; }
	void await_suspend(std::coroutine_handle<> me)
	{
		h = me;
		ready.push(this);
	}
	void await_resume() {}
};

/* Starts when it is spawned or awaited.  A spawned one frees its own frame. */
struct task {
	struct promise_type : node {
		std::coroutine_handle<> joiner;
		bool detached = false;
		long value = 0;

		task get_return_object()
		{
			return { std::coroutine_handle<promise_type>::
			    from_promise(*this) };
		}
		std::suspend_always initial_suspend() { return {}; }
		struct last {
			bool await_ready() noexcept { return false; }
			std::coroutine_handle<> await_suspend(
			    std::coroutine_handle<promise_type> me) noexcept
			{
				auto joiner = me.promise().joiner;

				if (me.promise().detached)
					me.destroy();
				if (joiner)
					return joiner;
				return std::noop_coroutine();
			}
			void await_resume() noexcept {}
		};
		last final_suspend() noexcept { return {}; }
		void return_value(long v) { value = v; }
		void unhandled_exception() { abort(); }
	};

	std::coroutine_handle<promise_type> h;

	bool await_ready() { return false; }
	std::coroutine_handle<> await_suspend(std::coroutine_handle<> me)
	{
		h.promise().joiner = me;
		return h;
	}
	long await_resume()
	{
		long v = h.promise().value;

		h.destroy();
		return v;
	}
};

void
spawn(task t)
{
	auto &p = t.h.promise();

	p.detached = true;
	p.h = t.h;
	ready.push(&p);
}

template <class T> struct channel {
	struct waiter : node {
		channel *c;
		T v;
	};

	T *ring;
	unsigned cap, head = 0, tail = 0;
	list senders, receivers;

	explicit channel(unsigned n) : ring(new T[n ? n : 1]), cap(n) {}
	~channel() { delete[] ring; }

	struct send_op : waiter {
		bool await_ready()
		{
			auto *c = this->c;

			if (node *n = c->receivers.pop()) {
				static_cast<waiter *>(n)->v = this->v;
				ready.push(n);
				return true;
			}
			if (c->tail - c->head == c->cap)
				return false;
			c->ring[c->tail++ % c->cap] = this->v;
			return true;
		}
		void await_suspend(std::coroutine_handle<> me)
		{
			this->h = me;
			this->c->senders.push(this);
		}
		void await_resume() {}
	};

	struct recv_op : waiter {
		bool await_ready()
		{
			auto *c = this->c;
			node *n;

			if (c->tail == c->head) {
				if (!(n = c->senders.pop()))
					return false;
				this->v = static_cast<waiter *>(n)->v;
				ready.push(n);
				return true;
			}
			this->v = c->ring[c->head++ % c->cap];
			if ((n = c->senders.pop())) {
				c->ring[c->tail++ % c->cap] =
				    static_cast<waiter *>(n)->v;
				ready.push(n);
			}
			return true;
		}
		void await_suspend(std::coroutine_handle<> me)
		{
			this->h = me;
			this->c->receivers.push(this);
		}
		T await_resume() { return this->v; }
	};

	send_op send(T v)
	{
		send_op op;

		op.c = this;
		op.v = v;
		return op;
	}
	recv_op recv()
	{
		recv_op op;

		op.c = this;
		return op;
	}
};

long total;
int64_t began;

/* switch: resume and suspend, nobody in between */

task
pump()
{
	for (;;) {
		total++;
		co_await std::suspend_always();
	}
	co_return 0;
}

void
switch_question()
{
	task t = pump();

	began = bench_now();
	for (long i = 0; i < bench.n; i++)
		t.h.resume();
	peer_each("switch", began, 2.0 * bench.n);
	bench_check(total == bench.n, "all switches");
	t.h.destroy();
}

task
yielder()
{
	for (long i = 0; i < bench.n; i++) {
		co_await yield_now();
		total++;
	}
	co_return 0;
}

void
yield_question()
{
	spawn(yielder());
	spawn(yielder());
	began = bench_now();
	run();
	peer_each("yield", began, 2.0 * bench.n);
	bench_check(total == 2 * bench.n, "all yields");
}

__attribute__((noinline)) task
one()
{
	total++;
	co_return 1;
}

task
joins()
{
	long joined = 0;

	began = bench_now();
	for (long i = 0; i < bench.n; i++)
		joined += co_await one();
	peer_each("spawn_join", began, bench.n);
	bench_check(joined == bench.n, "each ran once");
	co_return 0;
}

void
spawn_question()
{
	long rounds = bench.n / 1000;

	spawn(joins());
	run();
	total = 0;
	began = bench_now();
	for (long i = 0; i < rounds; i++) {
		for (int k = 0; k < 1000; k++)
			spawn(one());
		run();
	}
	peer_each("spawn_1000", began, rounds * 1000.0);
	bench_check(total == rounds * 1000, "each ran once");
}

task
dive(long depth)
{
	if (depth > 1)
		co_return co_await dive(depth - 1);
	for (long i = 0; i < bench.n; i++)
		co_await yield_now();
	co_return bench.n;
}

task
diver(long depth)
{
	total += co_await dive(depth);
	co_return 0;
}

void
suspend_question()
{
	long depth = 1;

	for (const char *metric : { "suspend_1", "suspend_10", "suspend_100",
	    "suspend_1000" }) {
		total = 0;
		began = bench_now();
		spawn(diver(depth));
		spawn(diver(depth));
		run();
		peer_each(metric, began, 2.0 * bench.n);
		bench_check(total == 2 * bench.n, "all suspensions");
		depth *= 10;
	}
}

task
pong(channel<long> &in, channel<long> &out)
{
	for (long i = 0; i < bench.n; i++) {
		long v = co_await in.recv();

		co_await out.send(v + 1);
	}
	co_return 0;
}

task
ping(channel<long> &out, channel<long> &in)
{
	long v = 0;

	for (long i = 0; i < bench.n; i++) {
		co_await out.send(v);
		v = co_await in.recv();
	}
	total = v;
	co_return 0;
}

void
pingpong_question()
{
	channel<long> there(0), back(0);

	spawn(pong(there, back));
	spawn(ping(there, back));
	began = bench_now();
	run();
	peer_each("pingpong", began, 2.0 * bench.n);
	bench_check(total == bench.n, "every ball came back");
}

task
sender(channel<int> &c)
{
	for (long i = 0, n = bench.n / bench.k; i < n; i++)
		co_await c.send((int)(i & 0xff));
	co_return 0;
}

task
receiver(channel<int> &c)
{
	for (long i = 0, n = bench.n / bench.k; i < n; i++)
		total += co_await c.recv();
	co_return 0;
}

void
buffered_question()
{
	channel<int> c(128);
	char metric[32];
	long wanted = 0;

	for (long k = 0; k < bench.k; k++) {
		spawn(sender(c));
		spawn(receiver(c));
	}
	began = bench_now();
	run();
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	peer_each(metric, began, bench.n);
	for (long i = 0; i < bench.n / bench.k; i++)
		wanted += i & 0xff;
	bench_check(total == wanted * bench.k, "the sum of the messages");
}

struct generator {
	struct promise_type {
		long value = 0;

		generator get_return_object()
		{
			return { std::coroutine_handle<promise_type>::
			    from_promise(*this) };
		}
		std::suspend_always initial_suspend() { return {}; }
		std::suspend_always final_suspend() noexcept { return {}; }
		std::suspend_always yield_value(long v)
		{
			value = v;
			return {};
		}
		void return_void() {}
		void unhandled_exception() { abort(); }
	};

	std::coroutine_handle<promise_type> h;
};

__attribute__((noinline)) generator
numbers()
{
	for (long i = 0; i < bench.n; i++)
		co_yield i;
}

void
generator_question()
{
	generator g = numbers();

	began = bench_now();
	for (g.h.resume(); !g.h.done(); g.h.resume())
		total += g.h.promise().value;
	peer_each("generator", began, bench.n);
	bench_check(total == bench.n * (bench.n - 1) / 2,
	    "the sum of the values");
	g.h.destroy();
}

task
count(channel<int> &out)
{
	for (int i = 2;; i++)
		co_await out.send(i);
	co_return 0;
}

task
sift(channel<int> &in, channel<int> &out, int prime)
{
	for (;;) {
		int v = co_await in.recv();

		if (v % prime != 0)
			co_await out.send(v);
	}
	co_return 0;
}

/* Frames and channels go with the process. */
task
sieve()
{
	auto *c = new channel<int>(0);
	int prime = 0;

	began = bench_now();
	spawn(count(*c));
	for (long i = 0; i < bench.n; i++) {
		auto *d = new channel<int>(0);

		prime = co_await c->recv();
		spawn(sift(*c, *d, prime));
		c = d;
	}
	bench_result("sieve", (double)(bench_now() - began) / 1e9, "s");
	bench_check(bench.n != 5000 || prime == 48611, "the 5000th is 48611");
	exit(0);
}

void
sieve_question()
{
	spawn(sieve());
	run();
}

task
skynet(channel<long> *out, long number, long size)
{
	long sum = 0;

	if (size == 1) {
		co_await out->send(number);
		co_return 0;
	}
	channel<long> c(0);

	for (long i = 0; i < 10; i++)
		spawn(skynet(&c, number + i * (size / 10), size / 10));
	for (int i = 0; i < 10; i++)
		sum += co_await c.recv();
	co_await out->send(sum);
	co_return 0;
}

task
skynet_root(channel<long> &c)
{
	total = co_await c.recv();
	co_return 0;
}

void
skynet_question()
{
	channel<long> c(0);

	began = bench_now();
	spawn(skynet_root(c));
	spawn(skynet(&c, 0, bench.n));
	run();
	bench_result("skynet", (double)(bench_now() - began) / 1e9, "s");
	bench_result("skynet_peak", bench_memory("VmHWM:") / 1e6, "MB");
	bench_check(total == bench.n * (bench.n - 1) / 2,
	    "the sum of the leaves");
}

task
waiter(channel<int> &c)
{
	total++;
	co_await c.recv();
	co_return 0;
}

void
parked_question()
{
	double rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
	static channel<int> c(0);

	began = bench_now();
	for (long i = 0; i < bench.n; i++)
		spawn(waiter(c));
	run();
	bench_check(total == bench.n, "all started");
	peer_each("parked_create", began, bench.n);
	bench_result("parked_rss", (bench_memory("VmRSS:") - rss) / bench.n,
	    "B");
	bench_result("parked_tables", (bench_memory("VmPTE:") - tables) /
	    bench.n, "B");
}

}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "switch", switch_question },
		{ "yield", yield_question },
		{ "spawn", spawn_question },
		{ "suspend", suspend_question },
		{ "pingpong", pingpong_question },
		{ "buffered", buffered_question },
		{ "generator", generator_question },
		{ "sieve", sieve_question },
		{ "skynet", skynet_question },
		{ "parked", parked_question },
		{ nullptr, nullptr }
	};

	return peer_main(argc, argv, questions);
}
