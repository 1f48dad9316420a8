/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in a savevm container: its elements in order, and the fields of those sections of which
 * there is a description. For looking only; nothing is loaded.
 */
#ifndef XENSR_LIB_DEVICE_SAVEVM_LIST_H
#define XENSR_LIB_DEVICE_SAVEVM_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "description.h"
#include "savevm.h"

/* How the end of an element is known. */
enum savevm_end {
	SAVEVM_END_FORMAT,        /* its length is in it */
	SAVEVM_END_VMDESCRIPTION, /* the container's own description fits */
	SAVEVM_END_KNOWN_DEVICE,  /* a description of ours fits */
	SAVEVM_END_FOOTER,        /* the footer with its id was searched */
	SAVEVM_END_NEXT_ELEMENT,  /* no footers: the next element was searched */
};

/* One element; valid during the call. */
struct savevm_listed {
	struct savevm_element element; /* see savevm.h */
	unsigned depth;                /* 1 = within a PACKAGED command */
	size_t length;                 /* octets from element.offset on, with header and footer */
	size_t data_offset;            /* sections: their data, from the start of the container */
	size_t data_length;
	enum savevm_end end;
	size_t candidates; /* END_FOOTER, END_NEXT_ELEMENT: how many places could be the end; the
			    * first is taken */
	bool described;    /* its fields follow */
	const char *note;  /* why a description was not used, for people; or NULL */
	bool misdescribed; /* that was the container's own */
};

/* Both may be NULL. Anything but 0 ends the listing. */
struct savevm_list_callbacks {
	int (*element)(void *data, const struct savevm_listed *listed);
	/* Fields of the section that `element` was called for last. */
	int (*value)(void *data, const struct savevm_listed *listed,
		     const struct state_value *value);
	void *data;
};

/*
 * List size octets. Returns 0, or -1 with errno and *err (may be NULL): EBADMSG, EPROTONOSUPPORT: not
 * a whole container that we know; what came before the damage was listed. ECANCELED: by a callback;
 * ENOMEM. err->offset is where the element at fault starts in the container.
 */
MUST_CHECK int savevm_list(const void *data, size_t size,
			   const struct savevm_list_callbacks *callbacks, struct xensr_error *err);

/* "length", "vmdescription", "known device", "footer", "next element". */
const char *savevm_end_name(enum savevm_end end);

#endif
