/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the layouts of `xensr core' have in common: memory written out in batches.
 *
 *      core_elf.c  an ELF core for debuggers      core_xen.c  Xen's own dump-core layout
 */
#ifndef XENSR_TOOLS_CORE_H
#define XENSR_TOOLS_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "image.h"
#include "sparse_file.h"
#include "vcpu_state.h"
#include "vmcoreinfo.h"

struct core {
	const struct image *image;
	const struct vcpu_list *vcpus;
	struct sparse_file *output;
	struct image_error *err; /* of what cannot be read or written, one line */
	bool quiet;              /* no warnings, no progress */
};

/* Where in the output pages go. */
struct core_place {
	bool by_address; /* at their guest-physical address; else one after the other from base on */
	uint64_t base;
};

/*
 * Write all pages that have content. Those that are all zeroes become holes. *info, if not NULL, is
 * filled on the way. Returns 0, or -1 with core->err.
 */
int core_write_memory(struct core *core, const struct core_place *place, struct vmcoreinfo *info);

/* Pages of the image that have content. */
uint64_t core_data_pages(const struct image *image);

/* Take the output's error as core's. Returns -1. */
int core_output_failed(struct core *core);

/* "no memory", as core's error. Returns -1. */
int core_no_memory(struct core *core);

/* "xensr core: FILE: text" on stderr, unless quiet. */
void core_warn(const struct core *core, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Each returns 0, or -1 with core->err. The output is open, and stays so. */
int core_elf_write(struct core *core);
int core_xen_write(struct core *core);

#endif
