/* SPDX-License-Identifier: MIT */
/*
 * 07-fan.c - fan out, fan in: a question to three, the first answer wins.
 *
 * Leaving the scope waits for the others, whose sends have been cancelled: so
 * nothing of them is left when the channel goes.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct oracle {
	const char *name;
	co_time thinks;
	chan(const char *) answer;
};

static int
ask(struct oracle *o)
{
	if (co_sleep(o->thinks) == 0)
		chan_send(o->answer, o->name);
	return 0;
}

static int
body(void *arg)
{
	struct oracle oracle[] = {
		{ "Delphi", CO_MS(400), NULL },
		{ "Dodona", CO_MS(1), NULL },
		{ "Siwa", CO_SEC(3600), NULL },
	};
	chan(const char *) answer = chan_new(const char *, 0);
	const char *first;
	struct co_scope s;
	int i, code = 0;

	(void)arg;
	if (!answer)
		return -ENOMEM;
	co_scope(s) {
		for (i = 0; i < 3 && code == 0; i++) {
			oracle[i].answer = answer;
			code = co_go(ask, oracle[i]);
		}
		if (code == 0 && (code = chan_recv(answer, &first)) == 0)
			printf("%s has answered first\n", first);
		co_cancel(&s);
	}
	chan_unref(answer);
	return code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
