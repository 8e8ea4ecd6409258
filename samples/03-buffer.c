/* SPDX-License-Identifier: MIT */
/*
 * 03-buffer.c - a channel with room for some values.
 *
 * Sending waits only when the buffer is full.  What is in it when the channel
 * is closed can still be received; then receiving gives -EPIPE.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <weft.h>

struct word {
	char text[16];
	size_t length;
};

static int
body(void *arg)
{
	static const char *const words[] = { "warp", "weft", "selvedge" };
	chan(struct word) ch = chan_new(struct word, 2);
	struct word w;
	size_t i;

	(void)arg;
	if (!ch)
		return -ENOMEM;
	for (i = 0; i < 3; i++) {
		w.length = strlen(words[i]);
		memcpy(w.text, words[i], w.length + 1);
		if (chan_try_send(ch, w) == -EAGAIN)
			printf("no room for \"%s\"\n", w.text);
	}
	printf("%zu of %zu\n", chan_len(ch), chan_cap(ch));
	chan_close(ch);
	chan_each(struct word, v, ch)
		printf("\"%s\" has %zu letters\n", v.text, v.length);
	if (chan_recv(ch, &w) == -EPIPE)
		printf("closed and drained\n");
	chan_unref(ch);
	return 0;
}

int
main(void)
{
	return co_run(NULL, body, NULL) < 0;
}
