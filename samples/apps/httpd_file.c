/* SPDX-License-Identifier: MIT */
/*
 * httpd_file.c - replies from files and directories.
 *
 * No path leads out of the root: dots are resolved here, and links by the
 * kernel, which is told to stay beneath (openat2(2), Linux 5.6); without it
 * links are not followed.
 *
 * A file that the kernel has in memory, name and content, is opened and read
 * where we are, as that does not block (RESOLVE_CACHED, RWF_NOWAIT); only when
 * it says that it would, the blocking pool does the same again.
 */
#include "httpd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	SMALL = 1 << 16,	/* bytes: up to here a file is read and sent,
				   beyond it co_sendfile does both, on the
				   pool: at 100 KB each costs as much, some
				   30 us */
	PATH_ROOM = 4096
};

struct file {
	int root;
	const char *path;	/* beneath root */
	bool may_block;
	int fd;			/* -1: not open */
	struct stat st;
	char *data;		/* malloc: all of it; or NULL */
};

/* --- looking for it ------------------------------------------------------- */

enum { FILE_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* A name after the other, where openat2 is not: no link is followed. */
static int
open_by_steps(const struct file *f)
{
	const char *p = f->path, *end;
	int dir = f->root, fd = 0;
	char name[NAME_MAX + 1];
	bool last = false;

	for (; fd >= 0 && !last; p = end + 1) {
		end = strchrnul(p, '/');
		last = !end[0] || !end[1];
		if (end - p > NAME_MAX)
			fd = -ENAMETOOLONG;
		if (fd >= 0) {
			memcpy(name, p, (size_t)(end - p));
			name[end - p] = '\0';
			fd = openat(dir, name, O_NOFOLLOW | (last ? FILE_FLAGS |
			    (end[0] ? O_DIRECTORY : 0) :
			    O_PATH | O_DIRECTORY | O_CLOEXEC));
			fd = fd < 0 ? -errno : fd;
		}
		if (dir != f->root)
			close(dir);
		dir = fd;
	}
	return fd;
}

static int
open_beneath(const struct file *f)
{
	struct open_how how = {
		.flags = FILE_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
		    (f->may_block ? 0 : RESOLVE_CACHED)
	};
	static bool missing;	/* [atomic] not asked for again */
	long fd;

	if (__atomic_load_n(&missing, __ATOMIC_RELAXED))
		return f->may_block ? open_by_steps(f) : -EAGAIN;
	fd = syscall(SYS_openat2, f->root, f->path, &how, sizeof how);
	if (fd >= 0)
		return (int)fd;
	if (errno == ENOSYS) {
		__atomic_store_n(&missing, true, __ATOMIC_RELAXED);
		return open_beneath(f);
	}
	/* Linux before 5.12 does not know RESOLVE_CACHED. */
	return !f->may_block && errno == EINVAL ? -EAGAIN : -errno;
}

static int
read_small(struct file *f)
{
	struct iovec v = { .iov_len = (size_t)f->st.st_size };
	ssize_t n;
	int code = 0;

	v.iov_base = f->data = malloc(v.iov_len);
	if (!f->data)
		return -ENOMEM;
	n = f->may_block ? pread(f->fd, v.iov_base, v.iov_len, 0) :
	    preadv2(f->fd, &v, 1, 0, RWF_NOWAIT);
	if (n < 0)
		code = !f->may_block ? -EAGAIN : -errno;
	else if ((size_t)n < v.iov_len)
		code = !f->may_block ? -EAGAIN : -EIO;	/* it has shrunk */
	if (code < 0) {
		free(f->data);
		f->data = NULL;
	}
	return code;
}

/*
 * Opens the file, and reads it if it is small.  -EAGAIN: that would block.
 * Not inline, as errno must not be that of the thread that our caller was on
 * some time ago.
 */
static __attribute__((noinline)) int
load(void *arg)
{
	struct file *f = arg;

	if (f->fd < 0)
		f->fd = open_beneath(f);
	if (f->fd < 0)
		return f->fd;
	if (fstat(f->fd, &f->st) < 0)
		return -errno;
	if (!S_ISREG(f->st.st_mode) || f->st.st_size == 0 ||
	    f->st.st_size > SMALL)
		return 0;
	return read_small(f);
}

static int
file_open(struct file *f, int root, const char *path)
{
	int code;

	*f = (struct file){ .root = root, .path = path, .fd = -1 };
	code = load(f);
	if (code == -EAGAIN) {
		f->may_block = true;
		code = co_blocking(load, f);
	}
	return code;
}

static void
file_close(struct file *f)
{
	free(f->data);
	if (f->fd >= 0)
		co_close(f->fd);
}

/* --- its name ------------------------------------------------------------- */

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Without its %XX: 0, or -EINVAL. */
static int
decode(const char *text, char *ret, size_t size)
{
	int high, low;
	size_t n = 0;

	for (; *text; text++) {
		if (n + 1 >= size)
			return -ENAMETOOLONG;
		ret[n] = *text;
		if (*text == '%') {
			high = hex(text[1]);
			low = high < 0 ? -1 : hex(text[2]);
			if (low < 0 || (high | low) == 0)
				return -EINVAL;
			ret[n] = (char)(high << 4 | low);
			text += 2;
		}
		n++;
	}
	ret[n] = '\0';
	return 0;
}

/*
 * "/a/./b//../c/" becomes "a/c/", in place.  -EINVAL: it leaves the root.
 */
static int
normalize(char *path)
{
	char *out = path, *p = path, *end;
	size_t n;

	while (*p) {
		while (*p == '/')
			p++;
		end = strchrnul(p, '/');
		n = (size_t)(end - p);
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			if (out == path)
				return -EINVAL;
			for (out--; out > path && out[-1] != '/'; out--)
				continue;
		} else if (n > 0 && !(n == 1 && p[0] == '.')) {
			memmove(out, p, n);
			out += n;
			if (*end)
				*out++ = '/';
		}
		p = end;
	}
	*out = '\0';
	return 0;
}

