/* SPDX-License-Identifier: MIT */
/*
 * gateway.c - sensors over TCP to a broker of MQTT.
 *
 *	devices -> readings -> averager -> outbox -> publisher -> broker
 *
 * A device is a connection, and a coroutine that reads lines "NAME VALUE".  One
 * coroutine has all sensors, and so needs no lock: at the end of each window
 * it tells the average of each, and at once when one rises over the threshold.
 * What it tells goes into a bounded outbox; while the broker is away the oldest
 * is dropped, and counted.
 *
 * The end, on SIGTERM, goes the same way: devices are cut off, the last window
 * is told, and the publisher has LAST_WORDS to be rid of it.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

enum { LINE = 128, READINGS = 1024, OUTBOX = 1024 };
#define SILENCE		CO_SEC(60)	/* of a device, until it is left */
#define LAST_WORDS	CO_SEC(3)

struct reading {
	char name[SENSOR];
	double value;
};

struct sensor {
	char name[SENSOR];
	double sum;
	long n;
	bool high;		/* over the threshold */
};

static struct {
	const char *listen;
	co_time window;
	double threshold;
	int devices, workers;
} opt = { "tcp:127.0.0.1:7070", CO_SEC(10), INFINITY, 0, 0 };

static struct broker broker = { .host = "127.0.0.1", .port = 1883 };
static chan(struct reading) readings;
static void *sensors;			/* of tsearch(3); the averager's */
static long taken, dropped;		/* the averager's */
static _Atomic long malformed;

/* --- devices ---------------------------------------------------------------- */

static bool
parse(const char *line, struct reading *ret)
{
	size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	char *end;

	if (n == 0 || n >= SENSOR || line[n] != ' ')
		return false;
	memcpy(ret->name, line, n);
	ret->name[n] = '\0';
	ret->value = strtod(line + n, &end);
	while (isspace((unsigned char)*end))
		end++;
	return end > line + n + 1 && *end == '\0' && isfinite(ret->value);
}

static int
device(int *fd)
{
	struct co_stream *s = co_stream_new(*fd);
	struct reading r;
	char line[LINE];
	ssize_t n = s ? 0 : -ENOMEM;

	while (n >= 0) {
		co_timeout(SILENCE)
			n = co_stream_read_line(s, line, sizeof line);
		/* What has no end of a line was cut off. */
		if (n <= 0 || line[n - 1] != '\n')
			break;
		if (!parse(line, &r))
			malformed++;
		else if (chan_send(readings, r) < 0)
			break;
	}
	if (n == -EMSGSIZE)
		malformed++;
	co_stream_free(s);
	return co_close(*fd);
}

/* --- averages --------------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct sensor *)a)->name,
	    ((const struct sensor *)b)->name);
}

/* The oldest goes when there is no room. */
static void
tell(const char *kind, const char *name, double value)
{
	struct message m, oldest;

	snprintf(m.topic, sizeof m.topic, "weft/%s/%s", kind, name);
	snprintf(m.text, sizeof m.text, "%.3f", value);
	while (chan_try_send(broker.outbox, m) == -EAGAIN)
		if (chan_try_recv(broker.outbox, &oldest) == 0)
			dropped++;
}

static void
take(const struct reading *r)
{
	struct sensor key = { .sum = 0 }, *s, **found;
	bool high = r->value > opt.threshold;

	memcpy(key.name, r->name, sizeof key.name);
	found = tfind(&key, &sensors, by_name);
	if (!found) {
		s = malloc(sizeof *s);
		if (!s)
			return;
		*s = key;
		found = tsearch(s, &sensors, by_name);
		if (!found) {
			free(s);
			return;
		}
	}
	s = *found;
	s->sum += r->value;
	s->n++;
	taken++;
	if (high && !s->high)
		tell("alert", s->name, r->value);
	s->high = high;
}

static void
tell_average(const void *node, VISIT when, int depth)
{
	struct sensor *s = *(struct sensor *const *)node;

	(void)depth;
	if ((when != postorder && when != leaf) || s->n == 0)
		return;
	tell("average", s->name, s->sum / (double)s->n);
	s->sum = 0;
	s->n = 0;
}

static int
averager(void *arg)
{
	co_time end = co_now() + opt.window;
	int status = 0, got = 0;
	struct reading r;

	(void)arg;
	while (got >= 0 && status >= 0) {
		got = co_select(co_on_recv(readings, &r, &status),
		    co_on_timeout(end - co_now()));
		if (got == 0 && status == 0)
			take(&r);
		if (got == 1 || status < 0) {
			twalk(sensors, tell_average);
			end += opt.window;
		}
	}
	chan_close(broker.outbox);
	tdestroy(sensors, free);
	return 0;
}

