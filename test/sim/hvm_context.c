/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypercall.h"

#include <string.h>

#include <xen/hvm/save.h>

bool sim_hvm_context_valid(const uint8_t *context, size_t octets)
{
	struct hvm_save_descriptor head;
	struct hvm_save_header header;
	size_t offset = 0;
	bool first = true;

	while (octets - offset >= sizeof(head)) {
		memcpy(&head, context + offset, sizeof(head));
		offset += sizeof(head);
		if (head.length > octets - offset)
			return false;
		if (head.typecode == 0) /* END */
			return !first && head.length == 0 && offset == octets;
		if (first) {
			if (head.typecode != HVM_SAVE_CODE(HEADER) || head.length != sizeof(header))
				return false;
			memcpy(&header, context + offset, sizeof(header));
			if (header.magic != HVM_FILE_MAGIC || header.version != HVM_FILE_VERSION)
				return false;
		}
		first = false;
		offset += head.length;
	}
	return false;
}
