/* SPDX-License-Identifier: MIT */
/*
 * runq_fuzz.c - a run queue and a thief's in any order of operations, against
 * plain lists.
 */
#include "fuzz.h"

#include "runq.h"

enum { N = 48, DEQUE = BANDS, FIFO, LISTS, NONE = -1 };

struct list {			/* the oldest first */
	int id[N], n;
};

struct model {
	struct runq q;
	struct list list[LISTS];
	uint32_t ticks;
};

static struct task tasks[N];
static int queued_in[N];	/* which model, or NONE */
static struct model both[2];

static int
list_take(struct list *l, int at)
{
	int id = l->id[at];

	l->n--;
	memmove(&l->id[at], &l->id[at + 1],
	    (size_t)(l->n - at) * sizeof l->id[0]);
	return id;
}

static int
list_oldest(struct list *l)
{
	return l->n ? list_take(l, 0) : NONE;
}

static uint32_t
stealable(const struct model *m)
{
	return (uint32_t)(m->list[DEQUE].n + m->list[FIFO].n +
	    m->list[BAND_HIGH].n + m->list[BAND_LOW].n);
}

static void
check(struct model *m)
{
	uint32_t bands = 0;
	int i;

	for (i = 0; i < BANDS; i++)
		bands |= (uint32_t)(m->list[i].n > 0) << i;
	must(m->q.bands == bands);
	must(m->q.waiting == stealable(m));
	must(m->q.ticks == m->ticks);
	must(m->q.crit == 0 && m->q.stop == 0 && m->q.thief.word == 0);
}

static void
model_push(struct model *m, int id, bool old)
{
	int which = tasks[id].band < BANDS ? tasks[id].band :
	    old ? FIFO : DEQUE;

	m->list[which].id[m->list[which].n++] = id;
	queued_in[id] = (int)(m - both);
}

static void
push(struct model *m, int id, bool old)
{
	uint32_t n;

	model_push(m, id, old);
	n = old ? runq_push_old(&m->q, &tasks[id]) :
	    runq_push_new(&m->q, &tasks[id]);
	must(n == stealable(m));
}

/* High ones; a pinned one every other time; the newest of the deque; the
   oldest of the fifo; low ones. */
static int
model_take(struct model *m)
{
	struct list *l = m->list;
	bool plain = l[DEQUE].n || l[FIFO].n;

	if (l[BAND_HIGH].n)
		return list_oldest(&l[BAND_HIGH]);
	if (l[BAND_PINNED].n && (m->ticks & 1 || !plain))
		return list_oldest(&l[BAND_PINNED]);
	if (l[DEQUE].n)
		return list_take(&l[DEQUE], l[DEQUE].n - 1);
	if (l[FIFO].n)
		return list_oldest(&l[FIFO]);
	return list_oldest(&l[BAND_LOW]);
}

/* Each in its turn; for one that is empty the deque and the fifo by turns, then
   the bands. */
static int
model_take_oldest(struct model *m, uint32_t turn)
{
	static const int order[2 + BANDS] = { DEQUE, FIFO, 0, 1, 2 };
	int id = list_oldest(&m->list[order[turn % (2 + BANDS)]]);
	uint32_t i;

	for (i = 0; i < 2 + BANDS && id == NONE; i++)
		id = list_oldest(&m->list[order[i < 2 ? (turn + i) & 1 : i]]);
	return id;
}

static void
took(struct model *m, struct task *t, int id)
{
	must((t ? (int)(t - tasks) : NONE) == id);
	m->ticks++;
	if (id != NONE)
		queued_in[id] = NONE;
}

static void
exchange(struct model *m, int id)
{
	struct task *to = runq_exchange(&m->q, &tasks[id]);

	took(m, to, model_take(m));
	if (to)
		model_push(m, id, true);
}

/* Up to half, by turns from the two lists, the oldest; then the bands. */
static void
steal(struct model *to, struct model *from, uint32_t most)
{
	uint32_t n = (stealable(from) + 1) / 2, i, want = 0;
	int id[N], k;

	if (n > most)
		n = most;
	for (i = 0; i < n; i++, want++) {
		id[i] = list_oldest(&from->list[i & 1 ? FIFO : DEQUE]);
		if (id[i] == NONE)
			id[i] = list_oldest(&from->list[i & 1 ? DEQUE : FIFO]);
		if (id[i] == NONE)
			id[i] = list_oldest(&from->list[BAND_HIGH]);
		if (id[i] == NONE)
			id[i] = list_oldest(&from->list[BAND_LOW]);
		must(id[i] != NONE);
	}
	for (k = (int)want - 1; k >= 0; k--) {
		int which = tasks[id[k]].band < BANDS ? tasks[id[k]].band :
		    DEQUE;

		to->list[which].id[to->list[which].n++] = id[k];
		queued_in[id[k]] = (int)(to - both);
	}
	must(runq_steal(&to->q, &from->q, most) == (int)want);
}

static void
one_step(struct bytes *b)
{
	unsigned dice = byte(b), what = dice % 9, id = below(b, N);
	struct model *m = &both[dice >> 7], *other = &both[!(dice >> 7)];

	if (queued_in[id] == NONE)
		tasks[id].band = dice & 64 ? (uint8_t)(dice >> 4 & 3) : BANDS;
	if (what < 4 && queued_in[id] == NONE) {
		push(m, (int)id, what & 1);
	} else if (what == 8 && queued_in[id] == NONE) {
		exchange(m, (int)id);
	} else if (what < 6) {
		took(m, runq_take(&m->q), model_take(m));
	} else if (what == 6) {
		took(m, runq_take_oldest(&m->q, id), model_take_oldest(m, id));
	} else if (other->q.shared) {
		steal(m, other, byte(b));
	}
	check(&both[0]);
	check(&both[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	int i;

	memset(both, 0, sizeof both);
	memset(tasks, 0, sizeof tasks);
	runq_init(&both[0].q, size % 2);
	runq_init(&both[1].q, size % 2);
	for (i = 0; i < N; i++)
		queued_in[i] = NONE;
	while (b.left > 0)
		one_step(&b);
	for (i = 0; i < 2; i++)
		while (both[i].q.waiting + both[i].q.bands > 0)
			took(&both[i], runq_take(&both[i].q),
			    model_take(&both[i]));
	return 0;
}
