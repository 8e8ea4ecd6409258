/* SPDX-License-Identifier: MIT */
/*
 * context_test.c - the switch keeps what the ABI promises to keep.
 */
#include "harness.h"

#include "atomic.h"
#include "context.h"

#include <execinfo.h>
#include <fenv.h>
#include <sys/mman.h>

#if defined __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND	0
#endif

enum { STACK = 64 * 1024, MANY = 100 };

struct co {
	struct context ctx;
	void *stack;
	uint64_t state;
	long turns;
};

static struct co home, other, crowd[MANY];
static struct co *here;		/* who runs */

static void
co_start(struct co *c, void (*entry)(void), size_t size)
{
	c->stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(c->stack, MAP_FAILED);
	context_make(&c->ctx, c->stack, (char *)c->stack + size, entry);
}

static void
co_end(struct co *c, size_t size)
{
	context_drop(&c->ctx);
	munmap(c->stack, size);
}

static void
begin(void)
{
	context_adopt(&home.ctx);
	here = &home;
}

/* A switch orders nothing between two coroutines in the eyes of TSan. */
static void
baton(void)
{
	static uint32_t word;

	a_add_acqrel(&word, 1);
}

/* False: it did not come back as itself. */
static always_inline bool
pass(struct context *from, struct context *to)
{
	bool same;

	baton();
	same = context_switch(from, to) == from;
	baton();
	return same;
}

static void
landed(void)
{
	context_landed();
	baton();
}

static noinline void
go(struct co *to)
{
	struct co *from = here;

	here = to;
	ck_assert(pass(&from->ctx, &to->ctx));
}

/* --- registers ----------------------------------------------------------- */

/*
 * int canary(void (*fn)(void), uint64_t seed): fills every register that a
 * callee must preserve with seed + n, calls fn, and returns how many changed.
 */
#if defined __x86_64__
__asm__(
"	.text\n"
"	.type canary, @function\n"
"canary:\n"
"	push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
"	push %rsi\n"
"	mov %rsi, %rbx\n"
"	lea 1(%rsi), %rbp\n"
"	lea 2(%rsi), %r12\n"
"	lea 3(%rsi), %r13\n"
"	lea 4(%rsi), %r14\n"
"	lea 5(%rsi), %r15\n"
"	call *%rdi\n"
"	pop %rsi\n"
"	xor %eax, %eax\n"
"	cmp %rsi, %rbx; setne %cl; movzbl %cl, %ecx; add %ecx, %eax\n"
"	inc %rsi\n"
"	cmp %rsi, %rbp; setne %cl; movzbl %cl, %ecx; add %ecx, %eax\n"
"	inc %rsi\n"
"	cmp %rsi, %r12; setne %cl; movzbl %cl, %ecx; add %ecx, %eax\n"
"	inc %rsi\n"
"	cmp %rsi, %r13; setne %cl; movzbl %cl, %ecx; add %ecx, %eax\n"
"	inc %rsi\n"
"	cmp %rsi, %r14; setne %cl; movzbl %cl, %ecx; add %ecx, %eax\n"
"	inc %rsi\n"
"	cmp %rsi, %r15; setne %cl; movzbl %cl, %ecx; add %ecx, %eax\n"
"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
"	ret\n"
"	.size canary, .-canary\n");
#elif defined __aarch64__
__asm__(
"	.text\n"
"	.type canary, %function\n"
"canary:\n"
"	sub sp, sp, #192\n"
"	stp x29, x30, [sp]\n"
"	stp x19, x20, [sp, #16]\n"
"	stp x21, x22, [sp, #32]\n"
"	stp x23, x24, [sp, #48]\n"
"	stp x25, x26, [sp, #64]\n"
"	stp x27, x28, [sp, #80]\n"
"	stp d8, d9, [sp, #96]\n"
"	stp d10, d11, [sp, #112]\n"
"	stp d12, d13, [sp, #128]\n"
"	stp d14, d15, [sp, #144]\n"
"	str x1, [sp, #160]\n"
"	mov x19, x1\n"
"	add x20, x1, #1\n	add x21, x1, #2\n	add x22, x1, #3\n"
"	add x23, x1, #4\n	add x24, x1, #5\n	add x25, x1, #6\n"
"	add x26, x1, #7\n	add x27, x1, #8\n	add x28, x1, #9\n"
"	fmov d8, x19\n	fmov d9, x20\n	fmov d10, x21\n	fmov d11, x22\n"
"	fmov d12, x23\n	fmov d13, x24\n	fmov d14, x25\n	fmov d15, x26\n"
"	blr x0\n"
"	ldr x1, [sp, #160]\n"
"	mov x0, #0\n"
"	.macro check reg, n\n"
"	add x3, x1, #\\n\n	cmp \\reg, x3\n	cinc x0, x0, ne\n"
"	.endm\n"
"	check x19, 0\n	check x20, 1\n	check x21, 2\n	check x22, 3\n"
"	check x23, 4\n	check x24, 5\n	check x25, 6\n	check x26, 7\n"
"	check x27, 8\n	check x28, 9\n"
"	.macro checkd reg, n\n"
"	fmov x4, \\reg\n	check x4, \\n\n"
"	.endm\n"
"	checkd d8, 0\n	checkd d9, 1\n	checkd d10, 2\n	checkd d11, 3\n"
"	checkd d12, 4\n	checkd d13, 5\n	checkd d14, 6\n	checkd d15, 7\n"
"	ldp x29, x30, [sp]\n"
"	ldp x19, x20, [sp, #16]\n"
"	ldp x21, x22, [sp, #32]\n"
"	ldp x23, x24, [sp, #48]\n"
"	ldp x25, x26, [sp, #64]\n"
"	ldp x27, x28, [sp, #80]\n"
"	ldp d8, d9, [sp, #96]\n"
"	ldp d10, d11, [sp, #112]\n"
"	ldp d12, d13, [sp, #128]\n"
"	ldp d14, d15, [sp, #144]\n"
"	add sp, sp, #192\n"
"	ret\n"
"	.size canary, .-canary\n");
#endif

