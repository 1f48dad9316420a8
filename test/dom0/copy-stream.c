/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * copy-stream FILE - passes standard input on to standard output, and keeps a copy in FILE. (busybox's
 * tee goes octet by octet.) What comes when nobody reads any more is kept all the same.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int put(int fd, const char *octets, size_t n)
{
	while (n) {
		ssize_t done = write(fd, octets, n);

		if (done < 0)
			return -1;
		octets += done;
		n -= (size_t)done;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static char octets[1 << 18];
	int copy = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	int heard = 1;
	ssize_t n;

	if (copy < 0) {
		perror("copy-stream");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	while ((n = read(STDIN_FILENO, octets, sizeof(octets))) > 0) {
		if (put(copy, octets, (size_t)n)) {
			perror("copy-stream");
			return 1;
		}
		heard = heard && !put(STDOUT_FILENO, octets, (size_t)n);
	}
	return n < 0;
}
