/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "body.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "io.h"

/* The first step of a body that grows; each further one doubles it. */
#define FIRST_STEP ((size_t)65536)

int body_reserve(struct xensr_ctx *ctx, struct body *body, size_t length)
{
	uint8_t *bigger;

	if (length <= body->room)
		return 0;
	bigger = realloc(body->octets, length);
	if (!bigger)
		return ctx_fail_errno(ctx, ENOMEM, "no %zu octets for the body", length);
	body->octets = bigger;
	body->room = length;
	return 0;
}

/* How far to go next from `have`, of which all has arrived. */
static size_t next_step(size_t have, size_t end)
{
	size_t step = have > FIRST_STEP ? have : FIRST_STEP;

	return end - have < step ? end : have + step;
}

int body_read(struct xensr_ctx *ctx, struct body *body, size_t length)
{
	size_t have = 0;

	while (have < length) {
		size_t next = next_step(have, length);

		if (body_reserve(ctx, body, next) || io_read(ctx, body->octets + have, next - have))
			return -1;
		have = next;
	}
	return 0;
}

int body_read_all(struct xensr_ctx *ctx, struct body *body, int fd, size_t most, const char *what,
		  size_t *length)
{
	size_t have = 0;

	for (;;) {
		ssize_t got;

		/* One more than may be, to see that there is one. */
		if (have == body->room && body_reserve(ctx, body, next_step(have, most + 1)))
			return -1;
		if (io_wait(ctx, fd, POLLIN))
			return -1;
		got = read(fd, body->octets + have, body->room - have);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return ctx_fail_errno(ctx, errno, "cannot read %s", what);
		if (got == 0)
			break;
		have += (size_t)got;
		if (have > most)
			return ctx_fail(ctx, EMSGSIZE, "%s is longer than %zu octets", what, most);
	}
	*length = have;
	return 0;
}

void body_release(struct body *body)
{
	free(body->octets);
	*body = (struct body){0};
}
