/* SPDX-License-Identifier: MIT */
/*
 * dump_test.c - co_dump and co_dump_json: each thing they say, and at any time.
 */
#include "harness.h"

#include <weft.h>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* --- reading dumps -------------------------------------------------------- */

static char *
dump_with(int (*dump)(FILE *))
{
	int code;
	char *text = test_written(dump, &code);

	ck_assert_int_eq(code, 0);
	return text;
}

/* Dumps until the dump holds all of it: then it is given. */
static char *
dump_until(const char *const *parts)
{
	char *text;
	int i;

	for (;;) {
		text = dump_with(co_dump);
		for (i = 0; parts[i] && strstr(text, parts[i]); i++)
			continue;
		if (!parts[i])
			return text;
		free(text);
		ck_assert_int_eq(co_sleep(CO_MS(1)), 0);
	}
}

#define PARTS(...)	((const char *const[]){ __VA_ARGS__, NULL })

/* How many lines begin so. */
static int
lines_with(const char *text, const char *begin)
{
	size_t n = strlen(begin);
	int count = 0;

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		count += strncmp(text, begin, n) == 0;
	}
	return count;
}

/* --- what each waits for -------------------------------------------------- */

static struct co_mutex mutex;
static struct co_rwlock rwlock;
static struct co_event event;
static struct co_sem sem;
static struct co_barrier barrier;
static struct co_waitgroup group;
static struct co_once once;
static struct co_task slow;
static chan(int) numbers;
static chan(int) full;
static int fds[2];

static int
sleep_long(void *arg)
{
	(void)arg;
	return co_sleep(CO_SEC(1000));
}

static int
do_once(void *arg)
{
	return co_once_do(&once, sleep_long, arg);
}

static int
wait_somehow(void *arg)
{
	struct co_scope s;
	char c;
	int v = 7;

	switch ((int)(intptr_t)arg) {
	case 0: return chan_recv(numbers, &v);
	case 1: return chan_send(full, v);
	case 2: return co_mutex_lock(&mutex);
	case 3: return co_rwlock_rdlock(&rwlock);
	case 4: return co_event_wait(&event);
	case 5: return co_sem_wait(&sem);
	case 6: return co_barrier_wait(&barrier);
	case 7: return co_waitgroup_wait(&group);
	case 8: return do_once(NULL);
	case 9: return co_join(&slow);
	case 10: return (int)co_read(fds[0], &c, 1);
	case 11: return co_wait_signal(SIGUSR2);
	case 12: return co_select(co_on_recv(numbers, &v),
	    co_on_readable(fds[0]), co_on_event(&event),
	    co_on_signal(SIGUSR2), co_on_timeout(CO_SEC(900)));
	case 13:
		co_timeout(CO_SEC(500))
			v = co_event_wait(&event);
		return v;
	default:
		co_scope(s)
			co_spawn(sleep_long, NULL);
		return s.status;
	}
}

static const char *const said[] = {
	"receive from channel 0x", "send on channel 0x", "mutex 0x",
	"rwlock 0x", "event 0x", "semaphore 0x", "barrier 0x", "waitgroup 0x",
	"once 0x", "join 0x", "readable (fd ", "signal (signal ",
	"select of: receive from channel 0x", "event 0x",
	"children of scope 0x",
};

static const char *const also[] = {
	"(buffered 0, capacity 3)", "(buffered 1, capacity 1)", " held by 1,",
	" held by 1,", ", since ", ", since ", "(arrived 1, of 3)",
	"(count 2)", " done by ", "(task ", ", since ", ", since ",
	"; timeout (after_ns 900000000000)", ", for at most ",
	"(children 1)",
};

enum { WAITERS = sizeof said / sizeof said[0] };

