/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frame of a legacy image:
 *
 *   head --> chunk … 0 --> tail --+--> device model's record, end
 *             ^                   |
 *             +---- not the last -+    a checkpointed image: what comes later replaces it
 */
#include "legacy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>

#include "io.h"

/* Of what is written: "converted", and by which version of the converter. */
#define CONVERTED_XEN_MAJOR 0u
#define CONVERTER_VERSION   1u

enum chunk {
	CHUNK_END = 0,
	CHUNK_VERIFY = -1,
	CHUNK_VCPU_INFO = -2,
	CHUNK_IDENT_PT = -3,
	CHUNK_VM86_TSS = -4,
	CHUNK_TMEM = -5,
	CHUNK_TMEM_EXTRA = -6,
	CHUNK_TSC_INFO = -7,
	CHUNK_CONSOLE_PFN = -8,
	CHUNK_LAST_CHECKPOINT = -9,
	CHUNK_ACPI_IOPORTS_LOCATION = -10,
	CHUNK_VIRIDIAN = -11,
	CHUNK_COMPRESSED_DATA = -12,
	CHUNK_ENABLE_COMPRESSION = -13,
	CHUNK_GENERATION_ID_ADDR = -14,
	CHUNK_PAGING_RING_PFN = -15,
	CHUNK_MONITOR_RING_PFN = -16,
	CHUNK_SHARING_RING_PFN = -17,
	CHUNK_TOOLSTACK = -18,
	CHUNK_IOREQ_SERVER_PFN = -19,
	CHUNK_NR_IOREQ_SERVER_PAGES = -20,
};
#define CHUNK_LEAST CHUNK_NR_IOREQ_SERVER_PAGES
static_assert(-CHUNK_LEAST + 1 == LEGACY_CHUNKS, "all chunks are counted");

#define NAMED(name) name, "chunk \"" name "\""

/* By the negated number of the chunk. */
static const struct {
	const char *name, *title;
	int param; /* HVM_PARAM_*: that is what it sets; else -1 */
	bool hvm;  /* of HVM guests only */
} chunks[] = {
	[-CHUNK_END] = {"end of chunks", "end of chunks", -1, false},
	[-CHUNK_VERIFY] = {NAMED("enable verify mode"), -1, false},
	[-CHUNK_VCPU_INFO] = {NAMED("vcpu info"), -1, false},
	[-CHUNK_IDENT_PT] = {NAMED("hvm ident pt"), HVM_PARAM_IDENT_PT, true},
	[-CHUNK_VM86_TSS] = {NAMED("hvm vm86 tss"), HVM_PARAM_VM86_TSS, true},
	[-CHUNK_TMEM] = {NAMED("tmem"), -1, false},
	[-CHUNK_TMEM_EXTRA] = {NAMED("tmem extra"), -1, false},
	[-CHUNK_TSC_INFO] = {NAMED("tsc info"), -1, false},
	[-CHUNK_CONSOLE_PFN] = {NAMED("hvm console pfn"), HVM_PARAM_CONSOLE_PFN, true},
	[-CHUNK_LAST_CHECKPOINT] = {NAMED("last checkpoint"), -1, false},
	[-CHUNK_ACPI_IOPORTS_LOCATION] = {NAMED("hvm acpi ioports location"),
					  HVM_PARAM_ACPI_IOPORTS_LOCATION, true},
	[-CHUNK_VIRIDIAN] = {NAMED("hvm viridian"), HVM_PARAM_VIRIDIAN, true},
	[-CHUNK_COMPRESSED_DATA] = {NAMED("compressed data"), -1, false},
	[-CHUNK_ENABLE_COMPRESSION] = {NAMED("enable compression"), -1, false},
	[-CHUNK_GENERATION_ID_ADDR] = {NAMED("hvm generation id addr"),
				       HVM_PARAM_VM_GENERATION_ID_ADDR, true},
	[-CHUNK_PAGING_RING_PFN] = {NAMED("hvm paging ring pfn"), HVM_PARAM_PAGING_RING_PFN, true},
	[-CHUNK_MONITOR_RING_PFN] = {NAMED("hvm monitor ring pfn"), HVM_PARAM_MONITOR_RING_PFN,
				     true},
	[-CHUNK_SHARING_RING_PFN] = {NAMED("hvm sharing ring pfn"), HVM_PARAM_SHARING_RING_PFN,
				     true},
	[-CHUNK_TOOLSTACK] = {NAMED("toolstack"), -1, true},
	[-CHUNK_IOREQ_SERVER_PFN] = {NAMED("hvm ioreq server pfn"), HVM_PARAM_IOREQ_SERVER_PFN,
				     true},
	[-CHUNK_NR_IOREQ_SERVER_PAGES] = {NAMED("hvm nr ioreq server pages"),
					  HVM_PARAM_NR_IOREQ_SERVER_PAGES, true},
};

const char *legacy_chunk_name(unsigned number)
{
	return chunks[number].name;
}

/* ---- chunks ------------------------------------------------------------------------------------ */

