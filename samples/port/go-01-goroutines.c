/* SPDX-License-Identifier: MIT */
/*
 * go-01-goroutines.c - starting, and waiting for all.
 */
#include <stdio.h>
#include <weft.h>

struct job {
	int n;
	int *out;
};

static int
square(struct job *j)
{
	*j->out = j->n * j->n;
	return 0;
}

static int
body(void *arg)
{
	struct co_scope s;
	int out[3], i, code = 0;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 3 && code == 0; i++)
			code = co_go(square, (struct job){ i + 2, &out[i] });
	}				/* waits for all of them */
	if (code == 0)
		printf("%d %d %d\n", out[0], out[1], out[2]);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
