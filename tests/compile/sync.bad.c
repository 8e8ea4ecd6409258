/* SPDX-License-Identifier: MIT */
/* sync.bad.c - a wait may be cancelled: its result must not be dropped. */
#include <weft/sync.h>

int all(struct co_mutex *m, struct co_rwlock *l, struct co_cond *c,
    struct co_sem *s, struct co_event *e, struct co_barrier *b,
    struct co_waitgroup *w);
int
all(struct co_mutex *m, struct co_rwlock *l, struct co_cond *c,
    struct co_sem *s, struct co_event *e, struct co_barrier *b,
    struct co_waitgroup *w)
{
#ifdef CASE_1 /* locking a mutex */
	co_mutex_lock(m);
#endif
#ifdef CASE_2 /* read-locking */
	co_rwlock_rdlock(l);
#endif
#ifdef CASE_3 /* write-locking */
	co_rwlock_wrlock(l);
#endif
#ifdef CASE_4 /* waiting on a condition */
	co_cond_wait(c, m);
#endif
#ifdef CASE_5 /* waiting on a semaphore */
	co_sem_wait(s);
#endif
#ifdef CASE_6 /* waiting for an event */
	co_event_wait(e);
#endif
#ifdef CASE_7 /* waiting at a barrier */
	co_barrier_wait(b);
#endif
#ifdef CASE_8 /* waiting for a group */
	co_waitgroup_wait(w);
#endif
	return m && l && c && s && e && b && w;
}
