/* SPDX-License-Identifier: MIT */
/*
 * harness_text.c - where what is tested writes to.
 */
#include "harness.h"

#include <fcntl.h>
#include <unistd.h>

char *
test_written(int (*fn)(FILE *to), int *ret_code)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(to);
	*ret_code = fn(to);
	fclose(to);
	return text;
}

void
test_full_pipe(int ret_fds[2])
{
	static const char some[4096];

	ck_assert_int_eq(pipe(ret_fds), 0);
	ck_assert_int_eq(fcntl(ret_fds[1], F_SETFL, O_NONBLOCK), 0);
	while (write(ret_fds[1], some, sizeof some) > 0)
		continue;
	ck_assert_int_eq(fcntl(ret_fds[1], F_SETFL, 0), 0);
}