#if defined __x86_64__ || defined __aarch64__

int canary(void (*fn)(void), uint64_t seed);

static void
go_home(void)
{
	go(&home);
}

static void
go_other(void)
{
	go(&other);
}

static void
canaries_entry(void)
{
	landed();
	for (;;)
		other.turns += canary(go_home, 0x1111000011110000u);
}

TEST(registers_that_a_callee_preserves_survive_a_switch)
{
	int i;

	begin();
	co_start(&other, canaries_entry, STACK);
	for (i = 0; i < 1000; i++)
		ck_assert_int_eq(canary(go_other, 0x2222000022220000u), 0);
	ck_assert_int_eq(other.turns, 0);
	co_end(&other, STACK);
}

#endif

/* --- vectors ------------------------------------------------------------- */

typedef int vector __attribute__((vector_size(64)));	/* all there is */

static always_inline int
vectors_live(struct co *to, int seed)
{
	vector a, b = { seed, 1, 2, 3, 4, 5, 6, seed + 7 }, c;
	long double wide = seed;
	int i, bad = 0;

	a = b * 3;
	c = a - b;
	__asm__ volatile("" : "+m"(a), "+m"(b), "+m"(c), "+m"(wide));
	for (i = 0; i < 100; i++) {
		a += b;
		c ^= a;
		wide += 0.5L;
		pass(&here->ctx, &to->ctx);
		c ^= a;
		a -= b;
	}
	for (i = 0; i < 16; i++) {
		bad += a[i] != b[i] * 3;
		bad += c[i] != b[i] * 2;
	}
	return bad + (wide != seed + 50);
}

static noinline int
vectors_plain(struct co *to, int seed)
{
	return vectors_live(to, seed);
}

#if defined __x86_64__
#define HAVE_AVX2 __builtin_cpu_supports("avx2")
#define TARGET_AVX2 __attribute__((target("avx2")))
#else
#define HAVE_AVX2 0
#define TARGET_AVX2
#endif

