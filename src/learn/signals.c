/* signals.c - see signals.h. */
#include "learn/signals.h"

#include <string.h>

#include "ace/ace.h"
#include "big/big.h"
#include "core/meta.h"
#include "os/os.h"

#define MIB 1048576.0

/* ---- Collecting --------------------------------------------------------------------------------------- */

/* Blocks on the hot list of a class; see "Hot lists" in tiny/tiny.c. */
HKM_RACY static int32_t hot_length(const struct hkm_heap *heap, unsigned class)
{
	const struct hkm_bin *bin = &heap->bins[class];
	int32_t room = bin->room;
	return heap->tiny[class].granted - (int32_t)bin->taken - (room > 0 ? room : 0);
}

HKM_RACY static void collect_tiny(const struct hkm_heap *heap, struct hkm_collection *collection)
{
	struct hkm_totals *totals = &collection->totals;
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		const struct hkm_tiny *tiny = &heap->tiny[class];
		const struct hkm_tiny_counters *counters = &heap->tiny_counters[class];
		totals->tiny_allocations += hkm_counted(&counters->allocations);
		totals->tiny_refills += hkm_counted(&counters->refills);
		totals->class_allocations[class] += hkm_counted(&counters->allocations);
		totals->class_refills[class] += hkm_counted(&counters->refills);
		if (hkm_counted(&counters->slabs) == 0)
			continue;
		collection->tiny_live += ((int64_t)tiny->in_use - hot_length(heap, class)) * hkm_tiny_size(class);
	}
}

HKM_RACY static void collect_caches(const struct hkm_heap *heap, struct hkm_totals *totals)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		const struct hkm_cache *cache = &heap->caches[class];
		totals->hits[class] += hkm_counted(&cache->hits);
		totals->misses[class] += hkm_counted(&cache->misses);
		totals->ghost_hits[class] += hkm_counted(&heap->meter.ghost_hits[class]);
		totals->cached += (uint64_t)cache->count * cache->block_size;
	}
}

HKM_RACY static void collect_demand(const struct hkm_meter *meter, struct hkm_totals *totals)
{
	for (unsigned bucket = 0; bucket < HKM_DEMAND_BUCKETS; bucket++) {
		uint16_t largest = meter->largest[bucket];
		totals->demand[bucket] += meter->demand[bucket];
		if (largest > totals->largest[bucket])
			totals->largest[bucket] = largest;
	}
}

/* Blocks that wait for a message to be full. */
HKM_RACY static void collect_outboxes(const struct hkm_heap *heap, struct hkm_totals *totals)
{
	uint64_t quarter_bytes = heap->remote_bytes / 4, quarter_blocks = heap->remote_blocks / 4;
	for (unsigned i = 0; i < HKM_OUTBOXES; i++) {
		uint64_t bytes = heap->outboxes[i].bytes, blocks = heap->outboxes[i].blocks;
		if (bytes == 0 || blocks == 0)
			continue;
		totals->outboxed += bytes;
		/* A message is full by the one or the other. */
		uint64_t within = hkm_min(quarter_bytes, bytes / blocks * quarter_blocks);
		totals->outboxed_beyond += bytes - hkm_min(bytes, within);
	}
}

HKM_RACY static void collect_pools(struct hkm_totals *totals)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		struct hkm_pool_kept kept = hkm_pool_kept(class);
		totals->pool_hits[class] = kept.hits;
		totals->pool_ghosts[class] = kept.ghost_hits;
		totals->pool_surplus[class] = kept.surplus;
	}
}

/* The last slow paths of a heap. Some may have been seen in the collection before: a heap that is seldom in one says
 * the same again, which is right for what quantiles of recent ones are asked for. */
HKM_RACY static void collect_samples(const struct hkm_meter *meter, struct hkm_collection *collection)
{
	uint64_t written = hkm_counted(&meter->timed);
	for (unsigned i = 0; i < HKM_METER_RECENT && i < written && collection->sample_count < HKM_SAMPLES; i++)
		collection->samples[collection->sample_count++] = meter->recent[i];
}

