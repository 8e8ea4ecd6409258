/* SPDX-License-Identifier: MIT */
/*
 * foreign.c - stand-ins of threads that are not ours.
 *
 * Layer 5.  A stand-in is a task record without a stack, made when its thread
 * first needs one, and given back when the thread ends.
 *
 *	I1  the memory of a stand-in is never freed, only used again: a waker
 *	    may still be on its way into the futex call when the thread, awake
 *	    already, has ended.
 */
#include "foreign.h"
#include "local.h"
#include "os.h"
#include "park.h"

#include <stdlib.h>

static struct os_mutex mutex;
static struct foreign *free_list;	/* [mutex] */

static void
give_back(void *value)
{
	struct foreign *f = value;

	co__self = &co__nobody;
	locals_unref(f->ext.locals);
	f->ext.locals = NULL;
	os_mutex_lock(&mutex);
	f->next = free_list;
	free_list = f;
	os_mutex_unlock(&mutex);
}

static struct foreign *
take(void)
{
	struct foreign *f;

	os_mutex_lock(&mutex);
	f = free_list;
	if (f)
		free_list = f->next;
	os_mutex_unlock(&mutex);
	if (!f && !chaos_fail())
		f = calloc(1, sizeof *f);
	return f;
}

cold struct task *
co__stand_in(void)
{
	struct self *s = self_get();
	struct foreign *f;
	uint64_t park;

	/* On a worker's own stack nobody may wait. */
	bug_if(s->worker != NULL);
	os_init();
	f = take();
	if (!f)
		return NULL;
	park = f->task.park;	/* tickets go on: old ones stay stale */
	memset(&f->self, 0, sizeof f->self);
	memset(&f->task, 0, sizeof f->task);
	memset(&f->ext, 0, sizeof f->ext);
	f->task.park = park;
	f->task.kind = TASK_FOREIGN;
	f->task.bound = 1;
	f->task.u.run.ext = &f->ext;
	f->self.current = &f->task;
	f->woken = 0;
	if (os_at_thread_end(give_back, f) < 0) {
		give_back(f);
		return NULL;
	}
	co__self = &f->self;
	return &f->task;
}
