/* SPDX-License-Identifier: MIT */
/* crawl.h - what the files of the crawler know of each other; see crawl.c. */
#ifndef CRAWL_H
#define CRAWL_H

#include <weft.h>

enum { HOST = 256, URL = 2048 };	/* none that is longer is followed */

/* Where a page is.  The site is where the first one is. */
struct site {
	char host[HOST];	/* IPv6: in brackets */
	int port;
	char path[URL];		/* and the query */
};

struct answer {
	int status;		/* of HTTP */
	char *body;		/* free(3) it */
	size_t n;
	char location[URL];	/* "" when there is none */
	bool html;
};

/*
 * Asks for a path of the site: 0, or a negative error number: -EMSGSIZE when
 * the answer is larger than `most`, -ENAMETOOLONG when the URL that it leads to
 * is no shorter than URL, -EPROTO when it is none of HTTP, or ends too early.
 */
int fetch(const struct site *s, const char *path, size_t most,
    struct answer *ret);

/* "http://HOST[:PORT][/PATH][?QUERY]": 0, or -EINVAL. */
int parse_site(const char *url, struct site *ret);

bool same_site(const struct site *a, const struct site *b);

/* Where a link at `base` leads to.  False: to nothing that http:// has. */
bool resolve(const struct site *base, const char *link, struct site *ret);

/*
 * Gives each link of a page to `found`: 0, -EOVERFLOW when its elements are too
 * deep in each other, -ETIME when that takes longer than until, -ENOMEM.  It
 * computes, for as long as the page wants: so this is for the blocking pool.
 */
int each_link(const struct site *page, const char *html, size_t n,
    co_time until, void (*found)(const struct site *to, void *arg), void *arg);

#endif
