/* huge.h - which of L2's mappings ask for huge pages.
 *
 * A page that is touched for the first time costs about a third of it as a part of a huge page, if the program uses the
 * whole of that, and if the kernel has one at hand. Both are looked at:
 *   use     when a big block is freed: are its last quarter's pages resident? The last three must have been
 *   price   when a mapping has asked: its first huge page is populated, and the time taken. Two in a row that
 *           were dear (the kernel had to compact memory) make the next mappings go without
 * From policy->thp_threshold on, mappings ask in any case.
 *
 * All functions are for any thread; what they remember is advice. Included by big.c only.
 */
#ifndef HKM_HUGE_H
#define HKM_HUGE_H

#include "policy/policy.h"

#define HKM_HUGE_PAGE ((size_t)2 << 20)

/* Whether a mapping of `size` bytes that is about to be made is to ask. */
bool hkm_huge_is_wanted(const struct hkm_policy *policy, size_t size);

/* Asks for huge pages in a fresh mapping, at a multiple of HKM_HUGE_PAGE, that hkm_huge_is_wanted named. */
void hkm_huge_ask(const struct hkm_policy *policy, void *start, size_t size);

/* Notes how a block that is being freed was used. */
void hkm_huge_note_use(const struct hkm_policy *policy, const void *start, size_t size);

#endif
