/* SPDX-License-Identifier: MIT */
/*
 * net_test.c - addresses, listening, accepting, connecting, datagrams.
 * Where nobody answers: dial_test.c.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>

static int
echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[4096];
	ssize_t n;

	while ((n = co_read(fd, buf, sizeof buf)) > 0)
		test_result(co_write_full(fd, buf, (size_t)n), n);
	test_result(co_close(fd), 0);
	return 0;
}

static int
serve(void *arg)
{
	int fd, listener = (int)(intptr_t)arg;

	while ((fd = co_accept(listener, NULL, NULL)) >= 0)
		co_spawn(echo, (void *)(intptr_t)fd);
	return 0;
}

static void
say_hello(int fd)
{
	char buf[6] = "";

	ck_assert_int_ge(fd, 0);
	test_result(co_write_full(fd, "hello", 5), 5);
	test_result(co_read_full(fd, buf, 5), 5);
	ck_assert_str_eq(buf, "hello");
}

static void
serve_and_dial(const char *address)
{
	char text[128];
	struct co_scope s;
	int fd, listener = co_listen(address);

	ck_assert_int_ge(listener, 0);
	ck_assert(fcntl(listener, F_GETFD) & FD_CLOEXEC);
	test_result(co_address(listener, text, sizeof text), 0);
	co_scope(s) {
		co_spawn(serve, (void *)(intptr_t)listener);
		fd = co_dial(text);
		ck_assert_int_ge(fd, 0);
		ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		say_hello(fd);
		test_result(co_close(fd), 0);
		test_result(co_close(listener), 0);
	}
	test_result(s.status, 0);
}

static int
all_kinds(void *arg)
{
	(void)arg;
	serve_and_dial("tcp:127.0.0.1:0");
	serve_and_dial("tcp:localhost:0");
	serve_and_dial("tcp::0");
	serve_and_dial("tcp:*:0");
	serve_and_dial("unix:@weft-net-test");
	serve_and_dial("unix:/tmp/weft-net-test.sock");
	serve_and_dial("unix:/tmp/weft-net-test.sock");	/* a stale file */
	unlink("/tmp/weft-net-test.sock");
	return 0;
}

static int
bound_to(const char *path, size_t n)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(sa.sun_path, path, n);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

/* Of sockets that others made: who dials the address comes to the socket. */
static int
odd_addresses(void *arg)
{
	char text[64];
	int fd, client;

	(void)arg;
	ck_assert_int_eq(chdir("/tmp"), 0);
	unlink("@weft-net-test");
	fd = bound_to("@weft-net-test", sizeof "@weft-net-test");
	test_result(co_address(fd, text, sizeof text), 0);
	ck_assert_str_eq(text, "unix:./@weft-net-test");
	client = co_dial(text);
	ck_assert_int_ge(client, 0);
	test_result(co_close(client), 0);
	test_result(co_close(fd), 0);
	unlink("@weft-net-test");
	fd = bound_to("\0weft\0net", 9);
	test_result(co_address(fd, text, sizeof text), -EINVAL);
	test_result(co_close(fd), 0);
	return 0;
}

TEST(an_address_that_is_given_can_be_dialled)
{
	FOR_WORKERS(w)
		test_result(test_run(w, odd_addresses, NULL), 0);
}

static int
in_the_way(void *arg)
{
	static const char path[] = "/tmp/weft-net-test.file";
	struct stat st;
	int fd;

	(void)arg;
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "kept", 4), 4);
	close(fd);
	test_result(co_listen("unix:/tmp/weft-net-test.file"), -EADDRINUSE);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 4);
	unlink(path);
	return 0;
}

TEST(a_file_that_is_no_socket_is_not_removed_to_listen)
{
	FOR_WORKERS(w)
		test_result(test_run(w, in_the_way, NULL), 0);
}

TEST(listen_and_dial_by_text)
{
	FOR_WORKERS(w)
		test_result(test_run(w, all_kinds, NULL), 0);
}

static int
six(void *arg)
{
	(void)arg;
	serve_and_dial("tcp:[::1]:0");
	serve_and_dial("tcp:[::ffff:127.0.0.1]:0");	/* IPv4, so written */
	return 0;
}

