/* links.h - the first word of a free block: the link by which it leads to the next one of its list.
 *
 * A program that writes to a block after it has freed it, or beyond the end of the block before, writes over the link. So
 * links are encoded: next ^ key, where the key is the process's own and random, but for its three lowest bits, which are those of no
 * aligned address and of no small multiple. What the program has written then decodes to something that is no block
 * of ours: always if it is zero or an aligned pointer, of whatever kind, and nearly always if it is anything else
 * (docs/design/misuse.md has a table). The fast path of malloc finds that out by the test that tells it that
 * the list is empty; whoever else follows a link asks hkm_may_be_block first.
 */
#ifndef HKM_LINKS_H
#define HKM_LINKS_H

#include "span/span.h"

#define HKM_LINK_TAG (uintptr_t)6 /* the key's lowest bits */

/* Any pointer that is none of an aligned one into a slice with metadata cannot be a block. Nor can NULL. */
static inline bool hkm_may_be_block(const void *pointer)
{
	return HKM_LIKELY(!hkm_is_beyond((uintptr_t)pointer - hkm_window_base())) || hkm_is_in_granule(pointer);
}

/* The next block of the list, NULL: the last one; or, if the program has written there, anything. */
static inline struct hkm_block *hkm_next(const struct hkm_block *block)
{
	return (struct hkm_block *)(block->link ^ hkm_window.link_key);
}

static inline void hkm_link(struct hkm_block *block, const struct hkm_block *next)
{
	block->link = (uintptr_t)next ^ hkm_window.link_key;
}

/* What stands in a block that was freed while its heap could not be entered, before `next`; and the other way round (heap/life.c). Such a list has
 * blocks of any layer, and may be older than the key, so the tag alone tells what the program has written. */
static inline uintptr_t hkm_deferred_link(const void *next)
{
	return (uintptr_t)next ^ HKM_LINK_TAG;
}

/* What stands in memory where a link was that leads to `next`: for reports. */
static inline void *hkm_link_text(const struct hkm_block *next)
{
	return (void *)((uintptr_t)next ^ hkm_window.link_key);
}

#endif