static void count_vcpus(struct legacy *legacy)
{
	uint32_t online = 0;

	for (unsigned i = 0; i < LEGACY_VCPUS / 64; i++)
		online += (uint32_t)__builtin_popcountll(legacy->online[i]);
	legacy->convert->legacy.vcpus = online;
}

static int read_vcpu_info(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;
	int32_t highest;

	if (io_read(in, &highest, sizeof(highest)))
		return -1;
	if (highest < 0 || highest > (int32_t)VCPU_ID_MAX)
		return ctx_fail(in, EBADMSG, "vcpu %d is the highest, at most %u exist", highest,
				VCPU_ID_MAX);
	memset(legacy->online, 0, sizeof(legacy->online));
	if (io_read(in, legacy->online, ((size_t)highest / 64 + 1) * sizeof(legacy->online[0])))
		return -1;
	count_vcpus(legacy);
	return 0;
}

static int read_tsc_info(struct legacy *legacy)
{
	struct {
		uint32_t mode;
		uint64_t nsec;
		uint32_t khz;
		uint32_t incarnation;
	} __attribute__((packed)) body;

	if (io_read(legacy->in, &body, sizeof(body)))
		return -1;
	legacy->have_tsc = true;
	legacy->tsc_offset = legacy->in->record_offset;
	legacy->tsc = (struct wire_x86_tsc_info){
		.mode = body.mode,
		.khz = body.khz,
		.nsec = body.nsec,
		.incarnation = body.incarnation,
	};
	return 0;
}

static int start_verify(struct legacy *legacy)
{
	if (legacy->verifying)
		return ctx_fail(legacy->in, EBADMSG, "comes a second time");
	legacy->verifying = true;
	legacy->convert->legacy.verify = true;
	if (legacy->convert->drop_verify)
		return 0;
	return convert_record(legacy->convert, REC_VERIFY, NULL, 0);
}

/* A chunk that is no batch of pages, and not the end. */
static int read_chunk(struct legacy *legacy, int32_t number)
{
	int param = chunks[-number].param;

	if (chunks[-number].hvm && !legacy->hvm)
		return ctx_fail(legacy->in, EBADMSG, "does not belong to an x86 PV guest");
	if (param >= 0)
		return legacy_hvm_param(legacy, (uint32_t)param);
	switch (number) {
	case CHUNK_VERIFY:
		return start_verify(legacy);
	case CHUNK_VCPU_INFO:
		return read_vcpu_info(legacy);
	case CHUNK_TSC_INFO:
		return read_tsc_info(legacy);
	case CHUNK_LAST_CHECKPOINT:
		legacy->last = true;
		return 0;
	case CHUNK_TOOLSTACK:
		return legacy_hvm_toolstack(legacy);
	case CHUNK_TMEM:
	case CHUNK_TMEM_EXTRA:
		return ctx_fail(legacy->in, ENOTSUP,
				"the guest has transcendent memory, which Xen has no longer");
	default:
		return ctx_fail(legacy->in, ENOTSUP,
				"pages compressed for Remus cannot be converted");
	}
}

/* Up to and including the end of chunks. */
static int read_chunks(struct legacy *legacy)
{
	struct legacy_facts *facts = &legacy->convert->legacy;
	struct xensr_ctx *in = legacy->in;
	int32_t number;

	for (;;) {
		uint64_t offset = in->offset;

		ctx_enter(in, "chunk", XENSR_NO_RECORD, offset);
		if (io_read(in, &number, sizeof(number)))
			return -1;
		if (number < CHUNK_LEAST)
			return ctx_fail(in, EBADMSG, "number %d is unknown", number);
		if (number > 0)
			facts->batches++;
		else
			facts->chunks[-number]++;
		if (number == CHUNK_END)
			return 0;
		ctx_enter(in, number > 0 ? "batch of pages" : chunks[-number].title,
			  XENSR_NO_RECORD, offset);
		if (number > 0 ? legacy_pages(legacy, (uint32_t)number)
			       : read_chunk(legacy, number))
			return -1;
	}
}

/* ---- head and tail ----------------------------------------------------------------------------- */

/* The p2m's size, whose width tells the toolstack's, and whether extended info follows. */
static int read_head(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;
	uint32_t words[4];
	const uint8_t *front;
	ssize_t n;

	ctx_enter(in, "p2m size", XENSR_NO_RECORD, in->offset);
	memset(words, 0, sizeof(words));
	n = io_peek(in, sizeof(words), &front);
	if (n < 0)
		return -1;
	memcpy(words, front, (size_t)n);
	legacy->ulong_octets = words[1] == 0 ? 8 : 4;
	legacy->p2m_size = words[0];
	if (legacy->p2m_size == 0 || legacy->p2m_size > LEGACY_P2M_SIZE_MAX)
		return ctx_fail(in, EBADMSG, "%" PRIu64 " pages, 1 to %u are possible",
				legacy->p2m_size, LEGACY_P2M_SIZE_MAX);
	legacy->convert->legacy.p2m_size = legacy->p2m_size;
	if (legacy->ulong_octets == 4)
		legacy->hvm = words[1] != UINT32_MAX;
	else
		legacy->hvm = words[2] != UINT32_MAX || words[3] != UINT32_MAX;
	/* A PV guest's has the ulong of all ones, too. */
	return io_skip(in, (legacy->hvm ? 1ull : 2ull) * legacy->ulong_octets);
}

