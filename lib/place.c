/* SPDX-License-Identifier: MIT */
/*
 * place.c - an address of code in words.
 *
 * Layer 10.  _dl_find_object of newer C libraries takes no lock and is made for
 * signal handlers; dladdr knows names, and may wait for the loader's lock.
 */
#include "place.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>

struct found {
	const char *file;	/* NULL: not known */
	uintptr_t offset;	/* in it, or the address itself */
	const char *name;	/* NULL: not known */
};

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

#if defined __GLIBC__ && __GLIBC_PREREQ(2, 35)
static void
find(const void *at, struct found *ret)
{
	struct dl_find_object o;
	const char *file;

	ret->name = ret->file = NULL;
	ret->offset = (uintptr_t)at;
	if (_dl_find_object((void *)(uintptr_t)at, &o) < 0 ||
	    !o.dlfo_link_map)
		return;
	file = o.dlfo_link_map->l_name;
	ret->file = *file ? base_name(file) : program_invocation_short_name;
	ret->offset -= o.dlfo_link_map->l_addr;
}
#else
static void
find(const void *at, struct found *ret)
{
	ret->name = ret->file = NULL;
	ret->offset = (uintptr_t)at;
}
#endif

/* Where the file of `at` was loaded, less where it wanted to be. */
#ifdef RTLD_DL_LINKMAP
static uintptr_t
load_address(const void *at, const Dl_info *info)
{
	struct link_map *map = NULL;
	Dl_info again;

	if (dladdr1(at, &again, (void **)&map, RTLD_DL_LINKMAP) && map)
		return (uintptr_t)map->l_addr;
	return (uintptr_t)info->dli_fbase;
}
#else
static uintptr_t
load_address(const void *at, const Dl_info *info)
{
	(void)at;
	return (uintptr_t)info->dli_fbase;
}
#endif

static void
find_named(const void *at, struct found *ret)
{
	Dl_info info = { 0 };

	find(at, ret);
	if (!dladdr(at, &info))
		return;
	ret->name = info.dli_sname;
	if (!ret->file && info.dli_fname) {
		ret->file = base_name(info.dli_fname);
		ret->offset = (uintptr_t)at - load_address(at, &info);
	}
}

static void
add_found(struct text *x, const struct found *f)
{
	if (f->file) {
		text_add(x, f->file);
		text_add(x, "+");
	}
	text_hex(x, f->offset);
}

void
place_add(struct text *x, const void *at)
{
	struct found f;

	find(at, &f);
	add_found(x, &f);
}

void
place_add_named(struct text *x, const void *at)
{
	struct found f;

	find_named(at, &f);
	if (f.name) {
		text_add(x, f.name);
		text_add(x, " (");
	}
	add_found(x, &f);
	if (f.name)
		text_add(x, ")");
}

void
place_add_json(struct text *x, const void *at)
{
	struct found f;

	find_named(at, &f);
	if (f.name) {
		text_add(x, "\"function\": \"");
		text_json(x, f.name);
		text_add(x, "\", ");
	}
	if (f.file) {
		text_add(x, "\"file\": \"");
		text_json(x, f.file);
		text_add(x, "\", ");
	}
	text_add(x, "\"offset\": ");
	text_dec(x, f.offset);
}
