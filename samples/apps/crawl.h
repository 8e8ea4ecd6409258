/* SPDX-License-Identifier: MIT */
/* crawl.h - what the files of the crawler know of each other; see crawl.c. */
#ifndef CRAWL_H
#define CRAWL_H

#include <weft.h>

enum { URL = 2048 };		/* none that is longer is followed */

/* The site: all that is fetched is here. */
struct site {
	char host[256];
	int port;
	char path[URL];		/* where to begin */
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

/* "http://HOST[:PORT][/PATH]": 0, or -EINVAL. */
int parse_site(const char *url, struct site *ret);

/*
 * The path that a link on the page at `base` leads to, without a fragment.
 * False: it leads to another site, or nowhere.
 */
bool resolve(const struct site *s, const char *base, const char *link,
    char ret[static URL]);

/*
 * Gives each link of a page to `found`.  Of a page that somebody made for it
 * the tree may be very deep, and the parser recurses: so this is for a thread
 * of the blocking pool, which has a large stack.
 */
void each_link(const char *html, size_t n,
    void (*found)(const char *link, void *arg), void *arg);

#endif
