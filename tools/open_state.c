/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "open_state.h"

#include <errno.h>

#include "command.h"

int damaged_behind(int errnum, uint32_t checkpoint)
{
	return errnum == ENODATA || checkpoint ? EXIT_FINE : EXIT_DAMAGED;
}

int open_state(struct image *image, const char *command, const char *path, uint32_t checkpoint,
	       int *code)
{
	struct image_error err;

	*code = EXIT_FINE;
	if (image_open(image, path, &err)) {
		if (errno != EBADMSG && errno != ENODATA) {
			command_error(command, "%s", err.text);
			return EXIT_TROUBLE;
		}
		if (!image->complete) {
			command_error(command, "%s", err.text);
			return EXIT_DAMAGED;
		}
		*code = damaged_behind(errno, checkpoint);
		command_error(command, "%s; going by checkpoint %u, which is complete", err.text,
			      checkpoint ? checkpoint : image->checkpoints);
	}
	if (image->kind == IMAGE_LEGACY ||
	    (image->kind == IMAGE_XL && image->headers.version == 0)) {
		command_error(command,
			      "%s: an image of Xen 4.5 or earlier: nothing is known of its memory",
			      path);
		return EXIT_DAMAGED;
	}
	if (checkpoint && image_select(image, checkpoint, &err)) {
		command_error(command, "%s", err.text);
		return errno == ERANGE ? EXIT_USAGE : command_exit(errno);
	}
	return EXIT_FINE;
}
