/* SPDX-License-Identifier: MIT */
/*
 * addr.c - addresses as text, read and written.
 *
 * Layer 8.  No system calls, no names looked up: a function of the text.  But
 * for addr_numeric, which asks for the number of an interface.
 *
 *	address	= ( "tcp:" | "udp:" ) host ":" port  |  "unix:" path
 *	host	= "" | "*" | name | IPv4 | "[" IPv6 [ "%" zone ] "]"
 *	zone	= number below 2^32 | interface
 *	port	= number up to 65535 | service
 *	service	= letters, digits, "-_.+"; a letter at least: what has none
 *		  getaddrinfo takes for a number, and cuts it to 16 bits
 *	path	= any but the empty one; "@name": the abstract name
 */
#include "addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

/* --- reading -------------------------------------------------------------- */

static bool
all_of(const char *s, size_t n, const char *set)
{
	return strspn(s, set) >= n;
}

#define LETTERS	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"

static int
parse_port(const char *s, struct addr *a)
{
	size_t n = strlen(s);

	if (n == 0 || n >= sizeof a->port)
		return -EINVAL;
	if (all_of(s, n, DIGITS)) {
		if (n > 5 || atoi(s) > 65535)
			return -EINVAL;
	} else if (!all_of(s, n, LETTERS DIGITS "-_.+") ||
	    !strpbrk(s, LETTERS)) {
		return -EINVAL;
	}
	memcpy(a->port, s, n + 1);
	return 0;
}

/* What is all digits is a number. */
static bool
is_zone(const char *zone)
{
	size_t n = strlen(zone);

	return n > 0 && (!all_of(zone, n, DIGITS) ||
	    (n <= 10 && strtoull(zone, NULL, 10) <= UINT32_MAX));
}

static int
parse_v6(const char *s, size_t n, struct addr *a)
{
	struct in6_addr in6;
	char *zone;

	if (n == 0 || n >= sizeof a->host)
		return -EINVAL;
	memcpy(a->host, s, n);
	a->host[n] = '\0';
	zone = strchr(a->host, '%');
	if (zone)
		*zone = '\0';
	if (inet_pton(AF_INET6, a->host, &in6) != 1 ||
	    (zone && !is_zone(zone + 1)))
		return -EINVAL;
	if (zone)
		*zone = '%';
	return 0;
}

static int
parse_name(const char *s, size_t n, struct addr *a)
{
	if (n == 1 && *s == '*')
		n = 0;
	if (n >= sizeof a->host || !all_of(s, n, LETTERS DIGITS "-._"))
		return -EINVAL;
	memcpy(a->host, s, n);
	a->host[n] = '\0';
	return 0;
}

static int
parse_inet(const char *s, struct addr *a)
{
	const char *end = *s == '[' ? strchr(s, ']') : strchr(s, ':');
	int code;

	if (!end)
		return -EINVAL;
	if (*s == '[') {
		if (end[1] != ':')
			return -EINVAL;
		code = parse_v6(s + 1, (size_t)(end - s) - 1, a);
		end++;
	} else {
		code = parse_name(s, (size_t)(end - s), a);
	}
	return code < 0 ? code : parse_port(end + 1, a);
}

static int
parse_unix(const char *s, struct addr *a)
{
	bool abstract = *s == '@';
	size_t n = strlen(s);

	if (n == 0 || (abstract && n == 1))
		return -EINVAL;
	if (n + !abstract > sizeof a->un.sun_path)
		return -ENAMETOOLONG;
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, s, n);
	if (abstract)
		a->un.sun_path[0] = '\0';	/* its length is its end */
	a->un_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
	    !abstract);
	return 0;
}

int
addr_parse(const char *text, struct addr *ret)
{
	struct addr a;
	int code;

	if (!text)
		return -EINVAL;
	memset(&a, 0, sizeof a);
	if (strncmp(text, "unix:", 5) == 0) {
		a.kind = ADDR_UNIX;
		code = parse_unix(text + 5, &a);
	} else if (strncmp(text, "tcp:", 4) == 0) {
		a.kind = ADDR_TCP;
		code = parse_inet(text + 4, &a);
	} else if (strncmp(text, "udp:", 4) == 0) {
		a.kind = ADDR_UDP;
		code = parse_inet(text + 4, &a);
	} else {
		return -EINVAL;
	}
	if (code == 0)
		*ret = a;
	return code;
}

/* --- numbers -------------------------------------------------------------- */

