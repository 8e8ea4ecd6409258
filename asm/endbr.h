/* SPDX-License-Identifier: MIT */
/*
 * endbr.h - what an indirect call or jump of x86_64 goes to begins with, for
 * assembly.  In C: lib/context_asm.h.
 */
#if defined __CET__ && (__CET__ & 1)
#define ENDBR	endbr64
#else
#define ENDBR			/* nothing looks for it, and it takes time */
#endif
