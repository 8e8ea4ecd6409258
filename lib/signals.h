/* SPDX-License-Identifier: MIT */
/*
 * signals.h - signals that coroutines wait for.
 *
 * Layer 7.
 */
#ifndef WEFT_SIGNALS_H
#define WEFT_SIGNALS_H

struct runtime;

/* The calling coroutine's runtime catches the signal from now on and has call()
   made on a worker's own stack whenever it came, whoever waits for it besides:
   0, or a negative errno.  One call for each signal. */
int co__signals_call(int signo, void (*call)(void));

/* The runtime ends: no signal is caught for it any longer.  What has come is
   posted to the loop of worker 0 still; when that is served, free. */
void co__signals_end(struct runtime *rt);
void co__signals_free(struct runtime *rt);

#endif