static void
set_v4(struct addr_sock *s, struct in_addr in, uint16_t port)
{
	memset(s, 0, sizeof *s);
	s->u.in.sin_family = AF_INET;
	s->u.in.sin_addr = in;
	s->u.in.sin_port = htons(port);
	s->len = sizeof s->u.in;
}

static void
set_v6(struct addr_sock *s, struct in6_addr in6, uint16_t port, uint32_t scope)
{
	memset(s, 0, sizeof *s);
	s->u.in6.sin6_family = AF_INET6;
	s->u.in6.sin6_addr = in6;
	s->u.in6.sin6_port = htons(port);
	s->u.in6.sin6_scope_id = scope;
	s->len = sizeof s->u.in6;
}

/* False: there is no such interface. */
static bool
zone_index(const char *zone, uint32_t *ret)
{
	uint32_t n;

	if (all_of(zone, strlen(zone), DIGITS)) {
		*ret = (uint32_t)strtoul(zone, NULL, 10);
		return true;
	}
	n = if_nametoindex(zone);
	if (n > 0)
		*ret = n;
	return n > 0;
}

int
addr_numeric(const struct addr *a, struct addr_sock ret[2])
{
	char host[ADDR_HOST];
	struct in6_addr in6;
	struct in_addr in;
	uint32_t scope = 0;
	uint16_t port;
	char *zone;

	if (a->kind == ADDR_UNIX) {
		ret->u.un = a->un;
		ret->len = a->un_len;
		return 1;
	}
	if (!all_of(a->port, strlen(a->port), DIGITS))
		return 0;
	port = (uint16_t)atoi(a->port);
	if (!a->host[0]) {
		/* One socket for both families, where there are two. */
		set_v6(&ret[0], in6addr_any, port, 0);
		set_v4(&ret[1], (struct in_addr){ htonl(INADDR_ANY) }, port);
		return 2;
	}
	if (inet_pton(AF_INET, a->host, &in) == 1) {
		set_v4(ret, in, port);
		return 1;
	}
	memcpy(host, a->host, sizeof host);
	zone = strchr(host, '%');
	if (zone) {
		*zone = '\0';
		if (!zone_index(zone + 1, &scope))
			return -EINVAL;
	}
	if (inet_pton(AF_INET6, host, &in6) != 1)
		return 0;
	set_v6(ret, in6, port, scope);
	return 1;
}

/* --- writing -------------------------------------------------------------- */

static int
fits(int n, size_t size)
{
	return n < 0 || (size_t)n >= size ? -EMSGSIZE : 0;
}

static int
format_unix(const struct addr_sock *s, char *buf, size_t size)
{
	const char *path = s->u.un.sun_path;
	size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t n = s->len > head ? s->len - head : 0;

	if (n == 0)
		return fits(snprintf(buf, size, "unix:"), size);
	if (path[0] == '\0') {
		if (memchr(path + 1, '\0', n - 1))
			return -EINVAL;		/* no address says that */
		return fits(snprintf(buf, size, "unix:@%.*s", (int)n - 1,
		    path + 1), size);
	}
	return fits(snprintf(buf, size, "unix:%s%.*s",
	    path[0] == '@' ? "./" : "", (int)n, path), size);
}

static int
format_v6(const struct sockaddr_in6 *in6, const char *kind, char *buf,
    size_t size)
{
	const uint8_t *b = in6->sin6_addr.s6_addr;
	char text[INET6_ADDRSTRLEN], zone[16] = "";
	unsigned port = ntohs(in6->sin6_port);

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		return fits(snprintf(buf, size, "%s:%u.%u.%u.%u:%u", kind,
		    b[12], b[13], b[14], b[15], port), size);
	inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
	if (in6->sin6_scope_id)
		snprintf(zone, sizeof zone, "%%%u", in6->sin6_scope_id);
	return fits(snprintf(buf, size, "%s:[%s%s]:%u", kind, text, zone, port),
	    size);
}

int
addr_format(const struct addr_sock *s, bool is_stream, char *buf, size_t size)
{
	const char *kind = is_stream ? "tcp" : "udp";
	char text[INET_ADDRSTRLEN];

	switch (s->u.any.sa_family) {
	case AF_UNIX:
		return format_unix(s, buf, size);
	case AF_INET:
		inet_ntop(AF_INET, &s->u.in.sin_addr, text, sizeof text);
		return fits(snprintf(buf, size, "%s:%s:%u", kind, text,
		    (unsigned)ntohs(s->u.in.sin_port)), size);
	case AF_INET6:
		return format_v6(&s->u.in6, kind, buf, size);
	default:
		return -EAFNOSUPPORT;
	}
}
