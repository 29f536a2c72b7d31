/* SPDX-License-Identifier: MIT */
/*
 * Blocks of metadata: cut from reservations, recycled by size.
 *
 * A reservation is used from its low end; the one in use is the window:
 *
 *	base         next       ready          prepared          limit
 *	| blocks ... | zeroes   | (not used    | inaccessible    |
 *	|            |          |  by Linux)   |                 |
 *
 * Its pages become ready in steps of 64 KiB, so a block is always backed by
 * accessible memory before it is handed out.  `prepared` differs from `ready`
 * only after a failed `use`, for systems where preparing and using are two
 * calls; it stops us from preparing a page twice.
 *
 * When the window is too small for a block, a reservation is added: at its end
 * if the system gives us the address, so that the window just grows and the
 * mappings merge, else anywhere, and then the window with more room left stays
 * the window.  What is ready of the other is put into bins; its inaccessible
 * rest costs address space only.  Reservations start at 1 MiB and double up to
 * 16 MiB; a block of more than a quarter of the next one gets a reservation of
 * its own size, so at most a quarter of a reservation is ever given up.
 *
 * Sizes are rounded to four classes for each power of two (at most 25 % above
 * the request, 16 bytes at least); from 4 KiB on to whole pages of 4 KiB too,
 * which start on a page.  Gaps that alignment leaves go to the bins as well,
 * so that
 *
 *	committed = used + free + waste + (ready - next)
 *
 * holds exactly, where waste is the records of the reservations.
 *
 * A free block is linked through its own first bytes:
 *
 *	small:	| next |
 *	large:	| next, from, to | dirty  ## given back to the system ## | dirty
 *	                                from                            to
 *
 * Reuse zeroes what is dirty; of a large block only the first page, where the
 * system promises that what was given back reads as zero.
 *
 * Cost: constant, but for zeroing; a free of a large block makes one system
 * call, outside the lock.
 *
 * Failure.  A step works on a copy of the window and stores it at the end; a
 * new reservation whose pages cannot be made ready is unmapped, at the latest
 * before the next is made.  The bytes a
 * failed `use` left prepared are remembered, since no call takes that back.
 *
 * Rejected: splitting and merging of free blocks (metadata has few sizes, and
 * they recur); a header in front of each block (callers know the size);
 * unmapping large blocks (a stale reader would fault).
 */
#include "meta/meta.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"

/* Every size and address is a multiple of this. */
#define META_GRAIN 16

/* How many blocks of a bin are tried for one that is aligned well enough. */
#define META_BIN_TRIES 8

struct meta_free {
	struct meta_free *next;
	/* Blocks of META_RELEASE_BYTES only: [from, to) is prepared. */
	uintptr_t from;
	uintptr_t to;
};

/*
 * A reservation.  The record is a block of the window that the reservation was
 * added to: it lies in the reservation itself or in an older one that it
 * extends, so unmapping the newest first never unmaps a record still needed.
 */
struct meta_region {
	struct meta_region *next;
	uintptr_t base;
	size_t nbytes;
};

PH_STATIC_ASSERT(sizeof(struct meta_region) <= 2 * META_GRAIN,
		 "a region's record takes two grains");
#define META_RECORD_BYTES ((size_t)2 * META_GRAIN)

static void gauge_add(size_t *gauge, size_t nbytes)
{
	/* Relaxed: a gauge; writers are ordered by the lock. */
	ph_store_relaxed(gauge, *gauge + nbytes);
}

static void gauge_sub(size_t *gauge, size_t nbytes)
{
	ph_assert(*gauge >= nbytes);
	ph_store_relaxed(gauge, *gauge - nbytes);
}

/* ------------------------------------------------------------------------ */
/* Sizes                                                                    */
/* ------------------------------------------------------------------------ */

/*
 * The bin of a size in (2^e, 2^(e+1)] is the e-th group's quarter it falls in.
 * Up to 64 bytes the quarters would be finer than the grain, so there the bins
 * are 16, 32, 48 and 64.
 */