static void
prepare(void)
{
	int v = 1;

	mutex = (struct co_mutex)CO_MUTEX_INIT;
	rwlock = (struct co_rwlock)CO_RWLOCK_INIT;
	event = (struct co_event)CO_EVENT_INIT;
	sem = (struct co_sem)CO_SEM_INIT(0);
	barrier = (struct co_barrier)CO_BARRIER_INIT(3);
	group = (struct co_waitgroup)CO_WAITGROUP_INIT;
	once = (struct co_once)CO_ONCE_INIT;
	numbers = chan_new(int, 3);
	full = chan_new(int, 1);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(chan_send(full, v), 0);
	ck_assert_int_eq(co_mutex_lock(&mutex), 0);
	ck_assert_int_eq(co_rwlock_wrlock(&rwlock), 0);
	ck_assert_int_eq(co_waitgroup_add(&group, 2), 0);
}

/* The line of the coroutine that has that name, ended by a zero. */
static char *
line_of(const char *text, int i)
{
	char name[32];
	const char *at;

	snprintf(name, sizeof name, "\"waiter %d\": ", i);
	at = strstr(text, name);
	ck_assert_msg(at != NULL, "no %s in %s", name, text);
	return strndup(at, strcspn(at, "\n"));
}

static void
check_lines(const char *text)
{
	char want[80], *line;
	int i;

	for (i = 0; i < WAITERS; i++) {
		line = line_of(text, i);
		snprintf(want, sizeof want, "waiting for %s", said[i]);
		test_has(line, want);
		test_has(line, also[i]);
		free(line);
	}
	line = line_of(text, 10);
	snprintf(want, sizeof want, "(fd %d)", fds[0]);
	test_has(line, want);
	free(line);
	line = line_of(text, 0);
	snprintf(want, sizeof want, "channel %p ", (void *)numbers);
	test_has(line, want);
	free(line);
	line = line_of(text, 12);
	snprintf(want, sizeof want, "; readable (fd %d); event %p; signal "
	    "(signal %d); ", fds[0], (void *)&event, SIGUSR2);
	test_has(line, want);
	free(line);
}

static int
all_wait(void *arg)
{
	char *text, names[WAITERS][32];
	const char *parts[WAITERS + 1] = { NULL };
	struct co_spawn_options o = { .name = NULL };
	struct co_scope s;
	int i;

	(void)arg;
	prepare();
	co_scope(s, .policy = CO_SUPERVISE) {
		ck_assert_int_eq(co_fork(&slow, sleep_long, NULL), 0);
		ck_assert_int_eq(co_spawn(do_once, NULL), 0);
		/* The one that waits for a once must not be the first. */
		free(dump_until(PARTS("sleep, since ")));
		while (__atomic_load_n(&once.co__sync.co__n,
		    __ATOMIC_ACQUIRE) == 0)
			co_yield();
		for (i = 0; i < WAITERS; i++) {
			snprintf(names[i], sizeof names[i], "waiter %d", i);
			o.name = names[i];
			ck_assert_int_eq(co_spawn_with(&o, wait_somehow,
			    (void *)(intptr_t)i), 0);
			snprintf(names[i], sizeof names[i],
			    "\"waiter %d\": waiting", i);
			parts[i] = names[i];
		}
		free(dump_until(parts));
		text = dump_with(co_dump);	/* all are there before it */
		check_lines(text);
		test_has(text, "coroutine 1: running on worker ");
		test_has(text, "    spawned by 1 in ");
		test_has(text, "waiting for sleep, since ");
		if (lines_with(text, "coroutine ") != WAITERS + 4)
			fputs(text, stderr);
		ck_assert_int_eq(lines_with(text, "coroutine "), WAITERS + 4);
		ck_assert_int_eq(lines_with(text, "cycle: "), 0);
		free(text);
		co_mutex_unlock(&mutex);
		co_rwlock_unlock(&rwlock);
		co_cancel(&s);
	}
	chan_unref(numbers);
	chan_unref(full);
	co_close(fds[0]);
	co_close(fds[1]);
	return 0;
}

TEST(each_says_what_it_waits_for_and_who_has_it)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, all_wait, NULL), 0);
}

