/* SPDX-License-Identifier: MIT */
/*
 * <weft/io.h> - descriptors, sockets, files, processes, signals, and work
 * that blocks.  The full text: co_io(3), co_net(3), co_blocking(3),
 * co_process(3), co_stream(3).
 *
 * Descriptors are plain ints, of whatever library.  The first use makes one
 * nonblocking; 0, 1 and 2 are left as they are and waited for before each
 * call.  All calls give a byte count or 0 or a descriptor, 0 at the end of a
 * file, or a negative errno.  -EINTR is never given and SIGPIPE never raised;
 * what the library opens is close-on-exec.
 *
 * All wait, and are cancellation points, unless something else is said.  They
 * may be called from plain threads too, which then wait themselves.
 *
 * Close descriptors with co_close.
 */
#ifndef WEFT_IO_H
#define WEFT_IO_H

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <weft/chan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- bytes ---------------------------------------------------------------- */

/* As their namesakes in POSIX.  Regular files are read and written by the
   blocking pool. */
ssize_t co_read(int fd, void *buf, size_t n);
ssize_t co_write(int fd, const void *buf, size_t n);
ssize_t co_readv(int fd, const struct iovec *v, int n);
ssize_t co_writev(int fd, const struct iovec *v, int n);
ssize_t co_pread(int fd, void *buf, size_t n, off_t at);
ssize_t co_pwrite(int fd, const void *buf, size_t n, off_t at);

/* All n bytes, or the error: then some may have been moved.  A short count only
   at the end of the file. */
ssize_t co_read_full(int fd, void *buf, size_t n);
ssize_t co_write_full(int fd, const void *buf, size_t n);

/* MSG_DONTWAIT in flags: -EAGAIN instead of waiting, no cancellation point. */
ssize_t co_recv(int fd, void *buf, size_t n, int flags);
ssize_t co_send(int fd, const void *buf, size_t n, int flags);
ssize_t co_recvfrom(int fd, void *buf, size_t n, int flags,
    struct sockaddr *from, socklen_t *fromlen);
ssize_t co_sendto(int fd, const void *buf, size_t n, int flags,
    const struct sockaddr *to, socklen_t tolen);
/* Received descriptors are close-on-exec. */
ssize_t co_recvmsg(int fd, struct msghdr *m, int flags);
ssize_t co_sendmsg(int fd, const struct msghdr *m, int flags);

/* Up to n bytes from one descriptor to another, without a buffer of ours. */
ssize_t co_sendfile(int out, int in, off_t *at, size_t n);
ssize_t co_splice(int in, off_t *in_at, int out, off_t *out_at, size_t n,
    unsigned flags);

/* --- descriptors ---------------------------------------------------------- */

#define CO_READ		0x1u
#define CO_WRITE	0x2u

/* Those of the events that are there: errors and hang-ups count as both. */
int co_wait_fd(int fd, unsigned events);

/*
 * At once, and no cancellation point.  Who waits on fd gets -EBADF; the number
 * is free for others only when they have left.
 */
int co_close(int fd);

/* Somebody else is about to close fd: who waits on it gets -EBADF. */
int co_forget(int fd);

/* --- sockets -------------------------------------------------------------- */

/* The new socket is nonblocking.  Running out of descriptors or memory is
   waited out; a connection that is gone already is passed over. */
int co_accept(int fd, struct sockaddr *from, socklen_t *fromlen);
/* When it is cancelled the attempt may still go on: close the socket. */
int co_connect(int fd, const struct sockaddr *to, socklen_t tolen);
/* socket(2), close-on-exec and nonblocking.  Does not wait. */
int co_socket(int domain, int type, int protocol);

/*
 * "tcp:HOST:PORT", "udp:HOST:PORT", "unix:PATH", "unix:@ABSTRACT".  HOST is a
 * name, an IPv4 address, or an IPv6 address in brackets; "*" or nothing: all
 * of this machine.  PORT is a number or the name of a service; 0: any that is
 * free.  -EINVAL: not of this form.  -ENOENT: no such host.
 */
int co_listen(const char *address);
int co_dial(const char *address);	/* tries all addresses of a name */

/* Writes the address of fd (or of its peer) in that form, with a NUL. */
int co_address(int fd, char *buf, size_t size);
int co_peer_address(int fd, char *buf, size_t size);

struct addrinfo;
/* getaddrinfo(3) on the blocking pool; free *ret with freeaddrinfo(3). */
int co_resolve(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **ret);

/* --- work that blocks, and files ------------------------------------------ */

/*
 * Runs fn(arg) on a thread of the blocking pool and gives its result.  If it is
 * cancelled before it begins it never begins; once begun it is waited for.
 * -EAGAIN, -ENOMEM: no thread could be made.
 */
int co_blocking(co_fn *fn, void *arg);

int co_open(const char *path, int flags, mode_t mode);
int co_openat(int dir, const char *path, int flags, mode_t mode);
int co_fsync(int fd);
int co_fdatasync(int fd);
int co_ftruncate(int fd, off_t size);
int co_stat(const char *path, struct stat *ret);
int co_lstat(const char *path, struct stat *ret);
int co_fstat(int fd, struct stat *ret);
int co_unlink(const char *path);
int co_rename(const char *from, const char *to);
int co_mkdir(const char *path, mode_t mode);
int co_rmdir(const char *path);

/*
 * The names in a directory but "." and "..", in no order: *ret is a list of
 * *ret_n, in one piece of memory, to be freed with free(3).
 */
struct co_dirent {
	const char *name;
	uint64_t inode;
	unsigned char type;	/* DT_REG, ... or DT_UNKNOWN */
};
int co_readdir(const char *path, struct co_dirent **ret, size_t *ret_n);

/* --- processes ------------------------------------------------------------ */

/* As waitpid(2). */
int co_waitpid(pid_t pid, int *status, int options);

struct co_process {
	pid_t pid;
	int in, out, err;	/* our ends of its pipes, or -1 */
};

struct co_process_options {	/* all fields zero: ours, shared with it */
	char *const *env;	/* NULL: our own environment */
	const char *directory;	/* NULL: ours */
	bool pipe_in, pipe_out, pipe_err;	/* make pipes to its 0, 1, 2 */
	bool err_to_out;	/* its 2 goes where its 1 goes */
};

/* argv[0] is looked for in PATH.  options may be NULL.  Close the pipes and
   wait for the process with co_waitpid. */
int co_spawn_process(struct co_process *ret, char *const *argv,
    const struct co_process_options *options);

/* --- signals -------------------------------------------------------------- */

/*
 * Waits for the signal.  From the first use in a runtime (also of
 * co_on_signal) until that ends, the signal is caught, and remembered once
 * until somebody takes it.  -EINVAL: it cannot be caught, or the caller is no
 * coroutine.
 */
int co_wait_signal(int signo);

/* --- cases of a select ---------------------------------------------------- */

struct co_case co__on_readable(int fd, int *status);
struct co_case co__on_writable(int fd, int *status);
struct co_case co_on_signal(int signo);

#ifndef __cplusplus
/* co_on_readable(fd [, &status]), co_on_writable(fd [, &status]): status
   becomes 0, or -EBADF: it was closed. */
#define co_on_readable(...)	CO__ON_FD(co__on_readable, __VA_ARGS__, NULL, 0)
#define co_on_writable(...)	CO__ON_FD(co__on_writable, __VA_ARGS__, NULL, 0)
#define CO__ON_FD(fn, fd, status, ...)	fn((fd), (status))
#endif

#ifdef __cplusplus
}
#endif

#include <weft/stream.h>

#endif
