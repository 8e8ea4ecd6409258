#!/bin/sh
# SPDX-License-Identifier: MIT
# man.sh - mandoc finds nothing wrong with the man pages.
srcdir=${srcdir:-.}
n=0
for page in "$srcdir"/man/*.[137]; do
	[ -f "$page" ] || continue
	n=$((n + 1))
	name=${page##*/}
	if ! command -v mandoc >/dev/null; then
		echo "ok $n - $name # SKIP mandoc is not installed"
	# A page that is an alias has one line, which mandoc cannot follow here.
	elif head -1 "$page" | grep -q '^\.so '; then
		target=$srcdir/man/$(sed -n 's,^\.so man[137]/,,p' "$page")
		[ -f "$target" ] || printf 'not '
		echo "ok $n - $name is an alias of a page"
	else
		out=$(mandoc -T lint -W warning "$page" 2>&1) || printf 'not '
		echo "ok $n - $name"
		[ -z "$out" ] || echo "$out" | sed 's/^/# /'
	fi
done
if [ $n -eq 0 ]; then
	echo "1..0 # SKIP there are no pages yet"
else
	echo "1..$n"
fi
