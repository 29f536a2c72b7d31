/* SPDX-License-Identifier: MIT */
/*
 * C++'s operators new and delete, in C, without a C++ runtime.
 *
 *	_Znwm			operator new(size_t)
 *	_Znam			operator new[](size_t)
 *	_ZdlPv, _ZdaPv		operator delete(void *), delete[]
 *	...m			sized: (void *, size_t)
 *	...St11align_val_t	aligned: (..., align_val_t)
 *	...RKSt9nothrow_t	(..., const nothrow_t &)
 *
 * (The Itanium C++ ABI; m is size_t on machines of 64 bits.)
 *
 * Failure.  The runtime is reached through weak references, so that C programs
 * do not load it: std::get_new_handler and a function that throws bad_alloc,
 * which libstdc++ and libc++ both export under the same names.  A runtime that
 * came by dlopen for one module alone is not seen by such references; it is
 * looked for among what is loaded.  The handler is called until there is memory
 * or no handler; then bad_alloc is thrown, through these frames, hence
 * -fexceptions.  A program without a runtime has nobody to catch anything: it
 * gets one line and abort().
 *
 * nothrow.  A handler may throw, and `new (std::nothrow)` must turn that into
 * NULL.  C cannot catch.  Letting the exception pass would be unsound: callers
 * were compiled knowing that it cannot happen, and their destructors would be
 * skipped.  So on failure the runtime's own nothrow operator is called, which
 * calls our throwing one inside a try block.  Where there is none to be found
 * (a static program), NULL is returned without calling the handler: an answer
 * that every such caller expects, though a handler might have found memory.  A
 * static program's own throwing operator (below) is called nevertheless.
 *
 * Replacement.  The standard's operators build on each other, and a program may
 * replace some only:
 *
 *	new[] -> new		delete[] -> delete
 *	nothrow -> the same without	sized, nothrow -> the same without
 *
 * If it replaces the two on the left of no arrow, its delete must also get what
 * the compiler passes to sized delete.  The reference to each operator resolves
 * to the program's, if there is one; where it does not resolve to ours (whose
 * address a hidden alias tells), the call is handed on.  That costs a load and
 * a compare.  They are weak, so that a static program may replace them too, and
 * so that compilers do not take them for known.
 *
 * Sizes of sized deletes are checked against the object; alignments that are no
 * power of two cannot be allocated, whatever a handler does, so it is not
 * called for them.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/print.h"
#include "malloc/malloc_core.h"

#if SIZE_MAX != UINT64_MAX
#error "size_t is mangled as m only where it is unsigned long"
#endif

/* ---- declarations ---- */

typedef void handler_function(void);
typedef handler_function *get_handler_function(void);
typedef void *dlopen_function(const char *file, int mode);
typedef void *plain_function(size_t nbytes);
typedef void *aligned_function(size_t nbytes, size_t align);
typedef void *nothrow_function(size_t nbytes, const void *tag);
typedef void *nothrow_aligned_function(size_t nbytes, size_t align,
				       const void *tag);

/* Of the runtime: std::get_new_handler, std::__throw_bad_alloc. */
extern handler_function *_ZSt15get_new_handlerv(void) PH_WEAK;
extern void _ZSt17__throw_bad_allocv(void) PH_WEAK;

/*
 * Weak, so that static programs need not have them.  A mere mention of dlopen
 * makes the linker warn those; dlsym finds it.
 */
extern void *dlsym(void *handle, const char *name) PH_WEAK;
extern int dlclose(void *handle) PH_WEAK;

#define OPERATOR PH_EXPORT PH_WEAK

OPERATOR void *_Znwm(size_t n);
OPERATOR void *_Znam(size_t n);
OPERATOR void *_ZnwmSt11align_val_t(size_t n, size_t align);
OPERATOR void *_ZnamSt11align_val_t(size_t n, size_t align);
OPERATOR void *_ZnwmRKSt9nothrow_t(size_t n, const void *tag);
OPERATOR void *_ZnamRKSt9nothrow_t(size_t n, const void *tag);
OPERATOR void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align,
						  const void *tag);
