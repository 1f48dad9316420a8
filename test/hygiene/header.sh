#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# xensr.h and xensr_toolstack.h compile alone as C99 and as C++, with all warnings, and its structures can be
# initialised and its functions called from both.
set -eu
include=${srcdir:-.}/include
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat >"$dir/use.c" <<'EOF'
#include <xensr.h>
#include <xensr_toolstack.h>

int use(void);
int use(void)
{
	struct xensr_save_params save = XENSR_SAVE_PARAMS_INIT;
	struct xensr_restore_params restore = XENSR_RESTORE_PARAMS_INIT;
	struct xensr_verify_params verify = XENSR_VERIFY_PARAMS_INIT;
	struct xensr_toolstack_save_params around = XENSR_TOOLSTACK_SAVE_PARAMS_INIT;
	struct xensr_toolstack_restore_params within = XENSR_TOOLSTACK_RESTORE_PARAMS_INIT;
	struct xensr_error error;

	return xensr_save(&save, 0, &error) + xensr_restore(&restore, 0, &error) +
	       xensr_verify(&verify, 0, &error) + (xensr_version() != 0) +
	       xensr_toolstack_save(&around, 0, &error) +
	       xensr_toolstack_restore(&within, 0, &error) + xensr_xenstore_pair(0, "", "") +
	       xensr_emulator_context_write("", "", 0, &error);
}
EOF
${CC:-cc} -std=c99 -pedantic-errors -Wall -Wextra -Werror -Wno-missing-field-initializers \
	-I"$include" -c "$dir/use.c" -o "$dir/use.o"
for header in xensr.h xensr_toolstack.h; do
	printf '#include <%s>\nint main() { return xensr_version() == nullptr; }\n' "$header" >"$dir/use.cc"
	for std in c++11 c++20; do
		${CXX:-g++} -std=$std -pedantic-errors -Wall -Wextra -Werror -I"$include" \
			-c "$dir/use.cc" -o "$dir/use.o"
	done
	printf '#include <%s>\nint unused;\n' "$header" >"$dir/alone.c"
	${CC:-cc} -std=c99 -pedantic-errors -Wall -Wextra -Werror -I"$include" \
		-c "$dir/alone.c" -o "$dir/alone.o"
done