TEST(ipv6_in_brackets)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
		if (fd >= 0)
			close(fd);
		test_skip("no IPv6 here");
	}
	close(fd);
	test_result(test_run(1, six, NULL), 0);
}

/* By the name of a service whose port nobody has in use.  (Not on the stack of
   a coroutine.) */
static bool
find_service(char *ret_address, size_t size)
{
	struct servent *s;
	int fd = -ENOENT;

	setservent(1);
	while (fd < 0 && (s = getservent()) != NULL) {
		if (strcmp(s->s_proto, "tcp") != 0 || ntohs(
		    (uint16_t)s->s_port) < 1024)
			continue;
		snprintf(ret_address, size, "tcp::%s", s->s_name);
		fd = co_listen(ret_address);
		ck_assert(fd >= 0 || fd == -EADDRINUSE || fd == -EACCES);
	}
	endservent();
	return fd >= 0 && co_close(fd) == 0;
}

static int
any_by_service(void *arg)
{
	char text[64], by_number[64];
	int fd = co_listen(arg), number, client;

	test_result(co_address(fd, text, sizeof text), 0);
	number = co_listen("tcp::0");
	test_result(co_address(number, by_number, sizeof by_number), 0);
	/* All but the port. */
	*(strrchr(text, ':') + 1) = *(strrchr(by_number, ':') + 1) = '\0';
	ck_assert_str_eq(text, by_number);
	client = co_dial(arg);
	ck_assert_int_ge(client, 0);
	test_result(co_close(client), 0);
	test_result(co_close(number), 0);
	return co_close(fd);
}

TEST(every_address_is_the_same_by_the_name_of_a_service_and_by_number)
{
	char address[128];

	if (!find_service(address, sizeof address))
		test_skip("no services are known here");
	FOR_WORKERS(w)
		test_result(test_run(w, any_by_service, address), 0);
}

TEST(bad_addresses_are_refused)
{
	static const char *const bad[] = {
		"", "tcp", "tcp:", "tcp:host", "tcp:host:", "tcp::", "tcp:1:2:3",
		"tcp:[::1]", "tcp:[::1]80", "tcp:[::1:80", "tcp:::1:80",
		"tcp:[zz]:80", "tcp:[]:80", "tcp:[::1%]:80", "tcp:[1.2.3.4]:80",
		"tcp:a b:80", "tcp:host:65536", "tcp:host:-1", "tcp:host:8 0",
		"tcp:host:00000080", "udp:", "unix:", "unix:@", "ftp:x:1",
		"127.0.0.1:80", ":80", "TCP:localhost:80", "tcp:ho/st:1",
		"tcp:127.0.0.1:+70000", "tcp:127.0.0.1:+80", "tcp:host:+80",
		"tcp:127.0.0.1:-4294948616", "tcp:host:-", "tcp:host:.5",
		"tcp:[::1%4294967297]:80", "udp:[::1%99999999999]:80",
		"udp:[::1%no-such]:80", "udp:[::1%+1]:80", "udp:[::1%-1]:80",
	};
	char longest[400] = "unix:";
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_msg(co_dial(bad[i]) == -EINVAL, "dial %s", bad[i]);
		ck_assert_msg(co_listen(bad[i]) == -EINVAL, "listen %s", bad[i]);
	}
	test_result(co_dial(NULL), -EINVAL);
	memset(longest + 5, 'x', 200);
	test_result(co_dial(longest), -ENAMETOOLONG);
	i = (size_t)co_listen("tcp:no-such-host.invalid:0");
	ck_assert((int)i == -ENOENT || (int)i == -EHOSTUNREACH);
}

/* --- many connections ----------------------------------------------------- */

static char server[64];

static int
client(void *arg)
{
	int i, n = (int)(intptr_t)arg, fd;

	for (i = 0; i < n; i++) {
		fd = co_dial(server);
		say_hello(fd);
		test_result(co_close(fd), 0);
	}
	return 0;
}

