/* SPDX-License-Identifier: MIT */
/*
 * The report file, from the writer's side.
 *
 * A process image claims one slot and keeps its heap's gauges there, so there
 * is nothing to write when it ends, whatever ends it:
 *
 *	constructor	open, map head; claim and map slot; describe; RUNNING
 *	fork's child	gauges home; claim and map another; describe; RUNNING
 *	exec		(the next image's constructor)
 *	destructor	resident memory, cached objects; ENDED
 *
 *	head->next_slot --fetch-and-add--> index --map--> slot
 *	heap->gauges ---------------------------------> slot->gauges
 *
 * The descriptor is closed as soon as the pages are mapped: programs close or
 * count descriptors that they did not open.  A child maps its slot by way of
 * the head's mapping, which it inherits (os/os_file.h), else by opening the
 * path again.  When neither works the gauges stay in the heap and the process
 * is counted as lost, in the head, which is always within reach.
 *
 * The child's first act is to take its gauges out of the parent's slot.  Its
 * heap is between two changes then, since the handlers of object/ hold every
 * lock round the fork, and no other thread exists; so no lock is taken.  Two
 * kinds of children run no handlers: those of vfork, which share the parent's
 * memory and rightly count as the parent; and those of a bare clone(), which
 * on a heap of their own spoil the parent's numbers if they allocate.  There is
 * no help for those but a system call in each change of a gauge.
 *
 * A file that is shorter than its head says is not made longer: under
 * RLIMIT_FSIZE that attempt is SIGXFSZ.  The slot counts as lost.
 *
 * Cost: about a dozen system calls at the start and 8 KiB of address space;
 * nothing afterwards, for a gauge is stored where it always was, at
 * heap->gauges.
 */
#include "malloc/report_file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "object/objects.h"
#include "os/os.h"
#include "os/os_file.h"

PH_STATIC_ASSERT(sizeof(struct ph_report_head) <= PH_REPORT_SLOT_BYTES,
		 "the head fits a page");
PH_STATIC_ASSERT(sizeof(struct ph_report_slot) <= PH_REPORT_SLOT_BYTES,
		 "a slot fits a page");
PH_STATIC_ASSERT(PH_REPORT_CLASSES == PH_NUM_CLASSES, "as in the heap");

/* Written by the constructor and in fork's child, read by the destructor. */
static struct {
	struct ph_report_head *head; /* NULL: no report */
	struct ph_report_slot *slot; /* NULL: none, or lost */
	uint32_t nslots;	     /* for which the file has room */
	char path[PATH_MAX];	     /* terminated */
} report;

/* "pageheap: report=PATH: what", for mistakes that the user can mend. */
static void complain(const char *what)
{
	char space[PATH_MAX + 128];
	struct text t = text_over(space, sizeof(space));

	ph__text_str(&t, "pageheap: report=");
	ph__text_str(&t, report.path);
	ph__text_str(&t, ": ");
	ph__text_str(&t, what);
	ph__text_str(&t, "\n");
	(void)ph__text_write(&t, STDERR_FILENO);
}

/* ---- the file ---- */

/*
 * Opens the file.  It is gone when the tool that made it is; whatever a daemon
 * that survived starts then is nobody's business.  A program that another user
 * runs may not open it.  Neither is a mistake, and a line on standard error
 * would change what the program prints.
 */
static int open_file(void)
{
	struct os_fd fd = ph__os_file_open(report.path);

	if (fd.fd < 0 && fd.error != ENOENT && fd.error != EACCES &&
	    fd.error != EPERM)
		complain("cannot be opened, this process is not reported");
	return fd.fd;
}

static bool head_is_valid(const struct ph_report_head *head)
{
	return head->magic == PH_REPORT_MAGIC &&
	       head->version == PH_REPORT_VERSION &&
	       head->slot_bytes == PH_REPORT_SLOT_BYTES &&
	       head->max_slots <= PH_REPORT_MAX_SLOTS;
}

/* Maps the head.  False when the file is not a report file. */
static bool map_head(int fd)
{
	uint64_t npages = ph__os_file_nbytes(fd) / PH_REPORT_SLOT_BYTES;
	struct ph_report_head *head = NULL;

	if (npages > 0)
		head = ph__os_file_map(fd, 0, PH_REPORT_SLOT_BYTES);
	if (head && !head_is_valid(head)) {
		ph__os_file_unmap(head, PH_REPORT_SLOT_BYTES);
		head = NULL;
	}
	if (!head) {
		complain("not a report file of this version");
		return false;
	}
	report.head = head;
	report.nslots = head->max_slots;
	if (npages - 1 < report.nslots)
		report.nslots = (uint32_t)(npages - 1);
	return true;
}

