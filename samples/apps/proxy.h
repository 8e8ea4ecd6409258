/* SPDX-License-Identifier: MIT */
/* proxy.h - what the files of the proxy know of each other; see proxy.c. */
#ifndef PROXY_H
#define PROXY_H

#include <weft.h>

struct socks_options {
	const char *user;	/* NULL: everybody is let in */
	const char *password;
	co_time timeout;	/* of the handshake; of the connection */
};

/*
 * Reads what a SOCKS5 client asks for, connects to it, and answers.  The
 * descriptor of the connection, or a negative error number.
 */
int socks_open(int client, const struct socks_options *o);

enum relay_move {
	RELAY_AUTO,		/* what suits the traffic; see relay() */
	RELAY_COPY,
	RELAY_SPLICE
};

/*
 * Moves bytes both ways between two sockets until both directions have ended:
 * 0, or a negative error number: -ETIMEDOUT when nothing moved for the time
 * idle (0: however long).
 */
int relay(int a, int b, co_time idle, enum relay_move move);

#endif
