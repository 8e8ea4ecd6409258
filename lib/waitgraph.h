/* SPDX-License-Identifier: MIT */
/*
 * waitgraph.h - who waits for whom, and where that goes in a circle.
 *
 * Layer 10.
 */
#ifndef WEFT_WAITGRAPH_H
#define WEFT_WAITGRAPH_H

#include "snap.h"
#include "text.h"

struct wait_node {
	struct snap at;
	const void *target;	/* the record of whom it waits for; NULL: all
				   children of the scope at.obj */
	uint64_t target_id;
	struct wait_node *via;	/* on the path of the search: before it */
	struct wait_node *next;	/* in the circle that was found */
	uint32_t tried;		/* targets that the search has followed */
	uint32_t mark;
};

/*
 * Calls found(node, arg) for each circle, linked by `next`: each of its members
 * has been waiting for the next since a moment that they have in common.  How
 * many; -ENOMEM.  No runtime of the list may be taken down meanwhile.
 */
int waitgraph_search(struct runtime *first,
    void (*found)(const struct wait_node *n, void *arg), void *arg);

/* "cycle: 5 waits for mutex 0x... held by 7, which joins 5", a line. */
void waitgraph_say(const struct wait_node *n, void *text);

#endif
