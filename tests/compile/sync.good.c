/* SPDX-License-Identifier: MIT */
/* sync.good.c - static initialisers, assignment, nested co_locked. */
#include <weft/sync.h>

static struct co_mutex mutex = CO_MUTEX_INIT;
static struct co_rwlock rwlock = CO_RWLOCK_INIT;
static struct co_cond cond = CO_COND_INIT;
static struct co_sem sem = CO_SEM_INIT(3);
static struct co_event event = CO_EVENT_INIT;
static struct co_barrier barrier = CO_BARRIER_INIT(2);
static struct co_once once = CO_ONCE_INIT;
static struct co_waitgroup group = CO_WAITGROUP_INIT;

static int
body(void *arg)
{
	return arg != NULL;
}

int good(void);
int
good(void)
{
	struct co_mutex other = CO_MUTEX_INIT;
	int n = 0;

	mutex = (struct co_mutex)CO_MUTEX_INIT;
	rwlock = (struct co_rwlock)CO_RWLOCK_INIT;
	cond = (struct co_cond)CO_COND_INIT;
	sem = (struct co_sem)CO_SEM_INIT(n + 1);
	event = (struct co_event)CO_EVENT_INIT;
	barrier = (struct co_barrier)CO_BARRIER_INIT(n + 2);
	once = (struct co_once)CO_ONCE_INIT;
	group = (struct co_waitgroup)CO_WAITGROUP_INIT;
	co_locked(&mutex) {
		co_locked(&other)
			n++;
		if (n > 1)
			break;
		if (n > 2)
			return n;
		n += co_cond_wait(&cond, &mutex);
	}
	co_locked(&(struct co_mutex)CO_MUTEX_INIT)
		n++;
	n += co_mutex_lock(&mutex) + co_mutex_try_lock(&mutex);
	co_mutex_unlock(&mutex);
	n += co_rwlock_rdlock(&rwlock) + co_rwlock_try_rdlock(&rwlock);
	n += co_rwlock_wrlock(&rwlock) + co_rwlock_try_wrlock(&rwlock);
	co_rwlock_unlock(&rwlock);
	co_cond_signal(&cond);
	co_cond_broadcast(&cond);
	n += co_sem_wait(&sem) + co_sem_try_wait(&sem);
	co_sem_post(&sem);
	n += co_event_wait(&event);
	co_event_set(&event);
	co_event_reset(&event);
	n += co_barrier_wait(&barrier) + co_once_do(&once, body, NULL);
	co_waitgroup_add(&group, 2);
	co_waitgroup_done(&group);
	return n + co_waitgroup_wait(&group);
}