static int
nap(void *arg)
{
	while (!__atomic_load_n((int *)arg, __ATOMIC_ACQUIRE))
		usleep(1000);
	return 0;
}

static int no_nap = 1;

static int
give_job(void *arg)
{
	return co_blocking(nap, arg);
}

static int
new_main(void *arg)
{
	struct co_spawn_options o = { .name = "fresh" };
	static int over;
	char *text;

	over = 0;
	ck_assert_int_eq(co_spawn(give_job, &over), 0);
	free(dump_until(PARTS("waiting for blocking job ")));
	if (*(int *)arg == 1) {		/* nobody else can begin them */
		ck_assert_int_eq(co_spawn(sleep_long, NULL), 0);
		ck_assert_int_eq(co_spawn_with(&o, sleep_long, NULL), 0);
		text = dump_with(co_dump);
		/* It has its stack, as it has a name; a build that cannot
		   look at that does not know that it has not begun. */
		test_has(text, strstr(text, "no backtrace in this build") ?
		    "\"fresh\": runnable\n" : "\"fresh\": not begun\n");
		ck_assert_int_eq(lines_with(text, "coroutine 3: not begun"),
		    1);
		free(text);
	}
	__atomic_store_n(&over, 1, __ATOMIC_RELEASE);
	return 0;
}

TEST(jobs_and_those_that_have_not_begun_are_named)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, new_main, &w), 0);
}

static int
odd_name_main(void *arg)
{
	char *text;

	(void)arg;
	co_set_name("two\nlines \"and\" a \033[7m");
	text = dump_with(co_dump);
	ck_assert_int_eq(lines_with(text,
	    "coroutine 1 \"two?lines ?and? a ?[7m\": running"), 1);
	free(text);
	return 0;
}

TEST(a_name_keeps_to_its_line)
{
	ck_assert_int_eq(test_run(1, odd_name_main, NULL), 0);
}

/* --- times ---------------------------------------------------------------- */

static int
age_main(void *arg)
{
	const char *at;
	char *text;

	(void)arg;
	ck_assert_int_eq(co_spawn(wait_somehow, (void *)(intptr_t)4), 0);
	free(dump_until(PARTS("waiting for event")));
	ck_assert_int_eq(co_sleep(CO_MS(60)), 0);
	text = dump_with(co_dump);
	at = strstr(text, ", since ");
	ck_assert_ptr_nonnull(at);
	ck_assert_int_ge(atoi(at + 8), 50);
	ck_assert_ptr_nonnull(strstr(at, " ms\n"));
	free(text);
	return 0;
}

TEST(the_age_of_a_wait_is_told)
{
	event = (struct co_event)CO_EVENT_INIT;
	ck_assert_int_eq(test_run(1, age_main, NULL), 0);
}

/* --- backtraces ----------------------------------------------------------- */

static volatile int kept;

__attribute__((noinline)) static int
deepest(void *arg)
{
	int v = 0, code = chan_recv(numbers, &v);

	(void)arg;
	kept = code;		/* so that the call is not the last thing */
	return 0;
}

__attribute__((noinline)) static int
deeper(void *arg)
{
	int code = deepest(arg);

	kept = code + 1;
	return 0;
}

static int
deep(void *arg)
{
	int code = deeper(arg);

	kept = code + 2;
	return 0;
}

/* Is there a frame in the first bytes of fn? */
static bool
stands_in(const char *text, co_fn *fn)
{
	uintptr_t at, from = (uintptr_t)fn;
	const char *line = text, *plus;
	Dl_info info;

	ck_assert_int_ne(dladdr((void *)from, &info), 0);
	from -= (uintptr_t)info.dli_fbase;
	while ((line = strstr(line, "\n    at ")) != NULL) {
		line++;
		plus = strstr(line, "+0x");
		while (plus && plus < line + strcspn(line, "\n")) {
			at = (uintptr_t)strtoull(plus + 3, NULL, 16);
			if (at > from && at < from + 256)
				return true;
			plus = strstr(plus + 3, "+0x");
		}
	}
	return false;
}