static unsigned bin_of(size_t nbytes, size_t *rounded)
{
	unsigned e;
	size_t step, quarter;

	if (nbytes <= 64) {
		*rounded = align_up(nbytes, META_GRAIN);
		return (unsigned)(*rounded / META_GRAIN) - 1;
	}
	if (nbytes > META_PAGE_BYTES)
		nbytes = align_up(nbytes, META_PAGE_BYTES);
	e = log2_floor(nbytes - 1);
	ph_assert(e >= 6 && e < 64);
	step = (size_t)1 << (e - 2);
	quarter = div_ceil(nbytes - ((size_t)1 << e), step);
	*rounded = ((size_t)1 << e) + quarter * step;
	if (*rounded > META_PAGE_BYTES) {
		*rounded = align_up(*rounded, META_PAGE_BYTES);
		quarter = (*rounded - ((size_t)1 << e)) / step;
	}
	return 4 + (e - 6) * 4 + (unsigned)quarter - 1;
}

/* The largest block there is a bin for: e is 36 then. */
#define META_MAX_BYTES ((size_t)1 << 37)

PH_STATIC_ASSERT(4 + (36 - 6) * 4 + 4 <= META_NUM_BINS, "bins for all sizes");

size_t ph__meta_round(size_t nbytes)
{
	size_t rounded;

	if (nbytes == 0 || nbytes > META_MAX_BYTES)
		return 0;
	(void)bin_of(nbytes, &rounded);
	return rounded;
}

/* ------------------------------------------------------------------------ */
/* Bins                                                                     */
/* ------------------------------------------------------------------------ */

static void bin_push(struct meta *m, struct meta_free *block, size_t size)
	PH_REQUIRES(m->lock)
{
	unsigned bin = bin_of(size, &size);

	block->next = m->bins[bin];
	m->bins[bin] = block;
	gauge_add(&m->free_bytes, size);
}

/* Takes a block of exactly this size class at a multiple of align, or NULL. */
static struct meta_free *bin_pop(struct meta *m, size_t size, size_t align)
	PH_REQUIRES(m->lock)
{
	struct meta_free **link = &m->bins[bin_of(size, &size)];

	for (unsigned i = 0; i < META_BIN_TRIES && *link != NULL; i++) {
		struct meta_free *block = *link;

		if (((uintptr_t)block & (align - 1)) == 0) {
			*link = block->next;
			gauge_sub(&m->free_bytes, size);
			return block;
		}
		link = &block->next;
	}
	return NULL;
}

/* Makes free blocks of [from, to), which is ready and a multiple of grains. */
static void bin_donate(struct meta *m, uintptr_t from, uintptr_t to)
	PH_REQUIRES(m->lock)
{
	while (from < to) {
		size_t size = to - from;
		size_t in_page = from & (META_PAGE_BYTES - 1);
		size_t step = META_GRAIN;
		struct meta_free *block = (struct meta_free *)from;

		/* Only blocks that start on a page may have one or more. */
		if (in_page != 0 && size > META_PAGE_BYTES - in_page)
			size = META_PAGE_BYTES - in_page;
		if (size >= META_PAGE_BYTES) {
			step = META_PAGE_BYTES;
			size = align_down(size, META_PAGE_BYTES);
		}
		while (ph__meta_round(size) != size)
			size -= step;
		if (size >= META_RELEASE_BYTES)
			block->from = block->to = 0;
		bin_push(m, block, size);
		from += size;
	}
}

/* ------------------------------------------------------------------------ */
/* Windows                                                                  */
/* ------------------------------------------------------------------------ */

/* Cuts a block off the window's low end; 0 when it does not fit. */
static uintptr_t window_cut(struct meta_window *w, size_t size, size_t align)
{
	uintptr_t at = align_up(w->next, align);

	/* The reservation lies well below the end of the address space. */
	if (at > w->limit || w->limit - at < size)
		return 0;
	w->next = at + size;
	return at;
}

/* Makes everything below w->next ready.  Returns 0 or an errno value. */
static int window_make_ready(const struct meta *m, struct meta_window *w)
{
	size_t step = META_COMMIT_BYTES;
	uintptr_t to;
	int error;

	if (w->next <= w->ready)
		return 0;
	if (step < m->os->page_size)
		step = m->os->page_size;
	to = align_up(w->next, step);
	if (to > w->limit)
		to = w->limit;
	if (to > w->prepared) {
		error = m->os->commit(m->os_ctx, (void *)w->prepared,
				      to - w->prepared);
		if (error != 0)
			return error;
		w->prepared = to;
	}
	if (m->os->use != NULL) {
		error = m->os->use(m->os_ctx, (void *)w->ready, to - w->ready);
		if (error != 0)
			return error;
	}
	w->ready = to;
	return 0;
}

