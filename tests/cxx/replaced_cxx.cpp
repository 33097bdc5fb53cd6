// replaced_cxx.cpp - one form of operator new or delete, as a program or a preloaded library defines it.
//
// Compiled once per form, with REPLACE_<name>; it counts its calls.
//   by default    calls malloc, aligned_alloc and free
//   -DTAGGED      puts a head before the block, so that a block or a pointer that went another way ends the program
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "replaced.h"

#define COUNT(name) __atomic_fetch_add(&replaced_calls[replaced_##name], 1, __ATOMIC_RELAXED)

namespace {

#ifdef TAGGED
struct Head {
	void *start;
	std::uintptr_t tag;
};

[[maybe_unused]] void *allocate(std::size_t size, std::size_t alignment = 16)
{
	if (size > PTRDIFF_MAX - 2 * alignment)
		return nullptr;
	void *start = std::malloc(size + 2 * alignment);
	if (start == nullptr)
		return nullptr;
	auto block = reinterpret_cast<char *>((reinterpret_cast<std::uintptr_t>(start) / alignment + 2) * alignment);
	if (block - static_cast<char *>(start) < static_cast<std::ptrdiff_t>(sizeof(Head)))
		std::abort();
	auto head = reinterpret_cast<Head *>(block) - 1;
	*head = { start, reinterpret_cast<std::uintptr_t>(block) ^ 0x7a6u };
	return block;
}

[[maybe_unused]] void release(void *pointer)
{
	if (pointer == nullptr)
		return;
	auto head = static_cast<Head *>(pointer) - 1;
	if (head->tag != (reinterpret_cast<std::uintptr_t>(pointer) ^ 0x7a6u)) {
		std::fprintf(stderr, "a block that the replaced operator new did not hand out\n");
		std::abort();
	}
	head->tag = 0;
	std::free(head->start);
}
#else
[[maybe_unused]] void *allocate(std::size_t size)
{
	return std::malloc(size);
}

[[maybe_unused]] void *allocate(std::size_t size, std::size_t alignment)
{
	return size > PTRDIFF_MAX ? nullptr : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

[[maybe_unused]] void release(void *pointer)
{
	std::free(pointer);
}
#endif

[[maybe_unused]] void *or_throw(void *block)
{
	return block != nullptr ? block : throw std::bad_alloc();
}

} // namespace

using std::align_val_t;
using std::nothrow_t;
using std::size_t;

#ifdef REPLACE_new
void *operator new(size_t size) { return COUNT(new), or_throw(allocate(size)); }
#endif
#ifdef REPLACE_new_array
void *operator new[](size_t size) { return COUNT(new_array), or_throw(allocate(size)); }
#endif
#ifdef REPLACE_new_nothrow
void *operator new(size_t size, const nothrow_t &) noexcept { return COUNT(new_nothrow), allocate(size); }
#endif
#ifdef REPLACE_new_array_nothrow
void *operator new[](size_t size, const nothrow_t &) noexcept { return COUNT(new_array_nothrow), allocate(size); }
#endif
#ifdef REPLACE_new_aligned
void *operator new(size_t size, align_val_t a) { return COUNT(new_aligned), or_throw(allocate(size, size_t(a))); }
#endif
#ifdef REPLACE_new_array_aligned
void *operator new[](size_t size, align_val_t a) { return COUNT(new_array_aligned), or_throw(allocate(size, size_t(a))); }
#endif
#ifdef REPLACE_new_aligned_nothrow
void *operator new(size_t size, align_val_t a, const nothrow_t &) noexcept
{
	return COUNT(new_aligned_nothrow), allocate(size, size_t(a));
}
#endif
#ifdef REPLACE_new_array_aligned_nothrow
void *operator new[](size_t size, align_val_t a, const nothrow_t &) noexcept
{
	return COUNT(new_array_aligned_nothrow), allocate(size, size_t(a));
}
#endif
#ifdef REPLACE_delete
void operator delete(void *block) noexcept { COUNT(delete), release(block); }
#endif
#ifdef REPLACE_delete_array
void operator delete[](void *block) noexcept { COUNT(delete_array), release(block); }
#endif
#ifdef REPLACE_delete_sized
void operator delete(void *block, size_t) noexcept { COUNT(delete_sized), release(block); }
#endif
#ifdef REPLACE_delete_array_sized
void operator delete[](void *block, size_t) noexcept { COUNT(delete_array_sized), release(block); }
#endif
#ifdef REPLACE_delete_nothrow
void operator delete(void *block, const nothrow_t &) noexcept { COUNT(delete_nothrow), release(block); }
#endif
#ifdef REPLACE_delete_array_nothrow
void operator delete[](void *block, const nothrow_t &) noexcept { COUNT(delete_array_nothrow), release(block); }
#endif
#ifdef REPLACE_delete_aligned
void operator delete(void *block, align_val_t) noexcept { COUNT(delete_aligned), release(block); }
#endif
#ifdef REPLACE_delete_array_aligned
void operator delete[](void *block, align_val_t) noexcept { COUNT(delete_array_aligned), release(block); }
#endif
#ifdef REPLACE_delete_sized_aligned
void operator delete(void *block, size_t, align_val_t) noexcept { COUNT(delete_sized_aligned), release(block); }
#endif
#ifdef REPLACE_delete_array_sized_aligned
void operator delete[](void *block, size_t, align_val_t) noexcept { COUNT(delete_array_sized_aligned), release(block); }
#endif
