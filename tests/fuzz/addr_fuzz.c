/* SPDX-License-Identifier: MIT */
/*
 * addr_fuzz.c - addresses as text: any text is read or refused, and what was
 * read and is written again reads as the same.
 */
#include "fuzz.h"

#include "addr.h"

/* In a buffer that just fits, and in all that do not. */
static void
check_sizes(const struct addr_sock *s, bool stream, const char *text)
{
	size_t n = strlen(text) + 1, size;
	char *buf;

	for (size = n > 40 ? n - 40 : 0; size <= n; size++) {
		buf = malloc(size + !size);
		must(buf);
		must(addr_format(s, stream, buf, size) ==
		    (size < n ? -EMSGSIZE : 0));
		if (size == n)
			must(strcmp(buf, text) == 0);
		free(buf);
	}
}

static void
check_again(const struct addr *a, const struct addr_sock *s)
{
	bool stream = addr_socktype(a->kind) == SOCK_STREAM;
	struct addr_sock again[2];
	char text[512], text2[512];
	struct addr b;

	must(addr_format(s, stream, text, sizeof text) == 0);
	check_sizes(s, stream, text);
	must(addr_parse(text, &b) == 0);
	must(b.kind == a->kind);
	must(addr_numeric(&b, again) >= 1);
	must(addr_format(again, stream, text2, sizeof text2) == 0);
	must(strcmp(text, text2) == 0);
}

static void
check_fields(const struct addr *a)
{
	must(memchr(a->host, '\0', sizeof a->host) != NULL);
	must(memchr(a->port, '\0', sizeof a->port) != NULL);
	must(a->un_len <= sizeof a->un);
	must((a->kind == ADDR_UNIX) == (a->un_len > 0));
	must((a->kind == ADDR_UNIX) == (a->port[0] == '\0'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr_sock sock[2];
	struct addr a;
	char *text = malloc(size + 1);
	int code, n, i;

	must(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	memset(&a, 0xa5, sizeof a);
	code = addr_parse(text, &a);
	must(code == 0 || code == -EINVAL || code == -ENAMETOOLONG);
	if (code == 0) {
		check_fields(&a);
		n = addr_numeric(&a, sock);
		must((n >= 0 && n <= 2) || n == -EINVAL);
		for (i = 0; i < n; i++)
			check_again(&a, &sock[i]);
	}
	free(text);
	return 0;
}
