/* SPDX-License-Identifier: MIT */
/*
 * stack_fault.c - a stack overflow is told from any other fault, and reported.
 *
 * Layer 2.
 *
 * A fault is an overflow when it hits the guard of a stack that somebody uses,
 * and the stack pointer of the thread that faulted is in that stack, or not
 * far below it: a frame larger than what was left of the stack.  There another
 * stack may be, so it is asked who runs: a write past the upper end of one ends
 * in the guard of the next, too, and is not that one's fault.  A frame larger
 * than the guard, whose far end is touched first, goes unnoticed unless the
 * code was built with -fstack-clash-protection.
 *
 * A kernel that has no room on a stack for the frame of some other signal says
 * SIGSEGV, too, but once only and without an address: then sp alone decides.
 *
 * The handler may interrupt anything, so it takes no lock.  It reads a table of
 * shapes that only grows; an arena that goes leaves a hole for the next one:
 *
 *	F1  a slot is written under table_mutex; `of` is set last and cleared
 *	    first (release; the handler loads with acquire)
 *	F2  the handler looks into a stack only if the thread that faulted runs
 *	    on it: its arena cannot go meanwhile.  All other slots that it reads
 *	    may change under its eyes, and only make a comparison fail.
 *	F3  no slot is of a map that is gone: `of` is cleared before munmap
 *
 * LAYERS.  Our handler hands on to the one that it replaced.  A program may
 * take it away, or put another over it that hands on to ours; the next co_run
 * puts ours on top again.  Were it the same then, these two would call each
 * other for ever.  So there is one for each that was replaced:
 *
 *	entry_1 -> theirs -> entry_0 -> what was there at first
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "stack_arena.h"
#include "os.h"

#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ	51
#endif

enum {
	TABLE_STEP = 60,	/* shapes in a piece: about a page */
	BELOW_GUARD = 64 * 1024,	/* "not far"; a guess */
	RED_ZONE = 128,		/* below sp; on x86_64 no signal uses it */
	FRAME_GUESS = 4096,	/* of a signal, on kernels that do not say */
	PAGE_LEAST = 4096,	/* on all processors */
	LAYERS = 4,		/* then a handler that is new stays; a guess */
	/* Beyond what the kernel puts there: our report needs 2 KiB; handlers
	   that print a backtrace, and are called by ours, need the rest. */
	ALTSTACK_ROOM = 64 * 1024
};

struct slot {
	struct stack_shape shape;	/* [table_mutex; handler: see F2] */
	const struct stack_shape *of;	/* [atomic] whose copy it is, see F1;
					   NULL: nobody's */
};

struct piece {
	struct slot slot[TABLE_STEP];
	struct piece *next;		/* [atomic] written once */
};

static struct piece first_piece;
static struct os_mutex table_mutex;

static void (*report)(const struct stack *s, const void *sp);	/* [const] */
static const void *(*who_runs)(void);			/* [const] */
static size_t frame_room;		/* [const] a signal's frame and more */
static uint32_t reported;		/* [atomic] */

struct layer {				/* see LAYERS */
	struct sigaction before;	/* [const] once it is used */
	uint32_t spent;			/* [atomic] `before`, of SA_RESETHAND */
	bool used;			/* [install_mutex] */
};

static struct layer segv_layers[LAYERS], bus_layers[LAYERS];
static struct os_mutex install_mutex;

static _Thread_local void *own_altstack;
static _Thread_local stack_t altstack_before;
static _Thread_local bool segv_was_blocked, bus_was_blocked;

/* --- the table ------------------------------------------------------------ */

/* table_mutex held.  Not by the base: that may have come again already.  of
   NULL: a free one; then NULL: no memory. */
static struct slot *
slot_find(const struct stack_shape *of)
{
	struct piece *at = &first_piece;
	int i;

	for (;;) {
		for (i = 0; i < TABLE_STEP; i++)
			if (at->slot[i].of == of)
				return &at->slot[i];
		if (!at->next) {
			if (of)
				return NULL;
			/* Never freed: there are as many as there ever were
			   arenas at one time, divided by TABLE_STEP. */
			a_store_release(&at->next,
			    (struct piece *)os_map(sizeof *at));
			if (!at->next)
				return NULL;
		}
		at = at->next;
	}
}