struct frames {
	co_fn *fn;		/* it receives from `numbers` */
	co_fn *in[4];		/* where it then stands */
};

static void
check_frames(const char *text, const struct frames *f)
{
	int i;

	if (strstr(text, "no backtrace in this build"))
		return;
	for (i = 0; f->in[i]; i++)
		ck_assert_msg(stands_in(text, f->in[i]), "%s", text);
	ck_assert(!stands_in(text, sleep_long));
}

static int
frames_main(void *arg)
{
	const struct frames *f = arg;
	struct co_scope s;
	char *text;

	numbers = chan_new(int, 0);
	co_scope(s) {
		ck_assert_int_eq(co_spawn(f->fn, NULL), 0);
		/* Its worker may be about to leave it still. */
		text = dump_until(PARTS("receive from channel"));
		while (!strstr(text, "    at ") &&
		    !strstr(text, "no backtrace in this build")) {
			free(text);
			co_yield();
			text = dump_with(co_dump);
		}
		check_frames(text, f);
		free(text);
		chan_close(numbers);
	}
	chan_unref(numbers);
	return 0;
}

TEST(who_waits_shows_where_frame_by_frame)
{
	struct frames f = { deep, { deepest, deeper, deep } };

	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, frames_main, &f), 0);
}

/* The same in the function of a generator, which has a stack of its own. */
static int
generate(co_gen(int) g, void *arg)
{
	deepest(arg);
	return co_gen_yield(g, 1);
}

static int
pull(void *arg)
{
	co_gen(int) g = co_gen_new(int, generate, arg);
	int v, code = co_gen_next(g, &v);

	co_gen_free(g);
	return code;
}

TEST(who_waits_in_a_generator_shows_where)
{
	struct frames f = { pull, { deepest,
	    (co_fn *)(void (*)(void))generate } };

	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, frames_main, &f), 0);
}

/* --- what goes on meanwhile ----------------------------------------------- */

static int
lock_and_unlock(void *arg)
{
	uint32_t *over = arg;

	while (!__atomic_load_n(over, __ATOMIC_RELAXED)) {
		if (co_mutex_lock(&mutex) < 0)
			return -1;
		co_yield();
		co_mutex_unlock(&mutex);
	}
	return 0;
}

/* A line of co_dump_json is a coroutine. */
static void
nobody_waits_for_himself(const char *text)
{
	unsigned long id, holder;
	const char *line, *at, *end;

	for (line = strstr(text, "{ \"id\": "); line;
	    line = strstr(line + 1, "\n  { \"id\": ")) {
		at = strstr(line, "\"id\": ");
		id = strtoul(at + 6, NULL, 10);
		end = strchr(at, '\n');
		at = strstr(at, "\"holder\": ");
		if (!at || (end && at > end))
			continue;
		holder = strtoul(at + 10, NULL, 10);
		ck_assert_msg(id != holder, "%s", text);
	}
}

static int
busy_main(void *arg)
{
	uint32_t over = 0;
	struct co_scope s;
	char *text;
	int i;

	(void)arg;
	mutex = (struct co_mutex)CO_MUTEX_INIT;
	co_scope(s) {
		for (i = 0; i < 8; i++)
			ck_assert_int_eq(co_spawn(lock_and_unlock, &over), 0);
		for (i = 0; i < 300; i++) {
			co_yield();
			text = dump_with(co_dump_json);
			nobody_waits_for_himself(text);
			free(text);
		}
		__atomic_store_n(&over, 1, __ATOMIC_RELAXED);
	}
	return s.status;
}

TEST(what_is_said_of_a_wait_is_of_that_wait)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, busy_main, NULL), 0);
}

/* --- JSON ----------------------------------------------------------------- */