/* --- the whole -------------------------------------------------------------- */

static int
until_told(void *scope)
{
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT));
	co_cancel(scope);
	return 0;
}

/* Until the scope that it is in ends. */
static int
serve(int fd)
{
	char address[128] = "";
	int i, peer, code;

	code = co_address(fd, address, sizeof address);
	if (code < 0)
		return code;
	printf("gateway: listening on %s\n", address);
	for (i = 0; i < opt.devices && code >= 0; i++)
		code = co_go(simulate, (struct device){ address, i });
	while (code >= 0 && (peer = co_accept(fd, NULL, NULL)) >= 0)
		if (co_go(device, peer) < 0)
			co_close(peer);
	return code;
}

static int
publisher(void *arg)
{
	return publish_all(arg);
}

/* Waits for its end, but not for ever. */
static int
join_publisher(struct co_task *t)
{
	struct co_scope s;
	int code = 0;

	co_scope(s, .timeout = LAST_WORDS)
		code = co_join(t);
	if (code == -ETIMEDOUT) {
		co_task_cancel(t);
		code = co_join(t);
	}
	return code == -ECANCELED ? 0 : code;
}

static int
body(void *arg)
{
	int fd = co_listen(opt.listen), code;
	struct co_scope averaging, serving;
	struct co_task publishing;

	(void)arg;
	readings = chan_new(struct reading, READINGS);
	broker.outbox = chan_new(struct message, OUTBOX);
	if (fd < 0 || !readings || !broker.outbox)
		return fd < 0 ? fd : -ENOMEM;
	code = co_fork(&publishing, publisher, &broker);
	if (code < 0)
		return code;
	co_scope(averaging) {
		code = co_spawn(averager, NULL);
		co_scope(serving, .policy = CO_SUPERVISE) {
			if (code >= 0)
				code = co_spawn(until_told, &serving);
			if (code >= 0)
				code = serve(fd);
			co_cancel(&serving);
		}
		chan_close(readings);
	}
	co_close(fd);
	join_publisher(&publishing);
	printf("gateway: %ld readings, %ld malformed, %ld published, "
	    "%ld dropped\n", taken, (long)malformed, broker.sent, dropped);
	chan_unref(readings);
	chan_unref(broker.outbox);
	return code;
}

static const char usage[] =
    "usage: gateway [options]\n"
    "Takes lines \"NAME VALUE\" of devices, and tells averages and alerts to\n"
    "a broker of MQTT, as weft/average/NAME and weft/alert/NAME.\n"
    "\n"
    "  --listen ADDRESS    where devices come (tcp:127.0.0.1:7070)\n"
    "  --broker HOST:PORT  (127.0.0.1:1883)\n"
    "  --window SECONDS    of an average (10)\n"
    "  --threshold VALUE   an alert when a sensor rises over it (none)\n"
    "  --devices N         simulates so many (0)\n"
    "  --workers N         threads (one for each processor)\n";

static double
number(const char *option, const char *text, double least)
{
	char *end;
	double x = strtod(text, &end);

	if (end == text || *end || !(x >= least && x <= 1e9)) {
		fprintf(stderr, "gateway: --%s does not go with '%s'\n", option,
		    text);
		exit(2);
	}
	return x;
}

static void
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "broker", required_argument, NULL, 'b' },
		{ "devices", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "listen", required_argument, NULL, 'l' },
		{ "threshold", required_argument, NULL, 't' },
		{ "window", required_argument, NULL, 'w' },
		{ "workers", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		switch (c) {
		case 'b':
			if (sscanf(optarg, "%63[^:]:%d", broker.host,
			    &broker.port) != 2) {
				fprintf(stderr, "gateway: --broker does not "
				    "go with '%s'\n", optarg);
				exit(2);
			}
			break;
		case 'd': opt.devices = (int)number("devices", optarg, 0); break;
		case 'l': opt.listen = optarg; break;
		case 't': opt.threshold = number("threshold", optarg, -1e9); break;
		case 'w': opt.window = (co_time)(1e9 *
		    number("window", optarg, 0.01)); break;
		case 'n': opt.workers = (int)number("workers", optarg, 1); break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "gateway: what is '%s'?\n%s", argv[optind],
		    usage);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	int code;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);	/* libmosquitto's writes */
	read_options(argc, argv);
	code = co_run(&(struct co_options){ .workers = opt.workers }, body,
	    NULL);
	if (code < 0)
		fprintf(stderr, "gateway: %s: %s\n", opt.listen,
		    strerror(-code));
	return code < 0;
}
