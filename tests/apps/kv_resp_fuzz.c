/* SPDX-License-Identifier: MIT */
/*
 * apps/kv_resp_fuzz.c - the parser of samples/apps/kv, fed with anything.
 *
 * What is parsed from all bytes at once must be parsed from any pieces of
 * them, and lie within them.  By itself it tries inputs that it makes up, the
 * seed and the count being its arguments; built with -fsanitize=fuzzer and
 * -DFUZZER it is a target for libFuzzer.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kv_resp.h"

enum { MOST = 4096 };

struct log {			/* what was parsed */
	uint64_t hash;
	size_t n;
	char error[64];
};

static void
note(struct log *l, const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		l->hash = (l->hash ^ (unsigned char)p[i]) *
		    UINT64_C(1099511628211);
	l->hash = (l->hash ^ n) * UINT64_C(1099511628211);
}

static void
must(int fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "kv_resp_fuzz: %s\n", what);
	abort();
}

static void
note_request(struct log *l, const struct kv_parser *p, const char *buf,
    size_t used)
{
	size_t i;

	for (i = 0; i < p->n_args; i++) {
		const struct kv_arg *a = &p->args[i];

		must(a->p >= buf && a->n <= used &&
		    a->p + a->n <= buf + used, "an argument lies outside");
		note(l, a->p, a->n);
	}
	l->n++;
}

/* Gives the parser step bytes more at a time, each time in other memory. */
static struct log
parse(const uint8_t *data, size_t size, size_t step)
{
	struct kv_parser p = { .max_bulk = 1024 };
	struct log l = { .n = 0 };
	size_t begin = 0, given = 0, used;
	char *buf = NULL, *old;
	int code = 0;

	while (given < size && code >= 0) {
		size_t now = size - given < step ? size - given : step;

		old = buf;
		buf = malloc(given - begin + now);
		must(buf != NULL, "no memory");
		if (old)	/* with what was unquoted in place */
			memcpy(buf, old, given - begin);
		memcpy(buf + (given - begin), data + given, now);
		free(old);
		given += now;
		do {
			code = kv_parse(&p, buf, given - begin, &used);
			if (code <= 0)
				break;
			must(used > 0 && used <= given - begin, "used");
			note_request(&l, &p, buf, used);
			memmove(buf, buf + used, given - begin - used);
			begin += used;
		} while (begin < given);
	}
	memcpy(l.error, p.error, sizeof l.error);
	must(code >= 0 || code == -EPROTO, "the code");
	kv_parser_free(&p);
	free(buf);
	return l;
}

static void
one(const uint8_t *data, size_t size)
{
	static const size_t steps[] = { 1, 3, 17 };
	struct log whole = parse(data, size, MOST), l;
	size_t i;

	for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		l = parse(data, size, steps[i]);
		must(l.n == whole.n && l.hash == whole.hash &&
		    strcmp(l.error, whole.error) == 0, "pieces differ");
	}
}

#ifdef FUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one(data, size < MOST ? size : MOST);
	return 0;
}
#else
static uint64_t state;

static unsigned
dice(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 20) % n);
}

static size_t
make(uint8_t *buf)
{
	static const char *const parts[] = {
		"*1\r\n", "*2\r\n", "*3\r\n", "$3\r\nget\r\n", "$1\r\nk\r\n",
		"$0\r\n\r\n", "*-1\r\n", "*0\r\n", "$-1\r\n", "$1024\r\n",
		"$1025\r\n", "*99999999999999999999\r\n", "ping\r\n", "\r\n",
		"\n", "set \"a\\x41\\n\" 'b\\'c'\r\n", "'", "\"", "\\", "\\x4",
		" ", "*", "$", "-", "0", "9", "\r", "x"
	};
	size_t n = 0, left = dice(40), size;

	while (left--) {
		const char *p = parts[dice(sizeof parts / sizeof parts[0])];

		size = strlen(p);
		memcpy(buf + n, p, size);
		n += size;
		if (dice(20) == 0)
			buf[dice((unsigned)n)] = (uint8_t)dice(256);
	}
	return n;
}

int
main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) :
	    (uint64_t)time(NULL) * 2654435761u;
	long count = argc > 2 ? atol(argv[2]) : 30000, i;
	uint8_t buf[MOST];

	fprintf(stderr, "kv_resp_fuzz: seed %llu, %ld inputs\n",
	    (unsigned long long)seed, count);
	state = seed | 1;
	for (i = 0; i < count; i++)
		one(buf, make(buf));
	return 0;
}
#endif
