/* SPDX-License-Identifier: MIT */
/*
 * crawl.c - fetches the pages of a site, some at a time.
 *
 * Workers take pages from a channel and put the links of each page into it; one
 * that was seen before is not put.  A page is counted while it waits or is
 * worked on; who counts down to none closes the channel, and all end.  The
 * deadline of all is that of the scope around them, and each page has its own.
 */
#include <errno.h>
#include <getopt.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "crawl.h"

enum { MOVES = 10 };		/* redirects in a row; browsers: 20 */

struct page {
	struct page *next;	/* [seen_lock] all, for their end */
	struct page *to;	/* [seen_lock] where it was redirected */
	int depth, moves;	/* links, and redirects, up to here */
	char path[];
};

static struct {
	int jobs, depth, pages, retries, workers;
	size_t size;
	co_time deadline, page;
} opt = { 8, 5, 10000, 3, 0, 1 << 20, CO_SEC(300), CO_SEC(10) };

static struct site site;
static co_time start;			/* [const] once it works */
static chan(struct page *) todo;
static _Atomic long unfinished, done, bytes, errors;

static struct co_mutex seen_lock = CO_MUTEX_INIT;
static void *seen;			/* [seen_lock] paths, of tsearch(3) */
static struct page *pages;		/* [seen_lock] */
static int seen_n;			/* [seen_lock] */

static int
by_path(const void *a, const void *b)
{
	return strcmp(((const struct page *)a)->path,
	    ((const struct page *)b)->path);
}

static void
finish_one(void)
{
	if (--unfinished == 0)
		chan_close(todo);
}

/*
 * Once for each path, and not too many.  ret: the page, or NULL if it is one
 * too many.  Negative: no memory, cancelled.
 */
static int
put(const char *path, int depth, int moves, struct page **ret)
{
	size_t n = strlen(path) + 1;
	struct page *p = calloc(1, sizeof *p + n), **found = NULL;
	bool is_new = false;
	int code;

	if (!p)
		return -ENOMEM;
	p->depth = depth;
	p->moves = moves;
	memcpy(p->path, path, n);
	co_locked(&seen_lock) {
		if (seen_n < opt.pages)
			found = tsearch(p, &seen, by_path);
		*ret = found ? *found : NULL;
		is_new = *ret == p;
		if (is_new) {
			p->next = pages;
			pages = p;
			seen_n++;
			unfinished++;
		}
	}
	if (!is_new) {
		free(p);
		return 0;
	}
	code = chan_send(todo, p);	/* unbounded: it does not wait */
	if (code < 0)
		finish_one();
	return code;
}

/* --- a page --------------------------------------------------------------- */

struct links {
	struct site page;
	const struct answer *a;
	chan(char *) found;	/* paths */
	int code;
};

static void
note(const struct site *to, void *arg)
{
	struct links *l = arg;
	char *path;

	if (!same_site(to, &site))
		return;
	path = strdup(to->path);
	if (!path || chan_send(l->found, path) < 0) {
		l->code = -ENOMEM;
		free(path);
	}
}

static int
find_links(void *arg)
{
	struct links *l = arg;
	co_time until = co_now() + opt.page, last = start + opt.deadline;
	int code;

	code = each_link(&l->page, l->a->body, l->a->n,
	    until < last ? until : last, note, l);
	return code < 0 ? code : l->code;
}

static int
follow_links(const struct page *p, const struct answer *a)
{
	struct links l = { site, a, chan_new(char *, CHAN_UNBOUNDED), 0 };
	struct page *to;
	char *path;
	int code;

	if (!l.found)
		return -ENOMEM;
	strcpy(l.page.path, p->path);
	code = co_blocking(find_links, &l);
	while (chan_try_recv(l.found, &path) == 0) {
		if (code == 0)
			code = put(path, p->depth + 1, 0, &to);
		free(path);
	}
	chan_unref(l.found);
	return code;
}

/* Who closes a circle sees it: all others in it know where they lead. */
static int
follow_move(struct page *p, const struct answer *a)
{
	struct site here = site, there;
	struct page *to = NULL;
	int code, i;

	strcpy(here.path, p->path);
	if (!resolve(&here, a->location, &there) || !same_site(&there, &site))
		return 0;
	if (p->moves == MOVES)
		return -ELOOP;
	code = put(there.path, p->depth, p->moves + 1, &to);
	co_locked(&seen_lock) {
		p->to = to;
		for (i = 0; i < MOVES && to && to != p; i++)
			to = to->to;
	}
	return code < 0 ? code : to == p ? -ELOOP : 0;
}

static bool
is_moved(const struct answer *a)
{
	return a->status / 100 == 3 && a->location[0];
}

static int
follow(struct page *p, const struct answer *a)
{
	if (is_moved(a))
		return follow_move(p, a);
	if (a->n > 0 && a->html && a->status == 200 && p->depth < opt.depth)
		return follow_links(p, a);
	return 0;
}

/* What a second try may mend. */
static bool
may_pass(int code, const struct answer *a)
{
	return code < 0 ? code != -EMSGSIZE && code != -ENAMETOOLONG :
	    a->status >= 500;
}

/* Half of the pause is by chance, so that not all come back at once. */
static int
wait_between(co_time pause)
{
	uint64_t chance = 0, half = (uint64_t)pause / 2;

	if (getrandom(&chance, sizeof chance, 0) < 0)
		return -errno;
	return co_sleep((co_time)(half + chance % half));
}

