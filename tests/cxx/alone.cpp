// alone.cpp - nothing in this program throws but operator new: a static link takes no more of the C++ runtime than is asked
// for by name.
#include <new>

int main(int count, char **)
{
	try {
		char *volatile block = new char[(static_cast<std::size_t>(1) << 61) + static_cast<std::size_t>(count)];
		return block != nullptr ? 1 : 2;
	} catch (const std::bad_alloc &) {
		return 0;
	}
}
