/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An emulator's context as a file: only its owner's, whole or not there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xensr_toolstack.h>

#include "unit_main.h"

static char folder[64], path[96];
static struct xensr_error err;

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/xensr-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/context", folder);
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	unlink(path);
	rmdir(folder);
}

static int files(void)
{
	DIR *dir = opendir(folder);
	int n = -2; /* "." and ".." */

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void check_file(const char *expect, size_t octets)
{
	struct stat st;
	char found[256];
	int fd;

	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq((size_t)st.st_size, octets);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, found, sizeof(found)), (ssize_t)octets);
	ck_assert_mem_eq(found, expect, octets);
	close(fd);
	ck_assert_int_eq(files(), 1);
}

/* Whatever the umask. */
START_TEST(written)
{
	static const mode_t umasks[] = {0, 022, 077, 0777};

	umask(umasks[_i]);
	ck_assert_msg(xensr_emulator_context_write(path, "QEVM", 4, &err) == 0, "%s", err.text);
	check_file("QEVM", 4);
	ck_assert_int_eq(xensr_emulator_context_write(path, NULL, 0, NULL), 0);
	check_file("", 0);
}
END_TEST

/* Who has the old one open goes on reading it; who had access to it has none to the new one. */
START_TEST(replaced)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	char was[4];

	ck_assert_int_eq(write(fd, "old", 3), 3);
	ck_assert_int_eq(fchmod(fd, 0666), 0);
	ck_assert_int_eq(xensr_emulator_context_write(path, "new one", 7, &err), 0);
	check_file("new one", 7);
	ck_assert_int_eq(pread(fd, was, 4, 0), 3);
	close(fd);
}
END_TEST

START_TEST(link_is_replaced)
{
	char target[128];
	struct stat st;

	snprintf(target, sizeof(target), "%s-target", folder);
	ck_assert_int_eq(symlink(target, path), 0);
	ck_assert_int_eq(xensr_emulator_context_write(path, "QEVM", 4, &err), 0);
	check_file("QEVM", 4);
	ck_assert_int_eq(stat(target, &st), -1);
}
END_TEST

START_TEST(no_folder)
{
	char nowhere[128], text[256];

	snprintf(nowhere, sizeof(nowhere), "%s/none/context", folder);
	snprintf(text, sizeof(text),
		 "the emulator's context, %s: cannot create a file beside it: No such file or "
		 "directory",
		 nowhere);
	errno = 0;
	ck_assert_int_eq(xensr_emulator_context_write(nowhere, "QEVM", 4, &err), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(err.text, text);
	ck_assert_int_eq(err.errnum, ENOENT);
}
END_TEST

/* Half of it is not left, and what was there is. */
START_TEST(no_room)
{
	struct rlimit was, now;
	char state[8192] = {0}, text[256];
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(xensr_emulator_context_write(path, "old", 3, &err), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &was), 0);
	now = was;
	now.rlim_cur = 5000;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &now), 0);
	rc = xensr_emulator_context_write(path, state, sizeof(state), &err);
	if (setrlimit(RLIMIT_FSIZE, &was))
		_exit(1);
	ck_assert_int_eq(rc, -1);
	snprintf(text, sizeof(text), "the emulator's context, %s: cannot write it: File too large",
		 path);
	ck_assert_str_eq(err.text, text);
	check_file("old", 3);
}
END_TEST

/* A directory cannot be replaced by a file. */
START_TEST(no_place)
{
	char text[256];

	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(xensr_emulator_context_write(path, "QEVM", 4, &err), -1);
	snprintf(text, sizeof(text),
		 "the emulator's context, %s: cannot put it in its place: Is a directory", path);
	ck_assert_str_eq(err.text, text);
	ck_assert_int_eq(files(), 1);
	rmdir(path);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("file");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, written, 0, 4);
	tcase_add_test(tc, replaced);
	tcase_add_test(tc, link_is_replaced);
	tcase_add_test(tc, no_folder);
	tcase_add_test(tc, no_room);
	tcase_add_test(tc, no_place);
	return unit_main(suite_create("emulator's context as a file"), tc);
}
