/* SPDX-License-Identifier: MIT */
/*
 * place.h - an address of code in words.
 *
 * Layer 10.
 */
#ifndef WEFT_PLACE_H
#define WEFT_PLACE_H

#include "text.h"

/* "file+0x12ab", as addr2line takes it.  For signal handlers too. */
void place_add(struct text *x, const void *at);

/* "function (file+0x12ab)" where a function that is exported is known.  Not
   for signal handlers: it may wait for the loader. */
void place_add_named(struct text *x, const void *at);

/* In words too, as members of an object of JSON: "file", "offset" and, where
   it is known, "function". */
void place_add_json(struct text *x, const void *at);

#endif
