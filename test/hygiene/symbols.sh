#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The library exports its API and nothing else.
set -eu
library=.libs/libxensr.so
[ -e "$library" ] || { echo "no $library here"; exit 99; }
found=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -v '^__\(a\|ub\)san' | sort)
expected=$(printf '%s\n' xc_domain_restore xc_domain_save xensr_emulator_context_write \
	xensr_restore xensr_save xensr_toolstack_restore xensr_toolstack_save xensr_verify \
	xensr_version xensr_xenstore_pair)
if [ "$found" != "$expected" ]; then
	printf 'exported:\n%s\nexpected:\n%s\n' "$found" "$expected"
	exit 1
fi
