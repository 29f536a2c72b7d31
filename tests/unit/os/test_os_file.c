/* SPDX-License-Identifier: MIT */
#include "os/os_file.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/os.h"
#include "support/suite.h"

static char path[64];

static void setup(void)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/ph-test-file.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 16 * 4096), 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

START_TEST(reading_cuts_and_terminates)
{
	char buf[4];

	memset(buf, 'x', sizeof(buf));
	errno = 1234;
	ck_assert_uint_eq(ph__os_file_read("/proc/self/statm", buf, 4), 3);
	ck_assert_int_eq(buf[3], '\0');
	ck_assert_uint_eq(ph__os_file_read("/no/such/file", buf, 4), 0);
	ck_assert_str_eq(buf, "");
	ck_assert_int_eq(errno, 1234);
}
END_TEST

START_TEST(links_are_read)
{
	char expected[256], buf[256], cut[5];
	ssize_t n = readlink("/proc/self/exe", expected, sizeof(expected) - 1);

	ck_assert_int_gt(n, 4);
	expected[n] = '\0';
	ck_assert_uint_eq(ph__os_link_read("/proc/self/exe", buf, sizeof(buf)),
			  (size_t)n);
	ck_assert_str_eq(buf, expected);
	ck_assert_uint_eq(ph__os_link_read("/proc/self/exe", cut, 5), 4);
	ck_assert_mem_eq(cut, expected, 4);
	ck_assert_int_eq(cut[4], '\0');
	ck_assert_uint_eq(ph__os_link_read("/proc/self/statm", buf, 9), 0);
}
END_TEST

START_TEST(opening_says_why_not)
{
	struct os_fd none = ph__os_file_open("/no/such/file");
	struct os_fd fd = ph__os_file_open(path);

	ck_assert_int_eq(none.fd, -1);
	ck_assert_int_eq(none.error, ENOENT);
	ck_assert_int_ge(fd.fd, 0);
	ck_assert_int_eq(fd.error, 0);
	ck_assert_int_eq(fcntl(fd.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_uint_eq(ph__os_file_nbytes(fd.fd), 16 * 4096);
	ph__os_file_close(fd.fd);
	ck_assert_int_eq(fcntl(fd.fd, F_GETFD), -1);
	ck_assert_uint_eq(ph__os_file_nbytes(fd.fd), 0);
}
END_TEST

/* What the file holds at an offset, by way of the file system. */
static int byte_at(off_t offset)
{
	unsigned char c = 0;
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(pread(fd, &c, 1, offset), 1);
	close(fd);
	return c;
}

START_TEST(maps_show_in_the_file)
{
	struct os_fd fd = ph__os_file_open(path);
	char *first = ph__os_file_map(fd.fd, 0, 4096);
	char *third = ph__os_file_map(fd.fd, 2 * 4096 + 8, 16);

	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(third);
	ph__os_file_close(fd.fd);
	first[5] = 1;
	third[1] = 2;
	ck_assert_int_eq(byte_at(5), 1);
	ck_assert_int_eq(byte_at(2 * 4096 + 9), 2);
	ph__os_file_unmap(first, 4096);
	ph__os_file_unmap(third, 16);
	ck_assert_ptr_null(ph__os_file_map(-1, 0, 4096));
}
END_TEST

START_TEST(more_is_mapped_without_a_descriptor)
{
	struct os_fd fd = ph__os_file_open(path);
	char *first = ph__os_file_map(fd.fd, 0, 4096);
	char *more;

	ck_assert_ptr_nonnull(first);
	ph__os_file_close(fd.fd);
	more = ph__os_file_map_more(first, 9 * 4096, 4096);
	if (!more) {
		puts("SKIPPED: mremap does not duplicate mappings here");
		return;
	}
	more[7] = 3;
	ck_assert_int_eq(byte_at(9 * 4096 + 7), 3);
	/* The first mapping is still there, and so it is a second time. */
	first[0] = 4;
	ck_assert_int_eq(byte_at(0), 4);
	ph__os_file_unmap(more, 4096);
	more = ph__os_file_map_more(first, 0, 4096);
	ck_assert_ptr_nonnull(more);
	ck_assert_ptr_ne(more, first);
	ck_assert_int_eq(more[0], 4);
	ph__os_file_unmap(more, 4096);
	ph__os_file_unmap(first, 4096);
}
END_TEST

/* Instead of SIGBUS at the first store. */
START_TEST(what_lies_behind_the_end_is_not_mapped)
{
	struct os_fd fd = ph__os_file_open(path);
	char *first = ph__os_file_map(fd.fd, 0, 4096);
	char *probe = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_ne(probe, MAP_FAILED);
	errno = 0;
	if (madvise(probe, 4096, 23) != 0 && errno == EINVAL) {
		puts("SKIPPED: the kernel has no MADV_POPULATE_WRITE");
		return;
	}
	errno = 1234;
	ck_assert_ptr_null(ph__os_file_map(fd.fd, 64 * 4096, 4096));
	ck_assert_ptr_null(ph__os_file_map_more(first, 64 * 4096, 4096));
	ck_assert_int_eq(errno, 1234);
	ph__os_file_close(fd.fd);
	ph__os_file_unmap(first, 4096);
}
END_TEST

START_TEST(descriptors_are_told_apart)
{
	struct os_fd a = ph__os_file_open(path);
	struct os_file_id id = ph__os_file_id(a.fd), other;
	int b = ph__os_file_dup(a.fd, 50);

	ck_assert_int_ge(b, 50);
	ck_assert_int_eq(fcntl(b, F_GETFD), FD_CLOEXEC);
	other = ph__os_file_id(b);
	ck_assert_uint_ne(id.inode, 0);
	ck_assert_uint_eq(id.inode, other.inode);
	ck_assert_uint_eq(id.device, other.device);
	ph__os_file_close(b);
	other = ph__os_file_id(b);
	ck_assert_uint_eq(other.inode, 0);
	ck_assert_uint_eq(other.device, 0);
	ck_assert_int_eq(ph__os_file_dup(b, 50), -1);
	ph__os_file_close(a.fd);
}
END_TEST

START_TEST(the_process_knows_itself)
{
	ck_assert_uint_eq(ph__os_process_id(), (uint32_t)getpid());
	ck_assert_uint_eq(ph__os_parent_id(), (uint32_t)getppid());
}
END_TEST

START_TEST(the_peak_outlives_the_use)
{
	size_t nbytes = (size_t)32 << 20, before, after;
	char *p;

	before = ph__os_peak_resident_bytes();
	if (!before) {
		puts("SKIPPED: /proc/self/status has no VmHWM here");
		return;
	}
	p = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	memset(p, 1, nbytes);
	munmap(p, nbytes);
	after = ph__os_peak_resident_bytes();
	/* Half, because the kernel counts in batches. */
	ck_assert_uint_ge(after, nbytes / 2);
	ck_assert_uint_ge(after, ph__os_resident_bytes() / 2);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "os_file");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reading_cuts_and_terminates);
	tcase_add_test(tc, links_are_read);
	tcase_add_test(tc, opening_says_why_not);
	tcase_add_test(tc, maps_show_in_the_file);
	tcase_add_test(tc, more_is_mapped_without_a_descriptor);
	tcase_add_test(tc, what_lies_behind_the_end_is_not_mapped);
	tcase_add_test(tc, descriptors_are_told_apart);
	tcase_add_test(tc, the_process_knows_itself);
	tcase_add_test(tc, the_peak_outlives_the_use);
	return suite_run(suite);
}