int
stack_fault_watch(const struct stack_shape *h)
{
	struct slot *at;

	os_mutex_lock(&table_mutex);
	at = slot_find(NULL);
	if (at) {
		at->shape = *h;
		a_store_release(&at->of, h);	/* F1 */
	}
	os_mutex_unlock(&table_mutex);
	return at ? 0 : -ENOMEM;
}

/*
 * F3: once the addresses are free another arena may lie there, and its stacks
 * would be looked for by the old shape.  The slot stays ours for the case that
 * the system refuses.
 */
bool
stack_fault_unmap(const struct stack_shape *h)
{
	struct slot *at;
	int error = 0;

	os_mutex_lock(&table_mutex);
	at = slot_find(h);
	bug_if(!at);
	a_store_release(&at->of, NULL);	/* F1 */
	if (munmap((void *)h->base, h->end - h->base) < 0) {
		error = errno;
		a_store_release(&at->of, h);	/* F1 */
	}
	os_mutex_unlock(&table_mutex);
	bug_if(error && error != ENOMEM);
	return !error;
}

/* --- the handler ---------------------------------------------------------- */

/* NULL unless `at` is in the guard of the stack that a thread with this stack
   pointer runs on. */
static const struct stack *
shape_overflow(const struct stack_shape *h, uintptr_t at, uintptr_t sp)
{
	const struct stack *s;
	uintptr_t bottom;
	uint32_t i;

	if (at < h->base || at >= h->end)
		return NULL;
	i = shape_index(h, at);
	if (i == h->count)
		return NULL;
	bottom = shape_bottom(h, i);
	s = shape_stack(h, i);
	if (at - bottom >= h->guard)
		return NULL;
	if (sp >= (uintptr_t)s || sp + BELOW_GUARD < bottom)
		return NULL;
	if (sp < bottom && s->owner != who_runs())
		return NULL;
	return s->owner && s->guarded ? s : NULL;
}

static const struct stack *
overflow_find(uintptr_t at, uintptr_t sp)
{
	const struct piece *p;
	const struct stack *s;
	int i;

	for (p = &first_piece; p; p = a_load_acquire(&p->next)) {
		for (i = 0; i < TABLE_STEP; i++) {
			if (!a_load_acquire(&p->slot[i].of))
				continue;
			s = shape_overflow(&p->slot[i].shape, at, sp);
			if (s)
				return s;
		}
	}
	return NULL;
}

/* NULL unless the frame of a signal, right below sp, would be in the guard of
   the stack that this thread runs on. */
static const struct stack *
overflow_by_frame(uintptr_t sp)
{
	const struct stack *s = NULL;
	uintptr_t at;

	for (at = sp; !s && at > sp - frame_room - PAGE_LEAST;
	    at -= PAGE_LEAST)
		s = overflow_find(at, sp);
	if (!s || sp >= (uintptr_t)s->lo + frame_room)
		return NULL;
	return s->owner == who_runs() ? s : NULL;
}

/* context_wild: a general protection fault, such as of an address that cannot
   be, says as little as the kernel does when it has no room for a frame. */
#if defined __x86_64__
static uintptr_t
context_sp(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
}

static bool
context_wild(const ucontext_t *uc)
{
	return uc->uc_mcontext.gregs[REG_TRAPNO] == 13;
}
#elif defined __aarch64__
static uintptr_t
context_sp(const ucontext_t *uc)
{
	return uc->uc_mcontext.sp;
}
#elif defined __riscv
static uintptr_t
context_sp(const ucontext_t *uc)
{
	return (uintptr_t)uc->uc_mcontext.__gregs[REG_SP];
}
#else
#error "where does a signal frame keep the stack pointer on this processor?"
#endif