static TARGET_AVX2 noinline void
scribble_avx2(void)
{
#if defined __x86_64__
	__asm__ volatile("vpcmpeqd %%ymm0, %%ymm0, %%ymm0\n\t"
	    "vmovdqa %%ymm0, %%ymm1\n\tvmovdqa %%ymm0, %%ymm7\n\t"
	    "vmovdqa %%ymm0, %%ymm8\n\tvmovdqa %%ymm0, %%ymm15"
	    ::: "xmm0", "xmm1", "xmm7", "xmm8", "xmm15");
#endif
}

static TARGET_AVX2 noinline int
vectors_avx2(struct co *to, int seed)
{
	return vectors_live(to, seed);
}

static void
vectors_entry(void)
{
	landed();
	for (;;) {
		if (HAVE_AVX2)
			scribble_avx2();
		pass(&other.ctx, &home.ctx);
	}
}

TEST(vectors_and_long_doubles_that_are_in_use_survive_a_switch)
{
	begin();
	co_start(&other, vectors_entry, STACK);
	ck_assert_int_eq(vectors_plain(&other, 5), 0);
	if (HAVE_AVX2)
		ck_assert_int_eq(vectors_avx2(&other, 7), 0);
	co_end(&other, STACK);
}

/* --- control words ------------------------------------------------------- */

static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD,
	FE_TOWARDZERO };

static int entry_mode;

static void
rounding_entry(void)
{
	landed();
	entry_mode = fegetround();
	for (;;) {
		fesetround(modes[here->turns % 4]);
		go(&home);
		if (fegetround() != modes[here->turns % 4])
			abort();
		here->turns++;
	}
}

TEST(each_has_its_own_rounding_mode)
{
	int i;

	begin();
	fesetround(FE_UPWARD);
	for (i = 0; i < 8; i++) {
		co_start(&crowd[i], rounding_entry, STACK);
		crowd[i].turns = i;
	}
	for (i = 0; i < 4000; i++) {
		fesetround(modes[i % 3]);
		go(&crowd[i % 8]);
		ck_assert_int_eq(fegetround(), modes[i % 3]);
		if (i < 8)
			ck_assert_int_eq(entry_mode, FE_TONEAREST);
	}
	fesetround(FE_TONEAREST);
	for (i = 0; i < 8; i++)
		co_end(&crowd[i], STACK);
}

#if defined __x86_64__

static uint32_t
mxcsr_get(void)
{
	uint32_t v;

	__asm__ volatile("stmxcsr %0" : "=m"(v));
	return v & 0xffc0;
}

static void
mxcsr_set(uint32_t v)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(v));
}

static uint16_t
x87cw_get(void)
{
	uint16_t v;

	__asm__ volatile("fnstcw %0" : "=m"(v));
	return v;
}

static void
x87cw_set(uint16_t v)
{
	__asm__ volatile("fldcw %0" : : "m"(v));
}

static void
words_entry(void)
{
	landed();
	if (mxcsr_get() != 0x1f80 || x87cw_get() != 0x37f)
		abort();
	for (;;) {
		mxcsr_set(0x9fc0);	/* flush to zero, denormals are too */
		go(&home);
		if (mxcsr_get() != 0x9fc0 || x87cw_get() != 0x37f)
			abort();
		mxcsr_set(0x1f80);
		x87cw_set(0x27f);	/* 53 bits */
		go(&home);
		if (mxcsr_get() != 0x1f80 || x87cw_get() != 0x27f)
			abort();
		x87cw_set(0x37f);
		go(&home);
		if (mxcsr_get() != 0x1f80 || x87cw_get() != 0x37f)
			abort();
	}
}

extern uint8_t co__context_reload __attribute__((weak));