HKM_RACY static void collect_heap(const struct hkm_heap *heap, struct hkm_collection *collection)
{
	struct hkm_totals *totals = &collection->totals;
	totals->heaps++;
	totals->threads += !atomic_load_explicit(&heap->abandoned, memory_order_relaxed);
	totals->slow_entries += hkm_counted(&heap->meter.entries);
	totals->slow_cycles += hkm_counted(&heap->meter.cycles);
	totals->exact_entries += hkm_counted(&heap->meter.exact);
	totals->exact_ns += hkm_counted(&heap->meter.exact_ns);
	totals->spans_timed += hkm_counted(&heap->meter.spans.count);
	totals->span_cycles += hkm_counted(&heap->meter.spans.cycles);
	totals->messages_timed += hkm_counted(&heap->meter.messages.count);
	totals->message_cycles += hkm_counted(&heap->meter.messages.cycles);
	totals->remote_messages += hkm_counted(&heap->counters.remote_messages);
	totals->remote_sent += hkm_counted(&heap->counters.remote_sent);
	totals->remote_full += hkm_counted(&heap->counters.remote_full);
	totals->remote_full_blocks += hkm_counted(&heap->counters.remote_full_blocks);
	totals->remote_spared += hkm_counted(&heap->counters.remote_spared);
	totals->empty_slabs += heap->empty_slabs * HKM_SLICE_SIZE;
	collect_tiny(heap, collection);
	collect_caches(heap, totals);
	collect_outboxes(heap, totals);
	collect_demand(&heap->meter, totals);
	collect_samples(&heap->meter, collection);
}

/* What is counted for the whole process. */
static void collect_process(struct hkm_collection *collection)
{
	struct hkm_totals *totals = &collection->totals;
	struct hkm_big_stats big;
	struct hkm_span_stats spans;
	struct hkm_pool_bytes out = hkm_pool_out();
	collect_pools(totals);
	hkm_big_stats(&big);
	hkm_span_stats(&spans);
	totals->big_hits = big.hits;
	totals->big_misses = big.misses;
	totals->big_remaps = big.remaps;
	totals->big_purged = big.purged_bytes;
	totals->huge = big.huge_bytes;
	totals->probed = big.probed_bytes;
	totals->probe_ns = big.probe_ns;
	totals->big_cached = big.cached_bytes;
	totals->big_live = big.live_bytes;
	totals->span_purged = spans.purged;
	totals->aged = hkm_counted(&hkm_span_aged.given) + hkm_counted(&hkm_big_aged.given);
	totals->again = hkm_counted(&hkm_span_aged.again) + hkm_counted(&hkm_big_aged.again);
	totals->fresh = spans.fresh;
	totals->exact_ns += spans.populate_ns;
	totals->late = hkm_counted(&hkm_span_aged.late) + hkm_counted(&hkm_big_aged.late);
	totals->dirty_reused = hkm_counted(&hkm_span_aged.reused);
	totals->big_reused = hkm_counted(&hkm_big_aged.reused);
	totals->dirty_again = hkm_counted(&hkm_span_surplus.again);
	totals->big_again = hkm_counted(&hkm_big_surplus.again);
	totals->dirty = spans.dirty_slices * HKM_SLICE_SIZE;
	for (unsigned i = 0; i < 2; i++)
		totals->dynamic_size[i] = hkm_pool_block_size(HKM_DYN1 + i);
	totals->mid_out = out.mid;
	totals->large_out = out.large;
	struct hkm_os_usage usage;
	hkm_os_work(&usage);
	totals->page_faults = usage.page_faults;
	totals->processor_ns = usage.processor_ns;
	/* Slices that are neither free nor a slab's are L1's, so all that is mapped and not free is held. */
	totals->held = spans.mapped - hkm_min(spans.mapped, spans.free_slices * HKM_SLICE_SIZE) + totals->dirty +
		       big.live_bytes + big.cached_bytes + hkm_meta_held();
	uint64_t out_bytes = out.mid + out.large;
	collection->tiny_live -= (int64_t)totals->outboxed;
	totals->live = (uint64_t)(collection->tiny_live > 0 ? collection->tiny_live : 0) + out_bytes -
		       hkm_min(out_bytes, totals->cached) + big.live_bytes;
}

void hkm_collect_begin(struct hkm_collection *collection)
{
	memset(collection, 0, sizeof *collection);
	collection->heap = hkm_heap_first();
}

bool hkm_collect(struct hkm_collection *collection, uint64_t now_ms)
{
	for (unsigned i = 0; i < HKM_HEAPS_A_SLICE && collection->heap != NULL; i++) {
		collect_heap(collection->heap, collection);
		collection->heap = collection->heap->next_heap;
	}
	if (collection->heap != NULL)
		return false;
	collect_process(collection);
	collection->totals.now_ms = now_ms;
	collection->totals.now_ns = hkm_os_now_ns();
	collection->totals.cycles = hkm_cycles();
	return true;
}

