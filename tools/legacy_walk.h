/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A walk over an image of Xen 4.5 or earlier: the records that a conversion makes of it, as they come,
 * each with the place in the image that it is made of.
 */
#ifndef XENSR_TOOLS_LEGACY_WALK_H
#define XENSR_TOOLS_LEGACY_WALK_H

#include "walk.h"

/*
 * For walk_ops: walk over the image that begins at the source's position, and fill walk->image->legacy.
 * What a conversion would refuse is a finding, which ends the walk. Returns 0, or -1 as walk_run does.
 */
int legacy_walk(struct walk *walk) MUST_CHECK;

#endif
