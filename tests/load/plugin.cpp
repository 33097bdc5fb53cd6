// plugin.cpp - a shared object that allocates in its constructor, in its destructor, and in the
// destructor of a thread-local object. test_loading.c opens and closes it.
#include <cstdlib>
#include <cstring>

namespace {

void *from_constructor;

struct PerThread {
	void *block = std::malloc(300);

	~PerThread()
	{
		std::free(block);
		void *last = std::malloc(5000);
		if (last != nullptr)
			std::memset(last, 1, 5000);
		std::free(last);
	}
};

thread_local PerThread per_thread;

__attribute__((constructor)) void on_load()
{
	from_constructor = std::malloc(1000);
	if (from_constructor != nullptr)
		std::memset(from_constructor, 2, 1000);
}

__attribute__((destructor)) void on_unload()
{
	std::free(from_constructor);
	std::free(std::malloc(20000));
}

} // namespace

// Result: a block that the caller frees.
extern "C" __attribute__((visibility("default"))) void *plugin_work(std::size_t size)
{
	if (per_thread.block != nullptr)
		std::memset(per_thread.block, 3, 300);
	return std::malloc(size);
}

extern "C" __attribute__((visibility("default"))) void plugin_free(void *block)
{
	std::free(block);
}
