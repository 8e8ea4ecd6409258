/* SPDX-License-Identifier: MIT */
/*
 * gateway_device.c - a simulated device: connects, sends some readings, loses
 * its connection now and then, and comes back.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway.h"

co_time
jitter(co_time t, unsigned *seed)
{
	return t / 2 + (co_time)((double)t / 2 * rand_r(seed) / RAND_MAX);
}

static int
send_some(struct device *d, struct co_stream *s, unsigned *seed)
{
	int i, n = 5 + rand_r(seed) % 20, code = 0;

	for (i = 0; i < n && code >= 0; i++) {
		code = (int)co_stream_printf(s, "device%d %.1f\n", d->number,
		    15 + rand_r(seed) % 200 / 10.0);
		if (code >= 0)
			code = co_stream_flush(s);
		if (code >= 0)
			code = co_sleep(jitter(CO_MS(100), seed));
	}
	return code;
}

int
simulate(struct device *d)
{
	unsigned seed = (unsigned)d->number;
	co_time pause = CO_MS(100);
	struct co_stream *s;
	int fd;

	while (!co_cancelled()) {
		fd = co_dial(d->address);
		s = fd >= 0 ? co_stream_new(fd) : NULL;
		if (s && send_some(d, s, &seed) >= 0)
			pause = CO_MS(100);
		else if (pause < CO_SEC(10))
			pause *= 2;
		co_stream_free(s);
		if (fd >= 0)
			co_close(fd);	/* perhaps in the midst of a line */
		if (co_sleep(jitter(pause, &seed)) < 0)
			break;
	}
	return 0;
}