static const char *
type_of(const char *path)
{
	static const char *const types[][2] = {
		{ "css", "text/css" },
		{ "gif", "image/gif" },
		{ "gz", "application/gzip" },
		{ "htm", "text/html; charset=utf-8" },
		{ "html", "text/html; charset=utf-8" },
		{ "ico", "image/x-icon" },
		{ "jpeg", "image/jpeg" },
		{ "jpg", "image/jpeg" },
		{ "js", "text/javascript" },
		{ "json", "application/json" },
		{ "md", "text/markdown; charset=utf-8" },
		{ "mp4", "video/mp4" },
		{ "pdf", "application/pdf" },
		{ "png", "image/png" },
		{ "svg", "image/svg+xml" },
		{ "txt", "text/plain; charset=utf-8" },
		{ "wasm", "application/wasm" },
		{ "webp", "image/webp" },
		{ "woff2", "font/woff2" },
		{ "xml", "application/xml" },
		{ "zip", "application/zip" }
	};
	const char *dot = strrchr(path, '.');
	size_t i;

	for (i = 0; dot && i < sizeof types / sizeof types[0]; i++)
		if (strcasecmp(types[i][0], dot + 1) == 0)
			return types[i][1];
	return "application/octet-stream";
}

/* --- conditions and ranges ------------------------------------------------ */

#define HTTP_DATE	"%a, %d %b %Y %H:%M:%S GMT"

struct validator {
	char tag[64], date[32];
	time_t modified;
};

static void
validator_of(const struct stat *st, struct validator *ret)
{
	struct tm tm;

	ret->modified = st->st_mtime;
	snprintf(ret->tag, sizeof ret->tag, "\"%llx.%lx-%llx\"",
	    (unsigned long long)st->st_mtime, st->st_mtim.tv_nsec,
	    (unsigned long long)st->st_size);
	strftime(ret->date, sizeof ret->date, HTTP_DATE,
	    gmtime_r(&st->st_mtime, &tm));
}

/* Does the client have it as it is?  The tag contains no comma, and a "W/"
   before it does not matter here. */
static bool
not_modified(const struct request *r, const struct validator *v)
{
	struct tm tm = { .tm_sec = 0 };
	const char *end;

	if (r->if_none_match)
		return strcmp(r->if_none_match, "*") == 0 ||
		    strstr(r->if_none_match, v->tag);
	if (!r->if_modified_since)
		return false;
	end = strptime(r->if_modified_since, HTTP_DATE, &tm);
	return end && !*end && v->modified <= timegm(&tm);
}

