/* SPDX-License-Identifier: MIT */
/*
 * listen.c - sockets that wait for others, from an address as text.
 *
 * Layer 8.  Built on addr, io.
 */
#include "addr.h"
#include "park.h"

#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/io.h>

enum { QUEUE = 4096, ADDRESSES = 16 };	/* the kernel cuts QUEUE to its own
					   limit, which is 4096 by default */

static void
set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof value);
}

int
addr_socket(const struct addr *a, const struct addr_sock *s)
{
	int fd = co_socket(s->u.any.sa_family, addr_socktype(a->kind), 0);

	if (fd < 0)
		return fd;
	/* A listener's connections inherit it. */
	if (a->kind == ADDR_TCP)
		set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

/*
 * A socket's file stays when its owner dies.  If nobody answers there, it is
 * in the way of nobody but us.
 */
static bool
remove_stale(const struct addr_sock *s)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(s->u.un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = co_socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, &s->u.any, s->len) < 0 && errno == ECONNREFUSED;
	co_close(fd);
	return stale && unlink(s->u.un.sun_path) == 0;
}

static int
bind_to(int fd, const struct addr_sock *s)
{
	int code;

	if (bind(fd, &s->u.any, s->len) == 0)
		return 0;
	code = -errno;
	if (code == -EADDRINUSE && s->u.any.sa_family == AF_UNIX &&
	    s->u.un.sun_path[0] && remove_stale(s))
		return bind(fd, &s->u.any, s->len) == 0 ? 0 : -errno;
	return code;
}

static int
listen_at(const struct addr *a, const struct addr_sock *s)
{
	int code, fd = addr_socket(a, s);

	if (fd < 0)
		return fd;
	if (a->kind == ADDR_TCP)
		set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (s->u.any.sa_family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY,
		    !IN6_IS_ADDR_UNSPECIFIED(&s->u.in6.sin6_addr) &&
		    !IN6_IS_ADDR_V4MAPPED(&s->u.in6.sin6_addr));
	code = bind_to(fd, s);
	if (code == 0 && a->kind != ADDR_UDP && listen(fd, QUEUE) < 0)
		code = -errno;
	if (code < 0) {
		co_close(fd);
		return code;
	}
	return fd;
}

EXPORT int
co_listen(const char *address)
{
	struct addr_sock list[ADDRESSES];
	struct task *t;
	struct addr a;
	int i, n, fd = -EINVAL, first = 0;

	n = addr_parse(address, &a);
	if (n < 0)
		return n;
	n = wait_enter(&t);
	if (n)
		return n;
	n = addr_resolve(&a, true, list, ADDRESSES);
	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		fd = listen_at(&a, &list[i]);
		if (fd >= 0)
			return fd;
		/* Without IPv6 the reason is the next address's. */
		if (first == 0 && fd != -EAFNOSUPPORT &&
		    fd != -EADDRNOTAVAIL)
			first = fd;
	}
	return first ? first : fd;
}

/* --- addresses of sockets ------------------------------------------------- */

static int
address_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *), char *buf,
    size_t size)
{
	struct addr_sock s;
	socklen_t len = sizeof(int);
	int type = 0;

	memset(&s, 0, sizeof s);
	s.len = sizeof s.u;
	if (get(fd, &s.u.any, &s.len) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	return addr_format(&s, type == SOCK_STREAM, buf, size);
}

static int
own_name(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getsockname(fd, sa, len);
}

static int
peer_name(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getpeername(fd, sa, len);
}

EXPORT int
co_address(int fd, char *buf, size_t size)
{
	return address_of(fd, own_name, buf, size);
}

EXPORT int
co_peer_address(int fd, char *buf, size_t size)
{
	return address_of(fd, peer_name, buf, size);
}
