#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program linked with stock's libxenguest reaches our engine when ours is preloaded, and
# stock's when it is not (so the first half can fail).
set -eu
program=./stand_in_preloaded
if "$program" >/dev/null 2>&1; then
	echo "without the preload the answers already come from us"
	exit 1
fi
# A sanitized library is not the first in the list then; its runtime must accept that.
ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=$PWD/.libs/libxensr.so "$program"