/* Both ways, whatever processor this is. */
TEST(each_half_of_the_control_words_is_kept_alone)
{
	int i, way;

	if (RUNNING_ON_VALGRIND)
		test_skip("valgrind knows of the rounding mode only");
	begin();
	for (way = 0; way < 2; way++) {
		if (&co__context_reload)
			co__context_reload = (uint8_t)way;
		co_start(&other, words_entry, STACK);
		for (i = 0; i < 300; i++) {
			go(&other);
			ck_assert_uint_eq(mxcsr_get(), 0x1f80);
			ck_assert_uint_eq(x87cw_get(), 0x37f);
		}
		co_end(&other, STACK);
	}
}

#endif

/* --- where it begins ----------------------------------------------------- */

static uintptr_t entry_frame;
static int entry_frames;
static void *entry_trace[64];

static void
frame_entry(void)
{
	landed();
	entry_frame = (uintptr_t)__builtin_frame_address(0);
	entry_frames = backtrace(entry_trace, 64);
	go(&home);
	abort();
}

TEST(entry_has_an_aligned_stack)
{
	size_t cut;

	begin();
	for (cut = 0; cut < 64; cut += 8) {
		co_start(&other, frame_entry, STACK);
		context_make(&other.ctx, other.stack,
		    (char *)other.stack + STACK - cut, frame_entry);
		go(&other);
		ck_assert_uint_eq(entry_frame % 16, 0);
		ck_assert_uint_lt((uintptr_t)other.stack + STACK - cut -
		    entry_frame, 4096);
		co_end(&other, STACK);
	}
}

TEST(a_backtrace_ends_at_the_entry)
{
	begin();
	backtrace(entry_trace, 64);	/* loads what it needs on our stack */
	co_start(&other, frame_entry, 16 * STACK);
	go(&other);
	ck_assert_int_ge(entry_frames, 1);
	ck_assert_int_le(entry_frames, 5);
	co_end(&other, 16 * STACK);
}

/* --- many ---------------------------------------------------------------- */

/* The same sum in registers, on the stack and in memory. */
static void
wanderer(void)
{
	volatile uint64_t on_stack;
	uint64_t in_register;
	struct co *me;

	landed();
	me = here;
	on_stack = in_register = me->state;
	for (;;) {
		go(&home);
		on_stack = on_stack * 3 + 1;
		in_register = in_register * 3 + 1;
		me->state = me->state * 3 + 1;
		me->turns++;
		if (here != me || in_register != me->state ||
		    on_stack != me->state)
			abort();
	}
}

TEST(a_million_random_switches)
{
	uint64_t seed = test_seed(), n = test_count(1000000, 20000000), i;
	long sum = 0;

	begin();
	for (i = 0; i < MANY; i++) {
		crowd[i].state = i;
		co_start(&crowd[i], wanderer, STACK);
		go(&crowd[i]);
	}
	for (i = 0; i < n; i++)
		go(&crowd[test_below(&seed, MANY)]);
	for (i = 0; i < MANY; i++) {
		sum += crowd[i].turns;
		co_end(&crowd[i], STACK);
	}
	ck_assert_int_eq(sum, (long)n);
}

static char *deep_end;

static noinline int
descend(int depth)
{
	volatile char filler[200];
	int below;

	memset((char *)filler, depth & 0xff, sizeof filler);
	go(&home);
	/* Not where filler is: ASan may keep that elsewhere. */
	below = (char *)__builtin_frame_address(0) < deep_end ? 0 :
	    descend(depth + 1);
	go(&home);
	for (size_t i = 0; i < sizeof filler; i++)
		if (filler[i] != (char)(depth & 0xff))
			abort();
	return below + 1;
}

static void
deep_entry(void)
{
	landed();
	for (;;) {
		other.turns = descend(0);
		other.state = 1;
		go(&home);
	}
}

TEST(recursion_to_nine_tenths_of_the_stack_with_a_switch_at_each_level)
{
	int round;

	begin();
	co_start(&other, deep_entry, 4 * STACK);
	deep_end = (char *)other.stack + 4 * STACK / 10;
	for (round = 0; round < 3; round++) {
		other.state = 0;
		while (!other.state)
			go(&other);
		ck_assert_int_gt(other.turns, 100);
	}
	co_end(&other, 4 * STACK);
}

