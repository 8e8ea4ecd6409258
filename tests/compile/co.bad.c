/* SPDX-License-Identifier: MIT */
/* co.bad.c - what must not be spawned, or set. */
#include <weft/co.h>
#include <weft/scope.h>

struct job {
	int a;
};

static int
work(struct job *job)
{
	return job->a;
}

static void
nothing(struct job *job)
{
	job->a++;
}

static CO_LOCAL(struct job *, present);

int all(void);
int
all(void)
{
	struct job job = { 1 };
	double d = 1;
	int n = co_go(work, job) + co_local_set(present, &job) + (d > 0);

	nothing(&job);
#ifdef CASE_1 /* the value has another type than the function takes */
	n += co_go(work, d);
#endif
#ifdef CASE_2 /* a pointer to the value, not the value */
	n += co_go(work, &job);
#endif
#ifdef CASE_3 /* a function that returns nothing */
	n += co_go(nothing, job);
#endif
#ifdef CASE_4 /* no function at all */
	n += co_go(n, job);
#endif
#ifdef CASE_5 /* a local value of another type */
	n += co_local_set(present, &d);
#endif
#ifdef CASE_6 /* a local value read as another type */
	double *p = co_local_get(present);
	n += p != NULL;
#endif
#ifdef CASE_8 /* two values for one function */
	n += co_go(work, job, job);
#endif
#ifdef CASE_7 /* an option that does not exist */
	struct co_scope s;
	co_scope(s, .patience = 3)
		n++;
#endif
	return n;
}
