/* SPDX-License-Identifier: MIT */
/*
 * blocking.h - threads for what must not block a worker.
 *
 * Layer 7.  Uses reactor.h, park.h.  Used by io.c, file.c, resolve.c.
 */
#ifndef WEFT_BLOCKING_H
#define WEFT_BLOCKING_H

#include "park.h"

struct runtime;

/*
 * Runs fn(arg) on a pool thread; t is the caller, whose scope has not ended.
 * 0: it ran, and *ret_result is what it returned.  Else it did not: the code
 * of the scope that ended, -EAGAIN or -ENOMEM.  A plain thread runs it itself.
 */
int blocking_run(struct task *t, co_fn *fn, void *arg, int *ret_result);

/*
 * The same for an arg of its own memory: who is cancelled does not wait for
 * the end, and drop(arg) is called when it has come.  After a code < 0 arg
 * is gone, or will be.
 */
int blocking_run_apart(struct task *t, co_fn *fn, void *arg,
    void (*drop)(void *arg), int *ret_result);

/* No task of the runtime lives: ends and joins the threads. */
void co__blocking_end(struct runtime *rt);

/* How many threads of the process are the pools'. */
int co__blocking_threads(void);

/* How long a thread without work stays.  For tests. */
extern co_time co__blocking_keep;

#endif
