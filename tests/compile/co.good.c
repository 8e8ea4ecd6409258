/* SPDX-License-Identifier: MIT */
/* co.good.c - spawning, scopes, timeouts, shields, values of a coroutine. */
#include <weft/co.h>
#include <weft/scope.h>

struct job {
	int a, b;
};

static int
work(struct job *job)
{
	return job->a + job->b;
}

static int
look(const struct job *job)
{
	return job->a - job->b;
}

static int
count(int *n)
{
	return *n;
}

static int
text(const char **s)
{
	return **s;
}

static int
body(void *arg)
{
	return arg != NULL;
}

CO_LOCAL(int, depth);
static CO_LOCAL(struct job *, present);

static int
spawns(void)
{
	struct co_spawn_options options = {
		.name = "one", .stack_size = 65536, .pinned = true,
		.priority = CO_HIGH, .scope = NULL
	};
	struct co_task task;
	struct job job = { 1, 2 };
	int n = 0, x = 3;
	const char *s = "s";

	n += co_spawn(body, NULL);
	n += co_spawn_with(&options, body, NULL);
	n += co_go(work, job);
	n += co_go(work, (struct job){ 1, 3 });
	n += co_go(look, (struct job){ 1, 3 }) + co_go(&look, job);
	n += co_go(count, x);
	n += co_go(text, s);
	n += co_go(count, co_go(count, co_go(count, x)));
	if (co_go(work, ((struct job){ 4, 5 })) < 0)
		return -1;
	n += co_fork(&task, body, &n);
	co_task_cancel(&task);
	return n + co_join(&task);
}

static int
scopes(void)
{
	struct co_scope s, t;
	struct job job = { 0, 0 };
	int n = 0;

	co_scope(s) {
		n += co_spawn(body, NULL);
	}
	co_scope(s, .timeout = CO_SEC(5)) {
		co_scope(t, .deadline = co_now() + CO_MS(1),
		    .policy = CO_SUPERVISE) {
			co_timeout(CO_MS(200)) {
				co_shield() {
					co_timeout(CO_US(3))
						n += co_sleep(CO_NS(1));
				}
				co_timeout(CO_MS(100)) {
					if (n)
						break;
					continue;
				}
			}
			co_cancel(&s);
		}
		if (t.status < 0)
			return t.status;
		if (s.failures)
			goto out;
	}
out:
	n += co_local_set(depth, co_local_get(depth) + 1);
	n += co_local_set(depth, co_local_set(depth, 3));
	n += co_local_set(present, &job);
	return n + co_local_get(present)->a + co_cancelled();
}

int good(void);
int
good(void)
{
	struct co_options options = {
		.workers = 2, .stack_size = 65536, .blocking_threads = 3,
		.flags = 0
	};

	co_yield();
	co_yield_now();
	co_set_name(co_name());
	return co_run(&options, body, NULL) + spawns() + scopes() +
	    co_sleep(CO_FOREVER) + co_sleep_until(co_now()) + co_inside() +
	    (int)co_id() + CO_LOW + CO_NORMAL + CO_FAIL_FAST;
}
