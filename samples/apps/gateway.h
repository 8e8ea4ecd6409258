/* SPDX-License-Identifier: MIT */
/* gateway.h - what the files of the gateway know of each other; see gateway.c. */
#ifndef GATEWAY_H
#define GATEWAY_H

#include <weft.h>

enum { SENSOR = 32, TEXT = 64 };

struct message {
	char topic[TEXT];
	char text[TEXT];
};

struct broker {
	char host[TEXT];
	int port;
	chan(struct message) outbox;	/* closed: send what is left, and end */
	long sent;			/* and acknowledged */
};

/* Carries what is in the outbox to the broker, over every loss of it. */
int publish_all(struct broker *b);

/* A device that was invented: connects to `address`, sends, goes, returns. */
struct device {
	const char *address;
	int number;
};
int simulate(struct device *d);

#endif