OPERATOR void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t n, size_t align,
						  const void *tag);

OPERATOR void _ZdlPv(void *p);
OPERATOR void _ZdaPv(void *p);
OPERATOR void _ZdlPvSt11align_val_t(void *p, size_t align);
OPERATOR void _ZdaPvSt11align_val_t(void *p, size_t align);
OPERATOR void _ZdlPvm(void *p, size_t n);
OPERATOR void _ZdaPvm(void *p, size_t n);
OPERATOR void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align);
OPERATOR void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align);
OPERATOR void _ZdlPvRKSt9nothrow_t(void *p, const void *tag);
OPERATOR void _ZdaPvRKSt9nothrow_t(void *p, const void *tag);
OPERATOR void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align,
						  const void *tag);
OPERATOR void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align,
						  const void *tag);

/* Ours, whatever the names above resolve to. */
#define OWN(name) PH_HIDDEN PH_ALIAS(name)

extern void *ph__own_new(size_t n) OWN("_Znwm");
extern void *ph__own_new_array(size_t n) OWN("_Znam");
extern void *ph__own_new_aligned(size_t n, size_t align)
	OWN("_ZnwmSt11align_val_t");
extern void *ph__own_new_array_aligned(size_t n, size_t align)
	OWN("_ZnamSt11align_val_t");
extern void ph__own_delete(void *p) OWN("_ZdlPv");
extern void ph__own_delete_array(void *p) OWN("_ZdaPv");
extern void ph__own_delete_aligned(void *p, size_t align)
	OWN("_ZdlPvSt11align_val_t");
extern void ph__own_delete_array_aligned(void *p, size_t align)
	OWN("_ZdaPvSt11align_val_t");

static inline bool new_is_ours(void)
{
	return ph_likely(_Znwm == ph__own_new);
}

static inline bool new_aligned_is_ours(void)
{
	return ph_likely(_ZnwmSt11align_val_t == ph__own_new_aligned);
}

static inline bool delete_is_ours(void)
{
	return ph_likely(_ZdlPv == ph__own_delete);
}

static inline bool delete_aligned_is_ours(void)
{
	return ph_likely(_ZdlPvSt11align_val_t == ph__own_delete_aligned);
}

/* ---- the runtime ---- */

/* What dlsym() returns, as a function; C has no cast for this. */
union symbol {
	void *address;
	get_handler_function *get_handler;
	handler_function *thrower;
	nothrow_function *nothrow;
	nothrow_aligned_function *nothrow_aligned;
	dlopen_function *dlopen;
};

/* A symbol of the C++ runtime that is loaded, or NULL. */
static void *runtime_symbol(const char *name)
{
	static const char *const runtimes[] = {"libstdc++.so.6",
					       "libc++abi.so.1", "libc++.so.1"};
	union symbol open = {.address = NULL};
	void *symbol = NULL;

	if (!dlsym || !dlclose)
		return NULL;
	open.address = dlsym(RTLD_DEFAULT, "dlopen");
	if (!open.address)
		return NULL;
	for (size_t i = 0; i < PH_ARRAY_SIZE(runtimes) && !symbol; i++) {
		void *handle =
			open.dlopen(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);

		if (!handle)
			continue;
		symbol = dlsym(handle, name);
		(void)dlclose(handle);
	}
	return symbol;
}

/* The handler that the program installed, or NULL. */
static handler_function *current_handler(void)
{
	union symbol get = {.get_handler = _ZSt15get_new_handlerv};

	if (!get.get_handler)
		get.address = runtime_symbol("_ZSt15get_new_handlerv");
	return get.get_handler ? get.get_handler() : NULL;
}