/*
 * The file's page of a slot: by a descriptor; without one (-1) by way of the
 * head, or by the path.  NULL when all that is impossible.
 */
static struct ph_report_slot *map_slot(int fd, uint32_t index)
{
	uint64_t offset = ((uint64_t)index + 1) * PH_REPORT_SLOT_BYTES;
	struct ph_report_slot *slot;
	struct os_fd again;

	if (fd >= 0)
		return ph__os_file_map(fd, offset, PH_REPORT_SLOT_BYTES);
	slot = ph__os_file_map_more(report.head, offset, PH_REPORT_SLOT_BYTES);
	if (slot)
		return slot;
	again = ph__os_file_open(report.path);
	if (again.fd < 0)
		return NULL;
	slot = ph__os_file_map(again.fd, offset, PH_REPORT_SLOT_BYTES);
	ph__os_file_close(again.fd);
	return slot;
}

/* Claims and maps a slot.  NULL, and counted, when there is none. */
static struct ph_report_slot *claim_slot(int fd)
{
	struct ph_report_head *head = report.head;
	struct ph_report_slot *slot = NULL;
	/* Relaxed: the claim orders nothing, it only tells claims apart. */
	uint32_t index = ph_fetch_add_relaxed(&head->next_slot, 1);

	if (index < report.nslots)
		slot = map_slot(fd, index);
	if (!slot)
		ph_fetch_add_relaxed(&head->lost, 1);
	return slot;
}

/* ---- the slot ---- */

static void describe_program(struct ph_report_slot *slot)
{
	size_t n;

	(void)ph__os_link_read("/proc/self/exe", slot->exe, sizeof(slot->exe));
	n = ph__os_file_read("/proc/self/cmdline", slot->command,
			     sizeof(slot->command));
	/* Each argument ends in a NUL; the last one's ends the text. */
	for (size_t i = 0; i + 1 < n; i++)
		if (slot->command[i] == '\0')
			slot->command[i] = ' ';
}

static void describe_process(struct ph_report_slot *slot)
{
	slot->pid = ph__os_process_id();
	slot->parent_pid = ph__os_parent_id();
	slot->start_ns = ph_os_default()->clock_ns(NULL);
	slot->start_resident_bytes = ph__os_resident_bytes();
}

static void start_running(struct ph_report_slot *slot)
{
	report.slot = slot;
	/* Release: who sees the state finds the slot filled in. */
	ph_store_release(&slot->state, PH_SLOT_RUNNING);
}

static bool keep_path(struct option_text path)
{
	if (path.nbytes == 0)
		return false;
	if (path.nbytes >= sizeof(report.path)) {
		complain("longer than a path can be");
		return false;
	}
	memcpy(report.path, path.bytes, path.nbytes);
	report.path[path.nbytes] = '\0';
	return true;
}

void ph__report_attach(struct ph_heap *heap, const struct options *o)
{
	struct ph_report_slot *slot = NULL;
	int fd;

	if (!heap || !keep_path(o->report))
		return;
	fd = open_file();
	if (fd < 0)
		return;
	if (map_head(fd))
		slot = claim_slot(fd);
	ph__os_file_close(fd);
	if (!slot)
		return;
	describe_program(slot);
	describe_process(slot);
	ph__heap_move_gauges(heap, &slot->gauges);
	start_running(slot);
}

void ph__report_fork_child(struct ph_heap *heap)
{
	const struct ph_report_slot *parent = report.slot;
	struct ph_report_slot *slot;

	if (!report.head)
		return;
	ph__heap_move_gauges_alone(heap, &heap->own_gauges);
	report.slot = NULL;
	slot = claim_slot(-1);
	if (!slot)
		return;
	slot->forked = 1;
	if (parent) {
		memcpy(slot->exe, parent->exe, sizeof(slot->exe));
		memcpy(slot->command, parent->command, sizeof(slot->command));
	} else {
		describe_program(slot);
	}
	describe_process(slot);
	ph__heap_move_gauges_alone(heap, &slot->gauges);
	start_running(slot);
}

void ph__report_end(struct ph_heap *heap)
{
	struct ph_report_slot *slot = report.slot;
	struct ph_stats stats = {.struct_size = sizeof(stats)};

	/* A child without handlers (see above) must not end its parent. */
	if (!slot || slot->pid != ph__os_process_id())
		return;
	/* Brings the gauges of cached objects and metadata up to date. */
	(void)ph_heap_stats(heap, &stats);
	slot->final_resident_bytes = ph__os_resident_bytes();
	slot->peak_resident_bytes = ph__os_peak_resident_bytes();
	slot->end_ns = ph_os_default()->clock_ns(NULL);
	/* Release: as in start_running(). */
	ph_store_release(&slot->state, PH_SLOT_ENDED);
}
