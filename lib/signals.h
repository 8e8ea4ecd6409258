/* SPDX-License-Identifier: MIT */
/*
 * signals.h - signals that coroutines wait for.
 *
 * Layer 7.
 */
#ifndef WEFT_SIGNALS_H
#define WEFT_SIGNALS_H

struct runtime;

/* The runtime ends: no signal is caught for it any longer. */
void co__signals_end(struct runtime *rt);

#endif
