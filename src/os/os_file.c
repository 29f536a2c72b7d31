/* SPDX-License-Identifier: MIT */
/*
 * Files on Linux.
 *
 * Everything goes straight to the kernel: the C library's open, read and mmap
 * are cancellation points or interposed by programs, and these functions run
 * inside malloc's constructors and fork handlers.
 *
 * Shared pages.  mmap wants offsets at multiples of the physical page, which
 * may be larger than the 4,096 bytes that a caller counts in; so the page
 * around the wanted bytes is mapped, and rounding finds it again for unmapping:
 *
 *	file	|.......|.......|..wanted..|.......|
 *	mapped		        |------ page ------|
 *
 * A page of a sparse file gets its memory at the first write, and a process
 * that writes while there is none left dies of SIGBUS.  MADV_POPULATE_WRITE
 * does the first write inside the kernel and reports failure; kernels before
 * 5.14 do not know it, and there the risk stays.
 *
 * More of a file without its descriptor.  mremap with an old length of 0 makes
 * a second mapping of a shared one, as long as one likes; all but the wanted
 * page is unmapped at once.  So a process that gave up its rights, or changed
 * its root directory, still reaches the rest of a file that it once opened, and
 * no descriptor stays open, which programs would close or count.
 */
#include "os/os_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "pageheap.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* What callers count offsets in. */
#define FILE_UNIT 4096

size_t ph__os_file_read(const char *path, char *buf, size_t size)
{
	int saved = errno;
	long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	long n = -1;

	if (fd >= 0) {
		do
			n = syscall(SYS_read, fd, buf, size - 1);
		while (n < 0 && errno == EINTR);
		(void)syscall(SYS_close, fd);
	}
	if (n < 0)
		n = 0;
	buf[n] = '\0';
	errno = saved;
	return (size_t)n;
}

size_t ph__os_link_read(const char *path, char *buf, size_t size)
{
	int saved = errno;
	long n = syscall(SYS_readlinkat, AT_FDCWD, path, buf, size - 1);

	if (n < 0)
		n = 0;
	buf[n] = '\0';
	errno = saved;
	return (size_t)n;
}

struct os_fd ph__os_file_open(const char *path)
{
	int saved = errno;
	struct os_fd result = {-1, 0};

	result.fd = (int)syscall(SYS_openat, AT_FDCWD, path,
				 O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (result.fd < 0)
		result.error = errno;
	errno = saved;
	return result;
}

void ph__os_file_close(int fd)
{
	int saved = errno;

	(void)syscall(SYS_close, fd);
	errno = saved;
}

uint64_t ph__os_file_nbytes(int fd)
{
	int saved = errno;
	long n = syscall(SYS_lseek, fd, 0L, SEEK_END);

	errno = saved;
	return n > 0 ? (uint64_t)n : 0;
}

/* ---- shared pages ---- */

static size_t page_bytes(void)
{
	return ph_os_default()->page_size;
}

static void unmap(void *p, size_t nbytes)
{
	(void)syscall(SYS_munmap, p, nbytes);
}

/* Gives the page its memory.  False: there is none. */
static bool populate(void *page)
{
	return syscall(SYS_madvise, page, page_bytes(), MADV_POPULATE_WRITE) ==
		       0 ||
	       errno == EINVAL || errno == ENOSYS;
}

/* The wanted bytes of a page that was just mapped, once it has memory. */
static void *finish_map(void *page, uint64_t offset)
{
	if (populate(page))
		return (char *)page + offset % page_bytes();
	unmap(page, page_bytes());
	return NULL;
}

static bool fits_unit(uint64_t offset, size_t nbytes)
{
	return nbytes != 0 && offset % FILE_UNIT + nbytes <= FILE_UNIT;
}

void *ph__os_file_map(int fd, uint64_t offset, size_t nbytes)
{
	int saved = errno;
	void *page, *p = NULL;

	ph_require(fits_unit(offset, nbytes));
	page = (void *)syscall(SYS_mmap, NULL, page_bytes(),
			       PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			       align_down(offset, page_bytes()));
	if (page != MAP_FAILED)
		p = finish_map(page, offset);
	errno = saved;
	return p;
}

void *ph__os_file_map_more(void *start, uint64_t offset, size_t nbytes)
{
	int saved = errno;
	size_t before = align_down(offset, page_bytes());
	char *all;
	void *p = NULL;

	ph_require(fits_unit(offset, nbytes));
	all = (char *)syscall(SYS_mremap, start, 0L, before + page_bytes(),
			      MREMAP_MAYMOVE, NULL);
	if (all != MAP_FAILED) {
		if (before)
			unmap(all, before);
		p = finish_map(all + before, offset);
	}
	errno = saved;
	return p;
}

void ph__os_file_unmap(void *p, size_t nbytes)
{
	int saved = errno;
	uintptr_t page = align_down((uintptr_t)p, page_bytes());

	ph_require(fits_unit((uintptr_t)p, nbytes));
	unmap((void *)page, page_bytes());
	errno = saved;
}

/* ---- descriptors ---- */

struct os_file_id ph__os_file_id(int fd)
{
	int saved = errno;
	struct stat st;
	struct os_file_id id = {0, 0};

	if (syscall(SYS_fstat, fd, &st) == 0) {
		id.device = st.st_dev;
		id.inode = st.st_ino;
	}
	errno = saved;
	return id;
}

int ph__os_file_dup(int fd, int lowest)
{
	int saved = errno;
	int copy = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest);

	errno = saved;
	return copy;
}
