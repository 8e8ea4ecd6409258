/* SPDX-License-Identifier: MIT */
/*
 * proxy_socks.c - the server's side of a SOCKS5 handshake (RFC 1928, 1929).
 *
 * What is read is exactly what the protocol says, a few bytes at a time and
 * without a buffer: the next byte may be the client's first for the target,
 * and must be left in the socket for the relay.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "proxy.h"

enum {
	VERSION = 5, PASSWORD_VERSION = 1,
	BY_NOBODY = 0, BY_PASSWORD = 2, BY_NONE_OF_THESE = 0xff,
	CONNECT = 1,
	IPV4 = 1, NAME = 3, IPV6 = 4
};

enum reply {
	GRANTED, FAILED, FORBIDDEN, NET_UNREACHABLE, HOST_UNREACHABLE,
	REFUSED, EXPIRED, NO_SUCH_COMMAND, NO_SUCH_ADDRESS_TYPE
};

/* 0, or -EPIPE where the client has gone. */
static int
take(int fd, void *buf, size_t n)
{
	ssize_t got = co_read_full(fd, buf, n);

	return got < 0 ? (int)got : (size_t)got < n ? -EPIPE : 0;
}

static int
say(int fd, const void *bytes, size_t n)
{
	ssize_t sent = co_write_full(fd, bytes, n);

	return sent < 0 ? (int)sent : 0;
}

/* A byte that says how long it is, and then the text. */
static int
take_text(int fd, char ret_text[static 256], size_t *ret_n)
{
	unsigned char n;
	int code = take(fd, &n, 1);

	if (code == 0)
		code = take(fd, ret_text, n);
	if (code < 0)
		return code;
	ret_text[n] = '\0';
	*ret_n = n;
	return 0;
}

static bool
same(const char *text, size_t n, const char *wanted)
{
	return n == strlen(wanted) && memcmp(text, wanted, n) == 0;
}

static int
check_password(int fd, const struct socks_options *o)
{
	char user[256], password[256];
	unsigned char version;
	size_t n_user, n_password;
	int code;
	bool good;

	if ((code = take(fd, &version, 1)) < 0)
		return code;
	if (version != PASSWORD_VERSION)
		return -EPROTO;
	if ((code = take_text(fd, user, &n_user)) < 0 ||
	    (code = take_text(fd, password, &n_password)) < 0)
		return code;
	good = same(user, n_user, o->user) &&
	    same(password, n_password, o->password);
	code = say(fd, (char[]){ PASSWORD_VERSION, good ? 0 : 1 }, 2);
	return code < 0 ? code : good ? 0 : -EACCES;
}

static int
greet(int fd, const struct socks_options *o)
{
	unsigned char head[2], methods[255];
	unsigned char by = o->user ? BY_PASSWORD : BY_NOBODY;
	int code;

	if ((code = take(fd, head, 2)) < 0)
		return code;
	if (head[0] != VERSION)
		return -EPROTO;
	if ((code = take(fd, methods, head[1])) < 0)
		return code;
	if (!memchr(methods, by, head[1])) {
		code = say(fd, (unsigned char[]){ VERSION, BY_NONE_OF_THESE },
		    2);
		return code < 0 ? code : -EACCES;
	}
	code = say(fd, (unsigned char[]){ VERSION, by }, 2);
	return code == 0 && o->user ? check_password(fd, o) : code;
}

/*
 * A name comes from outside and goes into an address of co_dial(), where "*"
 * and ":" have meanings, and may have a NUL in it.
 */
static bool
is_name(const char *name, size_t n)
{
	return n > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

/* The address in the form that co_dial() wants. */
static int
take_address(int fd, unsigned char type, char *ret, size_t size)
{
	char host[256 + 2] = "", text[256];
	unsigned char ip[16], port[2];
	size_t n;
	int code;

	switch (type) {
	case IPV4:
		if ((code = take(fd, ip, 4)) < 0)
			return code;
		inet_ntop(AF_INET, ip, host, sizeof host);
		break;
	case IPV6:
		if ((code = take(fd, ip, 16)) < 0)
			return code;
		inet_ntop(AF_INET6, ip, text, sizeof text);
		snprintf(host, sizeof host, "[%s]", text);
		break;
	case NAME:
		if ((code = take_text(fd, text, &n)) < 0)
			return code;
		if (is_name(text, n))
			memcpy(host, text, n + 1);
		break;
	default:
		return -EAFNOSUPPORT;
	}
	if ((code = take(fd, port, 2)) < 0)
		return code;
	snprintf(ret, size, "tcp:%s:%d", host, port[0] << 8 | port[1]);
	return host[0] ? 0 : -ENOENT;
}

static enum reply
reply_of(int code)
{
	switch (code) {
	case -ECONNREFUSED:
		return REFUSED;
	case -ENETUNREACH:
		return NET_UNREACHABLE;
	case -EHOSTUNREACH:
	case -ENOENT:
	case -ETIMEDOUT:
		return HOST_UNREACHABLE;
	case -EACCES:
	case -EPERM:
		return FORBIDDEN;
	case -EOPNOTSUPP:
		return NO_SUCH_COMMAND;
	case -EAFNOSUPPORT:
		return NO_SUCH_ADDRESS_TYPE;
	default:
		return code < 0 ? FAILED : GRANTED;
	}
}

/* With the address that the connection comes from, where there is one. */
static int
answer(int fd, int target)
{
	unsigned char m[4 + 16 + 2] = { VERSION, reply_of(target), 0, IPV4 };
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} from = { .any = { .sa_family = AF_UNSPEC } };
	socklen_t size = sizeof from;

	if (target >= 0)
		getsockname(target, &from.any, &size);
	if (from.any.sa_family == AF_INET6) {
		m[3] = IPV6;
		memcpy(m + 4, &from.v6.sin6_addr, 16);
		memcpy(m + 20, &from.v6.sin6_port, 2);
		return say(fd, m, 22);
	}
	if (from.any.sa_family == AF_INET) {
		memcpy(m + 4, &from.v4.sin_addr, 4);
		memcpy(m + 8, &from.v4.sin_port, 2);
	}
	return say(fd, m, 10);
}

/* 0 and an address; or what is wrong with what was asked for. */
static int
take_request(int fd, char *ret_address, size_t size, int *ret_refusal)
{
	unsigned char head[4];
	int code;

	if ((code = take(fd, head, 4)) < 0)
		return code;
	if (head[0] != VERSION)
		return -EPROTO;
	code = take_address(fd, head[3], ret_address, size);
	if (code < 0 && code != -EAFNOSUPPORT && code != -ENOENT)
		return code;
	*ret_refusal = head[1] != CONNECT ? -EOPNOTSUPP : code;
	return 0;
}

int
socks_open(int client, const struct socks_options *o)
{
	char address[300];
	int code = -ETIMEDOUT, target = -ETIMEDOUT;

	co_timeout(o->timeout) {
		code = greet(client, o);
		if (code == 0)
			code = take_request(client, address, sizeof address,
			    &target);
	}
	if (code < 0)
		return code;
	if (target == 0) {
		co_timeout(o->timeout)
			target = co_dial(address);
	}
	co_timeout(o->timeout)
		code = answer(client, target);
	if (code < 0 && target >= 0) {
		co_close(target);
		return code;
	}
	return target;
}
