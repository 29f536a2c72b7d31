/* SPDX-License-Identifier: MIT */
/*
 * Linux.
 *
 * The four states of a range of pages (see struct ph_os_ops) map to Linux like
 * this; "prepared" and "ready" are one state here, because a page that was
 * never touched costs nothing:
 *
 *	none --reserve--> PROT_NONE --commit--> PROT_READ|WRITE, untouched
 *	                                             |        ^
 *	                                         (touch)   release:
 *	                                             v     MADV_DONTNEED
 *	                                        resident -----+
 *
 * Reservations are inaccessible, so they count against nothing but the limit of
 * address space (ulimit -v) and the number of mappings.  Committing asks the
 * kernel for a promise of memory (there is no MAP_NORESERVE): that is where
 * ENOMEM surfaces, for everything where overcommitting is switched off, and for
 * more than the machine has at once where it is left to a heuristic.
 *
 * Memory calls go straight to the kernel: programs interpose mmap and munmap,
 * some of them with code that allocates, and a malloc must not depend on what
 * they do.  Under ThreadSanitizer the C library's functions are used, since
 * the sanitizer has to see that memory changes its owner.  The clock is asked
 * of the kernel too: the functions that time-shifting libraries interpose look
 * up symbols, which allocates.  It is read on slow paths only.
 *
 * Placing.  A hint means "there or nowhere".  MAP_FIXED_NOREPLACE says so to
 * kernels since 4.17; older ones ignore the flag and treat the address as a
 * wish, so the answer is compared and given back when it differs.
 *
 * Aligning.  A reservation that happens to be aligned is kept, which is the
 * common case once one chunk is placed, because the kernel puts the next one
 * right below it and the mappings merge.  Otherwise a larger one is made and
 * its ends are cut off.
 *
 * Releasing.  MADV_DONTNEED lowers the resident size at once.  It refuses
 * locked pages (mlock) with EINVAL; the error is passed on, because a page
 * counts as given back only after success.  MADV_DONTNEED_LOCKED exists but
 * would undo what the program asked for.
 *
 * Rejected: MAP_FIXED over our own reservation instead of mprotect to commit
 * (it splits and re-merges mappings, and takes the write lock for longer);
 * MADV_FREE (the resident size would not drop until there is pressure).
 */
#include "os/os.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "os/os_file.h"

/* Older C libraries than kernels lack these. */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* ------------------------------------------------------------------------ */
/* Memory                                                                   */
/* ------------------------------------------------------------------------ */

#if PH_TSAN

static void *os_mmap(void *addr, size_t nbytes, int prot, int flags)
{
	return mmap(addr, nbytes, prot, flags, -1, 0);
}

static int os_munmap(void *addr, size_t nbytes)
{
	return munmap(addr, nbytes);
}

static int os_mprotect(void *addr, size_t nbytes, int prot)
{
	return mprotect(addr, nbytes, prot);
}

static int os_madvise(void *addr, size_t nbytes, int advice)
{
	return madvise(addr, nbytes, advice);
}

#else

static void *os_mmap(void *addr, size_t nbytes, int prot, int flags)
{
	/* MAP_FAILED is -1, and so is syscall()'s report of an error. */
	return (void *)syscall(SYS_mmap, addr, nbytes, prot, flags, -1, 0L);
}

static int os_munmap(void *addr, size_t nbytes)
{
	return (int)syscall(SYS_munmap, addr, nbytes);
}

static int os_mprotect(void *addr, size_t nbytes, int prot)
{
	return (int)syscall(SYS_mprotect, addr, nbytes, prot);
}

static int os_madvise(void *addr, size_t nbytes, int advice)
{
	return (int)syscall(SYS_madvise, addr, nbytes, advice);
}

#endif

/* Turns "-1 and errno" into an errno value and puts errno back. */
static int os_result(int result, int saved_errno)
{
	int error = result == 0 ? 0 : errno;

	errno = saved_errno;
	return error;
}

static int linux_unmap(void *ctx, void *addr, size_t nbytes)
{
	int saved = errno;

	(void)ctx;
	return os_result(os_munmap(addr, nbytes), saved);
}

/* Somewhere, or exactly at addr when fixed_flag is MAP_FIXED_NOREPLACE. */
static void *map_reserved(void *addr, size_t nbytes, int fixed_flag)
{
	void *p = os_mmap(addr, nbytes, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | fixed_flag);

	return p == MAP_FAILED ? NULL : p;
}

static void *reserve_at(void *hint, size_t nbytes)
{
	/*
	 * ThreadSanitizer replaces a hint outside its part of the address
	 * space by NULL but keeps the flag, which together ask for address 0;
	 * the superuser gets it.  A wish is safe there.
	 */
	void *p = map_reserved(hint, nbytes, PH_TSAN ? 0 : MAP_FIXED_NOREPLACE);

	if (p == NULL || p == hint)
		return p;
	/* An old kernel took the address for a wish. */
	(void)linux_unmap(NULL, p, nbytes);
	errno = EEXIST;
	return NULL;
}

