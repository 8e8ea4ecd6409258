#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes ./configure from configure.ac and Makefile.am.
cd "$(dirname "$0")" || exit
mkdir -p m4 build-aux
exec autoreconf --force --install "$@"
