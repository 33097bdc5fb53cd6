/* test_symbols.c - the preloaded library provides the whole family of malloc and all C++
 * operators: every name resolves to the object that provides malloc, and not to the C library.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <dlfcn.h>
#include <string.h>

static const char *const names[] = {
	"malloc", "calloc", "realloc", "reallocarray", "free", "free_sized", "free_aligned_sized",
	"aligned_alloc", "memalign", "posix_memalign", "valloc", "pvalloc", "malloc_usable_size",
	"malloc_trim", "malloc_stats", "malloc_info", "mallinfo", "mallinfo2", "mallopt",
	/* operator new and new[]: plain, aligned, nothrow */
	"_Znwm", "_Znam", "_ZnwmSt11align_val_t", "_ZnamSt11align_val_t", "_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t",
	"_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnamSt11align_val_tRKSt9nothrow_t",
	/* operator delete and delete[]: plain, sized, nothrow, aligned, aligned sized and nothrow */
	"_ZdlPv", "_ZdaPv", "_ZdlPvm", "_ZdaPvm", "_ZdlPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t",
	"_ZdlPvSt11align_val_t", "_ZdaPvSt11align_val_t", "_ZdlPvmSt11align_val_t",
	"_ZdaPvmSt11align_val_t", "_ZdlPvSt11align_val_tRKSt9nothrow_t",
	"_ZdaPvSt11align_val_tRKSt9nothrow_t",
	/* the hkm_ family */
	"hkm_malloc", "hkm_calloc", "hkm_realloc", "hkm_reallocarray", "hkm_free", "hkm_free_sized",
	"hkm_free_aligned_sized", "hkm_aligned_alloc", "hkm_memalign", "hkm_posix_memalign",
	"hkm_valloc", "hkm_pvalloc", "hkm_malloc_usable_size", "hkm_malloc_trim", "hkm_mallopt",
	"hkm_mallinfo2", "hkm_malloc_stats", "hkm_stats_json", "hkm_version",
	"hkm_policy_get", "hkm_policy_publish"
};

static void all_names_are_provided(void **state)
{
	Dl_info provider;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		void *address = dlsym(RTLD_DEFAULT, names[i]);

		if (address == NULL)
			fail_msg("%s is not provided", names[i]);
		assert_true(dladdr(address, &provider) != 0);
		if (strstr(provider.dli_fname, "libhakmem") == NULL)
			fail_msg("%s comes from %s", names[i], provider.dli_fname);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_names_are_provided) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
