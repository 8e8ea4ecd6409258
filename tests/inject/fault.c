/* SPDX-License-Identifier: MIT */
/*
 * inject/fault.c - see fault.h.
 *
 * A table of all calls, each with its errors; one function that says whether
 * this call fails; and a __wrap_ function for each, made by macros.
 *
 * Errors that cannot be survived are not in the table, as no program could do
 * anything about them: that a lock of the C library cannot be taken, that a
 * descriptor which we have made is none, that an address of ours is a bad one.
 */
#include "inject/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ERRORS = 6 };

static struct fault plan;	/* [before armed] */
static int armed;		/* [atomic] */
static uint64_t calls, hits;	/* [atomic] */
static uint64_t random_state;	/* [atomic] */
static const char *first_name;	/* [atomic] written once, last */
static int first_error;		/* [before first_name] */
static unsigned first_variants;	/* [before first_name] */
static int64_t pieces, mapped;	/* [atomic] */

/* A sanitizer's own calls are wrapped as well, and it cannot do without.  (For
   the same reason this file is compiled without: some come before main.) */
extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

static bool
is_sanitized(void)
{
	return __asan_init || __tsan_init;
}

bool
fault_can(const char *name)
{
	static const char of_sanitizers[] = " pthread_key_create "
	    "pthread_setspecific sigaltstack sigaction ";
	char key[64];

	snprintf(key, sizeof key, " %s ", name);
	return !is_sanitized() || !strstr(of_sanitizers, key);
}

static bool
is_meant(const char *name)
{
	char key[64];

	if (!fault_can(name))
		return false;
	if (!plan.only)
		return true;
	snprintf(key, sizeof key, " %s ", name);
	return strstr(plan.only, key) != NULL;
}

static bool
is_drawn(void)
{
	uint64_t x;

	if (plan.chance == 0)
		return true;
	x = __atomic_add_fetch(&random_state, UINT64_C(0x9e3779b97f4a7c15),
	    __ATOMIC_RELAXED);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % 1000 < plan.chance;
}

/* Does this call come out as the plan wants?  It is counted. */
static bool
is_hit(const char *name)
{
	uint64_t n;

	if (!__atomic_load_n(&armed, __ATOMIC_ACQUIRE) || !is_meant(name))
		return false;
	n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	if (plan.from == 0 || n < plan.from)
		return false;
	n -= plan.from;
	if (plan.every && n % plan.every)
		return false;
	if (plan.times && n / (plan.every ? plan.every : 1) >= plan.times)
		return false;
	return is_drawn();
}

static void
note(const char *name, int error, unsigned variants)
{
	if (__atomic_add_fetch(&hits, 1, __ATOMIC_RELAXED) != 1)
		return;
	first_error = error;
	first_variants = variants;
	__atomic_store_n(&first_name, name, __ATOMIC_RELEASE);
}

/* 0, or the error that the call shall give; errno is set as well. */
static int
fails(const char *name, const int errors[ERRORS])
{
	unsigned n = 0;
	int error;

	if (plan.most || errors[0] == 0 || !is_hit(name))
		return 0;
	while (n < ERRORS && errors[n])
		n++;
	error = plan.error ? plan.error : errors[plan.variant % n];
	note(name, error, n);
	errno = error;
	return error;
}

/* How many of n bytes may be transferred. */
static size_t
cut(const char *name, size_t n)
{
	if (!plan.most || n <= plan.most || !is_hit(name))
		return n;
	note(name, 0, 1);
	return plan.most;
}

/* --- the interface -------------------------------------------------------- */

void
fault_arm(const struct fault *f)
{
	plan = *f;
	calls = hits = 0;
	random_state = f->seed;
	first_name = NULL;
	first_error = 0;
	first_variants = 0;
	__atomic_store_n(&armed, 1, __ATOMIC_RELEASE);
}

uint64_t
fault_disarm(void)
{
	__atomic_store_n(&armed, 0, __ATOMIC_RELEASE);
	return __atomic_load_n(&hits, __ATOMIC_RELAXED);
}

uint64_t
fault_calls(void)
{
	return __atomic_load_n(&calls, __ATOMIC_RELAXED);
}

const char *
fault_name(void)
{
	const char *name = __atomic_load_n(&first_name, __ATOMIC_ACQUIRE);

	return name ? name : "";
}

