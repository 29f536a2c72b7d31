/* SPDX-License-Identifier: MIT */
/*
 * The caller's mistakes: each ends the process by SIGABRT after exactly one
 * line, which names what was done, the address, and what lies there.
 *
 * In the patterns $A stands for the address that the deed prints to its
 * standard output, as it were: the deed stores it in a shared page.
 */
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"
#include "support/death.h"
#include "support/heap_util.h"
#include "support/suite.h"

static void **told; /* shared with the children: the address they misuse */
static struct ph_heap *heap; /* made in the child */

/* What the message is to name. */
static void *tell(void *p)
{
	*told = p;
	return p;
}

/* ---- deeds ---- */

static void twice(void)
{
	void *p = tell(ph_malloc(heap, 64));

	ph_free(heap, p);
	ph_free(heap, p);
}

/* So many other frees lie between that the newest entries do not show it. */
static void twice_later(void)
{
	void *p[40];

	for (size_t i = 0; i < PH_ARRAY_SIZE(p); i++)
		p[i] = ph_malloc(heap, 64);
	tell(p[0]);
	for (size_t i = 0; i < PH_ARRAY_SIZE(p); i++)
		ph_free(heap, p[i]);
	ph_free(heap, p[0]);
	/* Found at the latest when the magazine is emptied. */
	ph_heap_flush(heap);
}

static void twice_after_flush(void)
{
	void *p = tell(ph_malloc(heap, 64)), *q = ph_malloc(heap, 64);

	(void)q;
	ph_free(heap, p);
	ph_heap_flush(heap);
	ph_free(heap, p);
	ph_heap_flush(heap);
}

/* The span is gone with its last object. */
static void twice_after_span(void)
{
	void *p = tell(ph_malloc(heap, 64));

	ph_free(heap, p);
	ph_heap_flush(heap);
	ph_free(heap, p);
}

static void *free_told(void *arg)
{
	(void)arg;
	ph_free(heap, *told);
	return NULL;
}

static void twice_in_threads(void)
{
	void *keep = ph_malloc(heap, 64);
	pthread_t thread;

	(void)keep;
	tell(ph_malloc(heap, 64));
	must(pthread_create(&thread, NULL, free_told, NULL) == 0);
	pthread_join(thread, NULL);
	ph_free(heap, *told);
	ph_heap_flush(heap);
}

static void twice_large(void)
{
	void *p = tell(ph_malloc(heap, 100000));

	ph_free(heap, p);
	ph_free(heap, p);
}

static void inside(void)
{
	char *p = ph_malloc(heap, 64);

	ph_free(heap, tell(p + 8));
}

static void inside_large(void)
{
	char *p = ph_malloc(heap, 100000);

	ph_free(heap, tell(p + PH_PAGE_SIZE));
}

/* Where no object fits any more: 8,192 = 5 * 1,536 + 512. */
static void tail(void)
{
	char *p = ph_malloc(heap, 1536);
	char *base = ph_span_base(ph_span_of(heap, p));

	ph_free(heap, tell(base + 5 * 1536));
}

static void of_user_span(void)
{
	struct ph_span *s = ph_span_alloc(heap, 3, 0);

	ph_free(heap, tell(ph_span_base(s)));
}

static void of_run(void)
{
	ph_free(heap, tell(ph_pages_alloc(heap, 1, NULL)));
}

static void of_stack(void)
{
	int here = 0;

	ph_free(heap, tell(&here));
}

static void of_static(void)
{
	static int here;

	ph_free(heap, tell(&here));
}

static void of_nowhere(void)
{
	ph_free(heap, tell((void *)0x10));
}

static void of_tagged(void)
{
	uintptr_t p = (uintptr_t)ph_malloc(heap, 64);

	ph_free(heap, tell((void *)(p | (uintptr_t)0x42 << 56)));
}

static void of_kernel(void)
{
	ph_free(heap, tell((void *)(uintptr_t)0xffff800000001000));
}

static void of_other_heap(void)
{
	struct ph_heap *other = heap_over(NULL, NULL, 0);

	ph_free(heap, tell(ph_malloc(other, 64)));
}

static void of_other_heap_large(void)
{
	struct ph_heap *other = heap_over(NULL, NULL, 0);

	ph_free(heap, tell(ph_malloc(other, 64000)));
}

static void realloc_freed(void)
{
	void *p = tell(ph_malloc(heap, 100000));

	ph_free(heap, p);
	(void)ph_realloc(heap, p, 10);
}

static void realloc_inside(void)
{
	char *p = ph_malloc(heap, 64);

	(void)ph_realloc(heap, tell(p + 1), 10);
}

