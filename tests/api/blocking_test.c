/* SPDX-License-Identifier: MIT */
/*
 * blocking_test.c - the blocking pool, and files.
 */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <fenv.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <weft/io.h>
#include <weft/scope.h>

static int running, most, begun;

static void
nap_ms(int ms)
{
	poll(NULL, 0, ms);
}

static int
give(void *arg)
{
	return (int)(intptr_t)arg;
}

static int
job(void *arg)
{
	int n = __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
	int m = __atomic_load_n(&most, __ATOMIC_SEQ_CST);

	__atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
	while (n > m && !__atomic_compare_exchange_n(&most, &m, n, false,
	    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		continue;
	nap_ms((int)(intptr_t)arg);
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
	return n;
}

/* --- results -------------------------------------------------------------- */

static int
ask(void *arg)
{
	int i, n = (int)test_count(300, 30000);

	for (i = 0; i < n; i++)
		test_result(co_blocking(give, (void *)(intptr_t)(i - 5)), i - 5);
	(void)arg;
	return 0;
}

static int
many_ask(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 20; i++)
			co_spawn(ask, NULL);
	test_result(co_blocking(NULL, NULL), -EINVAL);
	return s.status;
}

TEST(each_job_runs_once_and_gives_its_result)
{
	FOR_WORKERS(w)
		test_result(test_run(w, many_ask, NULL), 0);
	test_result(co_blocking(give, (void *)7), 7);	/* a plain thread */
}

static int
round_upward(void *arg)
{
	(void)arg;
	ck_assert_int_eq(fegetround(), FE_TONEAREST);
	return fesetround(FE_UPWARD);
}

/* Nor of the coroutine whose job made the thread. */
static int
no_job_has_the_rounding_of_another(void *arg)
{
	int i;

	(void)arg;
	ck_assert_int_eq(fesetround(FE_DOWNWARD), 0);
	for (i = 0; i < 20; i++)
		test_result(co_blocking(round_upward, NULL), 0);
	ck_assert_int_eq(fegetround(), FE_DOWNWARD);
	return 0;
}

TEST(a_rounding_mode_ends_with_its_job)
{
	FOR_WORKERS(w)
		test_result(test_run(w, no_job_has_the_rounding_of_another,
		    NULL), 0);
}

/* --- bounds --------------------------------------------------------------- */

static int
run_job(void *arg)
{
	ck_assert_int_gt(co_blocking(job, arg), 0);
	return 0;
}

static int
fill_pool(void *arg)
{
	struct co_scope s;
	co_time start = co_now();
	int i;

	(void)arg;
	most = 0;
	co_scope(s)
		for (i = 0; i < 16; i++)
			co_spawn(run_job, (void *)20);
	ck_assert_int_eq(most, 4);
	test_between(co_now() - start, CO_MS(80), CO_SEC(5));
	return s.status;
}

TEST(no_more_threads_than_were_asked_for_and_no_fewer)
{
	FOR_WORKERS(w) {
		struct co_options o = { .workers = w, .blocking_threads = 4 };

		test_result(co_run(&o, fill_pool, NULL), 0);
	}
}

static int
others_go_on(void *arg)
{
	struct co_scope s;
	co_time worst = 0;
	int i;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < 8; i++)
			co_spawn(run_job, (void *)60);
		for (i = 0; i < 20; i++) {
			co_time start = co_now();

			co_sleep(CO_MS(1));
			if (co_now() - start > worst)
				worst = co_now() - start;
		}
	}
	test_between(worst, CO_MS(1), CO_MS(40) * test_slow());
	return 0;
}

TEST(a_full_pool_blocks_nobody_else)
{
	struct co_options o = { .workers = 1, .blocking_threads = 2 };

	test_result(co_run(&o, others_go_on, NULL), 0);
}

/* --- cancelling ----------------------------------------------------------- */

static int
cancelled_job(void *arg)
{
	test_result(co_blocking(job, arg), -ECANCELED);
	return 0;
}

static int
finished_job(void *arg)
{
	ck_assert_int_gt(co_blocking(job, arg), 0);
	test_result(co_blocking(job, arg), -ECANCELED);
	return 0;
}