int
fault_error(void)
{
	return first_error;
}

unsigned
fault_variants(void)
{
	return first_variants;
}

int64_t
fault_memory(void)
{
	return __atomic_load_n(&pieces, __ATOMIC_RELAXED);
}

int64_t
fault_mapped(void)
{
	return __atomic_load_n(&mapped, __ATOMIC_RELAXED);
}

/* --- memory --------------------------------------------------------------- */

static void *
count_piece(void *p)
{
	if (p)
		__atomic_add_fetch(&pieces, 1, __ATOMIC_RELAXED);
	return p;
}

#define NO_MEMORY	(const int[ERRORS]){ ENOMEM }
#define WRAPS(type, name, params) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params

WRAPS(void *, malloc, (size_t n))
{
	return fails("malloc", NO_MEMORY) ? NULL :
	    count_piece(__real_malloc(n));
}

WRAPS(void *, calloc, (size_t n, size_t size))
{
	return fails("calloc", NO_MEMORY) ? NULL :
	    count_piece(__real_calloc(n, size));
}

WRAPS(void *, aligned_alloc, (size_t align, size_t n))
{
	return fails("aligned_alloc", NO_MEMORY) ? NULL :
	    count_piece(__real_aligned_alloc(align, n));
}

WRAPS(void *, realloc, (void *p, size_t n))
{
	bool fresh = !p;

	if (fails("realloc", NO_MEMORY))
		return NULL;
	p = __real_realloc(p, n);
	return fresh ? count_piece(p) : p;
}

WRAPS(char *, strdup, (const char *s))
{
	return fails("strdup", NO_MEMORY) ? NULL :
	    count_piece(__real_strdup(s));
}

WRAPS(void, free, (void *p))
{
	if (p)
		__atomic_sub_fetch(&pieces, 1, __ATOMIC_RELAXED);
	__real_free(p);
}

WRAPS(void *, mmap, (void *at, size_t n, int prot, int flags, int fd,
    off_t off))
{
	void *p;

	if (fails("mmap", (const int[ERRORS]){ ENOMEM, EAGAIN }))
		return MAP_FAILED;
	p = __real_mmap(at, n, prot, flags, fd, off);
	if (p != MAP_FAILED && !at)
		__atomic_add_fetch(&mapped, (int64_t)n, __ATOMIC_RELAXED);
	return p;
}

/* It fails only where a map would have to be split: never for our own maps.
   So it does when it is asked for by name, and then the map stays. */
WRAPS(int, munmap, (void *at, size_t n))
{
	int code = plan.only && fails("munmap", NO_MEMORY) ? -1 :
	    __real_munmap(at, n);

	if (code == 0)
		__atomic_sub_fetch(&mapped, (int64_t)n, __ATOMIC_RELAXED);
	return code;
}

/* --- calls that give 0 or more, or -1 ------------------------------------- */

#define CALL(type, name, params, args, ...) \
	WRAPS(type, name, params) \
	{ \
		return fails(#name, (const int[ERRORS]){ __VA_ARGS__ }) ? -1 : \
		    __real_##name args; \
	}

CALL(int, madvise, (void *at, size_t n, int advice), (at, n, advice),
    ENOMEM, EINVAL, EAGAIN)
CALL(int, mprotect, (void *at, size_t n, int prot), (at, n, prot), ENOMEM)
CALL(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags),
    (fd, a, n, flags), EINTR, EAGAIN, ECONNABORTED, EMFILE, ENOBUFS, EPROTO)
CALL(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n),
    EADDRINUSE, ENOMEM)
CALL(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n),
    ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL)
CALL(int, epoll_create, (int n), (n), EMFILE, ENOMEM)
CALL(int, epoll_create1, (int flags), (flags), EMFILE, ENFILE, ENOMEM)
CALL(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *e),
    (ep, op, fd, e), ENOMEM, ENOSPC)
CALL(int, epoll_wait, (int ep, struct epoll_event *e, int n, int ms),
    (ep, e, n, ms), EINTR)
CALL(int, eventfd, (unsigned n, int flags), (n, flags), EMFILE, ENFILE,
    ENOMEM)
CALL(int, fdatasync, (int fd), (fd), EINTR, EIO, ENOSPC)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), ENOMEM)
CALL(int, fsync, (int fd), (fd), EINTR, EIO)
CALL(int, ftruncate, (int fd, off_t n), (fd, n), EINTR, EFBIG)
CALL(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n),
    ENOTCONN, ENOBUFS)
