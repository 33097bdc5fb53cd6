// test_operators.cpp - operator new and delete in all their forms: plain, array, nothrow,
// sized, aligned; std::bad_alloc for absurd sizes; the new_handler; containers on top.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <malloc.h>
#include <sys/resource.h>

extern "C" {
#include "cmocka_tests.h"
#include "support.h"
}

namespace {

constexpr std::size_t sizes[] = { 0, 1, 8, 9, 16, 24, 100, 1000, 1024, 1025, 5000, 32768, 32769,
	300000, 2097151, 2097152, 5000000 };

void check_block(void *block, std::size_t size, std::size_t alignment)
{
	assert_non_null(block);
	assert_true(is_aligned(block, alignment));
	assert_true(malloc_usable_size(block) >= size);
	std::memset(block, 0xa5, size);
}

std::size_t natural_alignment(std::size_t size)
{
	return size <= 8 ? 8 : 16;
}

void every_form(void **)
{
	for (std::size_t size : sizes) {
		std::size_t natural = natural_alignment(size);
		void *block = ::operator new(size);
		check_block(block, size, natural);
		::operator delete(block);

		block = ::operator new[](size);
		check_block(block, size, natural);
		::operator delete[](block);

		block = ::operator new(size);
		check_block(block, size, natural);
		::operator delete(block, size);

		block = ::operator new[](size);
		check_block(block, size, natural);
		::operator delete[](block, size);

		block = ::operator new(size, std::nothrow);
		check_block(block, size, natural);
		::operator delete(block, std::nothrow);

		block = ::operator new[](size, std::nothrow);
		check_block(block, size, natural);
		::operator delete[](block, std::nothrow);
	}
}

void every_delete_takes_nothing(void **)
{
	const std::align_val_t aligned{ 64 };

	::operator delete(nullptr);
	::operator delete[](nullptr);
	::operator delete(nullptr, std::size_t{ 16 });
	::operator delete[](nullptr, std::size_t{ 16 });
	::operator delete(nullptr, std::nothrow);
	::operator delete[](nullptr, std::nothrow);
	::operator delete(nullptr, aligned);
	::operator delete[](nullptr, aligned);
	::operator delete(nullptr, std::size_t{ 16 }, aligned);
	::operator delete[](nullptr, std::size_t{ 16 }, aligned);
	::operator delete(nullptr, aligned, std::nothrow);
	::operator delete[](nullptr, aligned, std::nothrow);
}

void every_aligned_form(void **)
{
	for (std::size_t alignment = 1; alignment <= (std::size_t{ 1 } << 24); alignment *= 4) {
		std::align_val_t promised{ alignment };

		for (std::size_t size : sizes) {
			void *block = ::operator new(size, promised);
			check_block(block, size, alignment);
			::operator delete(block, promised);

			block = ::operator new[](size, promised);
			check_block(block, size, alignment);
			::operator delete[](block, promised);

			block = ::operator new(size, promised);
			check_block(block, size, alignment);
			::operator delete(block, size, promised);

			block = ::operator new[](size, promised);
			check_block(block, size, alignment);
			::operator delete[](block, size, promised);

			block = ::operator new(size, promised, std::nothrow);
			check_block(block, size, alignment);
			::operator delete(block, promised, std::nothrow);

			block = ::operator new[](size, promised, std::nothrow);
			check_block(block, size, alignment);
			::operator delete[](block, promised, std::nothrow);
		}
	}
}

bool throws_bad_alloc(const std::function<void *()> &allocate)
{
	try {
		(void)allocate();
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

void absurd_sizes_throw(void **)
{
	const std::align_val_t aligned{ 4096 };

	for (std::size_t absurd : { std::numeric_limits<std::size_t>::max(),
			 static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) }) {
		std::size_t size = opaque_size(absurd);

		assert_true(throws_bad_alloc([=] { return ::operator new(size); }));
		assert_true(throws_bad_alloc([=] { return ::operator new[](size); }));
		assert_true(throws_bad_alloc([=] { return ::operator new(size, aligned); }));
		assert_true(throws_bad_alloc([=] { return ::operator new[](size, aligned); }));
		assert_null(::operator new(size, std::nothrow));
		assert_null(::operator new[](size, std::nothrow));
		assert_null(::operator new(size, aligned, std::nothrow));
		assert_null(::operator new[](size, aligned, std::nothrow));
	}
}

int handler_calls;

/* Gives up at its third call, by throwing. */
void throwing_handler()
{
	if (++handler_calls == 3)
		throw std::bad_alloc();
}

/* Gives up at its second call, by taking itself away. */
void vanishing_handler()
{
	if (++handler_calls == 2)
		std::set_new_handler(nullptr);
}

void new_handler_is_called(void **)
{
	std::size_t size = opaque_size(std::numeric_limits<std::size_t>::max() / 2);
	const std::align_val_t aligned{ 64 };
	const std::function<void *()> forms[] = {
		[=] { return ::operator new(size); },
		[=] { return ::operator new[](size); },
		[=] { return ::operator new(size, aligned); },
		[=] { return ::operator new[](size, aligned); },
	};
	const std::function<void *()> nothrow_forms[] = {
		[=] { return ::operator new(size, std::nothrow); },
		[=] { return ::operator new[](size, std::nothrow); },
		[=] { return ::operator new(size, aligned, std::nothrow); },
		[=] { return ::operator new[](size, aligned, std::nothrow); },
	};

	for (const auto &form : forms) {
		handler_calls = 0;
		std::set_new_handler(throwing_handler);
		assert_true(throws_bad_alloc(form));
		assert_int_equal(handler_calls, 3);
		handler_calls = 0;
		std::set_new_handler(vanishing_handler);
		assert_true(throws_bad_alloc(form));
		assert_int_equal(handler_calls, 2);
	}
	for (const auto &form : nothrow_forms) {
		handler_calls = 0;
		std::set_new_handler(throwing_handler);
		assert_null(form());
		assert_int_equal(handler_calls, 3);
	}
	std::set_new_handler(nullptr);
}

void *reserve;

/* Gives back what the program keeps for such times; a second time there is nothing left. */
void helping_handler()
{
	handler_calls++;
	require(reserve != nullptr, "the handler's help was no help");
	std::free(reserve);
	reserve = nullptr;
}

/* Uses the address space up, and asks for one block more. */
void allocate_with_help(const void *)
{
	constexpr std::size_t block_bytes = 8 * MIB;
	rlimit limit = {};

	reserve = std::malloc(256 * MIB);
	require(reserve != nullptr, "no reserve");
	limit.rlim_cur = limit.rlim_max = virtual_bytes() + 64 * MIB;
	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
	while (std::malloc(block_bytes) != nullptr)
		;
	std::set_new_handler(helping_handler);
	void *block = ::operator new(block_bytes);
	require(block != nullptr && handler_calls == 1, "the handler was called %d times", handler_calls);
	block = ::operator new(block_bytes, std::nothrow);
	require(block != nullptr && handler_calls == 1, "the handler was called %d times", handler_calls);
}

void new_handler_may_make_room(void **)
{
	handler_calls = 0;
	run_in_child(allocate_with_help, nullptr, 10);
}

struct alignas(128) OverAligned {
	char bytes[200];
};

void containers_and_threads(void **)
{
	auto work = [](unsigned seed) {
		std::map<int, std::string> ordered;
		std::unordered_map<std::string, std::vector<int>> hashed;
		std::vector<std::unique_ptr<OverAligned>> aligned;

		for (int i = 0; i < 3000; i++) {
			std::string name = std::to_string(i * 7919 + static_cast<int>(seed));
			ordered[i] = name + std::string(static_cast<std::size_t>(i % 300), 'x');
			hashed[name].assign(static_cast<std::size_t>(i % 100), i);
			aligned.push_back(std::make_unique<OverAligned>());
			require(is_aligned(aligned.back().get(), 128), "over-aligned type");
			if (i % 3 == 0)
				ordered.erase(i / 2);
		}
		for (const auto &[key, value] : hashed)
			for (int number : value)
				require(std::to_string(number * 7919 + static_cast<int>(seed)) == key,
					"content of %s", key.c_str());
	};
	std::vector<std::thread> threads;

	for (unsigned i = 0; i < 4; i++)
		threads.emplace_back(work, i);
	for (auto &thread : threads)
		thread.join();
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form),
		cmocka_unit_test(every_aligned_form),
		cmocka_unit_test(every_delete_takes_nothing),
		cmocka_unit_test(absurd_sizes_throw),
		cmocka_unit_test(new_handler_is_called),
		cmocka_unit_test(new_handler_may_make_room),
		cmocka_unit_test(containers_and_threads),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
