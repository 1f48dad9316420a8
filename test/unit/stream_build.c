/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream_build.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format.h"

const uint32_t good_hvm[7] = {REC_X86_CPUID_POLICY, REC_X86_MSR_POLICY, REC_STATIC_DATA_END,
			      REC_PAGE_DATA,        REC_X86_TSC_INFO,   REC_HVM_CONTEXT,
			      REC_HVM_PARAMS};
const uint32_t good_pv[9] = {REC_X86_PV_INFO,     REC_X86_CPUID_POLICY,  REC_X86_MSR_POLICY,
			     REC_STATIC_DATA_END, REC_X86_PV_P2M_FRAMES, REC_PAGE_DATA,
			     REC_X86_TSC_INFO,    REC_SHARED_INFO,       REC_X86_PV_VCPU_BASIC};

void stream_release(struct stream *s)
{
	free(s->octets);
	*s = (struct stream){0};
}

void stream_raw(struct stream *s, const void *octets, size_t n)
{
	if (!n)
		return;
	if (s->len + n > s->size) {
		s->size = 2 * (s->len + n);
		s->octets = realloc(s->octets, s->size);
		ck_assert_ptr_nonnull(s->octets);
	}
	if (octets)
		memcpy(s->octets + s->len, octets, n);
	else
		memset(s->octets + s->len, 0, n);
	s->len += n;
}

static void u32(struct stream *s, uint32_t value)
{
	stream_raw(s, &value, sizeof(value));
}

static void u64(struct stream *s, uint64_t value)
{
	stream_raw(s, &value, sizeof(value));
}

void stream_headers(struct stream *s, uint32_t version, uint32_t guest_type, uint32_t xen_major)
{
	const uint8_t image[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				 'X',  'E',  'N',  'F',  0,    0,    0,    (uint8_t)version};

	stream_raw(s, image, sizeof(image));
	stream_raw(s, NULL, 8);
	u32(s, guest_type);
	u32(s, 12); /* page shift, reserved */
	u32(s, xen_major);
	u32(s, 17);
}

static void pad(struct stream *s)
{
	stream_raw(s, NULL, -s->len % 8);
}

void stream_claim(struct stream *s, uint32_t type, uint32_t length)
{
	ck_assert_uint_lt(s->records, 64);
	s->record[s->records++] = s->len;
	u32(s, type);
	u32(s, length);
}

void stream_record(struct stream *s, uint32_t type, const void *body, uint32_t length)
{
	stream_claim(s, type, length);
	stream_raw(s, body, length);
	pad(s);
}

void stream_pages(struct stream *s, const uint64_t *entries, uint32_t count)
{
	uint32_t pages = 0;
	uint8_t page[4096];

	for (uint32_t i = 0; i < count; i++)
		pages += entries[i] >> 60 < 0xd;
	stream_claim(s, REC_PAGE_DATA, 8 + 8 * count + 4096 * pages);
	u32(s, count);
	u32(s, 0);
	stream_raw(s, entries, 8 * count);
	for (uint32_t i = 0; i < count; i++) {
		memset(page, (int)i, sizeof(page));
		if (entries[i] >> 60 < 0xd)
			stream_raw(s, page, sizeof(page));
	}
}

/* A chain of Xen's hvm_save_descriptor (u16 type, u16 instance, u32 length): HEADER, END. */
static void good_context(struct stream *s)
{
	stream_claim(s, REC_HVM_CONTEXT, 8 + 24 + 8);
	u32(s, 1);
	u32(s, 24);
	u32(s, 0x54381286); /* HVM_FILE_MAGIC */
	stream_raw(s, NULL, 20);
	u64(s, 0);
}

static void good_params(struct stream *s)
{
	static const uint64_t params[] = {1, 2, 17, 3}; /* STORE_PFN, CONSOLE_PFN */

	stream_claim(s, REC_HVM_PARAMS, 8 + sizeof(params));
	u64(s, 2);
	stream_raw(s, params, sizeof(params));
}

void stream_good_record(struct stream *s, uint32_t type)
{
	static const uint64_t pfns[] = {0, 1, 2, 3};
	static const uint8_t pv_info[8] = {8, 4};

	switch (type) {
	case REC_PAGE_DATA:
		stream_pages(s, pfns, 4);
		return;
	case REC_X86_PV_INFO:
		stream_record(s, type, pv_info, 8);
		return;
	case REC_X86_PV_P2M_FRAMES: /* start 0, end 511: one frame */
		stream_claim(s, type, 16);
		u32(s, 0);
		u32(s, 511);
		u64(s, 3);
		return;
	case REC_X86_PV_VCPU_BASIC:
		stream_record(s, type, NULL, 8 + 0x1430);
		return;
	case REC_X86_PV_VCPU_EXTENDED:
		stream_record(s, type, NULL, 8 + 128);
		return;
	case REC_X86_PV_VCPU_XSAVE:
	case REC_X86_PV_VCPU_MSRS:
		stream_record(s, type, NULL, 8 + 16);
		return;
	case REC_SHARED_INFO:
		stream_record(s, type, NULL, 4096);
		return;
	case REC_X86_TSC_INFO:
	case REC_X86_CPUID_POLICY:
		stream_record(s, type, NULL, 24);
		return;
	case REC_X86_MSR_POLICY:
		stream_record(s, type, NULL, 16);
		return;
	case REC_HVM_CONTEXT:
		good_context(s);
		return;
	case REC_HVM_PARAMS:
		good_params(s);
		return;
	default: /* those without a body */
		stream_record(s, type, NULL, 0);
	}
}

void stream_of(struct stream *s, uint32_t version, uint32_t guest_type, const uint32_t *types,
	       size_t n)
{
	stream_headers(s, version, guest_type, 4);
	for (size_t i = 0; i < n; i++)
		stream_good_record(s, types[i]);
}

int stream_file(const struct stream *s)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, s->octets, s->len), (ssize_t)s->len);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

int stream_verify(const struct stream *s, struct xensr_verify_results *results,
		  struct xensr_error *err)
{
	struct xensr_verify_params params = XENSR_VERIFY_PARAMS_INIT;
	int rc;

	params.io_fd = stream_file(s);
	rc = xensr_verify(&params, results, err);
	close(params.io_fd);
	return rc;
}

void stream_fails(const struct stream *s, int errnum, const char *text)
{
	struct xensr_error err;

	ck_assert_msg(stream_verify(s, NULL, &err) == -1, "accepted; expected: %s", text);
	ck_assert_str_eq(err.text, text);
	ck_assert_int_eq(err.errnum, errnum);
}

void stream_passes(const struct stream *s)
{
	struct xensr_verify_results results;
	struct xensr_error err;

	ck_assert_msg(stream_verify(s, &results, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(results.octets, s->len);
}
