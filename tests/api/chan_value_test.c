/* SPDX-License-Identifier: MIT */
/*
 * chan_value_test.c - values of every size and type, and the macros that
 * take them.
 */
#include "harness.h"

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/values.h>

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

/* --- no value ------------------------------------------------------------- */

static int
give(void *arg)
{
	co_sleep(CO_MS(2));
	return (int)(intptr_t)arg;
}

/* A scope's code is no closed channel's, even if it is the same number. */
static int
broken_pipe_main(void *arg)
{
	chan(int) ch = chan_new(int, 0);
	co_bcast(int) b = co_bcast_new(int, 1, CO_BCAST_WAIT);
	co_sub(int) sub = co_bcast_subscribe(b);
	struct co_scope s;
	int v = 5, code = 0;

	(void)arg;
	co_scope(s) {
		co_spawn(give, (void *)-EPIPE);
		code = chan_recv(ch, &v);
	}
	test_result(code, -EPIPE);
	ck_assert(v == 5 && !chan_closed(ch));
	co_scope(s) {
		co_spawn(give, (void *)-EPIPE);
		code = co_sub_recv(sub, &v);
	}
	test_result(code, -EPIPE);
	ck_assert_int_eq(v, 5);
	chan_close(ch);
	test_result(chan_recv(ch, &v), -EPIPE);
	ck_assert_int_eq(v, 0);
	chan_unref(ch);
	co_sub_unref(sub);
	co_bcast_unref(b);
	return 0;
}

TEST(the_code_of_a_scope_leaves_the_variable_alone)
{
	FOR_WORKERS(w)
		run(w, broken_pipe_main, NULL);
}

/* --- kinds of values ------------------------------------------------------ */

struct nothing {
	char none[0];
};

struct tokens {
	chan(struct nothing) ch;
	int got;
};

static int
token_receiver(void *arg)
{
	struct tokens *t = arg;

	chan_each(struct nothing, v, t->ch)
		t->got++;
	return 0;
}

static int
token_main(void *arg)
{
	int n = (int)test_count(50000, 1000000), i;
	struct tokens t = { chan_new(struct nothing, *(size_t *)arg), 0 };
	struct nothing token;
	struct co_scope s;

	ck_assert_uint_eq(sizeof token, 0);
	memset(&token, 0, sizeof token);
	if (*(size_t *)arg) {
		test_result(chan_send(t.ch, token), 0);
		ck_assert_uint_eq(chan_len(t.ch), 1);
		ck_assert_int_eq(co_select(co_on_recv(t.ch, &token)), 0);
		ck_assert_int_eq(co_select(co_on_send(t.ch, token)), 0);
		t.got = -1;
	}
	co_scope(s) {
		co_spawn(token_receiver, &t);
		for (i = 0; i < n; i++)
			test_result(chan_send(t.ch, token), 0);
		chan_close(t.ch);
	}
	ck_assert_int_eq(t.got, n);
	chan_unref(t.ch);
	return 0;
}

TEST(a_value_may_be_nothing)
{
	size_t caps[] = { 0, 1, 1000, CHAN_UNBOUNDED }, i;

	FOR_WORKERS(w)
		for (i = 0; i < 4; i++)
			run(w, token_main, &caps[i]);
}

/* Pieces of n bytes, each full of its number; checked as they arrive. */
struct pieces {
	void *ch;
	size_t size, align;
	int n;
};

static int
piece_sender(void *arg)
{
	struct pieces *p = arg;
	unsigned char *at = aligned_alloc(4096, (p->size + 4095) & ~4095ul);
	int i;

	for (i = 0; i < p->n; i++) {
		memset(at, i & 0xff, p->size);
		test_result(co__chan_send(p->ch, at), 0);
	}
	free(at);
	chan_close(p->ch);
	return 0;
}

static int
piece_main(void *arg)
{
	struct pieces *p = arg;
	unsigned char *at = aligned_alloc(4096, (p->size + 4095) & ~4095ul);
	struct co_scope s;
	size_t k;
	int i;

	co_scope(s) {
		co_spawn(piece_sender, p);
		for (i = 0; co__chan_recv(p->ch, at) == 0; i++)
			for (k = 0; k < p->size; k++)
				ck_assert(at[k] == (i & 0xff));
		ck_assert_int_eq(i, p->n);
	}
	free(at);
	return 0;
}