static void
leaver(void)
{
	struct co *me;

	landed();
	me = here;
	baton();
	context_leave(&me->ctx, &home.ctx);
	abort();
}

TEST(contexts_are_left_for_good_and_their_stacks_used_again)
{
	uint64_t n = test_count(10000, 100000), i;

	begin();
	co_start(&other, leaver, STACK);
	for (i = 0; i < n; i++) {
		here = &other;
		pass(&home.ctx, &other.ctx);
		here = &home;
		context_drop(&other.ctx);
		context_make(&other.ctx, other.stack,
		    (char *)other.stack + STACK, leaver);
	}
	co_end(&other, STACK);
}

#ifdef CONTEXT_REST

static void *rests_at;		/* where who comes next goes on */

/* Each of the crowd comes here in turn, on the one stack of `other`. */
static void
rester(void)
{
	struct context *c = &other.ctx;
	int64_t lap;
	struct co *me;

	landed();
	for (lap = 0; ; lap++) {
		me = container_of(c, struct co, ctx);
		if (fegetround() != FE_TONEAREST || !test_rounds_to_nearest())
			abort();
		me->turns++;
		go(&home);	/* an ordinary switch on the way */
		me->state += (uint64_t)lap;
		fesetround(modes[lap % 4]);
		here = &home;
		c = context_rest(&rests_at, &home.ctx);
	}
}

/* Resumes *to, where he is now. */
static void
go_on(struct co *to)
{
	here = to;
	context_switch(&home.ctx, &to->ctx);
}

TEST(a_loop_that_rests_goes_on_as_whoever_comes_to_it)
{
	int n = 10 * MANY, i;
	struct co *c;

	begin();
	co_start(&other, rester, STACK);
	fesetround(FE_UPWARD);
	go_on(&other);
	go_on(&other);
	for (i = 1; i <= n; i++) {
		c = &crowd[i % MANY];
		c->ctx.sp = rests_at;
		fesetround(modes[i % 3]);
		go_on(c);
		ck_assert_int_eq(fegetround(), modes[i % 3]);
		go_on(c);
		ck_assert_int_eq(fegetround(), modes[i % 3]);
	}
	fesetround(FE_TONEAREST);
	ck_assert_int_eq(other.turns, 1);
	for (i = 0; i < MANY; i++) {
		ck_assert_int_eq(crowd[i].turns, 10);
		ck_assert_uint_eq(crowd[i].state,
		    (uint64_t)(i ? 45 * MANY + 10 * i : 55 * MANY));
	}
	co_end(&other, STACK);
}

#endif

TEST(a_switch_to_itself_returns)
{
	int i;

	begin();
	for (i = 0; i < 10; i++)
		go(&home);
}

/* --- both forms ---------------------------------------------------------- */

#if !defined WEFT_CONTEXT_BOOST && !defined WEFT_ASAN && !defined WEFT_TSAN

void co__context_jump(struct context *from, struct context *to);

static noinline void
go_call(struct co *to)
{
	struct co *from = here;

	here = to;
	co__context_jump(&from->ctx, &to->ctx);
}

static void
both_entry(void)
{
	landed();
	for (;;) {
		go(&home);
		go_call(&home);
		other.turns++;
	}
}

/* --- returning by a jump ---------------------------------------------------- */

/* Each of several registers that its callers rely on must come back. */
static noinline returns_by_jump uint64_t
by_jump(uint64_t a, uint64_t b)
{
	struct co *from = here, *to = a & 1 ? &home : &other;
	uint64_t volatile c = a * b;

	here = to;
	return pass(&from->ctx, &to->ctx) ? c + a : 0;
}

static noinline uint64_t
sum_by_jump(uint64_t a, uint64_t b)
{
	uint64_t sum = by_jump(a, b), more = a ^ b;

	return sum + more * by_jump(a, b + 1) + a;
}

static noinline uint64_t
sum_of_them(uint64_t a, uint64_t b)
{
	return 2 * a + a * b + (a ^ b) * (a * b + 2 * a);
}

