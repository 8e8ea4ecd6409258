/* SPDX-License-Identifier: MIT */
/*
 * io_pause.c - waiting for what tells nobody that it has come.
 *
 * Layer 7.  Built on fd.
 *
 * A pause is a wait for a descriptor: co_close, co_forget, a deadline or a
 * cancellation end it.
 */
#include "io.h"

#define AT_ONCE	CO_MS(2)	/* a wait that was none; a guess */

int
io_pause(struct fd *f, struct task *t, uint32_t closes, co_time *pause,
    struct io_pauses how)
{
	int code;

	if (*pause == 0)
		*pause = how.first;
	else
		*pause = 2 * *pause < how.most ? 2 * *pause : how.most;
	code = fd_pause(f, t, *pause);
	return code < 0 ? code : fd_same(f, closes);
}

int
io_in_vain(struct fd *f, struct task *t, uint32_t closes, struct io_vain *v)
{
	co_time now;
	int code = 0;

	if (v->n == 0) {	/* the rule, and asks no clock */
		*v = (struct io_vain){ .n = 1 };
		return 0;
	}
	now = os_now();
	if (now - v->since > AT_ONCE) {
		v->n = 1;
		v->pause = 0;
	} else if (++v->n > IO_VAIN) {
		code = io_pause(f, t, closes, &v->pause, IO_VAIN_PAUSES);
		now = os_now();
	}
	v->since = now;
	return code;
}