static int
cancel_jobs(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	begun = 0;
	co_scope(s) {
		for (i = 0; i < 2; i++)
			co_spawn(finished_job, (void *)40);
		while (__atomic_load_n(&begun, __ATOMIC_SEQ_CST) < 2)
			co_sleep(CO_MS(1));
		for (i = 0; i < 10; i++)
			co_spawn(cancelled_job, (void *)40);
		co_sleep(CO_MS(5));
		co_cancel(&s);
	}
	ck_assert_int_eq(begun, 2);
	ck_assert_int_eq(running, 0);
	return 0;
}

TEST(a_queued_job_that_is_cancelled_never_runs_and_a_begun_one_is_waited_for)
{
	FOR_WORKERS(w) {
		struct co_options o = { .workers = w, .blocking_threads = 2 };

		test_result(co_run(&o, cancel_jobs, NULL), 0);
	}
}

static int
timed_job(void *arg)
{
	int k = (int)(intptr_t)arg, code = 0, before, i;
	int n = (int)test_count(300, 20000);

	for (i = 0; i < n; i++) {
		before = k;
		co_timeout(CO_US((i * 7) % 120))
			code = co_blocking(give, &before);
		ck_assert(code == -ETIMEDOUT || code == (int)(intptr_t)&before);
	}
	return 0;
}

static int
deadline_races(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < 8; i++)
			co_spawn(timed_job, (void *)(intptr_t)i);
	return s.status;
}

TEST(a_deadline_against_the_end_of_a_job)
{
	FOR_WORKERS(w) {
		struct co_options o = { .workers = w, .blocking_threads = 3 };

		test_result(co_run(&o, deadline_races, NULL), 0);
	}
}

/* --- no threads ----------------------------------------------------------- */

static int
no_threads(void *arg)
{
	(void)arg;
	test_result(co_blocking(give, (void *)5), -EAGAIN);
	return 0;
}

TEST(a_thread_that_cannot_be_made_is_an_error_not_a_hang)
{
	struct rlimit none = { 0, 0 };

	if (geteuid() == 0)
		test_skip("the limit does not bind root");
	setrlimit(RLIMIT_NPROC, &none);
	test_result(test_run(1, no_threads, NULL), 0);
}

/* --- files ---------------------------------------------------------------- */

static int
files(void *arg)
{
	char dir[] = "/tmp/weft-test-XXXXXX", path[64], other[64], buf[32];
	struct co_dirent *list;
	struct stat st;
	size_t n;
	int fd;

	(void)arg;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/a", dir);
	snprintf(other, sizeof other, "%s/b", dir);
	test_result(co_open(path, O_RDONLY, 0), -ENOENT);
	fd = co_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	test_result(co_write(fd, "hello, file", 11), 11);
	test_result(co_pwrite(fd, "J", 1, 0), 1);
	test_result(co_pread(fd, buf, 32, 7), 4);
	ck_assert_int_eq(memcmp(buf, "file", 4), 0);
	test_result(co_read(fd, buf, 32), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	test_result(co_read_full(fd, buf, 5), 5);
	ck_assert_int_eq(memcmp(buf, "Jello", 5), 0);
	test_result(co_wait_fd(fd, CO_READ | CO_WRITE), CO_READ | CO_WRITE);
	test_result(co_fsync(fd), 0);
	test_result(co_ftruncate(fd, 3), 0);
	test_result(co_fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, 3);
	test_result(co_close(fd), 0);
	test_result(co_fsync(fd), -EBADF);
	test_result(co_rename(path, other), 0);
	test_result(co_stat(path, &st), -ENOENT);
	test_result(co_lstat(other, &st), 0);
	test_result(co_mkdir(path, 0700), 0);
	test_result(co_readdir(dir, &list, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert(strcmp(list[0].name, list[1].name) != 0);
	free(list);
	test_result(co_readdir(path, &list, &n), 0);
	ck_assert_uint_eq(n, 0);
	free(list);
	test_result(co_readdir(other, &list, &n), -ENOTDIR);
	test_result(co_rmdir(path), 0);
	test_result(co_unlink(other), 0);
	test_result(co_rmdir(dir), 0);
	fd = co_open("/dev/null", O_RDWR, 0);
	test_result(co_read(fd, buf, 1), 0);
	test_result(co_write(fd, buf, 1), 1);
	test_result(co_wait_fd(fd, CO_READ), CO_READ);
	return co_close(fd);
}

TEST(files_by_name_and_by_descriptor)
{
	FOR_WORKERS(w)
		test_result(test_run(w, files, NULL), 0);
	test_result(files(NULL), 0);
}
