/* SPDX-License-Identifier: MIT */
/*
 * explore_site.h - what an operation of a model says to the explorer.
 *
 * For explore_atomic.h; models include explore.h.
 */
#ifndef WEFT_EXPLORE_SITE_H
#define WEFT_EXPLORE_SITE_H

#include <stdbool.h>
#include <stddef.h>

enum explore_op {
	OP_LOAD, OP_STORE, OP_CHANGE, OP_CAS, OP_FENCE, OP_LIGHT, OP_HEAVY,
	OP_PAUSE, OP_POINT, OP_WAIT, OP_END
};

struct explore_site {
	enum explore_op op;
	const char *file;
	int line;
	const char *func;
	const char *what;	/* the text of the address */
	unsigned round;		/* explore.c: of which `bugged` is */
	int bugged;		/* explore.c: the planted bug is here */
};

/* These give the place to read: the object, or a value that a bug forges. */
const void *explore_load(struct explore_site *at, const void *p, size_t size);
/* These give the place to write, and are told when that is done. */
void *explore_store(struct explore_site *at, void *p, size_t size);
void explore_stored(void);
void *explore_change(struct explore_site *at, void *p, size_t size);
void *explore_cas(struct explore_site *at, void *p, size_t size,
    const void *old);
void explore_changed(void);

void explore_fence(struct explore_site *at);
void explore_light(struct explore_site *at);
void explore_heavy(struct explore_site *at);
/* Spinning: see explore.h. */
void explore_pause(struct explore_site *at);

#endif
