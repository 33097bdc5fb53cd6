// throwing.cpp - a plug-in in C++ whose operator new finds no memory. test_throwing.c opens it from a program in C.
#include <cstddef>
#include <new>

namespace {

constexpr std::align_val_t alignment{ 64 };
int calls;

void gives_up()
{
	if (++calls == 3)
		std::set_new_handler(nullptr);
}

void throws()
{
	if (++calls == 3)
		throw std::bad_alloc();
}

template <typename Allocate> bool is_refused(Allocate allocate)
{
	try {
		return allocate() == nullptr;
	} catch (const std::bad_alloc &) {
		return true;
	}
}

bool is_refused(int form, std::size_t size)
{
	return is_refused([=]() -> void * {
		switch (form) {
		case 0: return ::operator new(size);
		case 1: return ::operator new[](size);
		case 2: return ::operator new(size, alignment);
		case 3: return ::operator new[](size, alignment);
		case 4: return ::operator new(size, std::nothrow);
		case 5: return ::operator new[](size, std::nothrow);
		case 6: return ::operator new(size, alignment, std::nothrow);
		default: return ::operator new[](size, alignment, std::nothrow);
		}
	});
}

} // namespace

// The number of calls of the new-handler `which` (0: none), for each form that could be refused; -1: one was not.
extern "C" __attribute__((visibility("default"))) int plugin_is_refused(int form, int which, std::size_t size)
{
	calls = 0;
	std::set_new_handler(which == 0 ? nullptr : which == 1 ? gives_up : throws);
	bool refused = is_refused(form, size);
	std::set_new_handler(nullptr);
	return refused ? calls : -1;
}

// Blocks until there is no memory; the number of bytes that there were.
extern "C" __attribute__((visibility("default"))) std::size_t plugin_takes_all(std::size_t size)
{
	struct Link {
		Link *next;
	} *blocks = nullptr;
	std::size_t taken = 0;
	try {
		for (;; taken += size)
			blocks = new (::operator new(size)) Link{ blocks };
	} catch (const std::bad_alloc &) {
	}
	while (blocks != nullptr) {
		Link *next = blocks->next;
		::operator delete(blocks);
		blocks = next;
	}
	return taken;
}
