/* SPDX-License-Identifier: MIT */
/*
 * crawl_links.c - where a page leads to.
 */
#include <errno.h>
#include <gumbo.h>
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crawl.h"

static bool
is_set(const struct http_parser_url *u, int field)
{
	return u->field_set >> field & 1;
}

int
parse_site(const char *url, struct site *ret)
{
	struct http_parser_url u;
	size_t n = strlen(url);

	http_parser_url_init(&u);
	if (n >= URL || strpbrk(url, " \t\r\n") ||
	    http_parser_parse_url(url, n, 0, &u) != 0 ||
	    !is_set(&u, UF_HOST) || is_set(&u, UF_USERINFO) ||
	    strncasecmp(url, "http://", 7) != 0 ||
	    u.field_data[UF_HOST].len >= sizeof ret->host)
		return -EINVAL;
	snprintf(ret->host, sizeof ret->host, "%.*s",
	    u.field_data[UF_HOST].len, url + u.field_data[UF_HOST].off);
	ret->port = is_set(&u, UF_PORT) ? u.port : 80;
	n = u.field_data[UF_PATH].off;
	snprintf(ret->path, sizeof ret->path, "%s",
	    is_set(&u, UF_PATH) ? url + n : "/");
	ret->path[strcspn(ret->path, "#")] = '\0';
	return 0;
}

/* Takes "." and ".." out of a path, up to its query. */
static void
tidy(char *path)
{
	char *query = path + strcspn(path, "?"), *from = path, *to = path, *end;

	while (from < query) {		/* from is at a '/' */
		end = from + 1 + strcspn(from + 1, "/?");
		if (end > query)
			end = query;
		if (end - from == 3 && strncmp(from, "/..", 3) == 0) {
			while (to > path && *--to != '/')
				continue;
			if (end == query)
				*to++ = '/';
		} else if (end - from == 2 && strncmp(from, "/.", 2) == 0) {
			if (end == query)
				*to++ = '/';
		} else {
			memmove(to, from, (size_t)(end - from));
			to += end - from;
		}
		from = end;
	}
	memmove(to, query, strlen(query) + 1);
}

bool
resolve(const struct site *s, const char *base, const char *link,
    char ret[static URL])
{
	size_t n = strcspn(link, "#"), stem;
	struct site other;
	char whole[URL];

	if (n >= URL || strcspn(link, " \t\r\n") < n)
		return false;
	snprintf(whole, sizeof whole, "%.*s", (int)n, link);
	if (strncmp(whole, "//", 2) == 0)
		return false;		/* whatever it is, not written so here */
	if (whole[strcspn(whole, ":/?")] == ':') {	/* it has a scheme */
		if (parse_site(whole, &other) < 0 || other.port != s->port ||
		    strcasecmp(other.host, s->host) != 0)
			return false;
		strcpy(ret, other.path);
	} else if (whole[0] == '/') {
		strcpy(ret, whole);
	} else {
		stem = strcspn(base, "?");
		while (whole[0] && whole[0] != '?' && stem > 0 &&
		    base[stem - 1] != '/')
			stem--;
		if (stem + n >= URL)
			return false;
		memcpy(ret, base, stem);
		strcpy(ret + stem, whole);
	}
	tidy(ret);
	return ret[0] == '/';
}

static void
walk(const GumboNode *node, void (*found)(const char *, void *), void *arg)
{
	const GumboVector *children = &node->v.element.children;
	const GumboAttribute *href;
	unsigned i;

	if (node->type != GUMBO_NODE_ELEMENT)
		return;
	href = node->v.element.tag == GUMBO_TAG_A ?
	    gumbo_get_attribute(&node->v.element.attributes, "href") : NULL;
	if (href)
		found(href->value, arg);
	for (i = 0; i < children->length; i++)
		walk(children->data[i], found, arg);
}

void
each_link(const char *html, size_t n, void (*found)(const char *, void *),
    void *arg)
{
	GumboOptions o = kGumboDefaultOptions;
	GumboOutput *tree;

	o.max_errors = 0;	/* each would hold all elements around it */
	tree = gumbo_parse_with_options(&o, html, n);
	if (!tree)
		return;
	walk(tree->root, found, arg);
	gumbo_destroy_output(&o, tree);
}
