/* SPDX-License-Identifier: MIT */
/*
 * stack_arena.c - maps of stacks, their guards, and memory given back.
 *
 * Layer 2.  Takes no lock: who calls owns the arena, or the stacks at hand.
 *
 * Guards.  MADV_GUARD_INSTALL (Linux 6.13) marks pages without splitting the
 * map, so a million stacks have a guard each; it survives MADV_DONTNEED and
 * fork.  It is refused with EINVAL by older kernels and on locked memory.  Then
 * mprotect does it, at two maps for a stack: about 32,000 stacks with the
 * usual vm.max_map_count.
 *
 * Rejected: huge alignment of the map.  It saves one page table in an arena.
 * Rejected: MAP_GROWSDOWN and the kernel's own stack guard gap; it cannot be
 * given back in parts, and 32-bit emulators do not know it.
 * Rejected: process_madvise(2) to cool many at once.  By itself it takes 1.0
 * in place of 1.5 us a stack; bench/sleepers and parked show nothing of it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "stack_arena.h"
#include "os.h"

#include <stdlib.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND			0
#define VALGRIND_STACK_REGISTER(lo, hi)		((void)(lo), (void)(hi), 0u)
#define VALGRIND_STACK_DEREGISTER(id)		((void)(id))
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif

/*
 * What compilers rely on: with -fstack-clash-protection they leave a frame
 * without probes that is smaller than the guard which they take for granted.
 * That is a page, but on aarch64 gcc's is 64 KiB, whatever the pages are.  So
 * there a stack of the default size takes 304 KiB, and 610 bytes of page tables
 * in place of 512 (the same guards tried on x86-64, 20,000 stacks).
 */
#if defined __aarch64__
enum { GUARD_LEAST = 64 * 1024 };
#else
enum { GUARD_LEAST = 1 };	/* and a page at least */
#endif

enum {
	GUARD_MAX = 64 * 1024,
	/* What a warm stack may keep below its top: what printf and a few
	   frames of ours need; a guess, not measured. */
	KEEP_WARM = 32 * 1024,
	RESIDENT_STEP = 256	/* pages in one mincore(2) */
};

size_t
stack_size_round(size_t size)
{
	size_t page = os_page();

	size = round_up(size, page);
	return size < 2 * page ? 2 * page : size;
}

static size_t
guard_size(size_t size)
{
	size_t page = os_page(), guard = round_down(size / 16, page);

	if (guard > GUARD_MAX)
		guard = round_down(GUARD_MAX, page);
	return guard < page ? page : guard;
}

static size_t
guard_beyond(size_t size)
{
	size_t guard = guard_size(size);

	return guard < GUARD_LEAST ? GUARD_LEAST - guard : 0;
}

/*
 * An emulator may take advice that it does not know for granted.  So a system
 * call is asked to read the first guard; what it would do with the zeroes
 * there, had it got them, is to block no signal.
 */
static bool
guard_works(uintptr_t at)
{
	return syscall(SYS_rt_sigprocmask, SIG_BLOCK, at, NULL, 8) < 0 &&
	    errno == EFAULT;
}

/* Valgrind is to know of the guards, so that they are left alone by system
   calls that it looks into. */
enum guard_mode
stack_guard_mode(void)
{
	const char *wish = getenv("WEFT_STACK_GUARD");

	if (RUNNING_ON_VALGRIND || (wish && strcmp(wish, "mprotect") == 0))
		return GUARD_MPROTECT;
	return GUARD_UNTRIED;
}

static int
guard_advise(const struct stack_shape *h, uint32_t i)
{
	if (chaos_fail())
		return -ENOMEM;
	return madvise((void *)shape_bottom(h, i), h->guard,
	    MADV_GUARD_INSTALL) < 0 ? -errno : 0;
}

static int
guard_protect(const struct stack_shape *h, uint32_t i, int prot)
{
	if (prot == PROT_NONE && chaos_fail())
		return -ENOMEM;
	return mprotect((void *)shape_bottom(h, i), h->guard, prot) < 0 ?
	    -errno : 0;
}

static void
guard_mark(struct stack_arena *a, uint32_t i, enum guard_state state)
{
	a->guards[i] = (uint8_t)state;
	if (state == GUARD_PROTECTED)
		a_add_relaxed(&a->protected, 1);	/* a mere count */
	else if (state == GUARD_WAIVED)
		a_add_relaxed(&a->waived, 1);
}

