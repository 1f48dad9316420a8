/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XENSR_TOOLS_LIBXL_FORMAT_H
#define XENSR_TOOLS_LIBXL_FORMAT_H
#include <stdint.h>
#include <stddef.h>
struct wire_libxl_header {
	uint64_t ident;
	uint32_t version, options;
};
#define LIBXL_IDENT                  0x4c6962786c466d74ul
#define LIBXL_VERSION                2u
#define LIBXL_OPTION_BIG_ENDIAN      1u
#define LIBXL_OPTIONS                3u
#define LIBXL_LENGTH_MAX             (64u << 20)
#define LIBXL_EMULATOR_QEMU_UPSTREAM 2u
struct wire_libxl_emulator {
	uint32_t id, index;
};
enum libxl_record_type {
	LIBXL_END,
	LIBXL_LIBXC_CONTEXT,
	LIBXL_EMULATOR_XENSTORE_DATA,
	LIBXL_EMULATOR_CONTEXT,
	LIBXL_CHECKPOINT_END,
	LIBXL_CHECKPOINT_STATE
};
static inline const char *libxl_title(uint32_t type)
{
	static const char *const t[] = {"END record",
					"LIBXC_CONTEXT record",
					"EMULATOR_XENSTORE_DATA record",
					"EMULATOR_CONTEXT record",
					"CHECKPOINT_END record",
					"CHECKPOINT_STATE record"};
	return type < 6 ? t[type] : NULL;
}
#endif
