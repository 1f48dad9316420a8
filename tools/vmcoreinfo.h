/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMCOREINFO: lines KEY=VALUE in which a Linux kernel says what a crash dump's reader must know of
 * it. The kernel keeps them in its memory, from "OSRELEASE=" on, page-aligned or in an ELF note.
 */
#ifndef XENSR_TOOLS_VMCOREINFO_H
#define XENSR_TOOLS_VMCOREINFO_H

#include <stddef.h>
#include <stdint.h>

#include "image.h"

#define VMCOREINFO_MOST 8192u

struct vmcoreinfo {
	size_t octets; /* of text; 0: none found */
	char text[VMCOREINFO_MOST];
};

/*
 * Look for it in a page of the image that has been read. What is found is kept if it is longer than
 * what was found before: the kernel's own is complete. Returns 0, or -1 with errno and *err.
 */
int vmcoreinfo_look(struct vmcoreinfo *info, const struct image *image,
		    const struct image_page *page, const uint8_t *content, struct image_error *err);

#endif