static void usable_size_foreign(void)
{
	(void)ph_usable_size(heap, tell(heap));
}

static void span_twice(void)
{
	struct ph_span *s = ph_span_alloc(heap, 3, 0);

	tell(ph_span_base(s));
	ph_span_free(heap, s);
	ph_span_free(heap, s);
}

static void span_of_objects(void)
{
	char *p = ph_malloc(heap, 64);
	struct ph_span *s = ph_span_of(heap, p);

	tell(ph_span_base(s));
	ph_span_free(heap, s);
}

static void span_of_large(void)
{
	struct ph_span *s = ph_span_of(heap, ph_malloc(heap, 64000));

	tell(ph_span_base(s));
	ph_span_free(heap, s);
}

static void span_of_other_heap(void)
{
	struct ph_span *s = ph_span_alloc(heap_over(NULL, NULL, 0), 1, 0);

	tell(ph_span_base(s));
	ph_span_free(heap, s);
}

static void pages_twice(void)
{
	void *p = tell(ph_pages_alloc(heap, 3, NULL));

	ph_pages_free(heap, p, 3);
	ph_pages_free(heap, p, 3);
}

/* One page of them is free already. */
static void pages_partly(void)
{
	char *p = tell(ph_pages_alloc(heap, 3, NULL));

	ph_pages_free(heap, p + PH_PAGE_SIZE, 1);
	ph_pages_free(heap, p, 3);
}

static void pages_of_span(void)
{
	ph_pages_free(heap, tell(ph_span_base(ph_span_alloc(heap, 4, 0))), 4);
}

static void pages_of_objects(void)
{
	char *p = ph_malloc(heap, 64);

	ph_pages_free(heap, tell(ph_span_base(ph_span_of(heap, p))), 1);
}

/* A span between two runs. */
static void pages_round_span(void)
{
	char *a = ph_pages_alloc(heap, 1, NULL);
	struct ph_span *s = ph_span_alloc(heap, 1, 0);
	char *b = ph_pages_alloc(heap, 1, NULL);

	must((char *)ph_span_base(s) == a + PH_PAGE_SIZE);
	must(b == a + 2 * PH_PAGE_SIZE);
	ph_pages_free(heap, tell(a), 3);
}

static void pages_unaligned(void)
{
	char *p = ph_pages_alloc(heap, 2, NULL);

	ph_pages_free(heap, tell(p + 4096), 1);
}

static void pages_foreign(void)
{
	ph_pages_free(heap, tell((void *)(PH_PAGE_SIZE * 1000)), 1);
}

static void pages_too_many(void)
{
	ph_pages_free(heap, tell(ph_pages_alloc(heap, 2, NULL)), SIZE_MAX / 2);
}

#define HEX "0x[0-9a-f]+"
#define SMALL "span " HEX ", 1 page, class 6, 64 bytes, "
#define NOTHING "(not in a span in use)"

