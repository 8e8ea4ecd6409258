/* SPDX-License-Identifier: MIT */
/*
 * replay.c - main() of a fuzz target without a fuzzer: each file of its corpus
 * once, or those that are named.
 *
 * The program NAME_fuzz reads $srcdir/tests/fuzz/corpus/NAME; it speaks TAP.
 * An input that was fatal is the last that was named.
 */
#include "fuzz.h"

#include <dirent.h>
#include <libgen.h>

static int
run_file(const char *path)
{
	static uint8_t input[1 << 20];
	uint8_t *copy;
	size_t n;
	FILE *f = fopen(path, "rb");

	if (!f)
		return -1;
	n = fread(input, 1, sizeof input, f);
	fclose(f);
	printf("# %s\n", path);
	fflush(stdout);
	copy = malloc(n + !n);		/* its end is an end: sanitizers see */
	if (!copy)
		return -1;
	memcpy(copy, input, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
	return 0;
}

static int
run_corpus(const char *folder)
{
	struct dirent **list;
	char path[4096 + 256];
	int n, i, bad = 0, done = 0;

	n = scandir(folder, &list, NULL, alphasort);
	for (i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
		if (list[i]->d_name[0] != '.') {
			bad += run_file(path) < 0;
			done++;
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return bad || done == 0 ? -1 : done;
}

int
main(int argc, char **argv)
{
	const char *src = getenv("srcdir");
	char name[256], folder[4000];
	int i, n = 0;

	snprintf(name, sizeof name, "%s", basename(argv[0]));
	if (strlen(name) > 5 && strcmp(name + strlen(name) - 5, "_fuzz") == 0)
		name[strlen(name) - 5] = '\0';
	snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus/%s",
	    src ? src : ".", name);
	if (argc == 1) {
		n = run_corpus(folder);
	} else {
		for (i = 1; i < argc && n >= 0; i++)
			n = run_file(argv[i]) < 0 ? -1 : n + 1;
	}
	if (n < 0)
		printf("not ok 1 - %s: not all inputs could be read\n", name);
	else
		printf("ok 1 - %s: %d inputs\n", name, n);
	puts("1..1");
	return n < 0;
}
