/* SPDX-License-Identifier: MIT */
/*
 * os_hold.c - who waits with a mutex of the threads' in his hands.
 *
 * Layer 1.  Debug builds only.  A coroutine that holds a pthread mutex over a
 * wait may go on in another thread, which then unlocks what it has not locked,
 * and until then stops every worker that wants it.  So the calls of the C
 * library are found here first, and counted for the coroutine at hand;
 * co__locks_none_held asks for the count.
 *
 * Only with the static library: the shared one exports none of these names, and
 * the hook in Makefile.am leaves them global in the other.
 * Not under TSan, which has them, too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE		/* RTLD_NEXT */
#endif

#include "base.h"

#if defined WEFT_DEBUG && !defined WEFT_TSAN

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include "self.h"

typedef int mutex_fn(pthread_mutex_t *m);
typedef int mutex_until_fn(pthread_mutex_t *m, const struct timespec *until);

static mutex_fn *real_lock, *real_try, *real_unlock;
static mutex_until_fn *real_timed;

/* Before main, when there is one thread. */
__attribute__((constructor)) static void
find_them(void)
{
	real_try = (mutex_fn *)dlsym(RTLD_NEXT, "pthread_mutex_trylock");
	real_timed = (mutex_until_fn *)dlsym(RTLD_NEXT,
	    "pthread_mutex_timedlock");
	real_unlock = (mutex_fn *)dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	real_lock = (mutex_fn *)dlsym(RTLD_NEXT, "pthread_mutex_lock");
}

static inline void
be_ready(void)
{
	if (unlikely(!real_lock))	/* another constructor is earlier */
		find_them();
}

static int
count(int code, uint32_t n)
{
	struct self *s = self_get();

	if (code == 0 && s->current)
		s->mutexes += n;
	return code;
}

int
pthread_mutex_lock(pthread_mutex_t *m)
{
	be_ready();
	return count(real_lock(m), 1);
}

int
pthread_mutex_trylock(pthread_mutex_t *m)
{
	be_ready();
	return count(real_try(m), 1);
}

int
pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
	be_ready();
	return count(real_timed(m, until), 1);
}

int
pthread_mutex_unlock(pthread_mutex_t *m)
{
	be_ready();
	return count(real_unlock(m), -1u);
}

#endif