/* False: there is no guard yet, and *mode may have changed. */
static bool
guard_by_advice(struct stack_arena *a, uint32_t i, enum guard_mode *mode)
{
	int error = guard_advise(&a->shape, i);

	if (error == -ENOMEM)
		return false;		/* of the moment; not of the kernel */
	if (error == 0 && (a_load_relaxed(mode) == GUARD_CHEAP ||
	    guard_works(shape_bottom(&a->shape, i)))) {
		if (a_load_relaxed(mode) == GUARD_UNTRIED)
			a_store_relaxed(mode, GUARD_CHEAP);
		guard_mark(a, i, GUARD_MADVISED);
		return true;
	}
	a_store_relaxed(mode, GUARD_MPROTECT);
	return false;
}

static void *
arena_map(size_t size)
{
	void *at = os_map_coloured(size, COLOUR_STACKS);

	if (!at)
		return NULL;
	/* A huge page under a stack of which one page is used wastes 2 MiB.
	   Kernels without huge pages refuse, which is as good. */
	(void)madvise(at, size, MADV_NOHUGEPAGE);
	return at;
}

/* Five bytes for each stack, in one piece. */
static struct stack_arena *
record_new(uint32_t count)
{
	struct stack_arena *a;
	size_t size = sizeof *a + count * (sizeof a->link[0] + 1);

	a = chaos_fail() ? NULL : calloc(1, size);
	if (!a)
		return NULL;
	a->guards = (uint8_t *)(a->link + count);
	if (RUNNING_ON_VALGRIND)
		a->valgrind = calloc(count, sizeof *a->valgrind);
	return a;
}

static void
record_free(struct stack_arena *a)
{
	free(a->valgrind);
	free(a);
}

static bool
shape_map(struct stack_shape *h, size_t size, uint32_t count)
{
	size_t beyond = guard_beyond(size);
	size_t span = size + beyond;
	size_t group = ARENA_GROUP * span + os_page();
	size_t whole = count / ARENA_GROUP * group +
	    count % ARENA_GROUP * span;

	h->base = (uintptr_t)arena_map(whole);
	h->end = h->base + whole;
	h->size = span;
	h->guard = guard_size(size) + beyond;
	h->beyond = beyond;
	h->group = group;
	h->count = count;
	return h->base != 0;
}

struct stack_arena *
stack_arena_new(size_t size, uint32_t count, enum guard_mode *mode)
{
	struct stack_arena *a = record_new(count);

	if (!a)
		return NULL;
	while (!shape_map(&a->shape, size, count)) {
		count /= 2;
		if (count == 0)
			goto no_map;
	}
	if (stack_fault_watch(&a->shape) != 0)
		goto no_watch;
	if (*mode == GUARD_UNTRIED)
		guard_by_advice(a, 0, mode);
	return a;

no_watch:
	munmap((void *)a->shape.base, a->shape.end - a->shape.base);
no_map:
	record_free(a);
	return NULL;
}

bool
stack_arena_free(struct stack_arena *a)
{
	uint32_t i;

	if (!stack_fault_unmap(&a->shape))
		return false;
	for (i = 0; a->valgrind && i < a->shape.count; i++)
		if (a->valgrind[i])
			VALGRIND_STACK_DEREGISTER(a->valgrind[i] - 1);
	record_free(a);
	return true;
}

/*
 * All or none: when maps run out, those of this call are given back, so that
 * the rest of the process finds some.
 */
int
stack_arena_protect(struct stack_arena *a, uint32_t first, uint32_t n)
{
	uint32_t i;
	int error;

	for (i = first; i < first + n; i++) {
		error = guard_protect(&a->shape, i, PROT_NONE);
		if (error)
			goto undo;
	}
	for (i = first; i < first + n; i++)
		guard_mark(a, i, GUARD_PROTECTED);
	return 0;

undo:
	while (i-- > first)
		guard_protect(&a->shape, i, PROT_READ | PROT_WRITE);
	return -ENOMEM;
}

/*
 * Here nothing may fail any more.  Whatever is wrong with MADV_GUARD now, the
 * stacks of later promises get theirs from mprotect.
 */
static void
guard_install(struct stack_arena *a, uint32_t i, enum guard_mode *mode)
{
	if (a_load_relaxed(mode) <= GUARD_CHEAP && guard_by_advice(a, i, mode))
		return;
	if (a_load_relaxed(mode) != GUARD_OFF &&
	    guard_protect(&a->shape, i, PROT_NONE) == 0)
		guard_mark(a, i, GUARD_PROTECTED);
	else
		guard_mark(a, i, GUARD_WAIVED);
}

