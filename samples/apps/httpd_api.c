/* SPDX-License-Identifier: MIT */
/*
 * httpd_api.c - replies from functions.
 *
 *	GET /api/time		what time it is
 *	GET /api/stats		counters of the server and of weft
 *	GET /api/stream?n=N&ms=M	N lines, in chunks, M ms between them
 *	POST /api/echo		what was sent, as it was sent
 */
#include "httpd.h"

#include <stdlib.h>
#include <string.h>

#define JSON	"application/json"

enum { LINES_MOST = 1000000, PAUSE_MOST = 10000 };

/* The number that the query has under that name: 0..most; -1: it is none. */
static long
query_number(const char *query, const char *name, long otherwise, long most)
{
	size_t n = strlen(name);
	const char *p = query;
	char *end;
	long value;

	while (p && (strncmp(p, name, n) != 0 || p[n] != '=')) {
		p = strchr(p, '&');
		if (p)
			p++;
	}
	if (!p)
		return otherwise;
	p += n + 1;
	value = strtol(p, &end, 10);
	return end == p || (*end && *end != '&') || value < 0 || value > most ?
	    -1 : value;
}

static int
get_time(struct conn *c)
{
	char text[128], date[32];
	struct timespec now;
	struct tm tm;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ",
	    gmtime_r(&now.tv_sec, &tm));
	n = snprintf(text, sizeof text, "{\"unix\":%lld.%09ld,"
	    "\"iso\":\"%s\"}\n", (long long)now.tv_sec, now.tv_nsec, date);
	return reply(c, 200, JSON, text, (size_t)n,
	    "Cache-Control: no-store\r\n");
}

#define U64(x)	((unsigned long long)(x))

static int
get_stats(struct conn *c)
{
	struct server *s = c->server;
	struct co_stats st;
	char text[512];
	int n = co_stats_get(&st);

	if (n < 0)
		return reply_status(c, 500, "");
	n = snprintf(text, sizeof text, "{\"connections\":%llu,"
	    "\"requests\":%llu,\"workers\":%u,\"coroutines\":%llu,"
	    "\"spawned\":%llu,\"ended\":%llu,\"picks\":%llu,\"steals\":%llu,"
	    "\"sleeps\":%llu,\"polls\":%llu}\n",
	    U64(__atomic_load_n(&s->connections, __ATOMIC_RELAXED)),
	    U64(__atomic_load_n(&s->requests, __ATOMIC_RELAXED)), st.workers,
	    U64(st.coroutines), U64(st.all.spawned), U64(st.all.ended),
	    U64(st.all.picks), U64(st.all.steals), U64(st.all.sleeps),
	    U64(st.all.polls));
	return reply(c, 200, JSON, text, (size_t)n,
	    "Cache-Control: no-store\r\n");
}

/* A line as a chunk of its own; to HTTP/1.0 as it is. */
static int
stream_line(struct conn *c, long i, bool chunked)
{
	char line[32], chunk[48];
	int n = snprintf(line, sizeof line, "%ld\n", i), k;

	if (!chunked)
		return reply_body(c, line, (size_t)n);
	k = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", (unsigned)n, line);
	return reply_body(c, chunk, (size_t)k);
}

static int
get_stream(struct conn *c)
{
	long n = query_number(c->request.query, "n", 10, LINES_MOST), i;
	long ms = query_number(c->request.query, "ms", 0, PAUSE_MOST);
	bool chunked = c->request.parser.http_minor >= 1;
	int code;

	if (n < 0 || ms < 0)
		return reply_status(c, 400, "");
	code = reply_head(c, 200, "text/plain", -1, "");
	if (c->request.parser.method == HTTP_HEAD)
		return code;
	for (i = 0; i < n && code == 0; i++) {
		if (ms > 0 && i > 0) {
			code = co_stream_flush(c->stream);
			if (code == 0)
				code = co_sleep(CO_MS(ms));
		}
		if (code == 0)
			code = stream_line(c, i, chunked);
	}
	return code == 0 && chunked ? reply_body(c, "0\r\n\r\n", 5) : code;
}

static int
post_echo(struct conn *c)
{
	const struct request *r = &c->request;

	return reply(c, 200, r->type ? r->type : "application/octet-stream",
	    r->body ? r->body : "", r->body_n, "");
}

static const struct {
	const char *path;
	unsigned method;
	int (*reply)(struct conn *c);
} routes[] = {
	{ "/api/echo", HTTP_POST, post_echo },
	{ "/api/stats", HTTP_GET, get_stats },
	{ "/api/stream", HTTP_GET, get_stream },
	{ "/api/time", HTTP_GET, get_time }
};

bool
api_knows(const char *path)
{
	return strncmp(path, "/api/", 5) == 0;
}

int
api_reply(struct conn *c)
{
	const struct request *r = &c->request;
	unsigned method = r->parser.method;
	size_t i;

	for (i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		if (strcmp(routes[i].path, r->path) != 0)
			continue;
		if (routes[i].method == (method == HTTP_HEAD ? HTTP_GET :
		    method))
			return routes[i].reply(c);
		return reply_status(c, 405, routes[i].method == HTTP_POST ?
		    "Allow: POST\r\n" : "Allow: GET, HEAD\r\n");
	}
	return reply_status(c, 404, "");
}