/* ---- Windows -------------------------------------------------------------------------------------------- */

#define FAULT_PAGES 16u
#define FAULT_BATCH 4u

double hkm_measure_fault_ns(void)
{
	size_t page_size = hkm_os_page_size();
	char *pages = hkm_os_map(FAULT_PAGES * page_size);
	if (pages == NULL)
		return 0;
	uint64_t least = UINT64_MAX; /* of some pages in a row: a longer time was an interruption */
	for (size_t i = 0; i < FAULT_PAGES; i += FAULT_BATCH) {
		uint64_t start = hkm_os_now_ns();
		for (size_t k = i; k < i + FAULT_BATCH; k++)
			*(volatile char *)(pages + k * page_size) = 1;
		least = hkm_min(least, hkm_os_now_ns() - start);
	}
	hkm_os_unmap(pages, FAULT_PAGES * page_size, false);
	return (double)least / FAULT_BATCH;
}

double hkm_demand_waste(const uint32_t *demand, const uint16_t *largest, const uint32_t dynamic_size[2])
{
	double bytes = 0, waste = 0;
	for (unsigned bucket = 0; bucket < HKM_DEMAND_BUCKETS; bucket++) {
		size_t size = largest[bucket];
		if (demand[bucket] == 0 || size <= HKM_TINY_MAX)
			continue;
		size_t block = hkm_ace_static_size(hkm_ace_class(size));
		for (unsigned i = 0; i < 2; i++)
			if (dynamic_size[i] >= size && dynamic_size[i] < block)
				block = dynamic_size[i];
		bytes += (double)demand[bucket] * (double)block;
		waste += (double)demand[bucket] * (double)(block - size);
	}
	return bytes > 0 ? waste / bytes : 0;
}

double hkm_lambda(unsigned goal)
{
	/* Nanoseconds per allocation and MiB. 100 MiB of idle memory are worth 2, 20 or 200 ns an allocation: less than
	 * a slow path, about one, about ten. */
	static const double lambdas[] = { 0.02, 0.2, 2.0 };
	return lambdas[goal < 3 ? goal : 1];
}

/* Those that are double. */
#define PERIOD_FIELDS ((offsetof(struct hkm_period, totals) - offsetof(struct hkm_period, length_ms)) / sizeof(double))

static double difference(uint64_t before, uint64_t after)
{
	return after > before ? (double)(after - before) : 0;
}

static void count_classes(const struct hkm_totals *before, const struct hkm_totals *after, struct hkm_period *window)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		window->hits[class] = difference(before->hits[class], after->hits[class]);
		window->misses[class] = difference(before->misses[class], after->misses[class]);
		window->ghost_hits[class] = difference(before->ghost_hits[class], after->ghost_hits[class]);
		window->pool_hits[class] = difference(before->pool_hits[class], after->pool_hits[class]);
		window->pool_ghosts[class] = difference(before->pool_ghosts[class], after->pool_ghosts[class]);
		window->pool_surplus[class] = (double)after->pool_surplus[class];
		double requests = window->hits[class] + window->misses[class];
		if (hkm_ace_is_large(class))
			window->large_requests += requests;
		else
			window->mid_requests += requests;
	}
	window->tiny_requests = difference(before->tiny_allocations, after->tiny_allocations);
	window->big_misses = difference(before->big_misses, after->big_misses);
	window->big_requests = difference(before->big_hits, after->big_hits) + window->big_misses;
	window->operations = window->tiny_requests + window->mid_requests + window->large_requests + window->big_requests;
}

static void count_time(const struct hkm_totals *before, const struct hkm_totals *after, const struct hkm_scale *scale,
		       struct hkm_period *window)
{
	double slow = difference(before->slow_cycles, after->slow_cycles) * scale->ns_per_cycle;
	double entries = difference(before->slow_entries, after->slow_entries) -
			 difference(before->exact_entries, after->exact_entries);
	window->length_ms = difference(before->now_ns, after->now_ns) / 1e6;
	window->faults = difference(before->page_faults, after->page_faults);
	window->fault_ns = scale->fault_ns;
	window->processor_ns = difference(before->processor_ns, after->processor_ns);
	window->entry_ns = entries > 0 ? slow / entries : 0;
	window->slow_ns = slow + difference(before->exact_ns, after->exact_ns) + window->faults * scale->fault_ns;
	window->spans_timed = difference(before->spans_timed, after->spans_timed);
	window->span_ns = difference(before->span_cycles, after->span_cycles) * scale->ns_per_cycle;
	window->messages_timed = difference(before->messages_timed, after->messages_timed);
	window->message_ns = difference(before->message_cycles, after->message_cycles) * scale->ns_per_cycle;
	/* The system counts a fault of a huge page as one, whatever it costs. */
	double unseen = difference(before->huge, after->huge) - difference(before->probed, after->probed);
	if (unseen > 0 && after->probed > 0)
		window->slow_ns += unseen * (double)after->probe_ns / (double)after->probed;
}

