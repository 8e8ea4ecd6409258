/* SPDX-License-Identifier: MIT */
/*
 * waits.h - what a wait is for, read from the object itself.
 *
 * Layer 10.
 */
#ifndef WEFT_WAITS_H
#define WEFT_WAITS_H

#include "snap.h"

#include <weft/chan.h>

/* What there is to say besides the object; a zeroed one says nothing. */
struct wait_facts {
	const char *op;		/* "receive from channel" */
	const void *obj;	/* NULL: none that has an address */
	const char *key[2];	/* NULL, or what these count: "fd", ... */
	uint64_t n[2];
	const char *holder_is;	/* NULL, or "held by", "joins", ... */
	const void *holder;	/* its record: not to be read */
	uint64_t holder_id;	/* 0: not a coroutine */
	bool holder_thread;	/* but a plain thread */
	const void *fn;		/* of a blocking job */
	co_time until;		/* of a sleep; CO_FOREVER */
};

void wait_facts(struct wait_facts *ret, enum wait_reason why,
    const void *obj);

/*
 * Takes a snap with what it waits for, all of one moment: false, as snap_take.
 * One that never waits for long enough is runnable.  Of a select the cases are
 * not in the facts.
 */
bool wait_snap(struct snap *ret, struct wait_facts *ret_facts,
    struct runtime *rt, struct task *t);

/* The cases of a select: how many there are. */
int wait_cases(const void *obj, const struct co_case **ret_cases);
/* One of them.  False: it cannot be read, or s waits no longer. */
bool wait_case(struct wait_facts *ret, const struct snap *s,
    const struct co_case *c);

#endif