static int
churn(void *arg)
{
	int i, fd = co_listen("tcp:127.0.0.1:0");
	int rounds = (int)test_count(30, 1000);
	struct co_scope all, clients;

	(void)arg;
	test_result(co_address(fd, server, sizeof server), 0);
	co_scope(all) {
		co_spawn(serve, (void *)(intptr_t)fd);
		co_scope(clients)
			for (i = 0; i < 20; i++)
				co_spawn(client, (void *)(intptr_t)rounds);
		test_result(clients.status, 0);
		test_result(co_close(fd), 0);
	}
	test_result(all.status, 0);
	return 0;
}

TEST(connections_come_and_go)
{
	FOR_WORKERS(w)
		test_result(test_run(w, churn, NULL), 0);
}

/* --- running out of descriptors ------------------------------------------- */

static _Atomic int accepted;

static int
accept_all(void *arg)
{
	int fd;

	while ((fd = co_accept((int)(intptr_t)arg, NULL, NULL)) >= 0) {
		accepted++;
		co_close(fd);
	}
	return 0;
}

static int
shortage(void *arg)
{
	struct rlimit limit, small;
	struct co_scope s;
	int fd, clients[4], hog[64], n = 0, i;
	char text[64];

	(void)arg;
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	fd = co_listen("tcp:127.0.0.1:0");
	test_result(co_address(fd, text, sizeof text), 0);
	for (i = 0; i < 4; i++)
		ck_assert_int_ge(clients[i] = co_dial(text), 0);
	small = limit;
	small.rlim_cur = 60;
	setrlimit(RLIMIT_NOFILE, &small);
	while (n < 64 && (hog[n] = dup(0)) >= 0)
		n++;
	ck_assert_int_eq(errno, EMFILE);
	accepted = 0;
	co_scope(s) {
		co_spawn(accept_all, (void *)(intptr_t)fd);
		co_sleep(CO_MS(60));
		ck_assert_int_eq(accepted, 0);
		while (n > 0)
			close(hog[--n]);
		for (i = 0; accepted < 4 && i < 1000; i++)
			co_sleep(CO_MS(1));
		ck_assert_int_eq(accepted, 4);
		/* Now it pauses, and is closed. */
		co_close(fd);
	}
	setrlimit(RLIMIT_NOFILE, &limit);
	for (i = 0; i < 4; i++)
		co_close(clients[i]);
	return 0;
}

TEST(accept_waits_for_descriptors)
{
	test_result(test_run(1, shortage, NULL), 0);
	test_result(test_run(2, shortage, NULL), 0);
}

/* --- a sandbox that does not let anybody accept --------------------------- */

enum { NO_SANDBOX = 77 };