static const char reader[] =
	"import json, sys\n"
	"d = json.load(open(sys.argv[1]))\n"
	"ids = [c['id'] for c in d['coroutines']]\n"
	"assert len(ids) == len(set(ids)) == int(sys.argv[2]), ids\n"
	"by = {c['name']: c for c in d['coroutines'] if c['name']}\n"
	"w = [by['waiter %d' % i]['wait'] for i in range(15)]\n"
	"assert all(x['since_ns'] >= 0 for x in w)\n"
	"assert w[0]['for'] == 'receive from channel' and "
	"w[0]['capacity'] == 3\n"
	"assert int(w[0]['object'], 16) > 4096\n"
	"assert w[2]['holder'] == w[3]['holder'] == 1\n"
	"assert 400e9 < w[13]['left_ns'] <= 500e9\n"
	"assert w[10]['fd'] == w[12]['cases'][1]['fd']\n"
	"assert [c['for'] for c in w[12]['cases']] == ['receive from channel',"
	" 'readable', 'event', 'signal', 'timeout']\n"
	"assert all(c['parent'] and c['spawned']['offset'] > 0 "
	"for c in d['coroutines'] if c['id'] > 1)\n"
	"assert not d['backtraces'] or all(len(by['waiter %d' % i]"
	"['backtrace']) > 1 for i in range(15))\n"
	"assert by['q\"\\\\\\n\\xe8\\ufffd\\ufffd']['state'] in ('runnable', 'waiting', "
	"'not begun')\n"
	"assert {c['id']: c for c in d['coroutines']}[1]['state'] == 'running'\n"
	"assert d['cycles'] == []\n";

static void
read_json(int count)
{
	char path[] = "/tmp/weft-dump-XXXXXX", *command;
	int fd = mkstemp(path);
	FILE *to = fdopen(fd, "w");

	ck_assert_ptr_nonnull(to);
	ck_assert_int_eq(co_dump_json(to), 0);
	fclose(to);
	setenv("READER", reader, 1);
	ck_assert_int_gt(asprintf(&command, "python3 -c \"$READER\" %s %d >&2",
	    path, count), 0);
	ck_assert_msg(system(command) == 0, "see above");
	free(command);
	unlink(path);
}

static int
json_main(void *arg)
{
	char names[WAITERS][32];
	const char *parts[WAITERS + 1] = { NULL };
	struct co_spawn_options o = { .name = "q\"\\\n\xc3\xa8\xe2\x82" };
	struct co_scope s;
	int i;

	(void)arg;
	prepare();
	co_scope(s, .policy = CO_SUPERVISE) {
		ck_assert_int_eq(co_fork(&slow, sleep_long, NULL), 0);
		ck_assert_int_eq(co_spawn_with(&o, do_once, NULL), 0);
		while (__atomic_load_n(&once.co__sync.co__n,
		    __ATOMIC_ACQUIRE) == 0)
			co_yield();
		for (i = 0; i < WAITERS; i++) {
			snprintf(names[i], sizeof names[i], "waiter %d", i);
			o.name = names[i];
			ck_assert_int_eq(co_spawn_with(&o, wait_somehow,
			    (void *)(intptr_t)i), 0);
			snprintf(names[i], sizeof names[i],
			    "\"waiter %d\": waiting", i);
			parts[i] = names[i];
		}
		free(dump_until(parts));
		read_json(WAITERS + 4);
		co_mutex_unlock(&mutex);
		co_rwlock_unlock(&rwlock);
		co_cancel(&s);
	}
	chan_unref(numbers);
	chan_unref(full);
	co_close(fds[0]);
	co_close(fds[1]);
	return 0;
}

TEST(json_says_the_same_and_is_json)
{
	if (system("python3 -c 'import json' 2>/dev/null") != 0)
		test_skip("no python3 to read it");
	ck_assert_int_eq(test_run(1, json_main, NULL), 0);
}

static int
full_main(void *arg)
{
	FILE *to = fopen("/dev/full", "w");

	(void)arg;
	ck_assert_ptr_nonnull(to);
	ck_assert_int_eq(co_dump_json(NULL), -EINVAL);
	ck_assert_int_eq(co_dump_json(to), -EIO);
	fclose(to);
	return 0;
}