struct stack *
stack_arena_make(struct stack_arena *a, uint32_t i, enum guard_mode *mode)
{
	struct stack *s = shape_stack(&a->shape, i);
	char *bottom = (char *)shape_bottom(&a->shape, i);
	bool guarded;

	if (a->guards[i] == GUARD_MISSING)
		guard_install(a, i, mode);
	if (a->valgrind && !a->valgrind[i])
		a->valgrind[i] = 1 + VALGRIND_STACK_REGISTER(
		    bottom + a->shape.guard, bottom + a->shape.size);
	guarded = a->guards[i] != GUARD_WAIVED;
	s->lo = bottom + (guarded ? a->shape.guard : a->shape.beyond);
	s->hi = (char *)s;
	s->size = a->shape.size - a->shape.beyond;
	s->next = NULL;
	s->owner = NULL;
	s->arena = a;
	s->loop = NULL;
	s->index = i;
	s->guarded = guarded;
	return s;
}

static uintptr_t
place_bottom(const struct stack_place *at)
{
	return shape_bottom(&at->arena->shape, at->index);
}

/* A guard has no memory, unless it was waived. */
static uintptr_t
place_lo(const struct stack_place *at)
{
	bool guarded = at->arena->guards[at->index] != GUARD_WAIVED;

	return place_bottom(at) + (guarded ? at->arena->shape.guard : 0);
}

static void
places_sort(struct stack_place *list, uint32_t n)
{
	struct stack_place moved;
	uint32_t i, j;

	for (i = 1; i < n; i++) {
		moved = list[i];
		for (j = i; j > 0 && place_bottom(&list[j - 1]) >
		    place_bottom(&moved); j--)
			list[j] = list[j - 1];
		list[j] = moved;
	}
}

/*
 * Stacks that lie side by side go back in one call: it also clears the guards
 * between them, which stay guards.
 */
void
stack_arena_cool(struct stack_place *list, uint32_t n)
{
	const struct stack_shape *h;
	uintptr_t from, to, next;
	uint32_t i, j;

	places_sort(list, n);
	for (i = 0; i < n; i = j) {
		h = &list[i].arena->shape;
		from = place_lo(&list[i]);
		to = place_bottom(&list[i]) + h->size;
		for (j = i + 1; j < n && list[j].arena == list[i].arena; j++) {
			next = place_bottom(&list[j]);
			if (next - to >= h->size)
				break;		/* further than a pad */
			to = next + h->size;
		}
		/* Refused on locked memory: then it stays, as asked for. */
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
}

static void
discard(char *lo, char *hi)
{
	if (lo < hi)
		(void)madvise(lo, (size_t)(hi - lo), MADV_DONTNEED);
}

void
stack_arena_tidy(struct stack *s)
{
	uintptr_t keep = (uintptr_t)s->hi - KEEP_WARM;

	discard(s->lo, (char *)round_down(keep, os_page()));
}

/* Counts resident pages of [lo, hi); *ret_first is the lowest, hi if none. */
static size_t
resident(char *lo, char *hi, char **ret_first)
{
	unsigned char in[RESIDENT_STEP];
	size_t page = os_page(), n = 0, pages, i;

	*ret_first = hi;
	for (; lo < hi; lo += pages * page) {
		pages = (size_t)(hi - lo) / page;
		if (pages > RESIDENT_STEP)
			pages = RESIDENT_STEP;
		if (mincore(lo, pages * page, in) < 0)
			break;
		for (i = 0; i < pages; i++) {
			if (!(in[i] & 1))
				continue;
			if (n++ == 0)
				*ret_first = lo + i * page;
		}
	}
	return n;
}

/* 128 bytes below sp may be in use: the red zone of x86_64. */
size_t
stack_trim(struct stack *s, const void *sp)
{
	char *end = (char *)round_down((uintptr_t)sp - 128, os_page()), *first;
	size_t n;

	if ((char *)sp <= s->lo + 128 || (char *)sp > s->hi)
		return 0;
	n = resident(s->lo, end, &first);
	if (n == 0 || madvise(first, (size_t)(end - first),
	    MADV_DONTNEED) < 0)
		return 0;
	return n * os_page();
}

size_t
stack_touched(const struct stack *s)
{
	char *end = (char *)round_up((uintptr_t)s->hi, os_page()), *first;

	resident(s->lo, end, &first);
	return first < s->hi ? (size_t)(s->hi - first) : 0;
}
