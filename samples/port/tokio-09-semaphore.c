/* SPDX-License-Identifier: MIT */
/*
 * tokio-09-semaphore.c - so many at once, and a word that it is done.
 */
#include <stdio.h>
#include <weft.h>

static struct co_sem permits = CO_SEM_INIT(2);
static struct co_event done = CO_EVENT_INIT;

static int
work(void *arg)
{
	int code = co_sem_wait(&permits);

	(void)arg;
	if (code < 0)
		return code;
	printf("with a permit\n");
	co_event_set(&done);
	return co_sem_post(&permits);
}

static int
body(void *arg)
{
	int code = co_spawn(work, NULL);

	(void)arg;
	if (code == 0)
		code = co_event_wait(&done);
	if (code == 0)
		printf("told\n");
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