/* The window lost pages to blocks and gained ready ones: store the new one. */
static void window_store(struct meta *m, const struct meta_window *w)
	PH_REQUIRES(m->lock)
{
	gauge_add(&m->committed_bytes, w->ready - m->window.ready);
	m->window = *w;
}

/* The state after a failure: nothing changed but what stayed prepared. */
static void window_keep_prepared(struct meta *m, const struct meta_window *w)
	PH_REQUIRES(m->lock)
{
	uintptr_t prepared = w->prepared;

	if (prepared > m->window.limit)
		prepared = m->window.limit;
	if (prepared > m->window.prepared)
		m->window.prepared = prepared;
}

/* Cuts a block from the window as it is; 0 when that fails. */
static uintptr_t carve_window(struct meta *m, size_t size, size_t align,
			      int *error) PH_REQUIRES(m->lock)
{
	struct meta_window w = m->window;
	uintptr_t gap = w.next;
	uintptr_t at = window_cut(&w, size, align);

	*error = 0;
	if (at == 0)
		return 0;
	*error = window_make_ready(m, &w);
	if (*error != 0) {
		window_keep_prepared(m, &w);
		return 0;
	}
	window_store(m, &w);
	bin_donate(m, gap, at);
	return at;
}

/*
 * Reserves at least need bytes, behind the window if possible.  Large needs
 * get no more than that, small ones as much as is due now, or less when the
 * address space is short.
 */
static uintptr_t reserve_region(struct meta *m, size_t need, size_t *nbytes)
	PH_REQUIRES(m->lock)
{
	size_t page = m->os->page_size;
	size_t wish = m->next_reserve;
	void *p = NULL;

	need = align_up(need, page);
	if (need > wish / 4)
		wish = need;
	wish = align_up(wish, page);
	if (m->window.limit != 0)
		p = m->os->reserve(m->os_ctx, (void *)m->window.limit, wish,
				   page);
	if (p == NULL)
		p = m->os->reserve(m->os_ctx, NULL, wish, page);
	if (p == NULL && wish > need) {
		wish = need;
		p = m->os->reserve(m->os_ctx, NULL, wish, page);
	}
	*nbytes = wish;
	return (uintptr_t)p;
}

/*
 * Unmaps the reservation that could not be used.  False while the system
 * refuses that too: no other is made before it is gone, so that none is lost.
 */
static bool drop_stray(struct meta *m) PH_REQUIRES(m->lock)
{
	if (m->stray_nbytes != 0 &&
	    m->os->unmap(m->os_ctx, (void *)m->stray_base, m->stray_nbytes) !=
		    0)
		return false;
	m->stray_nbytes = 0;
	return true;
}

/* Cuts a block from a new reservation; 0 when the system refuses. */
static uintptr_t carve_region(struct meta *m, size_t size, size_t align)
	PH_REQUIRES(m->lock)
{
	struct meta_window old = m->window;
	struct meta_window w = old;
	struct meta_region *record;
	size_t nbytes;
	uintptr_t base, gap, at;
	bool extends;

	if (!drop_stray(m))
		return 0;
	base = reserve_region(m, META_RECORD_BYTES + align + size, &nbytes);
	if (base == 0)
		return 0;
	extends = base == old.limit;
	if (!extends)
		w.next = w.ready = w.prepared = base;
	w.limit = base + nbytes;
	record = (void *)window_cut(&w, META_RECORD_BYTES, META_GRAIN);
	gap = w.next;
	at = window_cut(&w, size, align);
	ph_assert(record != NULL && at != 0);
	if (window_make_ready(m, &w) != 0) {
		if (extends)
			window_keep_prepared(m, &w);
		m->stray_base = base;
		m->stray_nbytes = nbytes;
		(void)drop_stray(m);
		return 0;
	}
	record->next = m->regions;
	record->base = base;
	record->nbytes = nbytes;
	m->regions = record;
	gauge_add(&m->reserved_bytes, nbytes);
	gauge_add(&m->waste_bytes, META_RECORD_BYTES);
	if (nbytes >= m->next_reserve && m->next_reserve < META_MAX_RESERVE)
		m->next_reserve *= 2;
	if (extends) {
		window_store(m, &w);
	} else if (w.limit - w.next >= old.limit - old.next) {
		gauge_add(&m->committed_bytes, w.ready - base);
		m->window = w;
		bin_donate(m, old.next, old.ready);
	} else {
		gauge_add(&m->committed_bytes, w.ready - base);
		bin_donate(m, w.next, w.ready);
	}
	bin_donate(m, gap, at);
	return at;
}