#if !defined __x86_64__
static bool
context_wild(const ucontext_t *uc)
{
	(void)uc;
	return false;
}
#endif

/* Will the instruction raise it again when we return? */
static bool
comes_again(int sig, const siginfo_t *info)
{
	int code = info->si_code;

	if (sig == SIGSEGV)
		return code == SEGV_MAPERR || code == SEGV_ACCERR;
	return code == BUS_ADRALN || code == BUS_ADRERR || code == BUS_OBJERR;
}

/*
 * The process dies where the fault was: a core file shows the place, the code
 * and the address.  What does not come again by itself is sent again; it is
 * blocked until we return.
 */
static void
die_of(int sig, siginfo_t *info)
{
	struct sigaction plain;
	pid_t pid;
	long tid;

	memset(&plain, 0, sizeof plain);
	plain.sa_handler = SIG_DFL;
	sigaction(sig, &plain, NULL);
	if (comes_again(sig, info))
		return;
	pid = getpid();
	tid = syscall(SYS_gettid);
	if (syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, info) < 0)
		syscall(SYS_tgkill, pid, tid, sig);
}

/* Positive codes are of faults; others are of kill(2) and its kin. */
static const struct stack *
overflow_of(const siginfo_t *info, const ucontext_t *uc)
{
	uintptr_t at = (uintptr_t)info->si_addr, sp = context_sp(uc);

	if (info->si_code <= 0)
		return NULL;
	if (info->si_code == SI_KERNEL && at == 0)
		return context_wild(uc) ? NULL : overflow_by_frame(sp);
	return overflow_find(at, sp);
}

/* As the kernel would have called it, but for the stack: it is ours. */
static void
pass_on(struct layer *l, int sig, siginfo_t *info, void *context)
{
	const struct sigaction *before = &l->before;
	sigset_t mask;

	if (before->sa_flags & (int)SA_RESETHAND &&
	    a_xchg_acqrel(&l->spent, 1)) {
		die_of(sig, info);
		return;
	}
	if (!(before->sa_flags & SA_SIGINFO)) {
		if (before->sa_handler == SIG_IGN && info->si_code <= 0)
			return;
		if (before->sa_handler == SIG_DFL ||
		    before->sa_handler == SIG_IGN) {
			die_of(sig, info);
			return;
		}
	}
	mask = before->sa_mask;
	if (!(before->sa_flags & SA_NODEFER))
		sigaddset(&mask, sig);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if (before->sa_flags & SA_NODEFER) {
		sigemptyset(&mask);
		sigaddset(&mask, sig);
		pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	}
	if (before->sa_flags & SA_SIGINFO)
		before->sa_sigaction(sig, info, context);
	else
		before->sa_handler(sig);
}

static void
on_fault(struct layer *l, int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	const struct stack *s = overflow_of(info, context);

	if (!s) {
		pass_on(l, sig, info, context);
	} else {
		if (a_xchg_acqrel(&reported, 1) == 0)
			report(s, (const void *)context_sp(context));
		else
			poll(NULL, 0, 1000);	/* another is written */
		die_of(sig, info);
	}
	errno = saved;
}

static struct layer *
layers_of(int sig)
{
	return sig == SIGSEGV ? segv_layers : bus_layers;
}

#define ENTRY(n) \
	static void \
	entry_##n(int sig, siginfo_t *info, void *context) \
	{ \
		on_fault(&layers_of(sig)[n], sig, info, context); \
	}
ENTRY(0)
ENTRY(1)
ENTRY(2)
ENTRY(3)

static void (*const entries[LAYERS])(int, siginfo_t *, void *) = {
	entry_0, entry_1, entry_2, entry_3
};

/* --- the interface -------------------------------------------------------- */

static bool
is_ours(const struct sigaction *act)
{
	int i;

	for (i = 0; i < LAYERS; i++)
		if (act->sa_sigaction == entries[i])
			return true;
	return false;
}

