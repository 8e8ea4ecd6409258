/* SPDX-License-Identifier: MIT */
/*
 * <weft.h> - everything.  Each part also stands alone as <weft/PART.h>.
 */
#ifndef WEFT_H
#define WEFT_H

#include <weft/chan.h>
#include <weft/co.h>
#include <weft/inspect.h>
#include <weft/io.h>
#include <weft/scope.h>
#include <weft/sync.h>
#include <weft/values.h>

#endif