TEST(json_that_cannot_be_written_says_so)
{
	ck_assert_int_eq(test_run(1, full_main, NULL), 0);
}

TEST(without_a_runtime_there_is_nobody)
{
	char *text = dump_with(co_dump), *json = dump_with(co_dump_json);

	ck_assert_str_eq(text ? text : "", "");
	test_has(json, "\"coroutines\": [ ]");
	free(text);
	free(json);
}

/* --- under load ----------------------------------------------------------- */

enum { PAIRS = 8, STUCK = 5 };

static int stop;

static int
send_on(void *arg)
{
	chan(int) ch = arg;
	int v = 0, other;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (co_select(co_on_send(ch, v), co_on_recv(numbers, &other))
		    < 0)
			break;
		v++;
	}
	return chan_close(ch);
}

static int
recv_from(void *arg)
{
	chan(int) ch = arg;
	int v;

	while (chan_recv(ch, &v) == 0) {
		if (v % 64 == 0)
			co_spawn(nap, &no_nap);
		if (v % 16 == 0)
			co_sleep(CO_US(20));
		if (v % 4 == 0)
			co_yield();
	}
	chan_unref(ch);
	return 0;
}

static int
be_born(void *arg)
{
	struct co_task t;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (co_fork(&t, nap, &(int){ 1 }) < 0 || co_join(&t) < 0)
			break;
	}
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a,
	    y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static void
check_dump(const char *text)
{
	static unsigned long ids[4096];
	const char *at = text;
	int n = 0, i;

	while (at && n < 4096) {
		if (strncmp(at, "coroutine ", 10) == 0)
			ids[n++] = strtoul(at + 10, NULL, 10);
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	qsort(ids, (size_t)n, sizeof ids[0], by_number);
	for (i = 1; i < n; i++)
		ck_assert_uint_ne(ids[i - 1], ids[i]);
	ck_assert_uint_eq(ids[0], 1);
	for (i = 0, at = text; (at = strstr(at, "\"stuck\": waiting for event"));
	    at++)
		i++;
	ck_assert_int_eq(i, STUCK);
	ck_assert_int_eq(lines_with(text, "cycle: "), 0);
}

static void *
dump_often(void *arg)
{
	int i, n = (int)test_count(100, 1000);
	char *text;

	for (i = 0; i < n; i++) {
		text = dump_with(co_dump);
		check_dump(text);
		free(text);
		free(dump_with(co_dump_json));
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	return arg;
}

static int
load_main(void *arg)
{
	struct co_spawn_options o = { .name = "stuck" };
	struct co_scope s;
	pthread_t thread;
	int i;

	(void)arg;
	stop = 0;
	event = (struct co_event)CO_EVENT_INIT;
	numbers = chan_new(int, 0);
	co_scope(s, .policy = CO_SUPERVISE) {
		for (i = 0; i < STUCK; i++)
			ck_assert_int_eq(co_spawn_with(&o, wait_somehow,
			    (void *)(intptr_t)4), 0);
		for (i = 0; i < PAIRS; i++) {
			chan(int) ch = chan_new(int, i % 2);

			ck_assert_int_eq(co_spawn(send_on, ch), 0);
			ck_assert_int_eq(co_spawn(recv_from, ch), 0);
		}
		ck_assert_int_eq(co_spawn(be_born, NULL), 0);
		free(dump_until(PARTS("\"stuck\": waiting for event")));
		co_sleep(CO_MS(20));
		ck_assert_int_eq(pthread_create(&thread, NULL, dump_often,
		    NULL), 0);
		while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
			co_sleep(CO_MS(1));
		pthread_join(thread, NULL);
		co_event_set(&event);
	}
	chan_unref(numbers);
	return 0;
}

TEST(dumps_under_load_list_each_once_and_hold_up_nobody, .seconds = 300)
{
	FOR_WORKERS(w)
		ck_assert_int_eq(test_run(w, load_main, NULL), 0);
}