/*
 * Reserves too much and cuts off both ends.  Cutting can fail, when it splits
 * a mapping and the process has all the mappings it may have; what is left is
 * given back then.
 */
static void *reserve_trimmed(size_t nbytes, size_t align)
{
	size_t total, head, tail;
	char *p;
	int error;

	if (add_overflows(nbytes, align, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	p = map_reserved(NULL, total, 0);
	if (p == NULL)
		return NULL;
	head = (size_t)(align_up((uintptr_t)p, align) - (uintptr_t)p);
	tail = total - head - nbytes;
	error = head != 0 ? linux_unmap(NULL, p, head) : 0;
	if (error != 0) {
		(void)linux_unmap(NULL, p, total);
		errno = error;
		return NULL;
	}
	error = tail != 0 ? linux_unmap(NULL, p + head + nbytes, tail) : 0;
	if (error != 0) {
		(void)linux_unmap(NULL, p + head, nbytes + tail);
		errno = error;
		return NULL;
	}
	return p + head;
}

static void *reserve_aligned(size_t nbytes, size_t align)
{
	void *p = map_reserved(NULL, nbytes, 0);

	if (p == NULL || ((uintptr_t)p & (align - 1)) == 0)
		return p;
	if (linux_unmap(NULL, p, nbytes) != 0) {
		errno = ENOMEM;
		return NULL;
	}
	return reserve_trimmed(nbytes, align);
}

/* Shown in /proc/PID/maps by kernels that can; others refuse, and no harm. */
static void name_mapping(void *addr, size_t nbytes)
{
	int saved = errno;

	(void)syscall(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr, nbytes,
		      "pageheap");
	errno = saved;
}

static void *linux_reserve(void *ctx, void *hint, size_t nbytes, size_t align)
{
	size_t page = ph_os_default()->page_size;
	int saved = errno;
	void *p;

	(void)ctx;
	if (nbytes == 0 || nbytes % page != 0 || !is_pow2(align) ||
	    align < page || ((uintptr_t)hint & (align - 1)) != 0) {
		errno = EINVAL;
		return NULL;
	}
	if (hint != NULL)
		p = reserve_at(hint, nbytes);
	else
		p = reserve_aligned(nbytes, align);
	if (p == NULL)
		return NULL;
	name_mapping(p, nbytes);
	errno = saved;
	return p;
}

static int linux_commit(void *ctx, void *addr, size_t nbytes)
{
	int saved = errno;

	(void)ctx;
	return os_result(os_mprotect(addr, nbytes, PROT_READ | PROT_WRITE),
			 saved);
}

static int linux_release(void *ctx, void *addr, size_t nbytes)
{
	int saved = errno;
	int result;
	unsigned tries = 0;

	(void)ctx;
	/* EAGAIN: the kernel lacked something of its own for a moment. */
	do
		result = os_madvise(addr, nbytes, MADV_DONTNEED);
	while (result != 0 && (errno == EAGAIN || errno == EINTR) &&
	       ++tries < 8);
	return os_result(result, saved);
}

static uint64_t linux_clock_ns(void *ctx)
{
	int saved = errno;
	struct timespec now = {0, 0};

	(void)ctx;
	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	errno = saved;
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)now.tv_nsec;
}

/*
 * The table is constant but for page_size, which the kernel tells each process
 * at its start; 0 until somebody asked.
 */
static struct ph_os_ops linux_ops = {
	.struct_size = sizeof(struct ph_os_ops),
	.page_size = 0,
	.flags = PH_OS_ZEROES,
	.reserve = linux_reserve,
	.commit = linux_commit,
	.use = NULL,
	.release = linux_release,
	.unmap = linux_unmap,
	.clock_ns = linux_clock_ns,
};

const struct ph_os_ops *ph_os_default(void)
{
	size_t unset = 0;
	size_t page;

	/*
	 * Acquire pairs with the one store ever made, so that the plain reads
	 * of the caller are ordered behind it.
	 */
	if (ph_likely(ph_load_acquire(&linux_ops.page_size) != 0))
		return &linux_ops;
	page = (size_t)getauxval(AT_PAGESZ);
	if (!is_pow2(page))
		page = 4096;
	(void)ph_cas_acq_rel(&linux_ops.page_size, &unset, page);
	return &linux_ops;
}

/* ------------------------------------------------------------------------ */
/* Threads                                                                  */
/* ------------------------------------------------------------------------ */

uint32_t ph__os_thread_id(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

void ph__os_sleep_ns(uint64_t duration_ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(duration_ns / UINT64_C(1000000000)),
		.tv_nsec = (long)(duration_ns % UINT64_C(1000000000))};
	int saved = errno;

	/* The call itself: libraries that fake time interpose nanosleep. */
	(void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
	errno = saved;
}

void ph__os_futex_wait(uint32_t *word, uint32_t expected)
{
	int saved = errno;

	(void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL,
		      0);
	errno = saved;
}

void ph__os_futex_wake(uint32_t *word, uint32_t nthreads)
{
	int saved = errno;

	(void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nthreads, NULL, NULL,
		      0);
	errno = saved;
}

/*
 * Whether membarrier works here.  Relaxed accesses suffice: the value says
 * nothing about other memory, and threads that ask at once get the same answer
 * from the kernel.
 */
enum membarrier_state {
	MEMBARRIER_UNKNOWN = 0,
	MEMBARRIER_WORKS,
	MEMBARRIER_DENIED
};

static int membarrier_state; /* enum membarrier_state; atomic */

static bool membarrier_call(int command)
{
	int saved = errno;
	long result = syscall(SYS_membarrier, command, 0, 0);

	errno = saved;
	return result == 0;
}

bool ph__os_membarrier_register(void)
{
	int state = ph_load_relaxed(&membarrier_state);

	if (state == MEMBARRIER_UNKNOWN) {
		state = membarrier_call(
				MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
				? MEMBARRIER_WORKS
				: MEMBARRIER_DENIED;
		ph_store_relaxed(&membarrier_state, state);
	}
	return state == MEMBARRIER_WORKS;
}

bool ph__os_membarrier(void)
{
	return ph__os_membarrier_register() &&
	       membarrier_call(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

void ph__os_fork_child(void)
{
	ph_store_relaxed(&membarrier_state, MEMBARRIER_UNKNOWN);
}

/* ------------------------------------------------------------------------ */
/* What the system knows                                                    */
/* ------------------------------------------------------------------------ */

/* The decimal number at s, saturating; *end is the byte behind it. */
static uint64_t parse_decimal(const char *s, const char **end)
{
	uint64_t value = 0;

	for (; *s >= '0' && *s <= '9'; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (value > (UINT64_MAX - digit) / 10)
			value = UINT64_MAX;
		else
			value = value * 10 + digit;
	}
	*end = s;
	return value;
}

size_t ph__os_huge_page_bytes(void)
{
	char buf[32];
	const char *end;
	uint64_t nbytes;

	if (!ph__os_file_read(
		    "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", buf,
		    sizeof(buf)))
		return 0;
	nbytes = parse_decimal(buf, &end);
	if (!is_pow2(nbytes) || nbytes > PH_CHUNK_SIZE)
		return 0;
	return (size_t)nbytes;
}

size_t ph__os_resident_bytes(void)
{
	char buf[128];
	const char *s;
	uint64_t npages;

	/* "size resident shared ...", in physical pages. */
	if (!ph__os_file_read("/proc/self/statm", buf, sizeof(buf)))
		return 0;
	(void)parse_decimal(buf, &s);
	if (*s != ' ')
		return 0;
	npages = parse_decimal(s + 1, &s);
	return (size_t)npages * ph_os_default()->page_size;
}

size_t ph__os_peak_resident_bytes(void)
{
	static const char key[] = "\nVmHWM:";
	char buf[4096];
	const char *s;

	/* "VmHWM:	    1234 kB", below the process's ids. */
	if (!ph__os_file_read("/proc/self/status", buf, sizeof(buf)))
		return 0;
	s = strstr(buf, key);
	if (!s)
		return 0;
	s += sizeof(key) - 1;
	while (*s == ' ' || *s == '\t')
		s++;
	return (size_t)parse_decimal(s, &s) * 1024;
}

uint32_t ph__os_process_id(void)
{
	return (uint32_t)syscall(SYS_getpid);
}

uint32_t ph__os_parent_id(void)
{
	return (uint32_t)syscall(SYS_getppid);
}

bool ph__os_is_secure(void)
{
	return getauxval(AT_SECURE) != 0;
}

/* Mixes a word so that each input bit reaches every output bit. */
static uint64_t mix64(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t ph__os_random(void)
{
	int saved = errno;
	uint64_t value = 0;
	long n = syscall(SYS_getrandom, &value, sizeof(value), GRND_NONBLOCK);
	const unsigned char *seed;

	errno = saved;
	if (n == (long)sizeof(value))
		return value;
	/*
	 * Early in the boot, or behind a filter: the kernel's gift of 16
	 * random bytes to each process, told apart by time and thread.
	 */
	seed = (const unsigned char *)getauxval(AT_RANDOM);
	value = linux_clock_ns(NULL) ^ (uint64_t)ph__os_thread_id() << 40;
	for (unsigned i = 0; seed != NULL && i < 16; i++)
		value = mix64(value + seed[i]);
	return mix64(value);
}
