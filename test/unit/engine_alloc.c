/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See engine_alloc.h.
 */
#include "engine_alloc.h"

#include <errno.h>
#include <malloc.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *p);

struct engine_alloc engine_alloc;

void engine_alloc_arm(unsigned fail_at)
{
	engine_alloc = (struct engine_alloc){.armed = true, .fail_at = fail_at};
}

void engine_alloc_disarm(void)
{
	engine_alloc.armed = false;
}

static bool refuse(size_t octets)
{
	if (!engine_alloc.armed)
		return false;
	engine_alloc.octets += octets;
	if (++engine_alloc.calls != engine_alloc.fail_at)
		return false;
	engine_alloc.failed = true;
	errno = ENOMEM;
	return true;
}

static size_t size_of(void *p)
{
	return p && engine_alloc.armed ? malloc_usable_size(p) : 0;
}

static void *hold(void *p)
{
	engine_alloc.held += (long long)size_of(p);
	return p;
}

void *__wrap_malloc(size_t size)
{
	return refuse(size) ? NULL : hold(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuse(n * size) ? NULL : hold(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
	size_t before = size_of(old);
	void *p;

	if (refuse(size))
		return NULL;
	p = __real_realloc(old, size);
	if (p)
		engine_alloc.held -= (long long)before;
	return hold(p);
}

void __wrap_free(void *p)
{
	engine_alloc.held -= (long long)size_of(p);
	__real_free(p);
}
