/* SPDX-License-Identifier: MIT */
/* cxx.good.cc - the functions serve C++ as well. */
#include <weft.h>

static int
body(void *arg)
{
	return arg != nullptr;
}

int good();
int
good()
{
	struct co_options options = co_options();
	struct co_scope scope;
	struct co_task task;
	int n = 0;

	options.workers = 2;
	n += co_run(&options, body, nullptr);
	n += co_scope_enter(&scope, nullptr);
	n += co_spawn(body, &n) + co_fork(&task, body, nullptr);
	co_task_cancel(&task);
	co_cancel(&scope);
	n += co_join(&task) + co_scope_leave(&scope);
	co_yield_now();
	return n + co_sleep(CO_MS(3)) + (co_now() > CO_FOREVER - CO_SEC(1));
}