static uintptr_t carve(struct meta *m, size_t size, size_t align)
	PH_REQUIRES(m->lock)
{
	int error;
	uintptr_t at = carve_window(m, size, align, &error);

	if (at != 0 || error != 0)
		return at;
	return carve_region(m, size, align);
}

/* ------------------------------------------------------------------------ */
/* Blocks                                                                   */
/* ------------------------------------------------------------------------ */

static bool os_zeroes(const struct meta *m)
{
	return (m->os->flags & PH_OS_ZEROES) != 0;
}

/* Makes a block from a bin usable and zero.  Returns 0 or an errno value. */
static int block_revive(struct meta *m, struct meta_free *block, size_t size)
{
	uintptr_t start = (uintptr_t)block;
	uintptr_t from = 0;
	uintptr_t to = 0;

	if (size >= META_RELEASE_BYTES) {
		from = block->from;
		to = block->to;
	}
	if (from < to && m->os->use != NULL) {
		int error = m->os->use(m->os_ctx, (void *)from, to - from);

		if (error != 0)
			return error;
	}
	if (from < to && os_zeroes(m)) {
		memset(block, 0, from - start);
		memset((void *)to, 0, start + size - to);
	} else {
		memset(block, 0, size);
	}
	return 0;
}

/* Links a block that is about to enter a bin; gives its pages back. */
static void block_retire(const struct meta *m, struct meta_free *block,
			 size_t size)
{
	size_t page = m->os->page_size;
	uintptr_t from, to;

	if (size < META_RELEASE_BYTES)
		return;
	from = align_up((uintptr_t)block + sizeof(*block), page);
	to = align_down((uintptr_t)block + size, page);
	if (from >= to ||
	    m->os->release(m->os_ctx, (void *)from, to - from) != 0)
		from = to = 0;
	block->from = from;
	block->to = to;
}

static void *alloc_reused(struct meta *m, size_t size, size_t align,
			  bool *failed) PH_EXCLUDES(m->lock)
{
	struct meta_free *block;

	*failed = false;
	lock_acquire(&m->lock);
	block = bin_pop(m, size, align);
	if (block != NULL)
		gauge_add(&m->used_bytes, size);
	lock_release(&m->lock);
	if (block == NULL || block_revive(m, block, size) == 0)
		return block;
	*failed = true;
	lock_acquire(&m->lock);
	gauge_sub(&m->used_bytes, size);
	bin_push(m, block, size);
	lock_release(&m->lock);
	return NULL;
}

static void *alloc_fresh(struct meta *m, size_t size, size_t align)
	PH_EXCLUDES(m->lock)
{
	void *block;

	lock_acquire(&m->lock);
	block = (void *)carve(m, size, align);
	if (block != NULL)
		gauge_add(&m->used_bytes, size);
	lock_release(&m->lock);
	if (block != NULL && !os_zeroes(m))
		memset(block, 0, size);
	return block;
}

void *ph__meta_alloc(struct meta *m, size_t nbytes, size_t align)
{
	int saved = errno;
	size_t size = ph__meta_round(nbytes);
	bool failed;
	void *block;

	ph_assert(is_pow2(align) && align <= META_PAGE_BYTES);
	if (size == 0) {
		errno = ENOMEM;
		return NULL;
	}
	if (align < META_GRAIN)
		align = META_GRAIN;
	if (size >= META_PAGE_BYTES)
		align = META_PAGE_BYTES;
	block = alloc_reused(m, size, align, &failed);
	if (block == NULL && !failed)
		block = alloc_fresh(m, size, align);
	errno = block != NULL ? saved : ENOMEM;
	return block;
}

void ph__meta_free(struct meta *m, void *block, size_t nbytes)
{
	int saved = errno;
	size_t size = ph__meta_round(nbytes);

	ph_assert(block != NULL && size != 0);
	ph_assert(((uintptr_t)block & (META_GRAIN - 1)) == 0);
	block_retire(m, block, size);
	lock_acquire(&m->lock);
	gauge_sub(&m->used_bytes, size);
	bin_push(m, block, size);
	lock_release(&m->lock);
	errno = saved;
}

/* ------------------------------------------------------------------------ */
/* The whole                                                                */
/* ------------------------------------------------------------------------ */