static bool
forbid_accept(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_accept4, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The error looks like one of a connection, and comes for ever. */
static int
accept_in_vain(void *arg)
{
	int fd = co_listen("tcp:127.0.0.1:0");
	co_time start = co_now();
	int64_t before = test_cpu_us();

	(void)arg;
	co_timeout(CO_MS(300))
		test_result(co_accept(fd, NULL, NULL), -ETIMEDOUT);
	test_between(co_now() - start, CO_MS(300), CO_SEC(2) * test_slow());
	test_between(test_cpu_us() - before, 0, 100000 * test_slow());
	return co_close(fd);
}

static int
in_a_sandbox(void *arg)
{
	if (!forbid_accept())
		return NO_SANDBOX;
	return test_run((int)(intptr_t)arg, accept_in_vain, NULL) == 0 &&
	    (arg != (void *)1 || accept_in_vain(NULL) == 0) ? 0 : 1;
}

TEST(accept_does_not_try_without_end_what_is_forbidden)
{
	FOR_WORKERS(w) {
		struct test_child c = test_child_for(5, in_a_sandbox,
		    (void *)(intptr_t)w);

		if (c.code == NO_SANDBOX)
			test_skip("no seccomp(2) here");
		ck_assert_msg(c.code == 0, "%d %d %s", c.code, c.signal, c.err);
	}
}

/* --- ends of connections -------------------------------------------------- */

static void
tcp_pair(int fd[2])
{
	int listener = co_listen("tcp:127.0.0.1:0");
	char text[64];

	test_result(co_address(listener, text, sizeof text), 0);
	ck_assert_int_ge(fd[0] = co_dial(text), 0);
	ck_assert_int_ge(fd[1] = co_accept(listener, NULL, NULL), 0);
	co_close(listener);
}

static void
reset(int fd)
{
	struct linger l = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
	co_close(fd);
}

static int
reset_soon(void *arg)
{
	co_sleep(CO_MS(5));
	reset((int)(intptr_t)arg);
	return 0;
}

static int
ends(void *arg)
{
	static char big[1 << 20];
	struct co_scope s;
	char buf[16];
	int fd[2];

	(void)arg;
	/* Data, then the end, again and again. */
	tcp_pair(fd);
	test_result(co_write(fd[1], "abc", 3), 3);
	shutdown(fd[1], SHUT_WR);
	test_result(co_read(fd[0], buf, 16), 3);
	test_result(co_read(fd[0], buf, 16), 0);
	test_result(co_read(fd[0], buf, 16), 0);
	test_result(co_write(fd[0], "de", 2), 2);
	test_result(co_read(fd[1], buf, 16), 2);
	test_result(co_write(fd[1], "x", 1), -EPIPE);
	reset(fd[0]);
	test_result(co_read(fd[1], buf, 16), -ECONNRESET);
	co_close(fd[1]);
	/* A reset in the midst of what is to come whole. */
	tcp_pair(fd);
	test_result(co_write(fd[1], "abc", 3), 3);
	co_scope(s) {
		co_spawn(reset_soon, (void *)(intptr_t)fd[1]);
		test_result(co_recv(fd[0], buf, 16, MSG_WAITALL), 3);
		test_result(co_recv(fd[0], buf, 16, MSG_WAITALL), -ECONNRESET);
	}
	co_close(fd[0]);
	/* A reset while waiting to read, and to write. */
	tcp_pair(fd);
	co_scope(s) {
		co_spawn(reset_soon, (void *)(intptr_t)fd[1]);
		test_result(co_read(fd[0], buf, 16), -ECONNRESET);
	}
	co_close(fd[0]);
	tcp_pair(fd);
	co_scope(s) {
		ssize_t n;

		co_spawn(reset_soon, (void *)(intptr_t)fd[1]);
		while ((n = co_write(fd[0], big, sizeof big)) > 0)
			continue;
		ck_assert(n == -ECONNRESET || n == -EPIPE);
	}
	co_close(fd[0]);
	return 0;
}

TEST(ends_and_resets)
{
	FOR_WORKERS(w)
		test_result(test_run(w, ends, NULL), 0);
}

/* --- urgent data ---------------------------------------------------------- */

enum { TALK = 12 };	/* after some waits that went well a read waits first */

static int
send_slowly(void *arg)
{
	int i;

	for (i = 0; i < TALK; i++) {
		test_result(co_sleep(CO_MS(2)), 0);
		test_result(co_send((int)(intptr_t)arg, "x", 1, 0), 1);
	}
	return 0;
}

static int
urgent(void *arg)
{
	struct co_scope s;
	char buf[16];
	int fd[2], i = 0, n;

	(void)arg;
	tcp_pair(fd);
	co_scope(s) {
		test_result(co_spawn(send_slowly, (void *)(intptr_t)fd[1]), 0);
		while (i < TALK) {
			n = (int)co_recv(fd[0], buf, sizeof buf, 0);
			ck_assert_int_gt(n, 0);
			i += n;
		}
	}
	test_result(co_send(fd[1], "!", 1, MSG_OOB), 1);
	test_result(co_sleep(CO_MS(20)), 0);
	co_timeout(CO_SEC(5)) {
		test_result(co_recv(fd[0], buf, sizeof buf, MSG_OOB), 1);
		ck_assert_int_eq(buf[0], '!');
	}
	co_close(fd[0]);
	co_close(fd[1]);
	return 0;
}

TEST(an_urgent_byte_is_had_though_no_other_has_come)
{
	FOR_WORKERS(w)
		test_result(test_run(w, urgent, NULL), 0);
}

/* --- datagrams ------------------------------------------------------------ */

static int
datagrams(void *arg)
{
	static char big[65000], got[65000];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	char text[64], buf[8];
	int a = co_listen("udp:127.0.0.1:0"), b;

	(void)arg;
	test_result(co_address(a, text, sizeof text), 0);
	ck_assert_int_eq(strncmp(text, "udp:127.0.0.1:", 14), 0);
	b = co_dial(text);
	test_result(co_send(b, "hello", 5, 0), 5);
	test_result(co_recvfrom(a, buf, 8, 0, (struct sockaddr *)&from, &len),
	    5);
	test_result(co_sendto(a, "", 0, 0, (struct sockaddr *)&from, len), 0);
	test_result(co_recv(b, buf, 8, 0), 0);		/* not the end */
	test_result(co_sendto(a, "longer than 8", 13, 0,
	    (struct sockaddr *)&from, len), 13);
	test_result(co_recv(b, buf, 8, MSG_TRUNC), 13);
	test_result(co_send(b, big, sizeof big, 0), (ssize_t)sizeof big);
	test_result(co_recv(a, got, sizeof got, 0), (ssize_t)sizeof got);
	test_result(co_recv(a, got, 1, MSG_DONTWAIT), -EAGAIN);
	co_timeout(CO_MS(5))
		test_result(co_recv(a, got, 1, 0), -ETIMEDOUT);
	co_close(a);
	test_result(co_send(b, "x", 1, 0), 1);
	test_result(co_recv(b, buf, 8, 0), -ECONNREFUSED);
	co_close(b);
	return 0;
}

TEST(datagrams_keep_their_bounds)
{
	FOR_WORKERS(w)
		test_result(test_run(w, datagrams, NULL), 0);
}

static int
send_in_parts(void *arg)
{
	int fd = (int)(intptr_t)arg;

	test_result(co_send(fd, "ab", 2, 0), 2);
	test_result(co_sleep(CO_MS(2)), 0);
	test_result(co_send(fd, "cdef", 4, 0), 4);
	return 0;
}

static int
wait_for_all(void *arg)
{
	int sv[2], dg[2];
	char buf[8];

	(void)arg;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, dg), 0);
	test_result(co_spawn(send_in_parts, (void *)(intptr_t)sv[0]), 0);
	test_result(co_recv(sv[1], buf, 4, MSG_WAITALL), 4);
	ck_assert_mem_eq(buf, "abcd", 4);
	co_timeout(CO_MS(5))		/* "ef" is not lost */
		test_result(co_recv(sv[1], buf, 4, MSG_WAITALL), 2);
	ck_assert_mem_eq(buf, "ef", 2);
	co_timeout(CO_MS(1))
		test_result(co_recv(sv[1], buf, 4, MSG_WAITALL), -ETIMEDOUT);
	test_result(co_recv(sv[1], buf, 4, MSG_WAITALL | MSG_DONTWAIT),
	    -EAGAIN);
	test_result(co_recv(sv[1], buf, 0, MSG_WAITALL), 0);
	test_result(co_send(sv[0], "gh", 2, 0), 2);
	test_result(co_recv(sv[1], buf, 4, MSG_WAITALL | MSG_PEEK), 2);
	co_close(sv[0]);
	test_result(co_recv(sv[1], buf, 4, MSG_WAITALL), 2);
	test_result(co_recv(sv[1], buf, 4, MSG_WAITALL), 0);
	test_result(co_send(dg[0], "ab", 2, 0), 2);
	test_result(co_send(dg[0], "cd", 2, 0), 2);
	test_result(co_recv(dg[1], buf, 8, MSG_WAITALL), 2);
	co_close(sv[1]);
	co_close(dg[0]);
	co_close(dg[1]);
	return 0;
}

