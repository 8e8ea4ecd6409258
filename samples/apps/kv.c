/* SPDX-License-Identifier: MIT */
/*
 * kv.c - a server that speaks the protocol of Redis: keys, values, messages.
 *
 *	kv --listen tcp:127.0.0.1:6379
 *	redis-cli -p 6379 set greeting hello
 *
 * kv.h says what is where.  SIGTERM or SIGINT ends it: it accepts nobody any
 * more, sends the answers that are due, and goes.  Nothing is kept on disk.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

struct kv_config kv_config = {
	.listen = "tcp:127.0.0.1:6379",
	.max_clients = 10000,
	.max_bulk = 512ul << 20,
	.max_request = 1ul << 30,
	.max_output = 1ul << 30,
	.max_backlog = 8ul << 20
};
struct kv_stats kv_stats;

void
kv_log(const char *format, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	fprintf(stderr, "kv: %s\n", line);
}

/* --- the server ----------------------------------------------------------- */

static int
until_told(void *scope)
{
	int code = co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT));

	if (code >= 0)
		co_cancel(scope);
	return 0;
}

/*
 * What nobody asks for again must go too.  Each tick looks at a 32nd of each
 * shard that has anything to expire, so a key is gone within some four seconds.
 */
static int
sweep(void *unused)
{
	unsigned k;

	(void)unused;
	while (co_sleep(CO_MS(100)) == 0) {
		int64_t now = co_now() / CO_MS(1);

		for (k = 0; k < KV_SHARDS; k++) {
			struct kv_shard *s = &kv_shards[k];

			co_locked(&s->mutex)
				kv_sweep(s, s->n_buckets / 32 + 16, now);
		}
	}
	return 0;
}

static void
turn_away(int fd)
{
	static const char text[] = "-ERR max number of clients reached\r\n";

	/* The buffer of a new connection has room. */
	co_send(fd, text, sizeof text - 1, MSG_DONTWAIT);
	co_close(fd);
}

static int
accept_all(int fd)
{
	struct kv_connection peer = { .id = 0 };

	while ((peer.fd = co_accept(fd, NULL, NULL)) >= 0) {
		if (atomic_load(&kv_stats.clients) >= kv_config.max_clients) {
			turn_away(peer.fd);
			continue;
		}
		peer.id++;
		atomic_fetch_add(&kv_stats.clients, 1);
		atomic_fetch_add(&kv_stats.connections, 1);
		if (co_go(kv_serve, peer) < 0) {
			kv_log("client %llu: no memory for it", peer.id);
			atomic_fetch_sub(&kv_stats.clients, 1);
			co_close(peer.fd);
		}
	}
	return peer.fd;
}

static int
serve(void *unused)
{
	int fd = co_listen(kv_config.listen), code = 0;
	char address[128] = "";
	struct co_scope s;
	unsigned k;

	(void)unused;
	if (fd < 0) {
		kv_log("%s: %s", kv_config.listen, strerror(-fd));
		return fd;
	}
	co_address(fd, address, sizeof address);
	/* The first use catches them: who reads this line may send one. */
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT), co_otherwise);
	printf("kv: listening on %s\n", address);
	fflush(stdout);
	co_scope(s) {
		code = co_spawn(until_told, &s);
		if (code == 0)
			code = co_spawn(sweep, NULL);
		if (code == 0)
			code = accept_all(fd);
		co_close(fd);
		co_cancel(&s);
	}
	for (k = 0; k < KV_SHARDS; k++)
		kv_store_clear(&kv_shards[k]);
	kv_log("served %llu requests of %llu connections",
	    atomic_load(&kv_stats.commands),
	    atomic_load(&kv_stats.connections));
	if (code != -ECANCELED) {
		kv_log("%s: %s", address, strerror(-code));
		return code;
	}
	return 0;
}

/* --- options -------------------------------------------------------------- */

static const char usage[] =
"usage: kv [options]\n"
"  --listen ADDRESS     tcp:HOST:PORT or unix:/PATH; port 0 takes a free one\n"
"                       (tcp:127.0.0.1:6379)\n"
"  --workers N          threads (one for each processor)\n"
"  --max-clients N      more are turned away (10000)\n"
"  --max-bulk SIZE      largest key or value (512m)\n"
"  --max-request SIZE   largest request in all (1g)\n"
"  --max-output SIZE    most that may wait to be sent to a client (1g)\n"
"  --max-backlog SIZE   most of messages that may wait for a subscriber (8m)\n"
"  --timeout SECONDS    idle clients are closed after (0: never)\n"
"SIZE is in bytes, or with k, m or g behind it.\n";

static void
die_of(const char *name, const char *text)
{
	fprintf(stderr, "kv: --%s: what is \"%s\"?\n%s", name, text, usage);
	exit(2);
}

static long
number(const char *name, const char *text, long max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < 0 || v > max)
		die_of(name, text);
	return v;
}

static size_t
size(const char *name, const char *text)
{
	static const char units[] = "kmg";
	const char *unit;
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || end == text || v < 1 || v > INT_MAX ||
	    (*end && (!unit || end[1])))
		die_of(name, text);
	return (size_t)v << (unit ? 10 * (unit - units + 1) : 0);
}

static void
options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "listen", 1, NULL, 'l' }, { "workers", 1, NULL, 'w' },
		{ "max-clients", 1, NULL, 'c' }, { "max-bulk", 1, NULL, 'b' },
		{ "max-request", 1, NULL, 'r' }, { "max-output", 1, NULL, 'o' },
		{ "max-backlog", 1, NULL, 'q' }, { "timeout", 1, NULL, 't' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 }
	};
	int o, i;

	while ((o = getopt_long(argc, argv, "", known, &i)) != -1) {
		const char *name = o == '?' ? "" : known[i].name;

		switch (o) {
		case 'l': kv_config.listen = optarg; break;
		case 'w': kv_config.workers = (int)number(name, optarg, 1024);
			break;
		case 'c': kv_config.max_clients = (int)number(name, optarg,
		    INT_MAX); break;
		case 'b': kv_config.max_bulk = size(name, optarg); break;
		case 'r': kv_config.max_request = size(name, optarg); break;
		case 'o': kv_config.max_output = size(name, optarg); break;
		case 'q': kv_config.max_backlog = size(name, optarg); break;
		case 't': kv_config.timeout = CO_SEC(number(name, optarg,
		    INT_MAX)); break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	struct co_options o = { 0 };
	int code;

	options(argc, argv);
	o.workers = kv_config.workers;
	o.flags = CO_DUMP_ON_SIGQUIT;
	code = kv_store_init();
	if (code == 0)
		code = co_run(&o, serve, NULL);
	if (code < 0)
		kv_log("%s", strerror(-code));
	return code < 0;
}
