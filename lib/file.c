/* SPDX-License-Identifier: MIT */
/*
 * file.c - files by name, on the blocking pool.
 *
 * Layer 7.  Built on blocking, fd.
 *
 * Each call is a struct of its arguments and a function that makes the system
 * call with them, on a pool thread.  The caller waits until that is over, so
 * the arguments may lie in its frame.
 */
#include "blocking.h"
#include "fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <weft/io.h>

struct file_call {
	int fd, flags;
	mode_t mode;
	off_t size;
	const char *path, *other;
	struct stat *st;
};

static int
on_pool(co_fn *fn, struct file_call *c)
{
	struct task *t;
	int code, result = 0;

	code = wait_enter(&t);
	if (code)
		return code;
	code = blocking_run(t, fn, c, &result);
	return code < 0 ? code : result;
}

static int
code_of(int n)
{
	return n < 0 ? -errno : n;
}

/* The call is made again as long as it says EINTR. */
#define FILE_CALL(name, call) \
	static int \
	name(void *arg) \
	{ \
		const struct file_call *c = arg; \
		int n; \
	\
		do \
			n = code_of(call); \
		while (n == -EINTR); \
		return n; \
	}

FILE_CALL(do_open, openat(c->fd, c->path, c->flags | O_CLOEXEC, c->mode))
FILE_CALL(do_fsync, fsync(c->fd))
FILE_CALL(do_fdatasync, fdatasync(c->fd))
FILE_CALL(do_ftruncate, ftruncate(c->fd, c->size))
FILE_CALL(do_stat, stat(c->path, c->st))
FILE_CALL(do_lstat, lstat(c->path, c->st))
FILE_CALL(do_fstat, fstat(c->fd, c->st))
FILE_CALL(do_unlink, unlink(c->path))
FILE_CALL(do_rename, rename(c->path, c->other))
FILE_CALL(do_mkdir, mkdir(c->path, c->mode))
FILE_CALL(do_rmdir, rmdir(c->path))

/* --- by name -------------------------------------------------------------- */

EXPORT int
co_openat(int dir, const char *path, int flags, mode_t mode)
{
	struct file_call c = { .fd = dir, .path = path, .flags = flags,
	    .mode = mode };

	return path ? on_pool(do_open, &c) : -EINVAL;
}

EXPORT int
co_open(const char *path, int flags, mode_t mode)
{
	return co_openat(AT_FDCWD, path, flags, mode);
}

EXPORT int
co_stat(const char *path, struct stat *ret)
{
	struct file_call c = { .path = path, .st = ret };

	return path ? on_pool(do_stat, &c) : -EINVAL;
}

EXPORT int
co_lstat(const char *path, struct stat *ret)
{
	struct file_call c = { .path = path, .st = ret };

	return path ? on_pool(do_lstat, &c) : -EINVAL;
}

EXPORT int
co_unlink(const char *path)
{
	struct file_call c = { .path = path };

	return path ? on_pool(do_unlink, &c) : -EINVAL;
}

EXPORT int
co_rename(const char *from, const char *to)
{
	struct file_call c = { .path = from, .other = to };

	return from && to ? on_pool(do_rename, &c) : -EINVAL;
}

EXPORT int
co_mkdir(const char *path, mode_t mode)
{
	struct file_call c = { .path = path, .mode = mode };

	return path ? on_pool(do_mkdir, &c) : -EINVAL;
}

EXPORT int
co_rmdir(const char *path)
{
	struct file_call c = { .path = path };

	return path ? on_pool(do_rmdir, &c) : -EINVAL;
}

/* --- by descriptor: its number stays ours for the while ------------------- */

static int
on_descriptor(co_fn *fn, struct file_call *c)
{
	struct fd *f;
	int code;

	if (!task_self())
		return -ENOMEM;
	code = fd_enter(c->fd, &f);
	if (code < 0)
		return code;
	code = on_pool(fn, c);
	fd_leave(f);
	return code;
}

EXPORT int
co_fsync(int fd)
{
	struct file_call c = { .fd = fd };

	return on_descriptor(do_fsync, &c);
}

EXPORT int
co_fdatasync(int fd)
{
	struct file_call c = { .fd = fd };

	return on_descriptor(do_fdatasync, &c);
}

EXPORT int
co_ftruncate(int fd, off_t size)
{
	struct file_call c = { .fd = fd, .size = size };

	return on_descriptor(do_ftruncate, &c);
}

EXPORT int
co_fstat(int fd, struct stat *ret)
{
	struct file_call c = { .fd = fd, .st = ret };

	return on_descriptor(do_fstat, &c);
}

/* --- directories ---------------------------------------------------------- */

struct listing {
	const char *path;
	struct co_dirent *entries;
	size_t n, room;
	char *names;		/* all of them, each with its NUL */
	size_t names_n, names_room;
};

static void *
grown(void *p, size_t *room, size_t need, size_t unit)
{
	size_t n = *room ? *room : 64;

	while (n < need)
		n *= 2;
	p = realloc(p, n * unit);
	if (p)
		*room = n;
	return p;
}

static int
add_name(struct listing *l, const struct dirent *d)
{
	size_t len = strlen(d->d_name) + 1;
	struct co_dirent *e = l->entries;
	char *names = l->names;

	if (l->n == l->room) {
		e = grown(e, &l->room, l->n + 1, sizeof *e);
		if (!e)
			return -ENOMEM;
		l->entries = e;
	}
	if (l->names_n + len > l->names_room) {
		names = grown(names, &l->names_room, l->names_n + len, 1);
		if (!names)
			return -ENOMEM;
		l->names = names;
	}
	memcpy(names + l->names_n, d->d_name, len);
	e[l->n++] = (struct co_dirent){ .inode = d->d_ino, .type = d->d_type };
	l->names_n += len;
	return 0;
}

static int
read_names(struct listing *l, DIR *dir)
{
	const struct dirent *d;
	int code;

	for (;;) {
		errno = 0;
		d = readdir(dir);
		if (!d)
			return -errno;
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		code = add_name(l, d);
		if (code < 0)
			return code;
	}
}

/* Entries and names in one piece of memory. */
static int
join(struct listing *l)
{
	size_t head = l->n * sizeof *l->entries, i;
	struct co_dirent *e = realloc(l->entries, head + l->names_n + 1);
	char *name;

	if (!e)
		return -ENOMEM;
	l->entries = e;
	name = (char *)e + head;
	if (l->names_n > 0)
		memcpy(name, l->names, l->names_n);
	for (i = 0; i < l->n; i++) {
		e[i].name = name;
		name += strlen(name) + 1;
	}
	return 0;
}

static int
do_readdir(void *arg)
{
	struct listing *l = arg;
	DIR *dir = opendir(l->path);
	int code;

	if (!dir)
		return -errno;
	code = read_names(l, dir);
	closedir(dir);
	if (code == 0)
		code = join(l);
	free(l->names);
	if (code < 0)
		free(l->entries);
	return code;
}

EXPORT int
co_readdir(const char *path, struct co_dirent **ret, size_t *ret_n)
{
	struct listing l = { .path = path };
	struct task *t;
	int code, result = 0;

	if (!path)
		return -EINVAL;
	code = wait_enter(&t);
	if (code)
		return code;
	code = blocking_run(t, do_readdir, &l, &result);
	if (code < 0 || result < 0)
		return code < 0 ? code : result;
	*ret = l.entries;
	*ret_n = l.n;
	return 0;
}