void ph__meta_init(struct meta *m, const struct ph_os_ops *os,
		   void *os_ctx) PH_NO_THREAD_SAFETY
{
	ph_assert((os->flags & PH_OS_UNTOUCHABLE) == 0);
	memset(m, 0, sizeof(*m));
	lock_init(&m->lock, LOCK_RANK_META);
	m->os = os;
	m->os_ctx = os_ctx;
	m->next_reserve = META_FIRST_RESERVE;
}

void ph__meta_destroy(struct meta *m) PH_NO_THREAD_SAFETY
{
	struct meta_region *region = m->regions;
	int saved = errno;

	/* There is nobody left to tell, should it fail; here and below. */
	(void)drop_stray(m);
	while (region != NULL) {
		uintptr_t base = region->base;
		size_t nbytes = region->nbytes;

		region = region->next;
		(void)m->os->unmap(m->os_ctx, (void *)base, nbytes);
	}
	ph__meta_init(m, m->os, m->os_ctx);
	errno = saved;
}

/* Is [at, at + nbytes) inside the reservations?  Adjacent ones count as one. */
static bool regions_contain(const struct meta *m, uintptr_t at, size_t nbytes)
	PH_REQUIRES(m->lock)
{
	while (nbytes != 0) {
		const struct meta_region *r = m->regions;
		size_t inside;

		while (r != NULL && at - r->base >= r->nbytes)
			r = r->next;
		if (r == NULL)
			return false;
		inside = r->nbytes - (at - r->base);
		if (inside >= nbytes)
			return true;
		at += inside;
		nbytes -= inside;
	}
	return true;
}

static const char *check_bin(const struct meta *m, unsigned bin, size_t *nbytes)
	PH_REQUIRES(m->lock)
{
	/* Sizes follow from bins: undo bin_of(). */
	size_t e = bin < 4 ? 0 : 6 + (bin - 4) / 4;
	size_t size = bin < 4 ? (bin + 1) * (size_t)META_GRAIN
			      : ((size_t)1 << e) + ((bin - 4) % 4 +
						    1) * ((size_t)1 << (e - 2));
	size_t limit = m->reserved_bytes / META_GRAIN;

	for (const struct meta_free *b = m->bins[bin]; b != NULL; b = b->next) {
		uintptr_t at = (uintptr_t)b;

		if (limit-- == 0)
			return "a bin is circular";
		if (ph__meta_round(size) != size)
			return "a block in a bin that cannot have any";
		if (at % META_GRAIN != 0 || !regions_contain(m, at, size))
			return "a free block lies outside the reservations";
		if (size >= META_PAGE_BYTES && at % META_PAGE_BYTES != 0)
			return "a large free block does not start on a page";
		if (size >= META_RELEASE_BYTES && b->to != 0 &&
		    (b->from <= at || b->from >= b->to || b->to > at + size))
			return "a free block's released part is outside it";
		*nbytes += size;
	}
	return NULL;
}

static const char *check_locked(const struct meta *m) PH_REQUIRES(m->lock)
{
	const struct meta_window *w = &m->window;
	size_t reserved = 0;
	size_t free_bytes = 0;
	size_t waste = 0;

	if (w->next > w->ready || w->ready > w->prepared ||
	    w->prepared > w->limit)
		return "the window is out of order";
	for (const struct meta_region *r = m->regions; r; r = r->next) {
		reserved += r->nbytes;
		waste += META_RECORD_BYTES;
	}
	if (reserved != m->reserved_bytes)
		return "reserved bytes differ from the reservations";
	if (waste != m->waste_bytes)
		return "waste differs from the records of the reservations";
	for (unsigned bin = 0; bin < META_NUM_BINS; bin++) {
		const char *why = check_bin(m, bin, &free_bytes);

		if (why != NULL)
			return why;
	}
	if (free_bytes != m->free_bytes)
		return "free bytes differ from the bins";
	if (m->committed_bytes != m->used_bytes + m->free_bytes +
					  m->waste_bytes + (w->ready - w->next))
		return "committed bytes are not used, free, waste and window";
	if (m->committed_bytes > m->reserved_bytes)
		return "more committed than reserved";
	return NULL;
}

const char *ph__meta_check(struct meta *m)
{
	const char *why;

	lock_acquire(&m->lock);
	why = check_locked(m);
	lock_release(&m->lock);
	return why;
}