PH_COLD PH_NORETURN static void throw_bad_alloc(size_t n)
{
	union symbol throw = {.thrower = _ZSt17__throw_bad_allocv};
	char space[160];
	struct text t = text_over(space, sizeof(space));

	if (!throw.thrower)
		throw.address = runtime_symbol("_ZSt17__throw_bad_allocv");
	if (throw.thrower)
		throw.thrower();
	ph__text_str(&t, "pageheap: operator new cannot allocate ");
	ph__text_dec(&t, n);
	ph__text_str(&t, " bytes, and no C++ runtime can throw bad_alloc\n");
	(void)ph__text_write(&t, STDERR_FILENO);
	abort();
}

/* ---- new ---- */

/* Memory as new and new[] give it, before any handler. */
static inline void *allocate_aligned(size_t n, size_t align)
{
	return ph_likely(is_pow2(align)) ? ph__aligned_alloc(align, n) : NULL;
}

PH_COLD static void *new_after_failure(size_t n)
{
	void *p = NULL;

	while (!p) {
		handler_function *handler = current_handler();

		if (!handler)
			throw_bad_alloc(n);
		handler();
		p = ph__malloc(n);
	}
	return p;
}

PH_COLD static void *new_aligned_after_failure(size_t n, size_t align)
{
	void *p = NULL;

	while (!p) {
		handler_function *handler =
			is_pow2(align) ? current_handler() : NULL;

		if (!handler)
			throw_bad_alloc(n);
		handler();
		p = ph__aligned_alloc(align, n);
	}
	return p;
}

static inline void *new_plain(size_t n)
{
	void *p = ph__malloc(n);

	return ph_likely(p) ? p : new_after_failure(n);
}

static inline void *new_aligned(size_t n, size_t align)
{
	void *p = allocate_aligned(n, align);

	return ph_likely(p) ? p : new_aligned_after_failure(n, align);
}

void *_Znwm(size_t n)
{
	return new_plain(n);
}

void *_Znam(size_t n)
{
	return new_is_ours() ? new_plain(n) : _Znwm(n);
}

void *_ZnwmSt11align_val_t(size_t n, size_t align)
{
	return new_aligned(n, align);
}

void *_ZnamSt11align_val_t(size_t n, size_t align)
{
	return new_aligned_is_ours() ? new_aligned(n, align)
				     : _ZnwmSt11align_val_t(n, align);
}

/* ---- new (std::nothrow) ---- */

/* One of the four operators. */
struct nothrow {
	const char *name;
	union symbol own;
	void *runtime; /* the runtime's, once it was found; atomic */
};

/* The runtime's operator; its address is NULL when there is none but ours. */
PH_COLD static union symbol runtime_nothrow(struct nothrow *op)
{
	/* Relaxed: whoever finds nothing here finds the same as others did. */
	union symbol found = {.address = ph_load_relaxed(&op->runtime)};

	if (found.address)
		return found;
	found.address = runtime_symbol(op->name);
	if (found.address == op->own.address)
		found.address = NULL;
	ph_store_relaxed(&op->runtime, found.address);
	return found;
}

/*
 * When ours has failed, or the throwing operator is theirs: the program's.
 * Without a runtime theirs is called as it is.
 */
PH_COLD static void *nothrow_slow(struct nothrow *op, plain_function *theirs,
				  size_t n, const void *tag)
{
	union symbol found = runtime_nothrow(op);

	if (found.address)
		return found.nothrow(n, tag);
	return theirs ? theirs(n) : NULL;
}

PH_COLD static void *nothrow_aligned_slow(struct nothrow *op,
					  aligned_function *theirs, size_t n,
					  size_t align, const void *tag)
{
	union symbol found = runtime_nothrow(op);

	if (found.address)
		return found.nothrow_aligned(n, align, tag);
	return theirs ? theirs(n, align) : NULL;
}

