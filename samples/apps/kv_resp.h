/* SPDX-License-Identifier: MIT */
/*
 * kv_resp.h - requests of the Redis protocol, taken out of a buffer.
 *
 * It knows nothing of sockets or coroutines and allocates nothing but the list
 * of arguments, so that it can be tested, and fuzzed, alone.
 */
#ifndef KV_RESP_H
#define KV_RESP_H

#include <stddef.h>

enum {
	KV_MAX_ARGS = 1024 * 1024,
	KV_MAX_LINE = 64 * 1024		/* an inline request, or a length */
};

/* A piece of the caller's buffer.  Not ended by a NUL. */
struct kv_arg {
	union {
		char *p;
		size_t offset;		/* until the request is whole */
	};
	size_t n;
};

struct kv_parser {		/* all zero at first, but for max_bulk */
	size_t max_bulk;	/* [const] the longest argument */
	struct kv_arg *args;	/* of a whole request */
	size_t n_args;
	char error[64];		/* what was wrong, as Redis words it */
	/* Of a request that is not whole yet: */
	size_t at;		/* bytes of it that were read */
	size_t left;		/* arguments still to come; 0: at its begin */
	size_t bulk;		/* length of the next one, if known */
	int bulk_known;
	size_t room;		/* in args */
};

/*
 * 1: a request is whole; args and n_args say what it is, n_args = 0 that there
 * is nothing to do; it took *ret_used bytes, in which args point.
 * 0: more bytes are needed; call again with them behind the others.  The
 * buffer may have moved in between.
 * -EPROTO: it is none; error says why.  -ENOMEM.
 * Inline requests are unquoted in place: buf is written to.
 */
int kv_parse(struct kv_parser *p, char *buf, size_t n, size_t *ret_used);

void kv_parser_free(struct kv_parser *p);

/* The whole of p as a number, as Redis takes it: no blanks, no leading zeros.
   0, or -1. */
int kv_number(const char *p, size_t n, long long *ret);

#endif
