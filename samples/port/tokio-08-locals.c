/* SPDX-License-Identifier: MIT */
/*
 * tokio-08-locals.c - values of a task, and tasks of one thread.
 */
#include <pthread.h>
#include <stdio.h>
#include <weft.h>

static CO_LOCAL(const char *, user);

static int
greet(void *arg)
{
	(void)arg;
	printf("%s\n", co_local_get(user));	/* its spawner's value */
	return 0;
}

static int
stays(void *arg)
{
	pthread_t here = pthread_self();

	(void)arg;
	co_yield();
	if (pthread_equal(here, pthread_self()))
		printf("on one thread\n");
	return 0;
}

static int
body(void *arg)
{
	struct co_task task;
	int code = co_local_set(user, "ada");

	(void)arg;
	if (code == 0)
		code = co_fork(&task, greet, NULL);
	if (code == 0)
		code = co_join(&task);
	if (code == 0)
		code = co_spawn_with(&(struct co_spawn_options){
		    .pinned = true }, stays, NULL);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
