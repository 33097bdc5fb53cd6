/* plugin.c - a module that is loaded while the program runs, with a call site of its own. */
#include <stdlib.h>

void *plugin_make(size_t size);

void *plugin_make(size_t size)
{
	void *block = malloc(size);

	__asm__ volatile("" : "+r"(block));
	return block;
}
