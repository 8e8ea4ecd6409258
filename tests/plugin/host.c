/* SPDX-License-Identifier: MIT */
/*
 * host.c - loads a plugin that uses weft, and unloads it; in C and in C++.
 *
 *	host MODE PLUGIN [COPY]
 *
 * Exit status 0 and not a word: all is well.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 100, SUM_OF = 200, SUM = SUM_OF * (SUM_OF + 1) / 2 };

#define need(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: not true: %s (%s)\n", \
			    __FILE__, __LINE__, #cond, said()); \
			exit(1); \
		} \
	} while (0)

typedef int co_run_fn(const void *options, int (*fn)(void *), void *arg);
typedef int run_fn(int workers, int n);
typedef int plain_fn(void);

static const char *
said(void)
{
	const char *s = dlerror();

	return s ? s : "no word of dlerror";
}

static int
count(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	need(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A thread that was joined may stay in /proc for a moment. */
static int
threads_are(int n)
{
	int i;

	for (i = 0; i < 10000 && count("/proc/self/task") != n; i++)
		usleep(1000);
	return count("/proc/self/task") == n;
}

static void *
load(const char *path)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	need(so != NULL);
	return so;
}

static void
unload(void *so, const char *path)
{
	need(dlclose(so) == 0);
	need(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL);
	(void)dlerror();
}

static int
run(void *so, int workers)
{
	run_fn *fn = (run_fn *)dlsym(so, "plugin_run");

	need(fn != NULL);
	return fn(workers, SUM_OF);
}

static int
call(void *so, const char *name)
{
	plain_fn *fn = (plain_fn *)dlsym(so, name);

	need(fn != NULL);
	return fn();
}

static void
load_run_unload(const char *path, int rounds)
{
	int i;

	for (i = 0; i < rounds; i++) {
		void *so = load(path);

		need(run(so, 1 + i % 4) == SUM);
		unload(so, path);
	}
}

static int
give(void *arg)
{
	return *(int *)arg;
}

/* As bindings of other languages do: the library and nothing of its headers. */
static void
bare(const char *path)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		void *so = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
		co_run_fn *fn;

		need(so != NULL);
		fn = (co_run_fn *)dlsym(so, "co_run");
		need(fn != NULL && fn(NULL, give, &i) == i);
		need(dlclose(so) == 0);
	}
}

/* --- threads that outlive the plugin -------------------------------------- */

static pthread_barrier_t used, unloaded;

static void *
use_and_stay(void *so)
{
	need(call(so, "plugin_wait") == 0);
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&unloaded);
	return NULL;
}

static void
outlived(const char *path)
{
	pthread_t t[4];
	void *so = load(path);
	int i;

	pthread_barrier_init(&used, NULL, 5);
	pthread_barrier_init(&unloaded, NULL, 5);
	for (i = 0; i < 4; i++)
		need(pthread_create(&t[i], NULL, use_and_stay, so) == 0);
	pthread_barrier_wait(&used);
	need(call(so, "plugin_wait") == 0);
	unload(so, path);
	pthread_barrier_wait(&unloaded);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	load_run_unload(path, 1);	/* and so does the main thread */
}

/* --- faults and forks after it -------------------------------------------- */

static sigjmp_buf back;
static volatile int caught;
static int *volatile nowhere;

static void
on_fault(int sig)
{
	caught = sig;
	siglongjmp(back, 1);
}

static void
fault(void)
{
	if (sigsetjmp(back, 1) == 0)
		*nowhere = 1;
	need(caught == SIGSEGV);
	caught = 0;
}

static void
faults(const char *path)
{
	struct sigaction act;
	int i;

	memset(&act, 0, sizeof act);
	act.sa_handler = on_fault;
	need(sigaction(SIGSEGV, &act, NULL) == 0);
	for (i = 0; i < 3; i++) {
		load_run_unload(path, 1);
		fault();
	}
}

static void
forks(const char *path)
{
	int status = -1;
	pid_t pid;

	load_run_unload(path, 1);
	pid = fork();
	need(pid >= 0);
	if (pid == 0)
		_exit(7);
	need(waitpid(pid, &status, 0) == pid);
	need(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	load_run_unload(path, 1);
}

/* --- two at once ---------------------------------------------------------- */

static void *
in_thread(void *path)
{
	load_run_unload((const char *)path, ROUNDS / 2);
	return NULL;
}

static void
two(char *path, char *copy)
{
	pthread_t t[2];

	need(pthread_create(&t[0], NULL, in_thread, path) == 0);
	need(pthread_create(&t[1], NULL, in_thread, copy) == 0);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
}

/* --- main ----------------------------------------------------------------- */

static void *
nothing(void *arg)
{
	return arg;
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	int threads, fds;
	pthread_t t;

	/* With the first thread a sanitizer's own comes, and stays. */
	need(pthread_create(&t, NULL, nothing, NULL) == 0);
	pthread_join(t, NULL);
	usleep(1000);
	threads = count("/proc/self/task");
	fds = count("/proc/self/fd");
	if (strcmp(mode, "again") == 0)
		load_run_unload(argv[2], ROUNDS);
	else if (strcmp(mode, "bare") == 0)
		bare(argv[2]);
	else if (strcmp(mode, "outlived") == 0)
		outlived(argv[2]);
	else if (strcmp(mode, "faults") == 0)
		faults(argv[2]);
	else if (strcmp(mode, "forks") == 0)
		forks(argv[2]);
	else if (strcmp(mode, "overflow") == 0)
		return call(load(argv[2]), "plugin_overflow");
	else if (strcmp(mode, "two") == 0 && argc > 3)
		two(argv[2], argv[3]);
	else
		return 2;
	need(threads_are(threads));
	need(count("/proc/self/fd") == fds);
	return 0;
}