void hkm_period_between(const struct hkm_totals *before, const struct hkm_totals *after, const struct hkm_scale *scale,
			double lambda, struct hkm_period *window)
{
	memset(window, 0, sizeof *window);
	window->totals = *after;
	window->now_ms = after->now_ms;
	window->lambda = lambda;
	count_classes(before, after, window);
	count_time(before, after, scale, window);
	window->refills = difference(before->tiny_refills, after->tiny_refills);
	window->remote_messages = difference(before->remote_messages, after->remote_messages);
	window->remote_sent = difference(before->remote_sent, after->remote_sent);
	window->remote_full = difference(before->remote_full, after->remote_full);
	window->remote_full_blocks = difference(before->remote_full_blocks, after->remote_full_blocks);
	window->remote_spared = difference(before->remote_spared, after->remote_spared);
	window->outboxed = (double)after->outboxed;
	window->outboxed_beyond = (double)after->outboxed_beyond;
	window->purged = difference(before->span_purged + before->big_purged, after->span_purged + after->big_purged);
	window->dirty = (double)after->dirty;
	window->big_cached = (double)after->big_cached;
	window->cached = (double)after->cached;
	window->empty_slabs = (double)after->empty_slabs;
	window->aged = difference(before->aged, after->aged);
	window->again = difference(before->again, after->again);
	window->fresh = difference(before->fresh, after->fresh);
	window->late = difference(before->late, after->late);
	window->dirty_reused = difference(before->dirty_reused, after->dirty_reused);
	window->big_reused = difference(before->big_reused, after->big_reused);
	window->dirty_again = difference(before->dirty_again, after->dirty_again);
	window->big_again = difference(before->big_again, after->big_again);
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		window->class_allocations[class] = difference(before->class_allocations[class], after->class_allocations[class]);
		window->class_refills[class] = difference(before->class_refills[class], after->class_refills[class]);
	}
	window->held = (double)after->held;
	double waste = hkm_demand_waste(after->demand, after->largest, after->dynamic_size) * (double)after->mid_out;
	window->live = (double)after->live > waste ? (double)after->live - waste : 0;
	double idle = window->held > window->live ? (window->held - window->live) / MIB : 0;
	double time = window->operations > 0 ? window->slow_ns / window->operations : 0;
	window->objective = time + lambda * idle;
}

void hkm_period_mean(struct hkm_period *mean, unsigned count, const struct hkm_period *window)
{
	const double *from = &window->length_ms;
	double *to = &mean->length_ms;
	for (size_t i = 0; i < PERIOD_FIELDS; i++)
		to[i] = count == 0 ? from[i] : to[i] + (from[i] - to[i]) / (count + 1);
	mean->now_ms = window->now_ms;
	/* Not all of them: most are cold, and a step is short. */
	mean->totals.threads = window->totals.threads;
	mean->totals.mid_out = window->totals.mid_out;
	mean->totals.big_live = window->totals.big_live;
	mean->totals.big_cached = window->totals.big_cached;
	memcpy(mean->totals.largest, window->totals.largest, sizeof mean->totals.largest);
	double idle = mean->held > mean->live ? (mean->held - mean->live) / MIB : 0;
	mean->objective = (mean->operations > 0 ? mean->slow_ns / mean->operations : 0) + mean->lambda * idle;
}

double hkm_period_l1_risk(const struct hkm_period *window)
{
	double hits = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		hits += window->hits[class];
	return window->operations > 0 ? hits * window->entry_ns / window->operations : 0;
}

double hkm_period_l2_risk(const struct hkm_period *window)
{
	double pages = (double)HKM_LARGE_MAX / 4096; /* a block has more */
	double hits = window->big_requests - window->big_misses;
	return window->operations > 0 ? hits * pages * window->fault_ns / window->operations : 0;
}