CALL(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n),
    ENOBUFS)
CALL(int, getsockopt, (int fd, int level, int option, void *p, socklen_t *n),
    (fd, level, option, p, n), ENOBUFS)
CALL(int, listen, (int fd, int n), (fd, n), EADDRINUSE)
CALL(int, lstat, (const char *path, struct stat *st), (path, st), EINTR,
    ENOENT)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), EINTR, ENOSPC)
CALL(int, pipe2, (int fd[2], int flags), (fd, flags), EMFILE, ENFILE)
CALL(int, poll, (struct pollfd *p, nfds_t n, int ms), (p, n, ms), EINTR,
    ENOMEM)
CALL(int, rename, (const char *from, const char *to), (from, to), EINTR,
    ENOSPC)
CALL(int, rmdir, (const char *path), (path), EINTR, EBUSY)
CALL(int, sigaction, (int sig, const struct sigaction *act,
    struct sigaction *old), (sig, act, old), EINVAL)
CALL(int, socket, (int domain, int type, int protocol),
    (domain, type, protocol), EMFILE, ENFILE, ENOBUFS, EAFNOSUPPORT)
CALL(int, stat, (const char *path, struct stat *st), (path, st), EINTR,
    ENOENT)
CALL(int, timerfd_create, (int clock, int flags), (clock, flags), EMFILE,
    ENFILE, ENOMEM)
CALL(int, unlink, (const char *path), (path), EINTR, EBUSY)
CALL(pid_t, waitpid, (pid_t pid, int *status, int options),
    (pid, status, options), EINTR)

/* Asking for it, or putting it away, cannot fail. */
WRAPS(int, sigaltstack, (const stack_t *new, stack_t *old))
{
	return new && !(new->ss_flags & SS_DISABLE) && fails("sigaltstack",
	    (const int[ERRORS]){ ENOMEM, EPERM }) ? -1 :
	    __real_sigaltstack(new, old);
}

/* The number is free again whatever it gives. */
WRAPS(int, close, (int fd))
{
	int error = fails("close", (const int[ERRORS]){ EINTR, EIO });
	int code = __real_close(fd);

	errno = error ? error : errno;
	return error ? -1 : code;
}

WRAPS(int, fcntl, (int fd, int command, ...))
{
	va_list ap;
	void *arg;

	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (command == F_DUPFD_CLOEXEC && fails("fcntl",
	    (const int[ERRORS]){ EMFILE }))
		return -1;
	return __real_fcntl(fd, command, arg);
}

WRAPS(int, openat, (int dir, const char *path, int flags, ...))
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	return fails("openat", (const int[ERRORS]){ EINTR, EMFILE, ENFILE,
	    ENOMEM }) ? -1 : __real_openat(dir, path, flags, mode);
}

static const int *
syscall_errors(long number, const char **ret_name)
{
	static const int none[ERRORS], pidfd[ERRORS] = { ENOSYS, EMFILE,
	    ENOMEM }, futex[ERRORS] = { EINTR, EAGAIN },
	    barrier[ERRORS] = { ENOMEM };

	switch (number) {
	case SYS_pidfd_open:
		*ret_name = "pidfd_open";
		return pidfd;
	case SYS_futex:
		*ret_name = "futex";
		return futex;
	case SYS_membarrier:
		*ret_name = "membarrier";
		return barrier;
	default:
		*ret_name = "syscall";
		return none;
	}
}

