/* SPDX-License-Identifier: MIT */
/*
 * fault.h - the last line of a coroutine that overflowed its stack.
 *
 * Layer 10.
 */
#ifndef WEFT_FAULT_H
#define WEFT_FAULT_H

/* Once in the process: 0, or a negative errno. */
int fault_install(void);

#endif
