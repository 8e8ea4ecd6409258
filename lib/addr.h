/* SPDX-License-Identifier: MIT */
/*
 * addr.h - addresses as text: "tcp:host:port", "unix:/path".
 *
 * Layer 8.  Used by listen.c, dial.c, resolve.c.
 */
#ifndef WEFT_ADDR_H
#define WEFT_ADDR_H

#include "base.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

enum addr_kind { ADDR_TCP, ADDR_UDP, ADDR_UNIX };

enum { ADDR_HOST = 254, ADDR_PORT = 32 };	/* a name has 253 characters */

/* What a text says; no name has been looked up. */
struct addr {
	enum addr_kind kind;
	char host[ADDR_HOST];	/* "": any */
	char port[ADDR_PORT];	/* a number or a service */
	struct sockaddr_un un;
	socklen_t un_len;
};

/* A socket address with room for each kind. */
struct addr_sock {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage room;
	} u;
	socklen_t len;
};

/* 0; -EINVAL: not of the form; -ENAMETOOLONG: too long a path for a socket. */
int addr_parse(const char *text, struct addr *ret);

/*
 * The socket addresses that are known without looking up a name: how many, at
 * most 2; 0: there is a name to be looked up; -EINVAL: a zone that is no
 * interface of this machine.
 */
int addr_numeric(const struct addr *a, struct addr_sock ret[2]);

/* The text with its NUL into buf: 0, or -EMSGSIZE, -EAFNOSUPPORT. */
int addr_format(const struct addr_sock *s, bool is_stream, char *buf,
    size_t size);

static inline int
addr_socktype(enum addr_kind kind)
{
	return kind == ADDR_UDP ? SOCK_DGRAM : SOCK_STREAM;
}

/* All addresses of a, names looked up on the pool: how many, at most n; in the
   order in which to try them.  listening: to bind, not to connect. */
int addr_resolve(const struct addr *a, bool listening, struct addr_sock *ret,
    int n);

/* Ready to be connected or bound: a descriptor. */
int addr_socket(const struct addr *a, const struct addr_sock *s);

#endif
