/* SPDX-License-Identifier: MIT */
/*
 * signals.h - signals that coroutines wait for.
 *
 * Layer 7.
 */
#ifndef WEFT_SIGNALS_H
#define WEFT_SIGNALS_H

#include <stdint.h>

struct runtime;

/* The calling coroutine's runtime catches the signal from now on and has call()
   made on a worker's own stack whenever it came, whoever waits for it besides:
   0, or a negative errno.  One call for each signal. */
int co__signals_call(int signo, void (*call)(void));

/* hooks.let_in. */
void co__signals_let_in(struct runtime *rt, uint32_t *let_in);

/* The runtime ends, on the thread that called co_run: no signal is caught for
   it any longer.  What has come is posted to the loop of worker 0 still; when
   that is served, free. */
void co__signals_end(struct runtime *rt);
void co__signals_free(struct runtime *rt);

#endif
