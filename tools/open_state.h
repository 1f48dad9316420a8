/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open a saved domain for a subcommand that wants a whole state of it.
 */
#ifndef XENSR_TOOLS_OPEN_STATE_H
#define XENSR_TOOLS_OPEN_STATE_H

#include <stdint.h>

#include "image.h"

/*
 * Open the image, and choose checkpoint number `checkpoint` unless that is 0 (then: the last
 * complete state). What is wrong is said on stderr. Returns EXIT_FINE; or EXIT_DAMAGED if there is
 * no complete state or it has no memory (a legacy image), EXIT_USAGE if there is no such
 * checkpoint, EXIT_TROUBLE if it cannot be read. A stream that ends or is damaged after a complete
 * checkpoint is as good as that checkpoint: said on stderr, and EXIT_FINE. The image is to be
 * closed in any case.
 */
int open_state(struct image *image, const char *command, const char *path, uint32_t checkpoint);

/*
 * The number of a checkpoint, as an option's argument. Returns 0, or -1 after saying on stderr that
 * it is none.
 */
int parse_checkpoint(const char *command, const char *text, uint32_t *checkpoint);

#endif
