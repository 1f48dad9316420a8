/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain stream as it lies on the wire: headers, record types, bodies. Versions 2 and 3.
 * Everything is little-endian except the image header. No code, no hypervisor.
 */
#ifndef XENSR_LIB_FORMAT_H
#define XENSR_LIB_FORMAT_H

#include <assert.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "x86 streams are little-endian; record bodies are used as they lie"
#endif

#define PAGE_SHIFT_X86 12
#define PAGE_OCTETS    4096u

/* ---- headers --------------------------------------------------------------------------- */

#define IMAGE_MARKER            UINT64_MAX
#define IMAGE_ID                0x58454e46u /* "XENF" */
#define IMAGE_VERSION_LEAST     2u
#define IMAGE_VERSION           3u
#define IMAGE_OPTION_BIG_ENDIAN 1u

struct wire_image_header { /* big-endian */
	uint64_t marker;
	uint32_t id;
	uint32_t version;
	uint16_t options;
	uint8_t reserved[6];
};
static_assert(sizeof(struct wire_image_header) == 24, "image header");

#define GUEST_X86_PV  1u
#define GUEST_X86_HVM 2u

struct wire_domain_header {
	uint32_t type;
	uint16_t page_shift;
	uint16_t reserved;
	uint32_t xen_major; /* 0: converted from a legacy image */
	uint32_t xen_minor;
};
static_assert(sizeof(struct wire_domain_header) == 16, "domain header");

#define STREAM_HEADERS (sizeof(struct wire_image_header) + sizeof(struct wire_domain_header))

/* ---- records --------------------------------------------------------------------------- */

struct wire_record_header {
	uint32_t type;
	uint32_t length; /* octets of body; padding to the next multiple of 8 not counted */
};
static_assert(sizeof(struct wire_record_header) == 8, "record header");

#define RECORD_OPTIONAL   (1u << 31)   /* a reader that does not know it skips it */
#define RECORD_LENGTH_MAX (128u << 20) /* the format's limit */
#define RECORD_ALIGN      8u

/* A record that may be empty still has the head of its body: a vcpu's number, a count. */
#define RECORD_EMPTY_BODY 8u

enum record_type {
	REC_END = 0x00,
	REC_PAGE_DATA = 0x01,
	REC_X86_PV_INFO = 0x02,
	REC_X86_PV_P2M_FRAMES = 0x03,
	REC_X86_PV_VCPU_BASIC = 0x04,
	REC_X86_PV_VCPU_EXTENDED = 0x05,
	REC_X86_PV_VCPU_XSAVE = 0x06,
	REC_SHARED_INFO = 0x07,
	REC_X86_TSC_INFO = 0x08,
	REC_HVM_CONTEXT = 0x09,
	REC_HVM_PARAMS = 0x0a,
	REC_TOOLSTACK = 0x0b,
	REC_X86_PV_VCPU_MSRS = 0x0c,
	REC_VERIFY = 0x0d,
	REC_CHECKPOINT = 0x0e,
	REC_CHECKPOINT_DIRTY_PFN_LIST = 0x0f,
	REC_STATIC_DATA_END = 0x10,
	REC_X86_CPUID_POLICY = 0x11,
	REC_X86_MSR_POLICY = 0x12,
	REC_TYPES
};

/* PAGE_DATA: this, then count entries of u64, then the pages of the entries with data. */
struct wire_page_data {
	uint32_t count;
	uint32_t reserved;
};

/* An entry of PAGE_DATA: bits 63..60 page type (enum page_type), 51..0 pfn. */
#define PAGE_ENTRY_PFN_MASK   ((1ull << 52) - 1)
#define PAGE_ENTRY_TYPE_SHIFT 60

enum page_type { /* XEN_DOMCTL_PFINFO_* >> 28 */
	PAGE_NORMAL = 0x0,
	PAGE_L1 = 0x1,
	PAGE_L4 = 0x4,
	PAGE_L1_PINNED = 0x9,
	PAGE_L4_PINNED = 0xc,
	PAGE_BROKEN = 0xd,
	PAGE_ALLOC_ONLY = 0xe,
	PAGE_INVALID = 0xf,
};

/* x86 has at most 52 physical address bits. */
#define PFN_LIMIT_X86 (1ull << 40)

struct wire_x86_pv_info {
	uint8_t guest_width; /* octets: 4 or 8 */
	uint8_t pt_levels;   /* 3 or 4 */
	uint8_t reserved[6];
};

struct wire_x86_pv_p2m_frames {
	uint32_t start_pfn;
	uint32_t end_pfn; /* inclusive */
			  /* u64 pfns */
};

struct wire_x86_pv_vcpu {
	uint32_t vcpu_id;
	uint32_t reserved;
	/* blob */
};
#define VCPU_ID_MAX 4095u

struct wire_x86_tsc_info {
	uint32_t mode;
	uint32_t khz;
	uint64_t nsec;
	uint32_t incarnation;
	uint32_t reserved;
};
static_assert(sizeof(struct wire_x86_tsc_info) == 24, "TSC_INFO");

/* Sent by savers before Xen 4.6 and gone from newer headers; a restore drops it. */
#define HVM_PARAM_OLD_PAE_ENABLED 4u

struct wire_hvm_param {
	uint64_t index;
	uint64_t value;
};

struct wire_hvm_params {
	uint32_t count;
	uint32_t reserved;
	struct wire_hvm_param param[];
};

/* ---- checksums (docs/checksum.md) ------------------------------------------------------ */

/* Ours, not Xen's: RECORD_OPTIONAL and "XSC". */
#define REC_CHECKSUM 0x80435358u

#define CHECKSUM_XXH3_128 1u /* algorithm */

enum checksum_place {
	CHECKSUM_FIRST = 1,   /* right after the headers: says that there are others */
	CHECKSUM_BETWEEN = 2, /* at intervals */
	CHECKSUM_LAST = 3,    /* right before END */
};

struct wire_checksum {
	uint32_t algorithm;
	uint32_t place;     /* enum checksum_place */
	uint64_t covered;   /* octets from the image header to this record's own header */
	uint8_t digest[16]; /* of these; canonical, as XXH128_canonical_t has it */
};
static_assert(sizeof(struct wire_checksum) == 32, "CHECKSUM");

/* Of another algorithm: it has the two fields above, and no more than this. */
#define CHECKSUM_LEAST 8u
#define CHECKSUM_MOST  4096u

#endif
