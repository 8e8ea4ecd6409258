/* SPDX-License-Identifier: MIT */
/*
 * httpd.h - what the parts of httpd know of each other.
 *
 *	httpd.c		options, accepting, the end
 *	httpd_conn.c	a connection: deadlines, keep-alive, replies
 *	httpd_request.c	requests: heads and bodies
 *	httpd_file.c	replies from files and directories
 *	httpd_api.c	replies from functions, under /api/
 *	httpd_log.c	the access log
 *
 * A function that answers gives 0, or a negative errno: then the connection is
 * closed, as half a reply may have been sent.
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <http_parser.h>
#include <stdio.h>
#include <time.h>
#include <weft.h>

struct limits {				/* [const] once it serves */
	size_t head, body;		/* bytes of a request */
	int connections;		/* at once */
	unsigned requests;		/* of a connection */
	co_time head_time, body_time;	/* from the first byte; from the head's
					   end */
	co_time idle_time;		/* between requests */
	co_time send_time;		/* without a byte being taken */
	co_time drain_time;		/* from SIGTERM */
};

struct access_log {
	struct co_mutex lock;
	struct co_stream *stream;	/* [lock] NULL: no log */
	time_t at;			/* [lock] of `date` */
	char date[32];			/* [lock] */
	bool failed;			/* [lock] it has been complained of */
};

struct server {
	struct limits limits;
	int root;			/* [const] the directory, O_PATH */
	bool list;			/* [const] directories too */
	struct co_sem places;		/* a connection has one of them */
	bool stopping;			/* [atomic] no more requests, please */
	struct co_mutex lock;
	struct conn *conns;		/* [lock] all of them */
	struct access_log log;
	uint64_t connections, requests;	/* [atomic] since the start */
};

/* The strings lie in the connection's `head`. */
struct request {
	http_parser parser;
	char *url;			/* without its query, if that is not
					   NULL */
	char *path, *query;		/* in it; path is NULL: it has none */
	char *expect, *if_modified_since, *if_none_match, *if_range;
	char *range, *referer, *type, *user_agent;	/* or NULL */
	unsigned hosts;			/* lines of that name */
	char *body;			/* malloc; NULL: none */
	size_t body_n;

	/* While it is parsed. */
	struct conn *conn;
	char **value;			/* where the next one goes, or NULL */
	bool head_done, complete, in_chunk;
	uint64_t left;			/* bytes of the body, or of its chunk */
	int status;			/* 200, or what is wrong */
};

struct conn {				/* its coroutine's, but for: */
	struct server *server;
	struct conn *next, **at;	/* [server->lock] */
	bool idle;			/* [atomic] waits for a request */
	int fd;
	char peer[64];
	struct co_stream *stream;
	char *head;			/* limits.head bytes and a NUL */
	struct request request;
	unsigned requests;		/* so far */
	co_time until;			/* when reading is given up */
	bool begun;			/* a byte of the request has come */
	bool more;			/* what is written is not the last */
	bool gone;			/* reading found its end */
	bool keep;			/* may another request follow? */
	int status;			/* of the reply */
	uint64_t sent;			/* bytes of the reply's body */
	time_t date_at;			/* of `date` */
	char date[32];
};

/* httpd_conn.c */
int conn_start(struct server *s, int fd, const struct sockaddr *peer,
    socklen_t peer_n, struct co_scope *scope);
/* From now on each connection ends with the request that it has begun. */
void conn_stop_all(struct server *s);

/* The reply's first lines.  length < 0: chunks will follow.  extra: more
   lines, or "". */
int reply_head(struct conn *c, int status, const char *type, int64_t length,
    const char *extra);
/* Bytes of the body; dropped when the request is HEAD. */
int reply_body(struct conn *c, const void *data, size_t n);
int reply(struct conn *c, int status, const char *type, const void *data,
    size_t n, const char *extra);
/* The status in words. */
int reply_status(struct conn *c, int status, const char *extra);
/* Sends what is in the stream; what comes next will go with it. */
int reply_flush_more(struct conn *c);

/* httpd_request.c: 200, or the status of what is wrong, or 0: it is over. */
int request_head(struct conn *c);
int request_body(struct conn *c);

/* httpd_file.c */
int file_reply(struct conn *c);

/* httpd_api.c.  Is it one of its paths? */
bool api_knows(const char *path);
int api_reply(struct conn *c);

/* httpd_log.c */
void log_request(struct conn *c);
int log_flush(struct access_log *log);

#endif
