// replaced_main.cpp - uses every function of the interface, and prints which of the functions that the program or a
// library defines itself each use has called. test_replaced.py links it with some of those, and compares what it prints on
// the system's malloc and on HAKMEM.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include <malloc.h>
#include <unistd.h>

#include "replaced.h"

extern "C" {
__attribute__((visibility("default"))) unsigned replaced_calls[replaced_count];
void *reallocarray(void *, std::size_t, std::size_t) noexcept;
}

namespace {

using std::align_val_t;
using std::nothrow;
using std::size_t;

constexpr size_t sizes[] = { 1, 24, 1000, 5000, 100000, 3000000 };
const char *const names[] = {
#define X(name) #name,
	REPLACED_NAMES(X)
#undef X
};

char text[65536];
size_t length;

// No uses of malloc between: all is written into `text`.
template <typename Use> void use(const char *what, Use body)
{
	unsigned before[replaced_count];
	std::memcpy(before, replaced_calls, sizeof before);
	body();
	length += static_cast<size_t>(std::snprintf(text + length, sizeof text - length, "%s:", what));
	for (int i = 0; i < replaced_count; i++)
		if (replaced_calls[i] != before[i])
			length += static_cast<size_t>(std::snprintf(text + length, sizeof text - length, " %s %u", names[i],
								     replaced_calls[i] - before[i]));
	length += static_cast<size_t>(std::snprintf(text + length, sizeof text - length, "\n"));
}

// The compiler may leave out pairs of operator new and delete.
void *volatile opaque;

void *filled(void *block, size_t size)
{
	if (block == nullptr)
		std::abort();
	std::memset(block, 0x5a, size);
	opaque = block;
	return opaque;
}

template <typename Allocate, typename Release> void pair(const char *what, Allocate allocate, Release release)
{
	use(what, [&] {
		for (size_t size : sizes)
			release(filled(allocate(size), size), size);
	});
}

void use_c()
{
	auto release = [](void *block, size_t) { std::free(block); };
	pair("malloc", [](size_t size) { return std::malloc(size); }, release);
	pair("calloc", [](size_t size) { return std::calloc(size, 2); }, release);
	pair("realloc", [](size_t size) { return std::realloc(nullptr, size); }, release);
	pair("grow", [](size_t size) { return std::realloc(filled(std::malloc(size), size), 3 * size); }, release);
	pair("reallocarray", [](size_t size) { return reallocarray(filled(std::malloc(9), 9), size, 3); }, release);
	pair("aligned_alloc", [](size_t size) { return aligned_alloc(64, (size + 63) / 64 * 64); }, release);
	pair("memalign", [](size_t size) { return memalign(256, size); }, release);
	pair("valloc", [](size_t size) { return valloc(size); }, release);
	pair("pvalloc", [](size_t size) { return pvalloc(size); }, release);
	pair("posix_memalign", [](size_t size) {
		void *block = nullptr;
		return posix_memalign(&block, 128, size) == 0 ? block : nullptr;
	}, release);
	use("strdup", [] { std::free(filled(strdup("the C library allocates"), 10)); });
	use("asprintf", [] {
		char *line = nullptr;
		if (asprintf(&line, "%0300d", 7) != 300)
			std::abort();
		std::free(line);
	});
	use("open_memstream", [] {
		char *line = nullptr;
		size_t size = 0;
		FILE *stream = open_memstream(&line, &size);
		for (int i = 0; i < 3000; i++)
			std::fputs("it grows by realloc", stream);
		std::fclose(stream);
		std::free(line);
	});
	use("malloc_usable_size", [] {
		void *block = std::malloc(50);
		if (malloc_usable_size(block) < 50)
			std::abort();
		std::free(block);
	});
	use("free nothing", [] { std::free(nullptr); });
}

void use_plain()
{
	auto one = [](void *block, size_t) { ::operator delete(block); };
	auto sized = [](void *block, size_t size) { ::operator delete(block, size); };
	auto quiet = [](void *block, size_t) { ::operator delete(block, nothrow); };
	auto allocate = [](size_t size) { return ::operator new(size); };
	pair("new, delete", allocate, one);
	pair("new, sized delete", allocate, sized);
	pair("new, nothrow delete", allocate, quiet);
	pair("nothrow new, delete", [](size_t size) { return ::operator new(size, nothrow); }, one);

	auto array_one = [](void *block, size_t) { ::operator delete[](block); };
	auto array_sized = [](void *block, size_t size) { ::operator delete[](block, size); };
	auto array_quiet = [](void *block, size_t) { ::operator delete[](block, nothrow); };
	auto array_allocate = [](size_t size) { return ::operator new[](size); };
	pair("new[], delete[]", array_allocate, array_one);
	pair("new[], sized delete[]", array_allocate, array_sized);
	pair("new[], nothrow delete[]", array_allocate, array_quiet);
	pair("nothrow new[], delete[]", [](size_t size) { return ::operator new[](size, nothrow); }, array_one);
	use("delete nothing", [] {
		::operator delete(nullptr);
		::operator delete(nullptr, size_t{ 8 });
		::operator delete[](nullptr);
	});
	use("string, vector", [] {
		std::string line(5000, 'x');
		std::vector<std::string> lines(20, line);
		lines.push_back(line + line);
		opaque = &lines;
	});
}

void use_aligned()
{
	constexpr align_val_t a{ 128 };
	auto one = [](void *block, size_t) { ::operator delete(block, a); };
	auto sized = [](void *block, size_t size) { ::operator delete(block, size, a); };
	auto quiet = [](void *block, size_t) { ::operator delete(block, a, nothrow); };
	auto allocate = [](size_t size) { return ::operator new(size, a); };
	pair("aligned new, delete", allocate, one);
	pair("aligned new, sized delete", allocate, sized);
	pair("aligned new, nothrow delete", allocate, quiet);
	pair("aligned nothrow new, delete", [](size_t size) { return ::operator new(size, a, nothrow); }, one);

	auto array_one = [](void *block, size_t) { ::operator delete[](block, a); };
	auto array_sized = [](void *block, size_t size) { ::operator delete[](block, size, a); };
	auto array_quiet = [](void *block, size_t) { ::operator delete[](block, a, nothrow); };
	auto array_allocate = [](size_t size) { return ::operator new[](size, a); };
	pair("aligned new[], delete[]", array_allocate, array_one);
	pair("aligned new[], sized delete[]", array_allocate, array_sized);
	pair("aligned new[], nothrow delete[]", array_allocate, array_quiet);
	pair("aligned nothrow new[], delete[]", [](size_t size) { return ::operator new[](size, a, nothrow); }, array_one);
}

template <typename Allocate> void failing(const char *what, bool throws, Allocate allocate)
{
	use(what, [&] {
		bool thrown = false;
		try {
			opaque = allocate(size_t{ 1 } << 61);
			if (opaque != nullptr)
				std::abort();
		} catch (const std::bad_alloc &) {
			thrown = true;
		}
		if (thrown != throws)
			std::abort();
	});
}

void use_without_memory()
{
	constexpr align_val_t a{ 128 };
	failing("new fails", true, [](size_t size) { return ::operator new(size); });
	failing("new[] fails", true, [](size_t size) { return ::operator new[](size); });
	failing("aligned new fails", true, [](size_t size) { return ::operator new(size, a); });
	failing("aligned new[] fails", true, [](size_t size) { return ::operator new[](size, a); });
	failing("nothrow new fails", false, [](size_t size) { return ::operator new(size, nothrow); });
	failing("nothrow new[] fails", false, [](size_t size) { return ::operator new[](size, nothrow); });
	failing("aligned nothrow new fails", false, [](size_t size) { return ::operator new(size, a, nothrow); });
	failing("aligned nothrow new[] fails", false, [](size_t size) { return ::operator new[](size, a, nothrow); });
}

} // namespace

// "c", "plain", "aligned", "fail": what to use.
int main(int argument_count, char **arguments)
{
#ifdef TAKE_ADDRESSES
	void *(*volatile allocate)(size_t) = std::malloc;
	void (*volatile release)(void *) = std::free;
	release(allocate(1));
#endif
	// The dynamic linker may allocate at the first search for the runtime's form.
	::operator delete(::operator new(1, nothrow), nothrow);
	for (int i = 1; i < argument_count; i++) {
		if (std::strcmp(arguments[i], "c") == 0)
			use_c();
		else if (std::strcmp(arguments[i], "plain") == 0)
			use_plain();
		else if (std::strcmp(arguments[i], "aligned") == 0)
			use_aligned();
		else
			use_without_memory();
	}
	return write(STDOUT_FILENO, text, length) == static_cast<ssize_t>(length) ? 0 : 1;
}