/* A number of a range; more than there are bytes in any file is as good as the
   largest. */
static const char *
read_number(const char *p, int64_t *ret)
{
	const int64_t most = INT64_MAX / 10 - 1;

	for (*ret = 0; *p >= '0' && *p <= '9'; p++)
		*ret = *ret > most ? INT64_MAX : *ret * 10 + (*p - '0');
	return p;
}

/* Bytes from..to - 1: 206.  200: all, as for what we do not understand: several
   ranges, another unit.  416: there are no such bytes. */
static int
range_of(const char *text, int64_t size, int64_t *from, int64_t *to)
{
	int64_t a, b;
	const char *p, *q;

	*from = 0;
	*to = size;
	if (!text || strncasecmp(text, "bytes=", 6) != 0)
		return 200;
	p = read_number(text + 6, &a);
	if (*p != '-')
		return 200;
	q = read_number(p + 1, &b);
	if (*q || (p == text + 6 && q == p + 1))
		return 200;
	if (p == text + 6) {		/* the last b bytes */
		*from = b < size ? size - b : 0;
		return b == 0 || size == 0 ? 416 : 206;
	}
	if (q > p + 1 && b < a)
		return 200;
	if (a >= size)
		return 416;
	*from = a;
	if (q > p + 1 && b < size)
		*to = b + 1;
	return 206;
}

static int
choose_range(const struct request *r, const struct validator *v, int64_t size,
    int64_t *from, int64_t *to)
{
	bool same = !r->if_range || strcmp(r->if_range, v->tag) == 0 ||
	    strcmp(r->if_range, v->date) == 0;

	return range_of(r->parser.method == HTTP_GET && same ? r->range : NULL,
	    size, from, to);
}

/* --- replies -------------------------------------------------------------- */

static int
send_large(struct conn *c, const struct file *f, int64_t from, int64_t to)
{
	off_t at = from;
	ssize_t n;

	if (from == to)
		return 0;
	n = reply_flush_more(c);
	while (n >= 0 && at < to) {
		co_timeout(c->server->limits.send_time)
			n = co_sendfile(c->fd, f->fd, &at, (size_t)(to - at));
		if (n == 0)
			n = -EIO;	/* it has shrunk */
	}
	c->gone |= n < 0;
	c->sent += (uint64_t)(at - from);
	return n < 0 ? (int)n : 0;
}

static int
send_file(struct conn *c, const struct file *f, const char *path)
{
	int64_t size = f->st.st_size, from, to;
	char extra[256], range[96] = "";
	struct validator v;
	int status, code;

	validator_of(&f->st, &v);
	status = choose_range(&c->request, &v, size, &from, &to);
	if (not_modified(&c->request, &v))
		status = 304;
	if (status == 416) {
		snprintf(extra, sizeof extra, "Content-Range: bytes */%lld\r\n",
		    (long long)size);
		return reply_status(c, 416, extra);
	}
	if (status == 206)
		snprintf(range, sizeof range,
		    "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)from,
		    (long long)to - 1, (long long)size);
	snprintf(extra, sizeof extra, "Last-Modified: %s\r\nETag: %s\r\n"
	    "Accept-Ranges: bytes\r\n%s", v.date, v.tag, range);
	code = reply_head(c, status, status == 304 ? NULL : type_of(path),
	    to - from, extra);
	if (code < 0 || status == 304 || c->request.parser.method == HTTP_HEAD)
		return code;
	return f->data ? reply_body(c, f->data + from, (size_t)(to - from)) :
	    send_large(c, f, from, to);
}

/* Every byte that means something in a URL or in HTML as %XX. */
static void
put_url(FILE *to, const char *text)
{
	for (; *text; text++)
		fprintf(to, strchr("/-_.~", *text) ||
		    (*text >= '0' && *text <= '9') ||
		    ((*text | 0x20) >= 'a' && (*text | 0x20) <= 'z') ?
		    "%c" : "%%%02X", (unsigned char)*text);
}

