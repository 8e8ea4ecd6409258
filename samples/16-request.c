/* SPDX-License-Identifier: MIT */
/*
 * 16-request.c - one deadline for a whole request, however deep its calls.
 *
 * Whoever is called knows nothing of time, and nothing begun for it is left.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct part {
	const char *name;
	co_time takes;
	int code;
};

static int
fetch(void *arg)
{
	struct part *p = arg;

	p->code = co_sleep(p->takes);	/* a database that answers, or not */
	return p->code;
}

static void
request(co_time patience)
{
	struct part part[] = {
		{ "user", CO_MS(1), -1 },
		{ "orders", CO_SEC(30), -1 },
	};
	struct co_scope s;
	int i;

	co_scope(s, .timeout = patience)
		for (i = 0; i < 2; i++)
			if (co_spawn(fetch, &part[i]) < 0)
				co_cancel(&s);
	printf("the request is %s\n", s.status == 0 ? "done" :
	    s.status == -ETIMEDOUT ? "late" : "given up");
	for (i = 0; i < 2; i++)
		printf("\t%s: %s\n", part[i].name,
		    part[i].code == 0 ? "there" : "none");
}

static int
body(void *arg)
{
	(void)arg;
	request(CO_SEC(1));
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
