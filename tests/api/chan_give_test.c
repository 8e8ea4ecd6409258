/* SPDX-License-Identifier: MIT */
/*
 * chan_give_test.c - a value is given once or not at all, though who waits is
 * cancelled, or lets go of the channel.
 */
#include "harness.h"

#include <weft/chan.h>
#include <weft/scope.h>

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

static int
entry_main(void *arg)
{
	chan(int) ch = chan_new(int, 2);
	struct co_scope s;
	int v = 7;

	(void)arg;
	chan_send(ch, 1);
	co_scope(s) {
		co_cancel(&s);
		test_result(chan_recv(ch, &v), -ECANCELED);
		test_result(chan_send(ch, 2), -ECANCELED);
		test_result(chan_try_send(ch, 2), 0);
		co_shield()
			test_result(chan_recv(ch, &v), 0);
		ck_assert_int_eq(v, 1);
	}
	co_timeout(0)
		test_result(chan_recv(ch, &v), -ETIMEDOUT);
	ck_assert(v == 1 && chan_len(ch) == 1);
	test_result(chan_recv(ch, &v), 0);
	ck_assert_int_eq(v, 2);
	chan_unref(ch);
	return 0;
}

TEST(in_a_cancelled_scope_nothing_is_taken_or_sent)
{
	FOR_WORKERS(w)
		run(w, entry_main, NULL);
}

struct handoff {
	chan(uint64_t) ch;
	struct co_scope scope;
	int got, sent, recv_code;
	uint64_t value;
};

static int
handoff_recv(void *arg)
{
	struct handoff *h = arg;

	h->recv_code = chan_recv(h->ch, &h->value);
	h->got = h->recv_code == 0;
	return 0;
}

static int
handoff_send(void *arg)
{
	struct handoff *h = arg;

	co_timeout(CO_MS(1))
		h->sent = chan_send(h->ch, UINT64_C(0x5a5a5a5a5a5a5a5a)) == 0;
	return 0;
}

/* The receiver is cancelled in the moment in which it is sent to. */
static int
handoff_main(void *arg)
{
	int n = (int)test_count(300, 20000);
	struct handoff h;
	struct co_scope outer;

	(void)arg;
	while (n--) {
		h = (struct handoff){ .ch = chan_new(uint64_t, 0) };
		co_scope(outer) {
			co_scope(h.scope) {
				co_spawn(handoff_recv, &h);
				co_yield();
				co_spawn_with(&(struct co_spawn_options){
				    .scope = &outer }, handoff_send, &h);
				if (n % 2)
					co_yield();
				co_cancel(&h.scope);
			}
		}
		ck_assert_int_eq(h.got, h.sent);
		ck_assert(!h.got || h.value == UINT64_C(0x5a5a5a5a5a5a5a5a));
		ck_assert(h.got || h.recv_code == -ECANCELED);
		chan_unref(h.ch);
	}
	return 0;
}

TEST(a_cancelled_handoff_happened_for_both_or_for_neither)
{
	FOR_WORKERS(w)
		run(w, handoff_main, NULL);
}

struct peer {
	chan(int) ch;
	int n;
};

static int
two_sends(void *arg)
{
	struct peer *p = arg;
	int i;

	for (i = 0; i < p->n; i++)
		test_result(chan_send(p->ch, i), 0);
	chan_unref(p->ch);
	return 0;
}

/* A try, then a wait, on the channel that a peer sends to; both let go of it
   at the end, with or without values inside. */
static int
unref_main(void *arg)
{
	int n = (int)test_count(3000, 300000), v, code;
	struct co_scope s;
	struct peer p;

	(void)arg;
	while (n--) {
		p = (struct peer){ .ch = chan_new(int, (size_t)(n % 3)),
		    .n = 2 + (n % 3 == 2 && n % 2) };
		co_scope(s) {
			chan_ref(p.ch);
			co_spawn(two_sends, &p);
			code = chan_try_recv(p.ch, &v);
			if (code == -EAGAIN)
				code = chan_recv(p.ch, &v);
			test_result(code, 0);
			ck_assert_int_eq(v, 0);
			test_result(chan_recv(p.ch, &v), 0);
			ck_assert_int_eq(v, 1);
			chan_unref(p.ch);
		}
	}
	return 0;
}

TEST(the_last_to_let_go_frees_the_channel)
{
	FOR_WORKERS(w)
		run(w, unref_main, NULL);
}
