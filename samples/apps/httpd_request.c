/* SPDX-License-Identifier: MIT */
/*
 * httpd_request.c - reads requests; http_parser judges them.
 *
 * No byte of the next request may be taken by this one.  So a head is read up
 * to its empty line, and of a body the parser tells how many bytes, or that a
 * line, is to come.
 *
 * Two readers of a request must not disagree on where it ends, or somebody
 * smuggles.  Whatever http_parser lets through there is turned down here: lines
 * that do not end in CR LF, blanks in a name, folded lines, NULs, more than one
 * Host, Transfer-Encoding in HTTP/1.0.
 */
#include "httpd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_END	"\r\n\r\n"

/* --- what the parser finds ------------------------------------------------ */

static int
bad(struct request *r, int status)
{
	r->status = status;
	return 1;		/* the parser stops */
}

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct request *r = p->data;

	if (r->url)
		return bad(r, 400);
	r->url = (char *)at;
	r->url[n] = '\0';	/* was a blank */
	return 0;
}

static char **
field(struct request *r, const char *name, size_t n)
{
	static const struct {
		const char *name;
		size_t at;
	} known[] = {
#define FIELD(name, member)	{ name, offsetof(struct request, member) }
		FIELD("Expect", expect),
		FIELD("If-Modified-Since", if_modified_since),
		FIELD("If-None-Match", if_none_match),
		FIELD("If-Range", if_range),
		FIELD("Range", range),
		FIELD("Referer", referer),
		FIELD("Content-Type", type),
		FIELD("User-Agent", user_agent)
#undef FIELD
	};
	size_t i;

	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strlen(known[i].name) == n &&
		    strncasecmp(known[i].name, name, n) == 0)
			return (char **)(void *)((char *)r + known[i].at);
	return NULL;
}

static int
on_header_field(http_parser *p, const char *at, size_t n)
{
	struct request *r = p->data;

	if (memchr(at, ' ', n))
		return bad(r, 400);
	if (r->head_done)
		return 0;	/* a trailer */
	r->hosts += n == 4 && strncasecmp(at, "Host", 4) == 0;
	r->value = field(r, at, n);
	return 0;
}

static int
on_header_value(http_parser *p, const char *at, size_t n)
{
	struct request *r = p->data;

	if (r->head_done || !r->value)
		return 0;
	while (n > 0 && (at[n - 1] == ' ' || at[n - 1] == '\t'))
		n--;
	*r->value = n > 0 ? (char *)at : NULL;
	if (n > 0)
		(*r->value)[n] = '\0';	/* was a blank or the CR */
	return 0;
}

static int
on_headers_complete(http_parser *p)
{
	struct request *r = p->data;

	r->head_done = true;
	p->upgrade = 0;		/* to what else?  We stay */
	if (p->flags & F_CONTENTLENGTH)
		r->left = p->content_length;
	return 0;
}

static int
on_chunk_header(http_parser *p)
{
	struct request *r = p->data;

	r->left = p->content_length;
	r->in_chunk = r->left > 0;
	return r->left > r->conn->server->limits.body - r->body_n ?
	    bad(r, 413) : 0;
}

static int
on_chunk_complete(http_parser *p)
{
	((struct request *)p->data)->in_chunk = false;
	return 0;
}

static int
on_body(http_parser *p, const char *at, size_t n)
{
	struct request *r = p->data;
	char *body = realloc(r->body, r->body_n + n);

	if (!body)
		return bad(r, 503);
	memcpy(body + r->body_n, at, n);
	r->body = body;
	r->body_n += n;
	r->left -= n;
	return 0;
}

static int
on_message_complete(http_parser *p)
{
	((struct request *)p->data)->complete = true;
	return 0;
}

/* One request, and no more than it, is what we feed. */
static int
on_message_begin(http_parser *p)
{
	struct request *r = p->data;

	return r->head_done ? bad(r, 400) : 0;
}

static const http_parser_settings callbacks = {
	.on_message_begin = on_message_begin,
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
	.on_chunk_header = on_chunk_header,
	.on_chunk_complete = on_chunk_complete
};

static int
parse(struct request *r, const char *data, size_t n)
{
	size_t parsed = http_parser_execute(&r->parser, &callbacks, data, n);

	if (r->status == 200 && (parsed != n ||
	    HTTP_PARSER_ERRNO(&r->parser) != HPE_OK))
		r->status = HTTP_PARSER_ERRNO(&r->parser) ==
		    HPE_INVALID_VERSION ? 505 : 400;
	return r->status;
}

