#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh - what "make install" leaves is enough to build with, by
# pkg-config, against the shared and the static library, in C and in C++; and
# the static one leaves all names but co_ and chan_ to the program.

n=0
result() {		# status, name; $log is shown when it is bad
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		tail -n 30 "$log" | sed 's/^/# /'
	fi
}

if [ -n "$TEST_WRAPPER" ]; then
	echo "1..0 # SKIP built for another machine, or under a wrapper"
	exit 0
fi
tmp=$(mktemp -d) || exit
trap 'rm -rf "$tmp"' EXIT
log=$tmp/log
unset MAKEFLAGS MFLAGS MAKELEVEL
${MAKE:-make} install DESTDIR="$tmp/root" >"$log" 2>&1
result $? "make install"
pc=$(find "$tmp/root" -name weft.pc | head -n 1)
[ -n "$pc" ]
result $? "weft.pc is installed"
find "$tmp/root" >"$log"
grep -q '/share/weft/weft-gdb\.py$' "$log"
result $? "what gdb is to source is installed"
if grep -q '/libweft\.so' "$log"; then
	grep -q '/gdb/auto-load/.*/libweft\.so\.[0-9.]*-gdb\.py$' "$log"
	result $? "what gdb loads by itself is installed"
fi
libdir=${pc%/pkgconfig/weft.pc}
static=
export PKG_CONFIG_PATH="${pc%/weft.pc}" PKG_CONFIG_SYSROOT_DIR="$tmp/root"

cat >"$tmp/user.c" <<'EOF'
#include <weft.h>
#include <stdio.h>

static int
first(void *arg)
{
	(void)arg;
	printf("in %d\n", co_inside());
	return 7;
}

int
main(void)
{
	return co_run(NULL, first, NULL) == 7 ? 0 : 1;
}
EOF
cp "$tmp/user.c" "$tmp/user.cc"

# Names that are ours inside, too.
cat >"$tmp/theirs.c" <<'EOF'
int os_cpus(int n);
int task_free(int n);
int timer_add(int n);

int os_cpus(int n) { return n + 1; }
int task_free(int n) { return n + 20; }
int timer_add(int n) { return n + 300; }
EOF
cat >"$tmp/clash.c" <<'EOF'
#include <weft.h>

int os_cpus(int n);
int task_free(int n);
int timer_add(int n);

static int
first(void *arg)
{
	(void)arg;
	return co_sleep(CO_MS(1)) ? 0 : os_cpus(task_free(timer_add(0)));
}

int
main(void)
{
	return co_run(NULL, first, NULL) == 321 ? 0 : 1;
}
EOF

build() {		# name, compiler, source, flags of pkg-config
	# shellcheck disable=SC2046,SC2086
	$2 $SANITIZE -o "$tmp/$1" "$tmp/$3" \
	    $(pkg-config --cflags --libs $4 weft) $5 >"$log" 2>&1 &&
	LD_LIBRARY_PATH=$libdir timeout 60 "$tmp/$1" >"$log" 2>&1
	result $? "a program, $1"
}
SANITIZE=$(echo "$WEFT_BUILD_CFLAGS" | tr ' ' '\n' | grep '^-fsanitize=')
if ls "$libdir"/libweft.so* >/dev/null 2>&1; then
	build shared "$CC" user.c
	command -v g++ >/dev/null && build shared-c++ "${CXX:-g++}" user.cc
	rm -f "$libdir"/libweft.so*
	static=--static
fi
archive=$libdir/libweft.a
if [ -e "$archive" ]; then
	build static "$CC" user.c "$static"
	if [ "$OBJCOPY" ]; then
		# Two that the hook in Makefile.am leaves global on purpose.
		${NM:-nm} -g --defined-only "$archive" |
		    sed -n 's/.* [A-Z] //p' |
		    grep -v -e '^_\.stapsdt\.base$' -e '^pthread_mutex_' |
		    sort >"$tmp/names"
		sed -n 's/^\t\([a-z0-9_]*\);$/\1/p' \
		    "${srcdir:-.}/lib/weft.map" | sort |
		    diff - "$tmp/names" >"$log"
		result $? "libweft.a defines what lib/weft.map lists"
		build clash "$CC" clash.c "$static" "$tmp/theirs.c"
	else
		n=$((n + 1))
		echo "ok $n - names in libweft.a # SKIP there is no objcopy"
	fi
fi
echo "1..$n"
