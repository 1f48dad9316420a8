/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An emulator's context as the file it starts from: it holds what the guest's devices held, so only
 * its owner may read it, and the emulator must never see half of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xensr_toolstack.h>

#include "context.h"
#include "io.h"

/* mkostemp makes it 0600; the umask may have taken some of that away. */
static int write_whole(struct xensr_ctx *ctx, int fd, const void *state, size_t octets)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)state, .iov_len = octets};
	struct xensr_ctx out;

	if (fchmod(fd, S_IRUSR | S_IWUSR))
		return ctx_fail_errno(ctx, errno, "cannot make it its owner's");
	ctx_init(&out, fd, &ctx->reports);
	if (io_writev(&out, &iov, 1))
		return ctx_fail_errno(ctx, out.err.errnum, "cannot write it");
	return 0;
}

/* *temporary is what has to be removed on failure; its name is `name`. */
static int write_beside(struct xensr_ctx *ctx, char *name, bool *temporary, const char *path,
			const void *state, size_t octets)
{
	int fd = mkostemp(name, O_CLOEXEC), rc;

	if (fd < 0)
		return ctx_fail_errno(ctx, errno, "cannot create a file beside it");
	*temporary = true;
	rc = write_whole(ctx, fd, state, octets);
	/* Some filesystems say only now that there was no room. */
	if (close(fd) && rc == 0)
		rc = ctx_fail_errno(ctx, errno, "cannot write it");
	if (rc)
		return -1;
	if (rename(name, path))
		return ctx_fail_errno(ctx, errno, "cannot put it in its place");
	*temporary = false;
	return 0;
}

int xensr_emulator_context_write(const char *path, const void *state, size_t octets,
				 struct xensr_error *err)
{
	static const struct xensr_reports silent;
	bool temporary = false;
	char *name = NULL;
	struct xensr_ctx ctx, file;
	int rc = -1;

	ctx_init(&ctx, -1, &silent);
	ctx_init(&file, -1, &silent);
	if (asprintf(&name, "%s.XXXXXX", path) < 0) {
		name = NULL;
		ctx_fail_errno(&ctx, ENOMEM, "no memory for a name");
		goto out;
	}
	rc = write_beside(&file, name, &temporary, path, state, octets);
	if (rc)
		ctx_fail(&ctx, file.err.errnum, "the emulator's context, %s: %s", path,
			 file.err.text);
out:
	if (temporary)
		(void)unlink(name);
	free(name);
	return ctx_finish(&ctx, rc, err);
}
