/* SPDX-License-Identifier: MIT */
/*
 * crawl_fetch.c - a request and its answer, a connection each.
 */
#include <errno.h>
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crawl.h"

struct reply {
	struct answer *a;
	size_t most;
	int code;		/* why it is of no use, or 0 */
	char field[32];
	bool in_value, cut, whole;
	char value[URL];
};

/* False: it was cut off. */
static bool
append(char *to, size_t size, const char *text, size_t n)
{
	size_t have = strlen(to), room = size - 1 - have;
	size_t some = n < room ? n : room;

	memcpy(to + have, text, some);
	to[have + some] = '\0';
	return some == n;
}

static void
end_header(struct reply *r)
{
	if (strcasecmp(r->field, "location") == 0) {
		if (r->cut)
			r->code = -ENAMETOOLONG;
		strcpy(r->a->location, r->value);
	}
	if (strcasecmp(r->field, "content-type") == 0)
		r->a->html = strncasecmp(r->value, "text/html", 9) == 0;
	r->field[0] = r->value[0] = '\0';
	r->in_value = r->cut = false;
}

static int
on_field(http_parser *p, const char *at, size_t n)
{
	struct reply *r = p->data;

	if (r->in_value)
		end_header(r);
	append(r->field, sizeof r->field, at, n);
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t n)
{
	struct reply *r = p->data;

	r->in_value = true;
	if (!append(r->value, sizeof r->value, at, n))
		r->cut = true;
	return 0;
}

static int
on_headers(http_parser *p)
{
	struct reply *r = p->data;

	end_header(r);
	r->a->status = (int)p->status_code;
	return 0;
}

static int
on_body(http_parser *p, const char *at, size_t n)
{
	struct reply *r = p->data;
	char *body;

	if (n > r->most - r->a->n) {
		r->code = -EMSGSIZE;
		return 1;
	}
	body = realloc(r->a->body, r->a->n + n);
	if (!body) {
		r->code = -ENOMEM;
		return 1;
	}
	memcpy(body + r->a->n, at, n);
	r->a->body = body;
	r->a->n += n;
	return 0;
}

static int
on_whole(http_parser *p)
{
	struct reply *r = p->data;

	r->whole = p->status_code / 100 != 1;	/* else another head follows */
	return 0;
}

static const http_parser_settings settings = {
	.on_header_field = on_field, .on_header_value = on_value,
	.on_headers_complete = on_headers, .on_body = on_body,
	.on_message_complete = on_whole,
};

static int
read_answer(int fd, struct reply *r)
{
	http_parser p;
	char buf[16 * 1024];
	ssize_t n;

	http_parser_init(&p, HTTP_RESPONSE);
	p.data = r;
	do {
		n = co_read(fd, buf, sizeof buf);
		if (n < 0)
			return (int)n;
		/* 0 bytes: the end, which some answers have for an end. */
		http_parser_execute(&p, &settings, buf, (size_t)n);
		if (r->code < 0)
			return r->code;
		if (HTTP_PARSER_ERRNO(&p) != HPE_OK && !r->whole)
			return -EPROTO;
	} while (n > 0 && !r->whole);
	return r->whole ? 0 : -EPROTO;
}

int
fetch(const struct site *s, const char *path, size_t most, struct answer *ret)
{
	struct reply r = { .a = ret, .most = most };
	char text[URL + 512];
	int fd, code, n;

	memset(ret, 0, sizeof *ret);
	snprintf(text, sizeof text, "tcp:%s:%d", s->host, s->port);
	fd = co_dial(text);
	if (fd < 0)
		return fd;
	n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n"
	    "User-Agent: weft-crawl\r\nConnection: close\r\n\r\n", path,
	    s->host, s->port);
	code = (int)co_write_full(fd, text, (size_t)n);
	if (code >= 0)
		code = read_answer(fd, &r);
	co_close(fd);
	if (code < 0) {
		free(ret->body);
		ret->body = NULL;
		ret->n = 0;
	}
	return code;
}
