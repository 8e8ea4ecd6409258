/* SPDX-License-Identifier: MIT */
/*
 * local.h - task-local values that children inherit.
 *
 * Layer 5.
 */
#ifndef WEFT_LOCAL_H
#define WEFT_LOCAL_H

struct locals;

struct locals *locals_ref(struct locals *l);	/* NULL is none */
void locals_unref(struct locals *l);

#endif