static int
no_errors(void *arg)
{
	struct msghdr m = { .msg_name = NULL };
	int fd[2];

	(void)arg;
	tcp_pair(fd);
	test_result(co_write(fd[1], "abc", 3), 3);
	co_timeout(CO_SEC(20))	/* readable all the time */
		test_result(co_recvmsg(fd[0], &m, MSG_ERRQUEUE), -EAGAIN);
	co_close(fd[0]);
	co_close(fd[1]);
	return 0;
}

TEST(a_queue_of_errors_is_not_waited_for)
{
	if (test_emulated())
		test_skip("the emulator does not hand on the flag");
	FOR_WORKERS(w)
		test_result(test_run(w, no_errors, NULL), 0);
}

TEST(all_that_is_asked_for_or_one_datagram)
{
	FOR_WORKERS(w)
		test_result(test_run(w, wait_for_all, NULL), 0);
}

/* A thread that is no coroutine waits as well. */
static struct co_sem first_came = CO_SEM_INIT(0);

static void *
plain_receiver(void *arg)
{
	const int *fd = arg;
	char buf[8];
	struct iovec v = { buf, sizeof buf };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	test_result(co_recvmsg(fd[0], &m, 0), 3);
	ck_assert_mem_eq(buf, "abc", 3);
	co_sem_post(&first_came);
	test_result(co_recv(fd[0], buf, 4, MSG_WAITALL), 4);
	ck_assert_mem_eq(buf, "defg", 4);
	test_result(co_recvmsg(fd[0], &m, MSG_DONTWAIT), -EAGAIN);
	test_result(co_recvmsg(-1, &m, 0), -EBADF);
	return NULL;
}