static void
put_html(FILE *to, const char *text)
{
	for (; *text; text++)
		if (strchr("<>&\"'", *text))
			fprintf(to, "&#%d;", *text);
		else
			putc(*text, to);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct co_dirent *)a)->name,
	    ((const struct co_dirent *)b)->name);
}

static void
put_list(FILE *to, const char *path, struct co_dirent *list, size_t n)
{
	const char *slash;
	size_t i;

	qsort(list, n, sizeof *list, by_name);
	fputs("<!DOCTYPE html>\n<title>/", to);
	put_html(to, path);
	fputs("</title>\n<ul>\n<li><a href=\"../\">../</a>\n", to);
	for (i = 0; i < n; i++) {
		slash = list[i].type == DT_DIR ? "/" : "";
		fputs("<li><a href=\"./", to);
		put_url(to, list[i].name);
		fprintf(to, "%s\">", slash);
		put_html(to, list[i].name);
		fprintf(to, "%s</a>\n", slash);
	}
	fputs("</ul>\n", to);
}

static int
send_list(struct conn *c, const struct file *f, const char *path)
{
	struct co_dirent *list;
	char *text = NULL, self[32];
	size_t n, size;
	FILE *to;
	int code;

	/* The directory that is open, whatever its name is by now. */
	snprintf(self, sizeof self, "/proc/self/fd/%d", f->fd);
	code = co_readdir(self, &list, &n);
	if (code < 0)
		return reply_status(c, 500, "");
	to = open_memstream(&text, &size);
	if (to) {
		put_list(to, path, list, n);
		code = fclose(to);
	}
	code = to && code == 0 ? reply(c, 200, "text/html; charset=utf-8",
	    text, size, "") : reply_status(c, 503, "");
	free(text);
	free(list);
	return code;
}

/* The same with a slash at its end, so that relative links work. */
static int
redirect(struct conn *c, const char *path)
{
	size_t size;
	char *extra = NULL;
	FILE *to = open_memstream(&extra, &size);
	int code = -1;

	if (to) {
		fputs("Location: /", to);
		put_url(to, path);
		fputs("/\r\n", to);
		code = fclose(to);
	}
	code = code == 0 ? reply_status(c, 301, extra) :
	    reply_status(c, 503, "");
	free(extra);
	return code;
}

static int
reply_failure(struct conn *c, int code)
{
	switch (-code) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ELOOP:
	case EXDEV:		/* a link out of the root */
		return reply_status(c, 404, "");
	case EACCES:
	case EPERM:
		return reply_status(c, 403, "");
	case ECANCELED:
		return code;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		return reply_status(c, 503, "Retry-After: 1\r\n");
	default:
		return reply_status(c, 500, "");
	}
}

static int
send_directory(struct conn *c, const struct file *dir, char *path)
{
	size_t n = strlen(path);
	struct file f;
	int code;

	if (n > 0 && path[n - 1] != '/')
		return redirect(c, path);
	strcpy(path + n, "index.html");
	code = file_open(&f, c->server->root, path);
	if (code == 0 && S_ISREG(f.st.st_mode)) {
		code = send_file(c, &f, path);
	} else if (code == 0 || code == -ENOENT) {
		path[n] = '\0';
		code = c->server->list ? send_list(c, dir, path) :
		    reply_status(c, 403, "");
	} else {
		code = reply_failure(c, code);
	}
	file_close(&f);
	return code;
}

int
file_reply(struct conn *c)
{
	char path[PATH_ROOM + sizeof "index.html"];
	struct file f;
	int code;

	if (c->request.parser.method != HTTP_GET &&
	    c->request.parser.method != HTTP_HEAD)
		return reply_status(c, 405, "Allow: GET, HEAD\r\n");
	code = decode(c->request.path, path, PATH_ROOM);
	if (code == 0)
		code = normalize(path);
	if (code < 0)
		return reply_status(c, code == -EINVAL ? 400 : 404, "");
	code = file_open(&f, c->server->root, path[0] ? path : ".");
	if (code < 0)
		code = reply_failure(c, code);
	else if (S_ISDIR(f.st.st_mode))
		code = send_directory(c, &f, path);
	else if (S_ISREG(f.st.st_mode))
		code = send_file(c, &f, path);
	else
		code = reply_status(c, 403, "");
	file_close(&f);
	return code;
}
