#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh - each model is correct, and each of its planted bugs is seen.
#
#	tests/models/run.sh		all of them
#	tests/models/run.sh NAME...	only these
#
# A model that does not see a bug proves nothing.  So each x.pml says in its
# opening comment which assertion every -DBUG_... must fail, in lines of the
# form " * BUG_NAME <tab> assertion: why".  One line is printed for each run.
# Exit status: 0, all as it should be; 1, a surprise; 77, there is no spin.

cd "$(dirname "$0")" || exit 2
here=$PWD
if ! command -v spin >/dev/null; then
	echo "the models need spin, which is not installed" >&2
	exit 77
fi
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 2' HUP INT TERM
cd "$tmp" || exit 2
surprises=0

explore() {		# model, BUG_... or nothing: what pan said is in out
	rm -f pan pan.* out
	level=1			# a bug is found before -O1 would have paid
	[ -z "$2" ] || level=0
	spin ${2:+-D"$2"} -a "$here/$1.pml" >out 2>&1 &&
	    ${CC:-cc} -O"$level" -w -DSAFETY -o pan pan.c >out 2>&1 &&
	    timeout 60 ./pan -m1000000 >out 2>&1
}

one() {			# model, BUG_... or nothing, assertion or nothing
	if explore "$1" "$2" && ! grep -q 'search depth too small' out; then
		errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' out)
	else
		errors=
	fi
	failed=$(sed -n 's/.*assertion violated \([^ ]*\).*/\1/p' out)
	if [ -z "$2" ] && [ "$errors" = 0 ]; then
		say="$(sed -n 's/ *\([0-9]*\) states, stored.*/\1/p' out) states"
	elif [ "$2" ] && [ "${errors:-0}" -gt 0 ] && [ "$failed" = "$3" ]; then
		say="fails $failed"
	else
		say="SURPRISE: ${errors:-no} errors${failed:+, fails $failed}"
		surprises=$((surprises + 1))
		sed 's/^/    | /' out | head -n 12 >&2
	fi
	printf '%-13s %-19s %s\n' "$1" "${2:-is correct}" "$say"
}

[ $# -gt 0 ] || set -- $(cd "$here" && ls -- *.pml)
for model; do
	model=${model%.pml}
	one "$model" "" ""
	sed -nE 's/^ \* (BUG_[A-Z_]+)	+([a-z_]+):.*/\1 \2/p' \
	    "$here/$model.pml" >bugs
	for bug in $(grep -ohE 'BUG_[A-Z_]+' "$here/$model.pml" | sort -u); do
		one "$model" "$bug" \
		    "$(sed -n "s/^$bug //p" bugs)"
	done
done
[ $surprises -eq 0 ]
