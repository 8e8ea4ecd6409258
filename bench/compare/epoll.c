/* SPDX-License-Identifier: MIT */
/*
 * epoll.c - raw epoll, level triggered, one recv and one send for each
 * message: the floor of the echo.
 */
#include "listen.h"

#include <sys/epoll.h>

static void
watch(int ep, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	bench_check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
}

static void
echo_question(void)
{
	int fd = listen_and_tell(), ep = epoll_create1(0), i, n, c;
	struct epoll_event e[256];
	char buffer[4096];

	watch(ep, fd);
	for (;;) {
		n = epoll_wait(ep, e, 256, -1);
		for (i = 0; i < n; i++) {
			ssize_t got;

			if (e[i].data.fd == fd) {
				while ((c = accept_next(fd)) >= 0)
					watch(ep, c);
				continue;
			}
			c = e[i].data.fd;
			got = recv(c, buffer, sizeof buffer, 0);
			if (got < 0 && errno == EAGAIN)
				continue;
			if (got <= 0 || send(c, buffer, (size_t)got,
			    MSG_NOSIGNAL) != got)
				close(c);
		}
	}
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "echo", echo_question },
		{ NULL, NULL }
	};

	return peer_main(argc, argv, questions);
}
