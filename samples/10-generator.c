/* SPDX-License-Identifier: MIT */
/*
 * 10-generator.c - a tree is walked by a recursive function, value by value.
 *
 * The walker has a stack of its own and gives each value with co_gen_yield,
 * however deep it is.  Whoever wants no more frees the generator: the yield
 * fails and the walker returns.
 */
#include <errno.h>
#include <stdio.h>
#include <weft.h>

struct node {
	int value;
	struct node *left, *right;
};

static int
walk(co_gen(int) g, struct node *n)
{
	int code;

	if (!n)
		return 0;
	code = walk(g, n->left);
	if (code == 0)
		code = co_gen_yield(g, n->value);
	return code == 0 ? walk(g, n->right) : code;
}

static int
walk_all(co_gen(int) g, void *root)
{
	return walk(g, root);
}

static int
body(void *arg)
{
	struct node n[] = { { 1, NULL, NULL }, { 3, NULL, NULL },
		{ 2, &n[0], &n[1] }, { 5, NULL, NULL }, { 4, &n[2], &n[3] } };
	co_gen(int) g = co_gen_new(int, walk_all, &n[4]);
	int value = 0, code;

	(void)arg;
	if (!g)
		return -ENOMEM;
	while ((code = co_gen_next(g, &value)) == 0)
		printf("%d\n", value);
	co_gen_free(g);
	return code == -EPIPE ? 0 : code;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