/* A futex call that wakes somebody cannot fail. */
WRAPS(long, syscall, (long number, ...))
{
	const char *name;
	const int *errors = syscall_errors(number, &name);
	long a[6];
	va_list ap;
	int i;

	va_start(ap, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (!(number == SYS_futex && (a[1] & 0x7f) == 1) &&
	    fails(name, errors))
		return -1;
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- counts --------------------------------------------------------------- */

/* A vector of so many bytes at most: of its first piece that is not empty. */
static int
cut_vector(const char *name, const struct iovec *v, int n, struct iovec *ret)
{
	int i;

	for (i = 0; i < n && v[i].iov_len == 0; i++)
		continue;
	if (i == n)
		return 0;
	*ret = v[i];
	ret->iov_len = cut(name, ret->iov_len);
	return ret->iov_len < v[i].iov_len;
}

#define COUNTED(name, params, args, ...) \
	WRAPS(ssize_t, name, params) \
	{ \
		if (fails(#name, (const int[ERRORS]){ __VA_ARGS__ })) \
			return -1; \
		n = cut(#name, n); \
		return __real_##name args; \
	}
#define VECTOR(name, params, args, args_cut, ...) \
	WRAPS(ssize_t, name, params) \
	{ \
		struct iovec w; \
	\
		if (fails(#name, (const int[ERRORS]){ __VA_ARGS__ })) \
			return -1; \
		return cut_vector(#name, v, nv, &w) ? \
		    __real_##name args_cut : __real_##name args; \
	}

COUNTED(read, (int fd, void *p, size_t n), (fd, p, n), EINTR)
COUNTED(write, (int fd, const void *p, size_t n), (fd, p, n), EINTR)
COUNTED(recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags),
    EINTR, EAGAIN, ECONNRESET, ENOMEM)
COUNTED(send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags),
    EINTR, EAGAIN, EPIPE, ECONNRESET, ENOBUFS)
COUNTED(recvfrom, (int fd, void *p, size_t n, int flags, struct sockaddr *a,
    socklen_t *na), (fd, p, n, flags, a, na), EINTR, EAGAIN, ECONNREFUSED)
COUNTED(sendto, (int fd, const void *p, size_t n, int flags,
    const struct sockaddr *a, socklen_t na), (fd, p, n, flags, a, na), EINTR,
    EAGAIN, ENOBUFS, EHOSTUNREACH)
COUNTED(sendfile, (int out, int in, off_t *at, size_t n), (out, in, at, n),
    EINTR, EAGAIN, EPIPE)
COUNTED(splice, (int in, off_t *in_at, int out, off_t *out_at, size_t n,
    unsigned flags), (in, in_at, out, out_at, n, flags), EINTR, EAGAIN,
    ENOMEM)
VECTOR(readv, (int fd, const struct iovec *v, int nv), (fd, v, nv),
    (fd, &w, 1), EINTR, EAGAIN, EIO)
VECTOR(writev, (int fd, const struct iovec *v, int nv), (fd, v, nv),
    (fd, &w, 1), EINTR, EAGAIN, EPIPE, ENOSPC)
VECTOR(preadv, (int fd, const struct iovec *v, int nv, off_t at),
    (fd, v, nv, at), (fd, &w, 1, at), EINTR, EIO)
VECTOR(pwritev, (int fd, const struct iovec *v, int nv, off_t at),
    (fd, v, nv, at), (fd, &w, 1, at), EINTR, ENOSPC)
VECTOR(pwritev2, (int fd, const struct iovec *v, int nv, off_t at, int flags),
    (fd, v, nv, at, flags), (fd, &w, 1, at, flags), EINTR, EAGAIN, EPIPE,
    EOPNOTSUPP)

WRAPS(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags))
{
	struct msghdr short_m = *m;
	struct iovec w;
	ssize_t n;

	if (fails("recvmsg", (const int[ERRORS]){ EINTR, EAGAIN, ENOMEM }))
		return -1;
	if (!cut_vector("recvmsg", m->msg_iov, (int)m->msg_iovlen, &w))
		return __real_recvmsg(fd, m, flags);
	short_m.msg_iov = &w;
	short_m.msg_iovlen = 1;
	n = __real_recvmsg(fd, &short_m, flags);
	m->msg_namelen = short_m.msg_namelen;
	m->msg_controllen = short_m.msg_controllen;
	m->msg_flags = short_m.msg_flags;
	return n;
}

WRAPS(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags))
{
	struct msghdr short_m = *m;
	struct iovec w;

	if (fails("sendmsg", (const int[ERRORS]){ EINTR, EAGAIN, EPIPE,
	    ENOBUFS }))
		return -1;
	if (!cut_vector("sendmsg", m->msg_iov, (int)m->msg_iovlen, &w))
		return __real_sendmsg(fd, m, flags);
	short_m.msg_iov = &w;
	short_m.msg_iovlen = 1;
	return __real_sendmsg(fd, &short_m, flags);
}

/* --- calls that give the error -------------------------------------------- */

#define GIVES(name, params, args, ...) \
	WRAPS(int, name, params) \
	{ \
		int error = fails(#name, (const int[ERRORS]){ __VA_ARGS__ }); \
	\
		return error ? error : __real_##name args; \
	}

GIVES(pthread_create, (pthread_t *t, const pthread_attr_t *attr,
    void *(*fn)(void *), void *arg), (t, attr, fn, arg), EAGAIN)
GIVES(pthread_key_create, (pthread_key_t *key, void (*fn)(void *)), (key, fn),
    EAGAIN)
GIVES(pthread_setspecific, (pthread_key_t key, const void *value),
    (key, value), ENOMEM)
GIVES(posix_spawnp, (pid_t *pid, const char *file,
    const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attr,
    char *const argv[], char *const env[]), (pid, file, files, attr, argv,
    env), EAGAIN, ENOMEM, ENOENT)
GIVES(posix_spawn_file_actions_init, (posix_spawn_file_actions_t *files),
    (files), ENOMEM)
GIVES(posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t *files,
    int from, int to), (files, from, to), ENOMEM)
GIVES(posix_spawn_file_actions_addchdir_np, (posix_spawn_file_actions_t *files,
    const char *path), (files, path), ENOMEM)
GIVES(posix_spawnattr_init, (posix_spawnattr_t *attr), (attr), ENOMEM)
GIVES(posix_spawnattr_setflags, (posix_spawnattr_t *attr, short flags),
    (attr, flags), EINVAL)
GIVES(posix_spawnattr_setsigdefault, (posix_spawnattr_t *attr,
    const sigset_t *set), (attr, set), EINVAL)
GIVES(posix_spawnattr_setsigmask, (posix_spawnattr_t *attr,
    const sigset_t *set), (attr, set), EINVAL)

int __real_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **ret);

static const char *const *hosts;	/* [const while calls run] */

void
fault_hosts(const char *const *addresses)
{
	hosts = addresses;
}

/* What the addresses give, in one list. */
static int
list_hosts(const char *service, const struct addrinfo *hints,
    struct addrinfo **ret)
{
	struct addrinfo numeric = *hints, **end = ret;
	const char *const *at;
	int code = 0;

	*ret = NULL;
	numeric.ai_flags |= AI_NUMERICHOST;
	for (at = hosts; *at && code == 0; at++) {
		code = __real_getaddrinfo(*at, service, &numeric, end);
		while (code == 0 && *end)
			end = &(*end)->ai_next;
	}
	return code;
}

/* Its codes are its own: no error of errno is below 0. */
int
__wrap_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **ret)
{
	static const int to_eai[] = { EAI_MEMORY, EAI_SYSTEM, EAI_AGAIN,
	    EAI_FAIL, EAI_NONAME };
	int error = fails("getaddrinfo", (const int[ERRORS]){ ENOMEM, EMFILE,
	    EHOSTUNREACH, EIO, ENOENT });

	if (error)
		return to_eai[plan.variant % 5];
	return hosts ? list_hosts(service, hints, ret) :
	    __real_getaddrinfo(host, service, hints, ret);
}

/* --- libc's streams ------------------------------------------------------- */

WRAPS(DIR *, opendir, (const char *path))
{
	return fails("opendir", (const int[ERRORS]){ EMFILE, ENOMEM }) ? NULL :
	    __real_opendir(path);
}

WRAPS(struct dirent *, readdir, (DIR *d))
{
	return fails("readdir", (const int[ERRORS]){ EIO }) ? NULL :
	    __real_readdir(d);
}

WRAPS(size_t, fwrite, (const void *p, size_t size, size_t n, FILE *to))
{
	return fails("fwrite", (const int[ERRORS]){ EIO }) ? 0 :
	    __real_fwrite(p, size, n, to);
}

WRAPS(int, fflush, (FILE *to))
{
	return fails("fflush", (const int[ERRORS]){ EIO }) ? EOF :
	    __real_fflush(to);
}

/* --- ours ----------------------------------------------------------------- */

/* Is epoll_create1 of the program's own code called by libev?  Then its name
   was resolved when the program was linked, and the loop is there too. */
extern int ev_version_major(void) __attribute__((weak));

bool
fault_sees_libev(void)
{
	extern char __executable_start[], etext[];
	char *at = (char *)(uintptr_t)&ev_version_major;

	return at >= __executable_start && at < etext;
}