/* install_mutex held.  The layer over this handler, or LAYERS. */
static int
layer_for(struct layer *layers, const struct sigaction *now)
{
	int i;

	for (i = 0; i < LAYERS && layers[i].used; i++)
		if (layers[i].before.sa_sigaction == now->sa_sigaction &&
		    layers[i].before.sa_flags == now->sa_flags)
			break;
	return i;
}

/* install_mutex held. */
static int
put_on_top(int sig)
{
	struct sigaction now, ours;
	struct layer *l;
	int i;

	if (sigaction(sig, NULL, &now) < 0)
		return -errno;
	i = layer_for(layers_of(sig), &now);
	if (is_ours(&now) || i == LAYERS)
		return 0;
	l = &layers_of(sig)[i];
	if (!l->used)
		l->before = now;
	l->used = true;
	a_store_relaxed(&l->spent, 0);	/* before sigaction, for the handler */
	memset(&ours, 0, sizeof ours);
	ours.sa_sigaction = entries[i];
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigemptyset(&ours.sa_mask);
	return sigaction(sig, &ours, NULL) < 0 ? -errno : 0;
}

static size_t
frame_size(void)
{
	size_t size = getauxval(AT_MINSIGSTKSZ);

	return size ? size : FRAME_GUESS;
}

int
stack_fault_install(void (*fn)(const struct stack *s, const void *sp),
    const void *(*who)(void))
{
	int error;

	os_mutex_lock(&install_mutex);
	if (!report) {
		report = fn;
		who_runs = who;
		frame_room = frame_size() + RED_ZONE;
	}
	error = put_on_top(SIGSEGV);
	if (!error)
		error = put_on_top(SIGBUS);
	os_mutex_unlock(&install_mutex);
	return error;
}

static size_t
altstack_size(void)
{
	return round_up(frame_size() + ALTSTACK_ROOM, os_page());
}

/* One that is there already and is large enough stays: it is in use by a
   sanitizer or by the program, on whose thread we run. */
static int
altstack_init(void)
{
	size_t size = altstack_size();
	stack_t ours = { .ss_size = size };
	int error;

	if (own_altstack)
		return 0;
	if (sigaltstack(NULL, &altstack_before) < 0)
		return -errno;
	if (!(altstack_before.ss_flags & SS_DISABLE) &&
	    altstack_before.ss_size + ALTSTACK_ROOM / 2 >= size)
		return 0;
	ours.ss_sp = os_map(size);
	if (!ours.ss_sp)
		return -ENOMEM;
	if (sigaltstack(&ours, NULL) < 0) {
		error = -errno;
		os_unmap(ours.ss_sp, size);
		return error;
	}
	own_altstack = ours.ss_sp;
	return 0;
}

static void
altstack_fini(void)
{
	stack_t now;

	if (!own_altstack)
		return;
	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == own_altstack &&
	    sigaltstack(&altstack_before, NULL) < 0)
		return;		/* we are on it: a leak is the lesser evil */
	os_unmap(own_altstack, altstack_size());
	own_altstack = NULL;
}

/* A fault whose signal is blocked kills, and no handler is asked. */
static void
mask_init(void)
{
	sigset_t faults, before;

	sigemptyset(&faults);
	sigemptyset(&before);
	sigaddset(&faults, SIGSEGV);
	sigaddset(&faults, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &faults, &before);
	segv_was_blocked |= sigismember(&before, SIGSEGV) == 1;
	bus_was_blocked |= sigismember(&before, SIGBUS) == 1;
}

static void
mask_fini(void)
{
	sigset_t faults;

	sigemptyset(&faults);
	if (segv_was_blocked)
		sigaddset(&faults, SIGSEGV);
	if (bus_was_blocked)
		sigaddset(&faults, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &faults, NULL);
	segv_was_blocked = bus_was_blocked = false;
}

int
stack_fault_thread_init(void)
{
	int code = altstack_init();

	if (code == 0)
		mask_init();
	return code;
}

void
stack_fault_thread_fini(void)
{
	mask_fini();
	altstack_fini();
}
