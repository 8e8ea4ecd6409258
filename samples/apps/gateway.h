/* SPDX-License-Identifier: MIT */
/* gateway.h - what the files of the gateway know of each other; see gateway.c. */
#ifndef GATEWAY_H
#define GATEWAY_H

#include <weft.h>

enum { SENSOR = 32, TEXT = 64, HOST = 256 };

struct reading {
	char name[SENSOR];
	double value;
};

struct message {
	char topic[TEXT];
	char text[TEXT];
};

struct broker {
	char host[HOST];
	int port;
	chan(struct message) outbox;	/* closed: send what is left, and end */
	struct co_event away;	/* set while it is not there */
	long sent;		/* and acknowledged */
	long lost;		/* taken from the outbox, and not acknowledged */
};

/* Carries what is in the outbox to the broker, over every loss of it. */
int publish_all(struct broker *b);

/* All sensors; see gateway_average.c. */
struct averager {
	chan(struct reading) readings;	/* closed: tell the rest, and end */
	struct broker *broker;
	co_time window, drain;
	double threshold;
	void *sensors;		/* of tsearch(3) */
	int n;			/* sensors */
	long taken, refused;	/* readings */
	long dropped;		/* messages */
};
int average_all(struct averager *a);

/* A device that was invented: connects to `address`, sends, goes, returns. */
struct device {
	const char *address;
	int number;
};
int simulate(struct device *d);

/* Half of t to all of it: so that those who were lost together do not come back
   together. */
co_time jitter(co_time t, unsigned *seed);

#endif
