/* SPDX-License-Identifier: MIT */
/*
 * crawl_links.c - where a page leads to.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <gumbo.h>
#include <http_parser.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crawl.h"

#define BLANKS	" \t\n\f\r"

enum {
	DEPTH = 2000,		/* of elements in each other; browsers: 512 */
	NAME = 16		/* of an element; longer ones are all alike */
};

/* --- sites ---------------------------------------------------------------- */

static bool
is_set(const struct http_parser_url *u, int field)
{
	return u->field_set >> field & 1;
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

/* An address of IPv6 as it is always written, in its brackets. */
static bool
tidy_v6(const char *text, char ret[static HOST])
{
	struct in6_addr in6;

	if (inet_pton(AF_INET6, text, &in6) != 1)
		return false;
	ret[0] = '[';
	inet_ntop(AF_INET6, &in6, ret + 1, HOST - 2);
	strcat(ret, "]");
	return true;
}

int
parse_site(const char *url, struct site *ret)
{
	struct http_parser_url u;
	size_t n = strlen(url), at;
	char host[HOST];

	http_parser_url_init(&u);
	if (n >= URL || strpbrk(url, " \t\r\n") ||
	    http_parser_parse_url(url, n, 0, &u) != 0 ||
	    !is_set(&u, UF_HOST) || is_set(&u, UF_USERINFO) ||
	    strncasecmp(url, "http://", 7) != 0 ||
	    u.field_data[UF_HOST].len >= sizeof host)
		return -EINVAL;
	at = u.field_data[UF_HOST].off;
	snprintf(host, sizeof host, "%.*s", u.field_data[UF_HOST].len,
	    url + at);
	if (url[at - 1] != '[')
		strcpy(ret->host, host);
	else if (!tidy_v6(host, ret->host))
		return -EINVAL;
	ret->port = is_set(&u, UF_PORT) ? u.port : 80;
	at = 7 + strcspn(url + 7, "/?#");
	snprintf(ret->path, sizeof ret->path, "%s%s", url[at] == '/' ? "" :
	    "/", url + at);
	ret->path[strcspn(ret->path, "#")] = '\0';
	tidy(ret->path);
	return 0;
}

bool
same_site(const struct site *a, const struct site *b)
{
	return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

/* --- links ---------------------------------------------------------------- */

/*
 * A link without the blanks around it and its fragment.  What no request may
 * have is written with a percent sign.
 */
static bool
clean(const char *link, char ret[static URL])
{
	const char *end = link + strlen(link);
	size_t n = 0;

	while (end > link && strchr(BLANKS, end[-1]))
		end--;
	for (link += strspn(link, BLANKS); link < end && *link != '#'; link++) {
		unsigned char c = (unsigned char)*link;

		if (strchr("\t\r\n", c))
			continue;
		if (n + 4 > URL)
			return false;
		if (c > ' ' && c < 127 && !strchr("\"<>", c))
			ret[n++] = (char)c;
		else
			n += (size_t)sprintf(ret + n, "%%%02X", c);
	}
	ret[n] = '\0';
	return true;
}

static bool
has_scheme(const char *link)
{
	size_t n = strspn(link, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return n > 0 && link[n] == ':';
}

/* How much of the path at which a link stands is before it. */
static size_t
stem(const char *path, const char *link)
{
	size_t n = strcspn(path, "?");

	if (link[0] == '\0')
		return strlen(path);
	if (link[0] == '/')
		return 0;
	while (link[0] != '?' && path[n - 1] != '/')
		n--;
	return n;
}

bool
resolve(const struct site *base, const char *link, struct site *ret)
{
	char text[URL], url[URL + 8];
	size_t n;

	if (!clean(link, text))
		return false;
	if (has_scheme(text))
		return parse_site(text, ret) == 0;
	if (strncmp(text, "//", 2) == 0) {
		snprintf(url, sizeof url, "http:%s", text);
		return parse_site(url, ret) == 0;
	}
	n = stem(base->path, text);
	if (n + strlen(text) >= URL)
		return false;
	*ret = *base;
	strcpy(ret->path + n, text);
	tidy(ret->path);
	return true;
}

/* --- pages ---------------------------------------------------------------- */

/* Is the name one of those between blanks? */
static bool
is_one_of(const char *names, const char *name)
{
	char word[NAME + 2];

	snprintf(word, sizeof word, " %s ", name);
	return strstr(names, word) != NULL;
}

/* Have no end tag, or need none: they do not hold each other. */
static const char flat[] = " area base body br col colgroup dd dt embed head "
    "hr html img input li link meta optgroup option p param source tbody td "
    "tfoot th thead tr track wbr ";

/* Where the name that is here ends, and the name in small letters. */
static const char *
read_name(const char *at, const char *end, char ret[static NAME])
{
	size_t n = 0;

	for (; at < end && isalnum((unsigned char)*at); at++) {
		if (n < NAME - 1)
			ret[n++] = (char)tolower((unsigned char)*at);
	}
	ret[n] = '\0';
	return at;
}

/* Does the tag end with "/>"?  Not looked for behind where the next begins. */
static bool
is_empty(const char *at, const char *end)
{
	while (at < end && *at != '<' && *at != '>')
		at++;
	return at < end && *at == '>' && at[-1] == '/';
}

/*
 * What goes deep takes the parser the square of its size, so it is counted
 * first.  That is no proof, as where an element ends takes a parser to know;
 * what is made to get past here meets the limits of its heap.
 */
static bool
too_deep(const char *html, size_t n)
{
	const char *at = html, *end = html + n;
	char name[NAME], text[NAME] = "";	/* inside of a script, ... */
	int depth = 0, foreign = 0;
	bool closes;

	while (depth <= DEPTH &&
	    (at = memchr(at, '<', (size_t)(end - at))) != NULL) {
		closes = ++at < end && *at == '/';
		at = read_name(at + closes, end, name);
		if (!name[0] || is_one_of(flat, name) ||
		    (text[0] && !(closes && strcmp(name, text) == 0)))
			continue;
		if (is_one_of(" math svg ", name))
			foreign += closes ? -(foreign > 0) : 1;
		if (foreign > 0 && !closes && is_empty(at, end))
			continue;
		depth += closes ? -(depth > 0) : 1;
		strcpy(text, !closes && is_one_of(" script style textarea "
		    "title ", name) ? name : "");
	}
	return depth > DEPTH;
}

/* The one after it in the text; no recursion, as pages may be deep. */
static const GumboNode *
next(const GumboNode *node)
{
	const GumboVector *v = &node->v.element.children;
	size_t i;

	if (node->type == GUMBO_NODE_ELEMENT && v->length > 0)
		return v->data[0];
	for (; node->parent; node = node->parent) {
		v = &node->parent->v.element.children;
		i = node->index_within_parent + 1;
		if (node->parent->type != GUMBO_NODE_ELEMENT)
			return NULL;	/* the document */
		if (i < v->length)
			return v->data[i];
	}
	return NULL;
}

static const char *
href(const GumboNode *node, GumboTag tag)
{
	const GumboAttribute *a;

	if (node->type != GUMBO_NODE_ELEMENT || node->v.element.tag != tag)
		return NULL;
	a = gumbo_get_attribute(&node->v.element.attributes, "href");
	return a ? a->value : NULL;
}

static void
walk(const GumboNode *root, const struct site *page,
    void (*found)(const struct site *, void *), void *arg)
{
	struct site base = *page, to;
	const char *link = NULL;
	const GumboNode *node;

	for (node = root; node && !link; node = next(node))
		link = href(node, GUMBO_TAG_BASE);
	if (link && !resolve(page, link, &base))
		base.host[0] = '\0';	/* wherever it is, not here */
	for (node = root; node; node = next(node)) {
		link = href(node, GUMBO_TAG_A);
		if (link && resolve(&base, link, &to))
			found(&to, arg);
	}
}

/*
 * What a page takes from the parser: memory that is given back at once, since
 * the parser would recurse as deep as the page is, and only so much of it and
 * only so long, since what a page takes can grow with the square of its size.
 */
struct heap {
	struct block *blocks;
	size_t left;
	co_time until;
	int code;		/* why there is no more */
	jmp_buf out;
};

struct block {
	struct block *next;
	max_align_t data[];
};

static void *
take(void *arg, size_t n)
{
	struct heap *h = arg;
	struct block *b = n <= h->left ? malloc(sizeof *b + n) : NULL;

	if (!b)
		h->code = -ENOMEM;
	else if (co_now() > h->until)
		h->code = -ETIME;
	if (h->code < 0) {
		free(b);
		longjmp(h->out, 1);
	}
	h->left -= n;
	b->next = h->blocks;
	h->blocks = b;
	return b->data;
}

static void
keep(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

static const GumboNode *
parse(struct heap *h, const char *html, size_t n)
{
	GumboOptions o = kGumboDefaultOptions;

	o.allocator = take;
	o.deallocator = keep;
	o.userdata = h;
	o.max_errors = 0;	/* each would hold all elements around it */
	return setjmp(h->out) ? NULL :
	    gumbo_parse_with_options(&o, html, n)->root;
}

int
each_link(const struct site *page, const char *html, size_t n, co_time until,
    void (*found)(const struct site *, void *), void *arg)
{
	/* Ordinary pages take 20 bytes for each of theirs, "<q>" takes 60. */
	struct heap h = { .left = 256 * n + 65536, .until = until };
	const GumboNode *root;
	struct block *b;

	if (too_deep(html, n))
		return -EOVERFLOW;
	root = parse(&h, html, n);
	if (root)
		walk(root, page, found, arg);
	while ((b = h.blocks) != NULL) {
		h.blocks = b->next;
		free(b);
	}
	return h.code;
}
