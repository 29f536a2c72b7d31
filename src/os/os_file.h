/* SPDX-License-Identifier: MIT */
/*
 * Files: what /proc says, and pages of a file shared with other processes.
 *
 * None of these functions allocates, takes a lock, or changes errno.
 */
#ifndef PH_OS_OS_FILE_H
#define PH_OS_OS_FILE_H

#include <stdbool.h>

#include "base/compiler.h"

/*
 * Reads at most size - 1 bytes from the start of a file into buf and puts a
 * NUL behind them.  Returns their number; 0 when the file cannot be read.
 */
size_t ph__os_file_read(const char *path, char *buf, size_t size);

/* As above, where a symbolic link points to. */
size_t ph__os_link_read(const char *path, char *buf, size_t size);

/* A descriptor, or an errno value. */
struct os_fd {
	int fd;	   /* -1: none */
	int error; /* then, why; else 0 */
};

/* Opens an existing file for reading and writing; closed by exec. */
struct os_fd ph__os_file_open(const char *path);
void ph__os_file_close(int fd);

/* Length of the file; 0 when it cannot be told. */
uint64_t ph__os_file_nbytes(int fd);

/*
 * Maps nbytes of a file from offset, shared and writable; they must not cross
 * a multiple of 4,096.  The memory exists afterwards: a full file system shows
 * here, by NULL, and not by a signal later.
 */
PH_MUST_USE void *ph__os_file_map(int fd, uint64_t offset, size_t nbytes);

/*
 * As above, for the file that is mapped at `start` from its first byte on.
 * Needs neither a descriptor nor the right to open the file again.
 */
PH_MUST_USE void *ph__os_file_map_more(void *start, uint64_t offset,
				       size_t nbytes);

/* Undoes either. */
void ph__os_file_unmap(void *p, size_t nbytes);

/* Which file a descriptor stands for; all zero when it is closed. */
struct os_file_id {
	uint64_t device;
	uint64_t inode;
};

struct os_file_id ph__os_file_id(int fd);

/* Another descriptor of at least `lowest` for the same, closed by exec; -1. */
int ph__os_file_dup(int fd, int lowest);

#endif
