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
 * checkpoint, EXIT_TROUBLE if it cannot be read. The image is to be closed in any case.
 *
 * What comes after a complete checkpoint, and is cut or damaged, does not keep it from being looked at:
 * said on stderr, and EXIT_FINE. With that the command is to end with *code, or one that is worse: see
 * damaged_behind.
 */
int open_state(struct image *image, const char *command, const char *path, uint32_t checkpoint,
	       int *code);

/*
 * How to end when the checkpoint was taken because of this error behind it. A stream that ends is as
 * good as its last checkpoint: a restore takes that. One that is damaged a restore refuses, so that
 * only who asked for this very checkpoint is well served: else EXIT_DAMAGED.
 */
int damaged_behind(int errnum, uint32_t checkpoint);

#endif