/* --- the head ------------------------------------------------------------- */

/* Each line ends in CR LF, and has neither NULs nor blanks in front. */
static bool
is_plain(const char *head, size_t n)
{
	const char *end = head + n, *p = head;

	if (memchr(head, '\0', n))
		return false;
	while ((p = memchr(p, '\n', (size_t)(end - p)))) {
		if (p == head || p[-1] != '\r')
			return false;
		if (++p < end && (*p == ' ' || *p == '\t'))
			return false;
	}
	return true;
}

/* The path and the query, each with a NUL of its own. */
static void
split_url(struct request *r)
{
	struct http_parser_url u;
	char *path;

	http_parser_url_init(&u);
	if (r->parser.method == HTTP_CONNECT ||
	    http_parser_parse_url(r->url, strlen(r->url), 0, &u) != 0 ||
	    u.field_set & 1 << UF_FRAGMENT || !(u.field_set & 1 << UF_PATH))
		return;
	path = r->url + u.field_data[UF_PATH].off;
	path[u.field_data[UF_PATH].len] = '\0';	/* was a question mark */
	if (u.field_set & 1 << UF_QUERY)
		r->query = r->url + u.field_data[UF_QUERY].off;
	r->path = path;
}

/* What the parser let through, and what we do not want. */
static int
judge(const struct request *r, const struct limits *l)
{
	const http_parser *p = &r->parser;

	if (p->http_major != 1)
		return 505;
	if (p->http_minor >= 1 ? r->hosts != 1 : r->hosts > 1)
		return 400;
	if (p->http_minor == 0 && p->flags & F_CHUNKED)
		return 400;
	if (!r->path || (r->path[0] != '/' && p->method != HTTP_OPTIONS))
		return 400;
	if (r->expect && strcasecmp(r->expect, "100-continue") != 0)
		return 417;
	return r->left > l->body ? 413 : 200;
}

/* Reading ended early: the status to say so with, or 0. */
static int
reading_failed(const struct conn *c, ssize_t n, int too_large)
{
	if (n == -EMSGSIZE)
		return too_large;
	if (n == -ENOMEM)
		return 503;
	return n == -ETIMEDOUT && c->begun && !c->gone ? 408 : 0;
}

int
request_head(struct conn *c)
{
	const size_t end = sizeof HEAD_END - 1;
	struct request *r = &c->request;
	ssize_t n;

	free(r->body);
	*r = (struct request){ .conn = c, .status = 200 };
	http_parser_init(&r->parser, HTTP_REQUEST);
	r->parser.data = r;
	/* Empty lines may stand before a request. */
	while (!r->head_done) {
		n = co_stream_read_until(c->stream, c->head,
		    c->server->limits.head, HEAD_END, end);
		if (n <= 0)
			return reading_failed(c, n, 431);
		if ((size_t)n < end ||
		    memcmp(c->head + n - end, HEAD_END, end) != 0)
			return 0;	/* the peer left in the midst of it */
		if (!is_plain(c->head, (size_t)n) ||
		    parse(r, c->head, (size_t)n) != 200)
			return r->status == 200 ? 400 : r->status;
	}
	split_url(r);
	return judge(r, &c->server->limits);
}

/* --- the body ------------------------------------------------------------- */

/* A line of the chunked encoding: no other CR in it, and none but the empty
   one after the bytes of a chunk. */
static ssize_t
read_chunk_line(struct conn *c, char *buf, size_t size)
{
	ssize_t n = co_stream_read_line(c->stream, buf, size);

	if (n <= 0)
		return n;
	if (n < 2 || memchr(buf, '\r', (size_t)n) != buf + n - 2 ||
	    memchr(buf, '\0', (size_t)n) || (c->request.in_chunk && n != 2))
		return -EBADMSG;
	return n;
}

int
request_body(struct conn *c)
{
	struct request *r = &c->request;
	char buf[8192];
	ssize_t n;

	if (r->expect && !r->complete && r->parser.http_minor >= 1 &&
	    co_stream_printf(c->stream, "HTTP/1.1 100 Continue\r\n\r\n") < 0)
		return 503;
	while (!r->complete) {
		if (r->left > 0)
			n = co_stream_read(c->stream, buf,
			    r->left < sizeof buf ? r->left : sizeof buf);
		else
			n = read_chunk_line(c, buf, sizeof buf);
		if (n == -EBADMSG)
			return 400;
		if (n <= 0)
			return reading_failed(c, n, 400);
		if (parse(r, buf, (size_t)n) != 200)
			return r->status;
	}
	return 200;
}
