/* SPDX-License-Identifier: MIT */
/*
 * httpd_log.c - the access log, in the combined format.
 *
 * Lines are collected and written when there are some KiB of them, or once a
 * second.  A line is written even for a connection that is being cancelled,
 * hence the shield; but no reader of the log can stop the server for longer
 * than PATIENCE for a line: then that line is lost.
 */
#include "httpd.h"

#include <string.h>

#define PATIENCE	CO_SEC(1)

/* Quotes, backslashes and what is not printable as \xHH; cut where the room
   ends.  "-" for nothing. */
static void
quoted(char *buf, size_t size, const char *text)
{
	size_t n = 0;

	for (; text && *text && n + 5 <= size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			n += (size_t)sprintf(buf + n, "\\x%02X", c);
		else
			buf[n++] = (char)c;
	}
	if (n == 0)
		buf[n++] = '-';
	buf[n] = '\0';
}

/* log->lock is held. */
static void
set_date(struct access_log *log)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now == log->at)
		return;
	log->at = now;
	strftime(log->date, sizeof log->date, "%d/%b/%Y:%H:%M:%S +0000",
	    gmtime_r(&now, &tm));
}

/* log->lock is held. */
static void
note(struct access_log *log, ssize_t code)
{
	if (code < 0 && !log->failed) {
		log->failed = true;
		fprintf(stderr, "httpd: access log: %s\n",
		    strerror((int)-code));
	}
}

void
log_request(struct conn *c)
{
	struct access_log *log = &c->server->log;
	const struct request *r = &c->request;
	char url[2048], query[2048], referer[512], agent[512];

	if (!log->stream)
		return;
	quoted(url, sizeof url, r->url);
	quoted(query, sizeof query, r->query);
	quoted(referer, sizeof referer, r->referer);
	quoted(agent, sizeof agent, r->user_agent);
	co_shield() co_timeout(PATIENCE) co_locked(&log->lock) {
		set_date(log);
		note(log, co_stream_printf(log->stream,
		    "%s - - [%s] \"%s %s%s%s HTTP/%u.%u\" %d %llu \"%s\" "
		    "\"%s\"\n", c->peer, log->date, r->url ?
		    http_method_str((enum http_method)r->parser.method) : "-",
		    url, r->query ? "?" : "", r->query ? query : "",
		    r->parser.http_major, r->parser.http_minor, c->status,
		    (unsigned long long)c->sent, referer, agent));
	}
}

int
log_flush(struct access_log *log)
{
	int code = 0;

	co_shield() co_timeout(PATIENCE) co_locked(&log->lock) {
		code = co_stream_flush(log->stream);
		note(log, code);
	}
	return code;
}