TEST(plain_threads_receive_messages)
{
	pthread_t thread;
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, plain_receiver,
	    &sv[1]), 0);
	test_result(co_sleep(CO_MS(2)), 0);
	test_result(co_send(sv[0], "abc", 3, 0), 3);
	test_result(co_sem_wait(&first_came), 0);
	test_result(co_sleep(CO_MS(2)), 0);
	test_result(co_send(sv[0], "de", 2, 0), 2);
	test_result(co_sleep(CO_MS(2)), 0);
	test_result(co_send(sv[0], "fg", 2, 0), 2);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	co_close(sv[0]);
	co_close(sv[1]);
}

static int
pass_fd(void *arg)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u = { .room = "" };
	struct iovec v = { (char[]){ "x" }, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1,
	    .msg_control = u.room, .msg_controllen = sizeof u.room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int sv[2], p[2], got;
	char buf[4];

	(void)arg;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ck_assert_int_eq(pipe(p), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &p[0], sizeof(int));
	test_result(co_sendmsg(sv[0], &m, 0), 1);
	m.msg_controllen = sizeof u.room;
	test_result(co_recvmsg(sv[1], &m, 0), 1);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	ck_assert(fcntl(got, F_GETFD) & FD_CLOEXEC);
	test_result(co_write(p[1], "abc", 3), 3);
	test_result(co_read(got, buf, 4), 3);
	co_close(got);
	co_close(sv[0]);
	co_close(sv[1]);
	co_close(p[0]);
	co_close(p[1]);
	return 0;
}

TEST(descriptors_can_be_sent)
{
	test_result(test_run(1, pass_fd, NULL), 0);
}

/* --- names ---------------------------------------------------------------- */

static int
names(void *arg)
{
	struct addrinfo *list, hints = { .ai_socktype = SOCK_STREAM };

	(void)arg;
	test_result(co_resolve("localhost", "80", &hints, &list), 0);
	ck_assert_ptr_nonnull(list);
	freeaddrinfo(list);
	test_result(co_resolve(NULL, NULL, NULL, &list), -EINVAL);
	test_result(co_resolve("x", "no-such-service", &hints, &list), -EINVAL);
	co_timeout(0)
		test_result(co_resolve("localhost", NULL, NULL, &list),
		    -ETIMEDOUT);
	co_timeout(CO_US(50)) {
		int code = co_resolve("localhost", NULL, NULL, &list);

		if (code == 0)
			freeaddrinfo(list);
		else
			test_result(code, -ETIMEDOUT);
	}
	return 0;
}

TEST(names_are_looked_up)
{
	FOR_WORKERS(w)
		test_result(test_run(w, names, NULL), 0);
	test_result(names(NULL), 0);
}
