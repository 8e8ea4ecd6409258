/* SPDX-License-Identifier: MIT */
/*
 * exceptions.cc - exceptions of C++ and coroutines.
 *
 *	exceptions caught		they stay in their coroutine: nothing said
 *	exceptions out|job|exit		the process dies, and it is said of what
 */
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include <pthread.h>

#include <weft.h>

#define need(cond) \
	do { \
		if (!(cond)) { \
			std::fprintf(stderr, "%s:%d: not true: %s\n", \
			    __FILE__, __LINE__, #cond); \
			std::exit(1); \
		} \
	} while (0)

static std::atomic<int> alive;

/* It counts itself, and knows whether its frame stayed whole. */
struct Canary {
	explicit Canary(int n) : value(n), inverse(~n) { alive++; }
	Canary(const Canary &) = delete;
	~Canary() { need(inverse == ~value); alive--; }
	int value, inverse;
};

struct Thrown : std::runtime_error {
	Thrown(int by, int at)
	    : std::runtime_error("by " + std::to_string(by)), id(by), level(at)
	{
	}
	int id, level;
};

static void
down(int id, int level, int bottom)
{
	Canary canary(id * 1000 + level);

	if (level % 3 == 0)
		co_yield_now();
	if (level == bottom)
		throw Thrown(id, level);
	if (level % 7 != 5) {
		down(id, level + 1, bottom);
		return;
	}
	try {
		down(id, level + 1, bottom);
	} catch (const Thrown &e) {
		need(e.id == id && e.level == bottom);
		throw;
	}
}

static int
throw_and_catch(void *arg)
{
	int id = *static_cast<int *>(arg);

	for (int i = 0; i < 50; i++) {
		int bottom = (id + i) % 30, caught = 0;

		try {
			down(id, 0, bottom);
		} catch (const Thrown &e) {
			/* What is waited for comes after: see weft(7). */
			need(e.what() == "by " + std::to_string(id));
			caught = 1 + e.level;
		}
		need(caught == 1 + bottom);
		need(co_sleep(CO_US(1)) == 0);
	}
	return 0;
}

static int
many(void *)
{
	static int ids[200];
	struct co_scope s;
	int n = 0;

	need(co_scope_enter(&s, nullptr) == 0);
	for (int &id : ids) {
		id = n++;
		need(co_spawn(throw_and_catch, &id) == 0);
	}
	need(co_scope_leave(&s) == 0);
	need(alive == 0);
	return 7;
}

static int
throw_out(void *)
{
	Canary canary(1);

	co_yield_now();
	throw Thrown(1, 2);
}

static int
spawn_it(void *)
{
	need(co_spawn(throw_out, nullptr) == 0);
	return co_sleep(CO_FOREVER);
}

static int
throw_in_job(void *)
{
	return co_blocking(throw_out, nullptr);
}

struct Said {
	~Said() { std::fputs("unwound\n", stderr); }
};

static int
end_thread(void *)
{
	Said said;

	co_yield_now();
	pthread_exit(nullptr);
}

int
main(int argc, char **argv)
{
	static const int workers[] = { 1, 2, 4, 16 };
	const char *mode = argc > 1 ? argv[1] : "";

	for (int w : workers) {
		struct co_options options = co_options();

		options.workers = w;
		if (std::strcmp(mode, "caught") == 0)
			need(co_run(&options, many, nullptr) == 7);
		else if (std::strcmp(mode, "out") == 0)
			return co_run(&options, spawn_it, nullptr);
		else if (std::strcmp(mode, "job") == 0)
			return co_run(&options, throw_in_job, nullptr);
		else if (std::strcmp(mode, "exit") == 0)
			return co_run(&options, end_thread, nullptr);
		else
			return 2;
	}
	return 0;
}
