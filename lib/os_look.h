/* SPDX-License-Identifier: MIT */
/*
 * os_look.h - looking at memory that may be gone, and at threads of ours.
 *
 * Layer 1.  For inspection: nothing here is on a path that coroutines take.
 */
#ifndef WEFT_OS_LOOK_H
#define WEFT_OS_LOOK_H

#include "os.h"

/*
 * Copies n bytes from an address of this process that need not be mapped, and
 * that others may be writing to.  False: they are not there; *ret is then not
 * to be used.  The kernel does the reading, so neither can do harm.
 */
bool os_peek(void *ret, const void *from, size_t n);

int os_thread_id(void);		/* of the caller, as the kernel counts */

/* What a thread of this process does just now. */
struct os_thread_look {
	char state;		/* as in proc(5): R, S, D, ...; 0: not known */
	co_time used;		/* processor time; < 0: not known */
	uintptr_t pc;		/* of one that is in the kernel; 0: not known */
};
void os_thread_look(int tid, struct os_thread_look *ret);

/*
 * A signal that is sent to a thread so that it shows its stack: `show` is
 * called in its handler with the program counter and the frame pointer that
 * were interrupted.  -EBUSY: the program handles that signal itself; -ENOSYS:
 * not on this processor.  Counted: each begin has its end.
 */
int os_show_begin(void (*show)(uintptr_t pc, uintptr_t fp));
void os_show_end(void);
/* In each thread that may be asked.  True: it had blocked that signal. */
bool os_show_accept(void);
void os_show_refuse(void);	/* blocks it again */
int os_show_ask(int tid);	/* 0, or -errno */

#endif
