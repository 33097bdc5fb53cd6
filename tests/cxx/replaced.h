/* replaced.h - the functions that a program or a library may define itself, and how often its own are called. */
#ifndef REPLACED_H
#define REPLACED_H

#include <stddef.h>

#define REPLACED_NAMES(X) \
	X(malloc) X(free) X(calloc) X(realloc) X(aligned_alloc) X(memalign) X(posix_memalign) X(valloc) \
	X(malloc_usable_size) \
	X(new) X(new_array) X(new_nothrow) X(new_array_nothrow) X(new_aligned) X(new_array_aligned) \
	X(new_aligned_nothrow) X(new_array_aligned_nothrow) \
	X(delete) X(delete_array) X(delete_sized) X(delete_array_sized) X(delete_nothrow) X(delete_array_nothrow) \
	X(delete_aligned) X(delete_array_aligned) X(delete_sized_aligned) X(delete_array_sized_aligned)

enum replaced {
#define X(name) replaced_##name,
	REPLACED_NAMES(X)
#undef X
	replaced_count
};

#ifdef __cplusplus
extern "C" {
#endif
/* Defined by the program; a library in front of HAKMEM shares it. */
extern unsigned replaced_calls[replaced_count];
#ifdef __cplusplus
}
#endif

#endif