static int read_front(struct legacy *legacy)
{
	if (read_head(legacy) ||
	    convert_begin(legacy->convert, legacy->hvm ? GUEST_X86_HVM : GUEST_X86_PV,
			  CONVERTED_XEN_MAJOR, CONVERTER_VERSION))
		return -1;
	/* Xen started with this vcpu until told of others. */
	legacy->online[0] = 1;
	count_vcpus(legacy);
	if (legacy->hvm)
		return convert_record(legacy->convert, REC_STATIC_DATA_END, NULL, 0);
	if (legacy_pv_extended_info(legacy) ||
	    convert_record(legacy->convert, REC_STATIC_DATA_END, NULL, 0))
		return -1;
	return legacy_pv_p2m_frames(legacy);
}

/* Does the image end here? 1: yes. 0: chunks follow. -1: error. */
static int at_end(struct legacy *legacy)
{
	struct xensr_ctx *in = legacy->in;
	const uint8_t *octet;
	ssize_t n;

	if (legacy->last || legacy->have_model)
		return wrapping_check_end(legacy->convert) ? -1 : 1;
	/* Xen before 4.1 did not say which is the last. */
	n = io_peek(in, 1, &octet);
	return n < 0 ? -1 : n == 0;
}

/* Chunks and tail of each checkpoint. */
static int read_body(struct legacy *legacy)
{
	int ended;

	do {
		if (read_chunks(legacy))
			return -1;
		if (legacy->hvm ? legacy_hvm_tail(legacy) || legacy_hvm_model(legacy)
				: legacy_pv_tail(legacy))
			return -1;
		legacy->convert->legacy.tails++;
		ended = at_end(legacy);
	} while (ended == 0);
	return ended < 0 ? -1 : 0;
}

/* A domain stream has no place for what the device model and the toolstack saved. */
static int check_wrapping(struct legacy *legacy)
{
	struct convert *convert = legacy->convert;
	bool libxl = convert->wrapped;

	if (libxl || !(legacy->have_model || legacy->have_toolstack) ||
	    convert->format == CONVERT_DOMAIN)
		return 0;
	return ctx_fail(legacy->in, ENOTSUP,
			"it has state of the device model, for which a domain stream has no "
			"place: choose --format=libxl, or --format=domain to leave that out");
}

static int write_tsc(struct legacy *legacy)
{
	if (!legacy->have_tsc)
		return 0;
	ctx_enter(legacy->in, chunks[-CHUNK_TSC_INFO].title, XENSR_NO_RECORD, legacy->tsc_offset);
	return convert_record(legacy->convert, REC_X86_TSC_INFO, &legacy->tsc, sizeof(legacy->tsc));
}

/* What is wrong with a record is told of where in the input it came from. */
static int write_state(struct legacy *legacy)
{
	struct convert *convert = legacy->convert;

	ctx_leave(legacy->in);
	if (check_wrapping(legacy) || write_tsc(legacy))
		return -1;
	if (legacy->hvm ? legacy_hvm_write(legacy) : legacy_pv_write(legacy))
		return -1;
	ctx_enter(legacy->in, "end of the image", XENSR_NO_RECORD, legacy->in->offset);
	if (convert_record(convert, REC_END, NULL, 0))
		return -1;
	if (!convert->wrapped)
		return 0;
	if (legacy->hvm && legacy_hvm_write_emulator(legacy))
		return -1;
	return convert_libxl_end(convert);
}

static void release(struct legacy *legacy)
{
	xenstore_data_release(&legacy->physmap);
	body_release(&legacy->vcpus);
	body_release(&legacy->context);
	body_release(&legacy->model);
	body_release(&legacy->body);
	free(legacy->entries);
	free(legacy->pages);
	free(legacy);
}

int convert_legacy(struct convert *convert)
{
	struct legacy *legacy = calloc(1, sizeof(*legacy));
	int rc = -1;

	if (!legacy)
		return ctx_fail_errno(&convert->in, ENOMEM, "no memory to begin with");
	legacy->convert = convert;
	legacy->in = &convert->in;
	legacy->entries = malloc(LEGACY_BATCH_MAX * sizeof(*legacy->entries));
	legacy->pages = malloc((size_t)LEGACY_BATCH_MAX * PAGE_OCTETS);
	if (!legacy->entries || !legacy->pages) {
		ctx_fail_errno(&convert->in, ENOMEM, "no room for a batch of pages");
		goto out;
	}
	if (read_front(legacy) || read_body(legacy) || write_state(legacy))
		goto out;
	rc = 0;
out:
	release(legacy);
	return rc;
}
