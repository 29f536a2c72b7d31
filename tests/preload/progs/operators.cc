// SPDX-License-Identifier: MIT
//
// Every operator new and delete, what they throw, and who is asked before.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#define check(cond)                                                            \
	((cond) ? (void)0                                                      \
		: (std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__,       \
				__LINE__, #cond),                              \
		   std::_Exit(99)))

static const std::size_t too_large = SIZE_MAX / 2 + 100;

// The compiler may leave out a pair of new and delete; not through these.
static void *volatile sink;

static void *keep(void *p)
{
	sink = p;
	return sink;
}

static bool aligned(void *p, std::size_t align)
{
	return (reinterpret_cast<std::uintptr_t>(p) & (align - 1)) == 0;
}

static void test_plain()
{
	for (std::size_t n = 0; n < 100000; n = n * 2 + 1) {
		void *p = keep(::operator new(n));
		check(p != nullptr && aligned(p, n > 8 ? 16 : 8));
		std::memset(p, 1, n);
		::operator delete(p);
		p = keep(::operator new[](n));
		check(p != nullptr);
		::operator delete[](p);
		p = keep(::operator new(n));
		::operator delete(p, n);
		p = keep(::operator new[](n));
		::operator delete[](p, n);
		p = keep(::operator new(n, std::nothrow));
		check(p != nullptr);
		::operator delete(p, std::nothrow);
		p = keep(::operator new[](n, std::nothrow));
		check(p != nullptr);
		::operator delete[](p, std::nothrow);
	}
	::operator delete(nullptr);
	::operator delete[](nullptr);
	::operator delete(nullptr, std::size_t(8));
}

static void test_aligned()
{
	for (std::size_t a = 1; a <= 1 << 20; a *= 2) {
		std::align_val_t align{a};
		for (std::size_t n : {std::size_t(0), std::size_t(1), a, a + 1,
				      std::size_t(50000)}) {
			void *p = keep(::operator new(n, align));
			check(p != nullptr && aligned(p, a));
			std::memset(p, 1, n);
			::operator delete(p, align);
			p = keep(::operator new[](n, align));
			check(aligned(p, a));
			::operator delete[](p, align);
			p = keep(::operator new(n, align));
			::operator delete(p, n, align);
			p = keep(::operator new[](n, align));
			::operator delete[](p, n, align);
			p = keep(::operator new(n, align, std::nothrow));
			check(p != nullptr && aligned(p, a));
			::operator delete(p, align, std::nothrow);
			p = keep(::operator new[](n, align, std::nothrow));
			check(p != nullptr && aligned(p, a));
			::operator delete[](p, align, std::nothrow);
		}
	}
}

template <class Function> static bool throws_bad_alloc(Function function)
{
	try {
		function();
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

static int handler_calls;

static void count_then_throw()
{
	if (++handler_calls == 3)
		throw std::bad_alloc();
}

static void count_then_give_up()
{
	if (++handler_calls == 2)
		std::set_new_handler(nullptr);
}

static void test_failure()
{
	volatile std::size_t n = too_large;
	std::align_val_t align{64};

	check(throws_bad_alloc([&] { keep(::operator new(n)); }));
	check(throws_bad_alloc([&] { keep(::operator new[](n)); }));
	check(throws_bad_alloc([&] { keep(::operator new(n, align)); }));
	check(throws_bad_alloc([&] { keep(::operator new[](n, align)); }));
	check(::operator new(n, std::nothrow) == nullptr);
	check(::operator new[](n, std::nothrow) == nullptr);
	check(::operator new(n, align, std::nothrow) == nullptr);
	check(::operator new[](n, align, std::nothrow) == nullptr);

	std::set_new_handler(count_then_throw);
	check(throws_bad_alloc([&] { keep(::operator new(n)); }));
	check(handler_calls == 3);
	// nothrow: the handler's exception becomes a null pointer.
	handler_calls = 0;
	check(::operator new(n, std::nothrow) == nullptr);
	check(handler_calls == 3);
	handler_calls = 0;
	check(throws_bad_alloc([&] { keep(::operator new(n, align)); }));
	check(handler_calls == 3);
	handler_calls = 0;
	std::set_new_handler(count_then_give_up);
	check(throws_bad_alloc([&] { keep(::operator new[](n)); }));
	check(handler_calls == 2);
	check(std::get_new_handler() == nullptr);
	std::set_new_handler(nullptr);
	// Still in order afterwards.
	delete[] static_cast<char *>(keep(new char[1000]));
}

struct alignas(128) wide {
	char bytes[300];
};

// Destroyed at the thread's end, after whatever else the thread did.
struct last_words {
	std::vector<std::string> lines;
	~last_words()
	{
		for (int i = 0; i < 100; i++)
			lines.push_back(std::string(200, 'x'));
		lines.clear();
	}
};
static thread_local last_words words;

static void test_library()
{
	std::vector<std::thread> threads;
	for (int t = 0; t < 50; t++)
		threads.emplace_back([] {
			words.lines.push_back("started");
			std::vector<std::unique_ptr<wide>> v;
			for (int i = 0; i < 100; i++) {
				v.emplace_back(new wide);
				check(aligned(v.back().get(), 128));
			}
			std::string s;
			for (int i = 0; i < 1000; i++)
				s += "grows";
			check(s.size() == 5000);
		});
	for (auto &thread : threads)
		thread.join();
	bool caught = false;
	try {
		throw std::string(1000, 'e');
	} catch (const std::string &e) {
		caught = e.size() == 1000;
	}
	check(caught);
}

// Before main, by a static object; destroyed after it.
static std::vector<std::string> early(100, std::string(100, 'e'));

int main()
{
	check(early.size() == 100 && early[99].size() == 100);
	test_plain();
	test_aligned();
	test_failure();
	test_library();
	std::puts("operators: ok");
	return 0;
}
