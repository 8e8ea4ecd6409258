/* SPDX-License-Identifier: MIT */
/*
 * inject/fault.h - libc and system calls that fail when a test says so.
 *
 * The linker puts __wrap_x in the place of x for each x in wrap.list: in the
 * library, in libev, which is linked statically for that, and in the test.
 * Calls that libc makes inside of itself are not seen.
 *
 *	fault_arm(&(struct fault){ .from = n, .times = 1 });
 *	...
 *	injected = fault_disarm();
 *
 * Calls are counted over all threads, from 1.  Which calls count says `only`,
 * by name; NULL: all of them.  Each has the errors that the kernel or libc may
 * give there and that can be survived; `variant` chooses among them.
 */
#ifndef WEFT_TESTS_INJECT_FAULT_H
#define WEFT_TESTS_INJECT_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fault {
	const char *only;	/* names, each with a blank around it */
	uint64_t from;		/* the first call that fails; 0: none */
	uint64_t times;		/* how many fail; 0: from then on all */
	uint64_t every;		/* of those, every so-manieth; 0: each */
	unsigned chance;	/* of those, so many of 1000; 0: each */
	uint64_t seed;		/* for chance */
	unsigned variant;	/* which of its errors */
	int error;		/* not 0: this, in place of its own */
	size_t most;		/* not 0: no failure, but a count of at most
				   this many bytes */
};

void fault_arm(const struct fault *f);
uint64_t fault_disarm(void);		/* how many were injected */
uint64_t fault_calls(void);		/* that were counted since fault_arm */

/* The first that was injected since fault_arm: its name, its error, and how
   many variants it has.  "" when there was none. */
const char *fault_name(void);
int fault_error(void);
unsigned fault_variants(void);

/* How many pieces of memory there are that were not freed. */
int64_t fault_memory(void);
/* Bytes mapped and not unmapped. */
int64_t fault_mapped(void);

/* From now on every name has these numeric addresses, in this order, up to a
   NULL.  NULL: each has its own. */
void fault_hosts(const char *const *addresses);

/* Not true of what the sanitizer of this build needs for itself. */
bool fault_can(const char *name);
/* Is libev linked statically, so that its calls are seen? */
bool fault_sees_libev(void);

#endif
