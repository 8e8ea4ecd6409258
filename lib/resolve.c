/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - names to addresses, by getaddrinfo(3) on the blocking pool.
 *
 * Layer 8.  Built on blocking, addr.
 *
 * A lookup may take half a minute and cannot be stopped.  So it has memory of
 * its own: who is cancelled leaves at once, and the lookup is thrown away when
 * it ends.  (It wants some 12 KiB of stack besides: never on a coroutine's.)
 */
#include "addr.h"
#include "blocking.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include <weft/io.h>

struct lookup {
	char *host, *service;		/* copies; NULL: none */
	struct addrinfo hints;
	struct addrinfo *found;
};

static int
code_of(int eai, int error)
{
	switch (eai) {
	case 0:
		return 0;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return error ? -error : -EIO;
	case EAI_AGAIN:
		return -EHOSTUNREACH;	/* no server answered */
	case EAI_FAIL:
		return -EIO;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return -ENOENT;
	default:
		return -EINVAL;
	}
}

static int
look_up(void *arg)
{
	struct lookup *l = arg;
	int eai;

	errno = 0;
	eai = getaddrinfo(l->host, l->service, &l->hints, &l->found);
	return code_of(eai, errno);
}

static void
lookup_free(void *arg)
{
	struct lookup *l = arg;

	if (l->found)
		freeaddrinfo(l->found);
	free(l->host);
	free(l->service);
	free(l);
}

static struct lookup *
lookup_new(const char *host, const char *service, const struct addrinfo *hints)
{
	struct lookup *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	if (hints) {
		l->hints.ai_flags = hints->ai_flags;
		l->hints.ai_family = hints->ai_family;
		l->hints.ai_socktype = hints->ai_socktype;
		l->hints.ai_protocol = hints->ai_protocol;
	}
	l->host = host ? strdup(host) : NULL;
	l->service = service ? strdup(service) : NULL;
	if ((host && !l->host) || (service && !l->service)) {
		lookup_free(l);
		return NULL;
	}
	return l;
}

EXPORT int
co_resolve(const char *host, const char *service, const struct addrinfo *hints,
    struct addrinfo **ret)
{
	struct task *t;
	struct lookup *l;
	int code, result = 0;

	if (!host && !service)
		return -EINVAL;
	code = wait_enter(&t);
	if (code)
		return code;
	l = lookup_new(host, service, hints);
	if (!l)
		return -ENOMEM;
	code = blocking_run_apart(t, look_up, l, lookup_free, &result);
	if (code < 0)
		return code;		/* l is gone, or will be */
	if (result == 0) {
		*ret = l->found;
		l->found = NULL;
	}
	lookup_free(l);
	return result;
}

/* The families in turn, beginning with the first one's: where one of the two
   leads nowhere, the second attempt is made with the other. */
static int
take_in_turn(const struct addrinfo *list, struct addr_sock *ret, int n)
{
	const struct addrinfo *ai[2] = { list, list };
	int family[2], i = 0, side = 0, k;

	family[0] = list->ai_family;
	family[1] = family[0] == AF_INET ? AF_INET6 : AF_INET;
	while (i < n && (ai[0] || ai[1])) {
		for (k = 0; k < 2; k++) {
			while (ai[k] && (ai[k]->ai_family != family[k] ||
			    ai[k]->ai_addrlen > sizeof ret->u))
				ai[k] = ai[k]->ai_next;
		}
		if (!ai[side])
			side = !side;
		if (!ai[side])
			break;
		memcpy(&ret[i].u, ai[side]->ai_addr, ai[side]->ai_addrlen);
		ret[i++].len = ai[side]->ai_addrlen;
		ai[side] = ai[side]->ai_next;
		side = !side;
	}
	return i;
}

/* Of `any`, only the service is looked up: getaddrinfo would give its two
   addresses with IPv4's first, where one of IPv6 is for both. */
static int
resolve_service(const struct addr *a, const struct addrinfo *hints,
    struct addr_sock ret[2])
{
	struct addr numeric = *a;
	struct addrinfo *list = NULL;
	struct addr_sock s;
	int code = co_resolve(NULL, a->port, hints, &list), n;

	if (code < 0)
		return code;
	n = take_in_turn(list, &s, 1);
	freeaddrinfo(list);
	if (n == 0)
		return -ENOENT;
	snprintf(numeric.port, sizeof numeric.port, "%u", (unsigned)ntohs(
	    s.u.any.sa_family == AF_INET ? s.u.in.sin_port :
	    s.u.in6.sin6_port));
	return addr_numeric(&numeric, ret);
}

int
addr_resolve(const struct addr *a, bool listening, struct addr_sock *ret, int n)
{
	const struct addrinfo hints = {
		.ai_socktype = addr_socktype(a->kind),
		.ai_flags = listening ? AI_PASSIVE : 0,
	};
	struct addrinfo *list = NULL;
	int code, found = addr_numeric(a, ret);

	if (found == 0 && !a->host[0])
		found = resolve_service(a, &hints, ret);
	if (found == 2 && !listening) {
		/* "Any" to connect to is this machine. */
		ret[0].u.in6.sin6_addr = in6addr_loopback;
		ret[1].u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	if (found != 0)
		return found;
	code = co_resolve(a->host, a->port, &hints, &list);
	if (code < 0)
		return code;
	found = take_in_turn(list, ret, n);
	freeaddrinfo(list);
	return found > 0 ? found : -ENOENT;
}