static int
get(const struct page *p, struct answer *a)
{
	co_time pause = CO_MS(100);
	int code = 0, i;

	for (i = 0; ; i++, pause *= 2) {
		code = -ETIMEDOUT;
		co_timeout(opt.page)
			code = fetch(&site, p->path, opt.size, a);
		if (i == opt.retries || co_cancelled() || !may_pass(code, a))
			return code;
		if (code == 0)
			free(a->body);
		code = wait_between(pause);
		if (code < 0)
			return code;
	}
}

static const char *
why(int code)
{
	switch (code) {
	case -ELOOP: return "redirects without end";
	case -ENAMETOOLONG: return "leads to a URL that is too long";
	case -EOVERFLOW: return "too deeply nested";
	case -ETIME: return "takes too long to parse";
	default: return strerror(-code);
	}
}

static void
tell(const struct page *p, const struct answer *a, int code)
{
	if (code < 0) {
		printf("--- %s: %s\n", p->path, why(code));
		errors++;
		return;
	}
	printf("%d %zu %s%s%s\n", a->status, a->n, p->path,
	    is_moved(a) ? " -> " : "", is_moved(a) ? a->location : "");
	done++;
	bytes += (long)a->n;
	errors += a->status >= 400;
}

static int
worker(void *arg)
{
	struct answer a;
	int code = 0;

	(void)arg;
	chan_each(struct page *, p, todo) {
		code = get(p, &a);
		if (code == 0) {
			code = follow(p, &a);
			free(a.body);
		}
		/* It is why the scope has ended, not what became of the page. */
		if (code < 0 && co_cancelled())
			return co_sleep(0);
		tell(p, &a, code);
		finish_one();
	}
	return 0;
}

static int
body(void *arg)
{
	struct co_scope s;
	struct page *p;
	int i, code;

	(void)arg;
	start = co_now();
	todo = chan_new(struct page *, CHAN_UNBOUNDED);
	code = todo ? put(site.path, 0, 0, &p) : -ENOMEM;
	if (code < 0) {
		chan_unref(todo);
		return code;
	}
	co_scope(s, .deadline = start + opt.deadline) {
		for (i = 0; i < opt.jobs && code >= 0; i++)
			code = co_spawn(worker, NULL);
		if (i == 0 || (code < 0 && i == 1))
			co_cancel(&s);		/* nobody works */
	}
	printf("crawl: %ld pages, %ld bytes, %ld errors, %.2f s%s\n",
	    (long)done, (long)bytes, (long)errors,
	    (double)(co_now() - start) / 1e9,
	    s.status == -ETIMEDOUT ? ", out of time" : "");
	while (seen) {
		p = *(struct page **)seen;
		tdelete(p, &seen, by_path);
	}
	while ((p = pages) != NULL) {
		pages = p->next;
		free(p);
	}
	chan_unref(todo);
	return s.status == -ETIMEDOUT ? 3 : s.status < 0 ? s.status :
	    errors > 0;
}

static const char usage[] =
    "usage: crawl [options] http://HOST[:PORT][/PATH][?QUERY]\n"
    "Fetches what the page leads to on the same site.\n"
    "\n"
    "  --jobs N            pages at a time (8)\n"
    "  --depth N           links from the first page (5)\n"
    "  --max-pages N       (10000)\n"
    "  --max-size BYTES    of a page (1048576)\n"
    "  --retries N         of what fails or is answered by 5xx (3)\n"
    "  --page-timeout SEC  of a try, and of parsing (10)\n"
    "  --deadline SEC      of all (300)\n"
    "  --workers N         threads (one for each processor)\n"
    "\n"
    "Status: 0: all are here, 1: some failed, 2: usage, 3: out of time.\n";

static double
number(const char *option, const char *text, double least)
{
	char *end;
	double x = strtod(text, &end);

	if (end == text || *end || !(x >= least && x <= 1e9)) {
		fprintf(stderr, "crawl: --%s does not go with '%s'\n", option,
		    text);
		exit(2);
	}
	return x;
}

static void
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "deadline", required_argument, NULL, 'D' },
		{ "depth", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "max-pages", required_argument, NULL, 'p' },
		{ "max-size", required_argument, NULL, 's' },
		{ "page-timeout", required_argument, NULL, 't' },
		{ "retries", required_argument, NULL, 'r' },
		{ "workers", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 }
	};
	int c, at = 0;

	while ((c = getopt_long(argc, argv, "", names, &at)) >= 0) {
		const char *name = c == '?' ? "" : names[at].name;

		switch (c) {
		case 'D': opt.deadline = (co_time)(1e9 * number(name, optarg,
		    0.001)); break;
		case 'd': opt.depth = (int)number(name, optarg, 0); break;
		case 'j': opt.jobs = (int)number(name, optarg, 1); break;
		case 'p': opt.pages = (int)number(name, optarg, 1); break;
		case 's': opt.size = (size_t)number(name, optarg, 1); break;
		case 't': opt.page = (co_time)(1e9 * number(name, optarg,
		    0.001)); break;
		case 'r': opt.retries = (int)number(name, optarg, 0); break;
		case 'w': opt.workers = (int)number(name, optarg, 1); break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
	if (argc - optind != 1) {
		fputs(usage, stderr);
		exit(2);
	}
	if (parse_site(argv[optind], &site) < 0) {
		fprintf(stderr, "crawl: not http://HOST[:PORT][/PATH][?QUERY]: "
		    "%s\n", argv[optind]);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	int code;

	read_options(argc, argv);
	code = co_run(&(struct co_options){ .workers = opt.workers }, body,
	    NULL);
	if (code < 0)
		fprintf(stderr, "crawl: %s\n", strerror(-code));
	return code < 0 ? 1 : code;
}
