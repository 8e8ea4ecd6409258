#!/bin/sh
# SPDX-License-Identifier: MIT
# cet.sh - with -fcf-protection=branch whatever is jumped to or called through a
# pointer begins with endbr64, and the library says so to the linker; without
# it, nothing pays for that.
srcdir=${srcdir:-.}
dir=${TMPDIR:-/tmp}/weft-cet.$$
why=
[ "$(uname -m)" = x86_64 ] || why="x86_64 only"
[ -z "$TEST_WRAPPER" ] || why="for another machine, or under a wrapper"
command -v gcc objdump readelf >/dev/null || why="no gcc or no binutils"
if [ "$why" ]; then
	echo "1..0 # SKIP $why"
	exit 0
fi
mkdir "$dir" || exit 2
trap 'rm -rf "$dir"' EXIT

n=0
result() {		# good?, name, what was seen
	n=$((n + 1))
	[ "$1" ] || printf 'not '
	echo "ok $n - $2"
	[ "$1" ] || echo "# $3"
}

build() {		# flag
	for file in asm/context_x86_64_sysv.S asm/gen_x86_64_sysv.S lib/park.c
	do
		gcc -O2 -std=gnu11 -D_GNU_SOURCE "$1" -I. -I"$srcdir" \
		    -I"$srcdir/include" -iquote "$srcdir/lib" -c \
		    "$srcdir/$file" -o "$dir/$(basename "$file").o" || exit 2
	done
}

count() {		# object: how many endbr64 are in it
	objdump -d "$dir/$1.o" | grep -c endbr64
}

build -fcf-protection=branch
# co__context_jump, its landing, co__context_begin
seen=$(count context_x86_64_sysv.S)
result "$([ "$seen" -eq 3 ] && echo y)" "the context's targets are marked" \
    "$seen of 3"
# next and yield, and the landing of each
seen=$(count gen_x86_64_sysv.S)
result "$([ "$seen" -eq 4 ] && echo y)" "the generator's targets are marked" \
    "$seen of 4"
# Where an inlined switch lands, as the address that it saves says: lea, endbr64.
lands=$(objdump -d "$dir/park.c.o" |
    sed -n 's/.*lea .*(%rip),%rax *# \([0-9a-f]*\) .*/\1/p' | sort -u)
bad=
for at in $lands; do
	objdump -d "$dir/park.c.o" | grep -q "^ *$at:.*endbr64" || bad="$bad $at"
done
result "$([ "$lands" ] && [ -z "$bad" ] && echo y)" \
    "where an inlined switch lands is marked" "of ($lands) not:$bad"
seen=$(readelf -n "$dir"/context*.o "$dir"/gen*.o | grep -c 'feature: IBT')
result "$([ "$seen" -eq 2 ] && echo y)" "the linker is told" "$seen of 2"

build -fcf-protection=none
seen=$(for o in context_x86_64_sysv.S \
    gen_x86_64_sysv.S park.c; do count $o; done | tr '\n' ' ')
result "$([ "$seen" = "0 0 0 " ] && echo y)" "else there are none" "$seen"
echo "1..$n"
