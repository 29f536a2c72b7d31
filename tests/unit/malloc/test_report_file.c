/* SPDX-License-Identifier: MIT */
/*
 * The writer of report files, from the reader's side: each test makes a file
 * as `pageheap run` does, has this process attach, and looks at the file by a
 * mapping of its own.  Check forks for each test, so that each has a process
 * that has not attached yet.
 */
#include "malloc/report_file.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "malloc/process.h"
#include "support/death.h"
#include "support/suite.h"

#define NSLOTS 8
#define LARGE ((size_t)1 << 20)

static char path[64];
static struct ph_report_head *head;
static struct ph_heap *heap;
static struct options options;

static const struct ph_report_slot *slot_at(unsigned i)
{
	return (const void *)((const char *)head +
			      (i + 1) * (size_t)PH_REPORT_SLOT_BYTES);
}

static void setup(void)
{
	size_t nbytes = (NSLOTS + 1) * (size_t)PH_REPORT_SLOT_BYTES;
	int fd;

	snprintf(path, sizeof(path), "/tmp/ph-report=.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)nbytes), 0);
	head = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(head, MAP_FAILED);
	close(fd);
	head->magic = PH_REPORT_MAGIC;
	head->version = PH_REPORT_VERSION;
	head->slot_bytes = PH_REPORT_SLOT_BYTES;
	head->max_slots = NSLOTS;
	heap = ph__process_heap();
	ck_assert_ptr_nonnull(heap);
	/* Gauges shall change by what the tests do alone. */
	heap->background.enabled = false;
	ph__options_init(&options);
	options.report.bytes = path;
	options.report.nbytes = strlen(path);
}

static void teardown(void)
{
	unlink(path);
}

static void check_heap(void)
{
	char why[128] = "";

	ck_assert_msg(ph_heap_check(heap, why, sizeof(why)) == 0, "%s", why);
}

/* Runs f in a child of fork.  Its exit status. */
static int status_of_child(void (*f)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		f();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void nothing(void)
{
}

START_TEST(a_slot_says_who_and_how_much)
{
	const struct ph_report_slot *s = slot_at(0);
	const struct ph_gauges *g = &s->gauges;
	char exe[256] = "";
	uint64_t before;
	void *p;

	ck_assert_int_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
	ph__report_attach(heap, &options);
	ck_assert_uint_eq(head->next_slot, 1);
	ck_assert_uint_eq(head->lost, 0);
	ck_assert_uint_eq(s->state, PH_SLOT_RUNNING);
	ck_assert_uint_eq(s->pid, (uint32_t)getpid());
	ck_assert_uint_eq(s->parent_pid, (uint32_t)getppid());
	ck_assert_uint_eq(s->forked, 0);
	ck_assert_uint_gt(s->start_ns, 0);
	ck_assert_uint_gt(s->start_resident_bytes, 0);
	ck_assert_str_eq(s->exe, exe);
	ck_assert_ptr_nonnull(strstr(s->command, "report_file"));
	ck_assert_uint_gt(g->meta_bytes, 0);
	ck_assert_uint_gt(g->mapped_bytes, 0);
	ck_assert_uint_eq(g->mapped_bytes,
			  g->in_use_bytes + g->free_bytes + g->returned_bytes);

	before = g->large_bytes;
	p = malloc(LARGE);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(g->large_bytes, before + LARGE);
	free(p);
	ck_assert_uint_eq(g->large_bytes, before);
	check_heap();
}
END_TEST

/* Attaches with arguments; run in a process of this program by main(). */
static void attach_and_end(const char *file)
{
	struct options o;

	ph__options_init(&o);
	o.report.bytes = file;
	o.report.nbytes = strlen(file);
	ph__report_attach(ph__process_heap(), &o);
	_exit(0);
}

START_TEST(arguments_are_joined_by_blanks)
{
	char exe[256] = "", longest[600], expected[1024];
	const char *argv[] = {"name", "--attach", path, "",
			      "a b",  longest,	  NULL};
	pid_t pid;

	memset(longest, 'y', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	snprintf(expected, sizeof(expected), "name --attach %s  a b %s", path,
		 longest);
	expected[sizeof(slot_at(0)->command) - 1] = '\0';
	ck_assert_int_gt(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
	pid = fork();
	if (pid == 0) {
		execv(exe, (char **)(uintptr_t)argv);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(slot_at(0)->state, PH_SLOT_RUNNING);
	ck_assert_str_eq(slot_at(0)->command, expected);
	ck_assert_str_eq(slot_at(0)->exe, exe);
}
END_TEST

static void child_allocates(void)
{
	const struct ph_report_slot *own = slot_at(1);
	uint64_t before = own->gauges.large_objects;

	ck_assert_uint_eq(own->state, PH_SLOT_RUNNING);
	ck_assert_uint_eq(own->pid, (uint32_t)getpid());
	for (unsigned i = 0; i < 5; i++)
		ck_assert_ptr_nonnull(malloc(LARGE));
	ck_assert_uint_eq(own->gauges.large_objects, before + 5);
	check_heap();
}

START_TEST(a_fork_has_a_slot_of_its_own)
{
	const struct ph_report_slot *own = slot_at(0), *child = slot_at(1);
	struct ph_gauges before;
	void *p = malloc(LARGE);

	ph__report_attach(heap, &options);
	before = own->gauges;
	ck_assert_int_eq(status_of_child(child_allocates), 0);
	ck_assert_mem_eq(&own->gauges, &before, sizeof(before));
	ck_assert_uint_eq(own->pid, (uint32_t)getpid());
	ck_assert_uint_eq(head->next_slot, 2);
	ck_assert_uint_eq(head->lost, 0);
	ck_assert_uint_eq(child->forked, 1);
	ck_assert_uint_eq(child->parent_pid, (uint32_t)getpid());
	ck_assert_str_eq(child->exe, own->exe);
	ck_assert_str_eq(child->command, own->command);
	ck_assert_uint_ge(child->start_ns, own->start_ns);
	ck_assert_uint_eq(child->gauges.large_objects,
			  before.large_objects + 5);
	/* It went by _exit: its slot says no more than that it ran. */
	ck_assert_uint_eq(child->state, PH_SLOT_RUNNING);
	free(p);
	check_heap();
}
END_TEST

static void child_forks(void)
{
	ck_assert_int_eq(status_of_child(nothing), 0);
}

START_TEST(forks_find_their_slots_without_the_file)
{
	struct ph_report_slot *probe;

	ph__report_attach(heap, &options);
	probe = mremap(head, 0, PH_REPORT_SLOT_BYTES, MREMAP_MAYMOVE);
	if (probe == MAP_FAILED) {
		puts("SKIPPED: mremap does not duplicate mappings here");
		return;
	}
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(status_of_child(child_forks), 0);
	ck_assert_uint_eq(head->next_slot, 3);
	ck_assert_uint_eq(head->lost, 0);
	ck_assert_uint_eq(slot_at(2)->state, PH_SLOT_RUNNING);
	ck_assert_uint_eq(slot_at(2)->parent_pid, slot_at(1)->pid);
}
END_TEST

static void child_is_lost(void)
{
	ck_assert_ptr_eq(heap->gauges, &heap->own_gauges);
	free(malloc(LARGE));
	check_heap();
}

START_TEST(without_a_slot_a_process_counts_as_lost)
{
	head->max_slots = 1;
	ph__report_attach(heap, &options);
	ck_assert_uint_eq(slot_at(0)->state, PH_SLOT_RUNNING);
	ck_assert_int_eq(status_of_child(child_is_lost), 0);
	ck_assert_uint_eq(head->lost, 1);
	ck_assert_uint_eq(slot_at(1)->state, PH_SLOT_EMPTY);
	ck_assert_ptr_ne(heap->gauges, &heap->own_gauges);
	check_heap();
}
END_TEST

/* A head that promises more than the file has. */
START_TEST(slots_behind_the_end_are_lost)
{
	ck_assert_int_eq(truncate(path, 2 * PH_REPORT_SLOT_BYTES), 0);
	ph__report_attach(heap, &options);
	ck_assert_int_eq(status_of_child(child_is_lost), 0);
	ck_assert_uint_eq(head->next_slot, 2);
	ck_assert_uint_eq(head->lost, 1);
	ck_assert_uint_eq(slot_at(0)->state, PH_SLOT_RUNNING);
}
END_TEST

START_TEST(the_end_is_written)
{
	const struct ph_report_slot *s = slot_at(0);
	void *p = malloc(100);

	ph__report_attach(heap, &options);
	free(p);
	ph__report_end(heap);
	ck_assert_uint_eq(s->state, PH_SLOT_ENDED);
	ck_assert_uint_ge(s->end_ns, s->start_ns);
	ck_assert_uint_gt(s->final_resident_bytes, 0);
	ck_assert_uint_ge(s->gauges.cached_objects, 1);
	ck_assert_uint_ge(s->gauges.cached_bytes, 100);
}
END_TEST

/* A child that ran no handlers of fork, as of a bare clone(). */
START_TEST(only_the_owner_ends_a_slot)
{
	int status = -1;
	long pid;

	ph__report_attach(heap, &options);
	pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		ph__report_end(heap);
		_exit(0);
	}
	ck_assert_int_eq(waitpid((pid_t)pid, &status, 0), (pid_t)pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(slot_at(0)->state, PH_SLOT_RUNNING);
	ck_assert_uint_eq(slot_at(0)->end_ns, 0);
}
END_TEST

/* ---- files that are none ---- */

static void attach(void *arg)
{
	(void)arg;
	ph__report_attach(heap, &options);
	if (heap->gauges != &heap->own_gauges)
		_exit(1);
	ph__report_end(heap);
	ph__report_fork_child(heap);
}

static void expect_refusal(const char *what)
{
	struct death d = death_of(attach, NULL);

	ck_assert_int_eq(d.status, 0);
	if (*what)
		ck_assert_ptr_nonnull(strstr(d.message, what));
	else
		ck_assert_str_eq(d.message, "");
}

START_TEST(other_files_are_refused)
{
	static const char none[] = "not a report file of this version\n";

	head->magic++;
	expect_refusal(none);
	head->magic--;
	head->version++;
	expect_refusal(none);
	head->version--;
	head->slot_bytes *= 2;
	expect_refusal(none);
	head->slot_bytes /= 2;
	head->max_slots = PH_REPORT_MAX_SLOTS + 1;
	expect_refusal(none);
	ck_assert_uint_eq(head->next_slot, 0);
	ck_assert_int_eq(truncate(path, 100), 0);
	expect_refusal(none);
	ck_assert_int_eq(truncate(path, 0), 0);
	expect_refusal(none);
}
END_TEST

START_TEST(what_cannot_be_opened_is_said)
{
	char directory[] = "/tmp", long_path[8000];

	options.report.bytes = directory;
	options.report.nbytes = strlen(directory);
	expect_refusal("pageheap: report=/tmp: cannot be opened, this process "
		       "is not reported\n");
	/* A file that is gone is not a mistake; see report_file.c. */
	ck_assert_int_eq(unlink(path), 0);
	options.report.bytes = path;
	options.report.nbytes = strlen(path);
	expect_refusal("");
	options.report.nbytes = 0;
	expect_refusal("");
	memset(long_path, 'x', sizeof(long_path));
	options.report.bytes = long_path;
	options.report.nbytes = sizeof(long_path);
	expect_refusal("longer than a path can be\n");
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tc;

	if (argc > 2 && strcmp(argv[1], "--attach") == 0)
		attach_and_end(argv[2]);
	tc = suite_start(&suite, "report_file");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_slot_says_who_and_how_much);
	tcase_add_test(tc, arguments_are_joined_by_blanks);
	tcase_add_test(tc, a_fork_has_a_slot_of_its_own);
	tcase_add_test(tc, forks_find_their_slots_without_the_file);
	tcase_add_test(tc, without_a_slot_a_process_counts_as_lost);
	tcase_add_test(tc, slots_behind_the_end_are_lost);
	tcase_add_test(tc, the_end_is_written);
	tcase_add_test(tc, only_the_owner_ends_a_slot);
	tcase_add_test(tc, other_files_are_refused);
	tcase_add_test(tc, what_cannot_be_opened_is_said);
	return suite_run(suite);
}
