/* huge.c - see huge.h. */
#include "big/huge.h"

#include "os/os.h"

#define RECENT 7u               /* mask of the three newest blocks */
#define DEAR_NS 1000000u        /* for a huge page: more than its 512 pages cost one by one */
#define PAUSE 32u               /* mappings that go without after two in a row that were dear */

/* A bit per block freed, the newest lowest: was it used to its end? Any thread writes; relaxed, and not as one
 * operation, as a bit that is lost does no harm. */
static _Atomic uint32_t history;

/* Whether the last huge page was dear, and how many mappings still go without; likewise. */
static _Atomic bool was_dear;
static _Atomic uint32_t pause;

static bool is_used_from(const struct hkm_policy *policy, size_t size)
{
	return policy->thp_used_threshold != 0 && size >= policy->thp_used_threshold;
}

bool hkm_huge_is_wanted(const struct hkm_policy *policy, size_t size)
{
	if (policy->thp_threshold != 0 && size >= policy->thp_threshold)
		return true;
	if (!is_used_from(policy, size) || (atomic_load_explicit(&history, memory_order_relaxed) & RECENT) != RECENT)
		return false;
	uint32_t left = atomic_load_explicit(&pause, memory_order_relaxed);
	if (left > 0)
		atomic_store_explicit(&pause, left - 1, memory_order_relaxed);
	return left == 0;
}

void hkm_huge_ask(const struct hkm_policy *policy, void *start, size_t size)
{
	hkm_os_huge_pages(start, size, true);
	if (!is_used_from(policy, size) || size < HKM_HUGE_PAGE)
		return;
	uint64_t before = hkm_os_thread_ns();
	bool dear = hkm_os_populate(start, HKM_HUGE_PAGE) && hkm_os_thread_ns() - before > DEAR_NS;
	if (dear && atomic_load_explicit(&was_dear, memory_order_relaxed))
		atomic_store_explicit(&pause, PAUSE, memory_order_relaxed);
	atomic_store_explicit(&was_dear, dear, memory_order_relaxed);
}

void hkm_huge_note_use(const struct hkm_policy *policy, const void *start, size_t size)
{
	if (!is_used_from(policy, size))
		return;
	size_t page = hkm_os_page_size();
	const char *end = (const char *)start + size;
	const char *late = end - ((size / 4) & ~(page - 1));
	uint32_t used = hkm_os_is_resident(late) && hkm_os_is_resident(end - page);
	uint32_t bits = atomic_load_explicit(&history, memory_order_relaxed);
	atomic_store_explicit(&history, bits << 1 | used, memory_order_relaxed);
}
