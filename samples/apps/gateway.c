/* SPDX-License-Identifier: MIT */
/*
 * gateway.c - sensors over TCP to a broker of MQTT.
 *
 *	devices -> readings -> averager -> outbox -> publisher -> broker
 *
 * A device is a connection, and a coroutine that reads lines "NAME VALUE".
 * gateway_average.c makes averages and alerts of them, gateway_mqtt.c carries
 * these to the broker.
 *
 * The end, on SIGTERM, goes the same way: devices are cut off, the last window
 * is told, and the publisher gets some time to be rid of it.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

enum { LINE = 128, READINGS = 1024, OUTBOX = 1024 };
#define SILENCE		CO_SEC(60)	/* of a device, until it is left */
#define LARGEST		1e100		/* so that no sum is infinite */

static struct {
	const char *listen;
	int devices, workers;
} opt = { "tcp:127.0.0.1:7070", 0, 0 };

static struct broker broker = { .host = "127.0.0.1", .port = 1883 };
static struct averager averager = {
	.broker = &broker, .window = CO_SEC(10), .drain = CO_SEC(3),
	.threshold = INFINITY
};
static _Atomic long malformed;

/* --- devices ---------------------------------------------------------------- */

/* A line of n bytes, its end among them. */
static bool
parse(const char *line, size_t n, struct reading *ret)
{
	size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
	char *end;

	if (name == 0 || name >= SENSOR || line[name] != ' ')
		return false;
	memcpy(ret->name, line, name);
	ret->name[name] = '\0';
	ret->value = strtod(line + name, &end);
	if (end == line + name || !(fabs(ret->value) <= LARGEST))
		return false;
	while (isspace((unsigned char)*end))
		end++;
	return end == line + n;
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
		if (!parse(line, (size_t)n, &r))
			malformed++;
		else if (chan_send(averager.readings, r) < 0)
			break;
	}
	if (n == -EMSGSIZE)
		malformed++;
	co_stream_free(s);
	return co_close(*fd);
}

/* --- the whole -------------------------------------------------------------- */

static int
until_told(void *scope)
{
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT));
	co_cancel(scope);
	return 0;
}

static char address[128];	/* where it listens */

/* Before anybody else has something to say. */
static int
announce(int fd)
{
	int code = co_address(fd, address, sizeof address);

	if (code < 0)
		return code;
	/* The first use catches them: who reads this line may send one. */
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT), co_otherwise);
	printf("gateway: listening on %s\n", address);
	return 0;
}

/* Until the scope that it is in ends. */
static int
serve(int fd)
{
	int i, peer = 0, code = 0;

	for (i = 0; i < opt.devices && code >= 0; i++)
		code = co_go(simulate, (struct device){ address, i });
	while (code >= 0 && (peer = co_accept(fd, NULL, NULL)) >= 0)
		if (co_go(device, peer) < 0)
			co_close(peer);
	return code < 0 ? code : peer == -ECANCELED ? 0 : peer;
}

static int
publisher(void *arg)
{
	return publish_all(arg);
}

static int
averaging(void *arg)
{
	return average_all(arg);
}

/* Waits for its end, but not for ever. */
static int
join_publisher(struct co_task *t)
{
	struct co_scope s;
	int code = 0;

	co_scope(s, .timeout = averager.drain)
		code = co_join(t);
	if (code == -ETIMEDOUT) {
		co_task_cancel(t);
		code = co_join(t);
	}
	return code == -ECANCELED ? 0 : code;
}

/* Devices until SIGTERM, and the averager until it has told all. */
static int
take_readings(int fd)
{
	struct co_scope all, serving;
	int code = 0;

	co_scope(all) {
		code = co_spawn(averaging, &averager);
		co_scope(serving, .policy = CO_SUPERVISE) {
			if (code >= 0)
				code = co_spawn(until_told, &serving);
			if (code >= 0)
				code = serve(fd);
			co_cancel(&serving);
		}
		chan_close(averager.readings);
	}
	return code;
}

static int
run(int fd)
{
	struct co_task publishing;
	struct message left;
	int code, published;

	code = announce(fd);
	if (code == 0)
		code = co_fork(&publishing, publisher, &broker);
	if (code < 0)
		return code;
	code = take_readings(fd);
	published = join_publisher(&publishing);
	while (chan_try_recv(broker.outbox, &left) == 0)
		averager.dropped++;
	printf("gateway: %ld readings, %ld malformed, %ld refused, "
	    "%ld published, %ld dropped\n", averager.taken, (long)malformed,
	    averager.refused, broker.sent, averager.dropped + broker.lost);
	return code < 0 ? code : published;
}

static int
body(void *arg)
{
	int fd = co_listen(opt.listen), code = fd;

	(void)arg;
	averager.readings = chan_new(struct reading, READINGS);
	broker.outbox = chan_new(struct message, OUTBOX);
	if (!averager.readings || !broker.outbox)
		code = -ENOMEM;
	if (code >= 0)
		code = run(fd);
	if (fd >= 0)
		co_close(fd);
	chan_unref(averager.readings);
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
    "  --drain SECONDS     for what is left on SIGTERM (3)\n"
    "  --devices N         simulates so many (0)\n"
    "  --workers N         threads (one for each processor)\n";

static void
wrong(const char *option, const char *text)
{
	fprintf(stderr, "gateway: --%s does not go with '%s'\n", option, text);
	exit(2);
}

static double
number(const char *option, const char *text, double least, double most)
{
	char *end;
	double x = strtod(text, &end);

	if (end == text || *end || !(x >= least && x <= most))
		wrong(option, text);
	return x;
}

static int
whole(const char *option, const char *text, int least, int most)
{
	double x = number(option, text, least, most);

	if (x != floor(x))
		wrong(option, text);
	return (int)x;
}

static co_time
seconds(const char *option, const char *text)
{
	return (co_time)(1e9 * number(option, text, 0.01, 1e9));
}

/* HOST:PORT; an address of IPv6 may be in brackets. */
static void
read_broker(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof broker.host)
		wrong("broker", text);
	memcpy(broker.host, text, n);
	broker.host[n] = '\0';
	broker.port = whole("broker", colon + 1, 1, 65535);
}

static void
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "broker", required_argument, NULL, 'b' },
		{ "devices", required_argument, NULL, 'd' },
		{ "drain", required_argument, NULL, 'e' },
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
		case 'b': read_broker(optarg); break;
		case 'd': opt.devices = whole("devices", optarg, 0, 1000000); break;
		case 'e': averager.drain = seconds("drain", optarg); break;
		case 'l': opt.listen = optarg; break;
		case 't': averager.threshold = number("threshold", optarg,
		    -LARGEST, LARGEST); break;
		case 'w': averager.window = seconds("window", optarg); break;
		case 'n': opt.workers = whole("workers", optarg, 1, 1024); break;
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