TEST(values_of_every_size_arrive_whole)
{
	size_t sizes[] = { 1, 2, 3, 4, 8, 16, 24, 63, 64, 65, 4096, 65535,
	    1 << 20 }, caps[] = { 0, 1, 5, CHAN_UNBOUNDED }, i, k;
	struct pieces p;

	FOR_WORKERS(w) {
		for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			for (k = 0; k < 4; k++) {
				p.size = sizes[i];
				p.n = p.size < 60000 ? 50 : 6;
				p.ch = co__chan_new(p.size, 1, caps[k]);
				ck_assert_ptr_nonnull(p.ch);
				run(w, piece_main, &p);
				chan_unref(p.ch);
			}
		}
	}
}

struct wide {
	long n;
} __attribute__((aligned(64)));

static int
aligned_main(void *arg)
{
	chan(struct wide) ch = chan_new(struct wide, *(size_t *)arg);
	struct wide v;
	int i;

	for (i = 0; i < 3; i++)
		test_result(chan_try_send(ch, (struct wide){ i }), 0);
	for (i = 0; i < 3; i++) {
		test_result(chan_try_recv(ch, &v), 0);
		ck_assert(v.n == i && (uintptr_t)&v % 64 == 0);
	}
	chan_unref(ch);
	return 0;
}

TEST(alignment_is_kept)
{
	size_t caps[] = { 3, CHAN_UNBOUNDED };

	run(1, aligned_main, &caps[0]);
	run(1, aligned_main, &caps[1]);
}

struct point {
	int x, y;
};

/* Each macro, nested and with side effects. */
static int
macros_main(void *arg)
{
	chan(int) a = chan_new(int, 8), b = chan_ref(a), list[2] = { a, b };
	chan(struct point) points = chan_new(struct point, 2);
	chan(chan(int)) chans = chan_new(chan(int), 1);
	chan(const char *) words = chan_new(const char *, 1);
	chan(int) c;
	struct point p;
	const char *word;
	int v, i = 0, n = 0;

	(void)arg;
	test_result(chan_send(list[i++], i++ + 0.75), 0);
	ck_assert_int_eq(i, 2);
	test_result(chan_recv(list[--i], &v), 0);
	ck_assert_int_eq(v, 1);
	test_result(chan_send(a, chan_send(b, chan_try_recv(a, &v))), 0);
	test_result(chan_recv(a, &v), 0);
	ck_assert_int_eq(v, -EAGAIN);
	test_result(chan_recv(a, &v), 0);
	ck_assert_int_eq(v, 0);
	test_result(chan_send(points, (struct point){ 1, 2 }), 0);
	test_result(chan_send_from(points, &(struct point){ 3, 4 }), 0);
	test_result(chan_recv(points, &p), 0);
	ck_assert(p.x == 1 && p.y == 2);
	test_result(chan_recv(points, &p), 0);
	ck_assert(p.x == 3 && p.y == 4);
	test_result(chan_send(chans, a), 0);
	test_result(chan_recv(chans, &c), 0);
	ck_assert(c == a);
	test_result(chan_send(words, "word"), 0);
	test_result(chan_recv(words, &word), 0);
	ck_assert_str_eq(word, "word");
	for (i = 0; i < 6; i++)
		chan_send(a, i);
	chan_close(a);
	chan_each(int, outer, a) {
		if (outer == 0)
			continue;
		chan_each(int, inner, list[n++ * 0]) {
			if (inner == 3)
				break;
		}
		ck_assert(outer == 1 || outer == 4);
		if (outer == 4)
			goto out;
	}
out:
	ck_assert_int_eq(n, 2);
	chan_unref(a);
	chan_unref(b);
	chan_unref(points);
	chan_unref(chans);
	chan_unref(words);
	return 0;
}

TEST(the_macros_evaluate_once_and_nest)
{
	run(1, macros_main, NULL);
}