static const struct {
	const char *name;
	void (*deed)(void);
	const char *message; /* $A: the address told */
} deeds[] = {
	{"twice", twice, "double free of $A (" SMALL "object [0-9]+)"},
	{"twice, later", twice_later,
	 "double free of $A (" SMALL "object [0-9]+)"},
	{"twice, after a flush", twice_after_flush,
	 "double free of $A (" SMALL "object [0-9]+)"},
	{"twice, after the span", twice_after_span,
	 "invalid free of $A " NOTHING},
	{"twice, in threads", twice_in_threads,
	 "double free of $A (" SMALL "object [0-9]+)"},
	{"twice, large", twice_large, "invalid free of $A " NOTHING},
	{"inside", inside,
	 "invalid free inside $A (" SMALL "8 bytes into object [0-9]+)"},
	{"inside a large one", inside_large,
	 "invalid free inside $A (span " HEX ", 13 pages, large object)"},
	{"behind the last", tail,
	 "invalid free inside $A (span " HEX
	 ", 1 page, class 36, 1536 bytes, behind the last object)"},
	{"a user's span", of_user_span,
	 "invalid free inside $A (span $A, 3 pages, undivided)"},
	{"a run of pages", of_run, "invalid free of $A " NOTHING},
	{"stack", of_stack, "invalid free of $A " NOTHING},
	{"static", of_static, "invalid free of $A " NOTHING},
	{"nowhere", of_nowhere, "invalid free of $A " NOTHING},
	{"tagged", of_tagged, "invalid free of $A " NOTHING},
	{"kernel", of_kernel, "invalid free of $A " NOTHING},
	{"another heap's", of_other_heap,
	 "invalid free of $A (" SMALL "object [0-9]+, another heap)"},
	{"another heap's large", of_other_heap_large,
	 "invalid free of $A (span $A, 8 pages, large object, another heap)"},
	{"realloc of a freed one", realloc_freed,
	 "invalid realloc of $A " NOTHING},
	{"realloc inside", realloc_inside,
	 "invalid realloc of $A (" SMALL "1 bytes into object [0-9]+)"},
	{"usable size of foreign", usable_size_foreign,
	 "invalid usable size of $A " NOTHING},
	{"span twice", span_twice, "invalid free of span at $A " NOTHING},
	{"span of objects", span_of_objects,
	 "invalid free of span at $A (span $A, 1 page, class 6, 64 bytes, "
	 "object 0)"},
	{"span of a large object", span_of_large,
	 "invalid free of span at $A (span $A, 8 pages, large object)"},
	{"span of another heap", span_of_other_heap,
	 "invalid free of span at $A (span $A, 1 page, undivided, another "
	 "heap)"},
	{"pages twice", pages_twice,
	 "free of pages that are free or foreign: $A [+] 3 pages " NOTHING},
	{"pages partly twice", pages_partly,
	 "free of pages that are free or foreign: $A [+] 3 pages " NOTHING},
	{"pages of a span", pages_of_span,
	 "free of pages inside a span: $A [+] 4 pages (span $A, 4 pages, "
	 "undivided)"},
	{"pages of objects", pages_of_objects,
	 "free of pages inside a span: $A [+] 1 page (span $A, 1 page, "
	 "class 6, 64 bytes, object 0)"},
	{"pages round a span", pages_round_span,
	 "free of pages inside a span: $A [+] 3 pages .*"},
	{"pages unaligned", pages_unaligned,
	 "unaligned free of pages $A [+] 1 page " NOTHING},
	{"pages foreign", pages_foreign,
	 "free of pages that are free or foreign: $A [+] 1 page " NOTHING},
	{"pages, too many", pages_too_many,
	 "free of pages that are free or foreign: $A [+] [0-9]+ "
	 "pages " NOTHING},
};

/* ---- the assertion ---- */

static void child(void *arg)
{
	heap = heap_over(NULL, NULL, 0);
	deeds[*(int *)arg].deed();
}

/* Replaces $A, and protects the parentheses that stand for themselves. */
static void expand(const char *pattern, char *out, size_t room)
{
	size_t n = (size_t)snprintf(out, room, "^pageheap: ");

	for (const char *p = pattern; *p; p++) {
		const char *format = strchr("()", *p) ? "\\%c" : "%c";

		must(n + 32 < room);
		if (p[0] == '$' && p[1] == 'A')
			n += (size_t)snprintf(out + n, room - n, "0x%jx",
					      (uintmax_t)(uintptr_t)*told);
		else
			n += (size_t)snprintf(out + n, room - n, format, *p);
		p += p[0] == '$';
	}
	snprintf(out + n, room - n, "\n$");
}

START_TEST(test_deed)
{
	struct death d;
	regex_t regex;
	char pattern[600];

	told = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(told != MAP_FAILED);
	d = death_of(child, &_i);
	expand(deeds[_i].message, pattern, sizeof(pattern));
	must(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0);
	ck_assert_msg(d.signal == SIGABRT &&
			      regexec(&regex, d.message, 0, NULL, 0) == 0 &&
			      strchr(d.message, '\n') ==
				      d.message + d.nbytes - 1,
		      "%s: signal %d, message \"%s\", expected \"%s\"",
		      deeds[_i].name, d.signal, d.message, pattern);
	regfree(&regex);
}
END_TEST

/* The same calls done right do not end anything. */
static void innocent(void *arg)
{
	void *p;

	(void)arg;
	heap = heap_over(NULL, NULL, 0);
	ph_free(heap, NULL);
	ph_span_free(heap, NULL);
	ph_pages_free(heap, NULL, 3);
	p = ph_malloc(heap, 64);
	ph_free(heap, p);
	must(ph_malloc(heap, 64) == p);
	ph_free(heap, p);
	ph_heap_destroy(heap);
	ph_heap_destroy(NULL);
}

START_TEST(test_innocent)
{
	struct death d = death_of(innocent, NULL);

	ck_assert_int_eq(d.signal, 0);
	ck_assert_int_eq(d.status, 0);
	ck_assert_str_eq(d.message, "");
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "death_heap");

	tcase_add_loop_test(tc, test_deed, 0, PH_ARRAY_SIZE(deeds));
	tcase_add_test(tc, test_innocent);
	return suite_run(suite);
}