static int
returning_main(struct co *me)
{
	uint64_t i;

	for (i = 1; ; i += 2) {
		if (sum_by_jump(i, i >> 1) != sum_of_them(i, i >> 1))
			return -1;
		me->turns++;
	}
}

static void
returning_entry(void)
{
	landed();
	other.turns = returning_main(&other);
	for (;;)
		go(&home);
}

/* Two that wait in different places, each behind a frame of its own. */
TEST(who_returns_by_a_jump_comes_back_to_his_caller)
{
	uint64_t i;

	begin();
	co_start(&other, returning_entry, STACK);
	for (i = 0; i < 20000; i += 2)
		ck_assert_uint_eq(sum_by_jump(i, 3), sum_of_them(i, 3));
	ck_assert_int_eq(other.turns, 9999);
	co_end(&other, STACK);
}

/* Saved by one form and resumed by the other, in all four combinations. */
TEST(the_inline_form_and_the_call_have_the_same_frame)
{
	int i;

	begin();
	co_start(&other, both_entry, STACK);
	for (i = 0; i < 3000; i++) {
		if (i % 3 == 0)
			go(&other);
		else
			go_call(&other);
	}
	ck_assert_int_eq(other.turns, 1499);
	co_end(&other, STACK);
}

#if defined __x86_64__

static noinline void
go_leave(struct co *to)
{
	struct co *from = here;

	here = to;
	context_leave(&from->ctx, &to->ctx);
}

static void (*form)(struct co *to);

/* Sets a flag in the x87 status, which all share; it is masked here. */
static void
divides_entry(void)
{
	volatile long double one = 1, zero = 0, ratio;

	landed();
	for (;;) {
		ratio = one / zero;
		(void)ratio;
		form(&home);
	}
}

/* Each form and each way to load the words; who is left for good is last. */
TEST(an_exception_that_one_has_masked_does_not_trap_in_another)
{
	static void (*const forms[])(struct co *to) = {
		go, go_call, go_leave
	};
	int i, way;

	if (RUNNING_ON_VALGRIND)
		test_skip("valgrind knows of the rounding mode only");
	begin();
	for (i = 0; i < 6; i++) {
		way = i % 2;
		form = forms[i / 2];
		co__context_reload = (uint8_t)way;
		co_start(&other, divides_entry, STACK);
		x87cw_set(0x37b);	/* a division by zero traps */
		go(&other);
		__asm__ volatile("fwait");	/* here, if it is to */
		ck_assert_uint_eq(x87cw_get(), 0x37b);
		x87cw_set(0x37f);
		co_end(&other, STACK);
	}
}

#endif

#endif

/* --- code that no compiler optimizes ------------------------------------- */

#if defined __clang__
#define SLOWLY noinline __attribute__((optnone))
#else
#define SLOWLY noinline __attribute__((optimize("O0")))
#endif

static SLOWLY uint64_t
slow_leaf(struct co *to, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t d = a + b, e = b + c, f = a ^ c;

	context_switch(&here->ctx, &to->ctx);
	return d * e + f;
}

/* Calls nothing, so that its locals may be in a red zone. */
static noinline uint64_t
fast_leaf(struct co *to, uint64_t a, uint64_t b, uint64_t c)
{
	volatile uint64_t d[4] = { a + b, b + c, a ^ c, a };

	context_switch(&home.ctx, &to->ctx);
	return d[0] * d[1] + d[2] + d[3] - a;
}

static void
idle_entry(void)
{
	context_landed();
	for (;;)
		context_switch(&other.ctx, &home.ctx);
}

TEST(functions_that_only_switch_keep_their_locals)
{
	uint64_t i;

	begin();
	co_start(&other, idle_entry, STACK);
	for (i = 0; i < 1000; i++) {
		ck_assert_uint_eq(slow_leaf(&other, i, 7, 9),
		    (i + 7) * 16 + (i ^ 9));
		ck_assert_uint_eq(fast_leaf(&other, i, 7, 9),
		    (i + 7) * 16 + (i ^ 9));
	}
	co_end(&other, STACK);
}
