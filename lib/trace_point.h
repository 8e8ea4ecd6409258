/* SPDX-License-Identifier: MIT */
/*
 * trace_point.h - places that tracers of the system can look at.
 *
 * Layer 0.  Where configure found <sys/sdt.h>, each is a `nop` and a note in
 * the file that says where the arguments are at that moment: in registers or in
 * memory, where they are anyway.  A debugger, perf, bpftrace or SystemTap puts
 * a breakpoint there.  Else it is nothing.  co_inspect(3) lists them.
 *
 *	spawn	task, function		a coroutine is queued for the first time
 *	switch	from, to		NULL: the worker's own stack
 *	park	task, reason, object	a wait begins (enum wait_reason)
 *	ready	task			claimed by who wakes it, and queued, or
 *					next to run
 *	steal	worker, from, count	indices of workers
 */
#ifndef WEFT_TRACE_POINT_H
#define WEFT_TRACE_POINT_H

#include "base.h"

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>

#define trace_spawn(task, fn) \
	DTRACE_PROBE2(weft, spawn, task, fn)
#define trace_switch(from, to) \
	DTRACE_PROBE2(weft, switch, from, to)
#define trace_park(task, why, obj) \
	DTRACE_PROBE3(weft, park, task, why, obj)
#define trace_ready(task) \
	DTRACE_PROBE1(weft, ready, task)
#define trace_steal(worker, from, n) \
	DTRACE_PROBE3(weft, steal, worker, from, n)

#else

#define trace_spawn(task, fn)		((void)(fn))
#define trace_switch(from, to)		((void)0)
#define trace_park(task, why, obj)	((void)0)
#define trace_ready(task)		((void)0)
#define trace_steal(worker, from, n)	((void)0)

#endif

#endif