void *_ZnwmRKSt9nothrow_t(size_t n, const void *tag)
{
	static struct nothrow op = {.name = "_ZnwmRKSt9nothrow_t",
				    .own.nothrow = _ZnwmRKSt9nothrow_t};
	bool ours = new_is_ours();
	void *p = ours ? ph__malloc(n) : NULL;

	return ph_likely(p) ? p
			    : nothrow_slow(&op, ours ? NULL : _Znwm, n, tag);
}

void *_ZnamRKSt9nothrow_t(size_t n, const void *tag)
{
	static struct nothrow op = {.name = "_ZnamRKSt9nothrow_t",
				    .own.nothrow = _ZnamRKSt9nothrow_t};
	bool ours = ph_likely(_Znam == ph__own_new_array) && new_is_ours();
	void *p = ours ? ph__malloc(n) : NULL;

	return ph_likely(p) ? p
			    : nothrow_slow(&op, ours ? NULL : _Znam, n, tag);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align,
					 const void *tag)
{
	static struct nothrow op = {
		.name = "_ZnwmSt11align_val_tRKSt9nothrow_t",
		.own.nothrow_aligned = _ZnwmSt11align_val_tRKSt9nothrow_t};
	bool ours = new_aligned_is_ours();
	void *p = ours ? allocate_aligned(n, align) : NULL;

	if (ph_likely(p))
		return p;
	return nothrow_aligned_slow(&op, ours ? NULL : _ZnwmSt11align_val_t, n,
				    align, tag);
}

void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t n, size_t align,
					 const void *tag)
{
	static struct nothrow op = {
		.name = "_ZnamSt11align_val_tRKSt9nothrow_t",
		.own.nothrow_aligned = _ZnamSt11align_val_tRKSt9nothrow_t};
	bool ours =
		ph_likely(_ZnamSt11align_val_t == ph__own_new_array_aligned) &&
		new_aligned_is_ours();
	void *p = ours ? allocate_aligned(n, align) : NULL;

	if (ph_likely(p))
		return p;
	return nothrow_aligned_slow(&op, ours ? NULL : _ZnamSt11align_val_t, n,
				    align, tag);
}

/* ---- delete ---- */

void _ZdlPv(void *p)
{
	ph__free(p);
}

void _ZdaPv(void *p)
{
	if (delete_is_ours())
		ph__free(p);
	else
		_ZdlPv(p);
}

void _ZdlPvSt11align_val_t(void *p, size_t align)
{
	(void)align;
	ph__free(p);
}

void _ZdaPvSt11align_val_t(void *p, size_t align)
{
	if (delete_aligned_is_ours())
		ph__free(p);
	else
		_ZdlPvSt11align_val_t(p, align);
}

void _ZdlPvm(void *p, size_t n)
{
	if (delete_is_ours())
		ph__free_sized(p, n);
	else
		_ZdlPv(p);
}

void _ZdaPvm(void *p, size_t n)
{
	if (ph_likely(_ZdaPv == ph__own_delete_array) && delete_is_ours())
		ph__free_sized(p, n);
	else
		_ZdaPv(p);
}

void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align)
{
	if (delete_aligned_is_ours())
		ph__free_sized(p, n);
	else
		_ZdlPvSt11align_val_t(p, align);
}

void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align)
{
	if (ph_likely(_ZdaPvSt11align_val_t == ph__own_delete_array_aligned) &&
	    delete_aligned_is_ours())
		ph__free_sized(p, n);
	else
		_ZdaPvSt11align_val_t(p, align);
}

/* Called when a constructor threw in a `new (std::nothrow)`. */

void _ZdlPvRKSt9nothrow_t(void *p, const void *tag)
{
	(void)tag;
	_ZdlPv(p);
}

void _ZdaPvRKSt9nothrow_t(void *p, const void *tag)
{
	(void)tag;
	_ZdaPv(p);
}

void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag)
{
	(void)tag;
	_ZdlPvSt11align_val_t(p, align);
}

void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align, const void *tag)
{
	(void)tag;
	_ZdaPvSt11align_val_t(p, align);
}
