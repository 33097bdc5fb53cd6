/* stats.c - the statistics: collected by looking at what is there, counted nowhere on a fast path.
 *
 * Other threads go on meanwhile, so each figure is right for some moment of the call. The blocks on other
 * threads' hot lists (at most HAKMEM_HOT_BYTES per class and thread) count as live.
 */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "ace/ace.h"
#include "api/api.h"
#include "big/big.h"
#include "core/meta.h"
#include "core/options.h"
#include "core/report.h"
#include "core/text.h"
#include "hakmem.h"
#include "learn/explain.h"
#include "os/os.h"
#include "tiny/tiny.h"

struct class_stats {
	uint64_t size, live, cached, free, spans, slices, hits, misses; /* live to free: blocks; hits, misses: allocations */
};

struct layer_stats {
	uint64_t live_bytes, held_bytes, cached_bytes, cached, free, spans, hits, misses;
};

struct stats {
	struct class_stats tiny[HKM_TINY_CLASSES], ace[HKM_ACE_CLASSES];
	struct layer_stats tiny_total, mid_total, large_total;
	struct hkm_big_stats big;
	struct hkm_span_stats span;
	struct hkm_os_usage usage;
	uint64_t refills, carved, remote_sent, remote_messages, remote_received;
	uint64_t threads, heaps, policy_generation, metadata, live_bytes, held_bytes, purged_bytes;
};

HKM_RACY static void collect_slab(struct hkm_slab *slab, void *context)
{
	struct stats *stats = context;
	bool tiny = slab->kind == HKM_KIND_TINY;
	if (slab->class >= (tiny ? HKM_TINY_CLASSES : HKM_ACE_CLASSES))
		return;
	struct class_stats *class = tiny ? &stats->tiny[slab->class] : &stats->ace[slab->class];
	class->live += slab->in_use;
	class->free += slab->capacity; /* until add_class */
	class->spans++;
	class->slices += slab->slices;
}

HKM_RACY static void collect_heap(const struct hkm_heap *heap, struct stats *stats)
{
	stats->heaps++;
	stats->threads += !atomic_load_explicit(&heap->abandoned, memory_order_relaxed);
	if (heap->policy_generation > stats->policy_generation)
		stats->policy_generation = heap->policy_generation;
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		stats->tiny[class].misses += hkm_counted(&heap->tiny_counters[class].refills);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		stats->ace[class].cached += heap->caches[class].count;
		stats->ace[class].hits += hkm_counted(&heap->caches[class].hits);
		stats->ace[class].misses += hkm_counted(&heap->caches[class].misses);
	}
	stats->carved += hkm_counted(&heap->counters.carved);
	stats->remote_sent += hkm_counted(&heap->counters.remote_sent);
	stats->remote_messages += hkm_counted(&heap->counters.remote_messages);
	stats->remote_received += hkm_counted(&heap->counters.remote_received);
}

static void add_class(struct layer_stats *layer, struct class_stats *class, uint64_t size)
{
	class->size = size;
	class->live -= hkm_min(class->live, class->cached);
	class->free -= hkm_min(class->free, class->live);
	layer->cached += hkm_min(class->cached, class->free);
	layer->free += class->free;
	layer->live_bytes += class->live * size;
	layer->cached_bytes += class->cached * size;
	layer->held_bytes += class->slices * HKM_SLICE_SIZE;
	layer->spans += class->spans;
	layer->hits += class->hits;
	layer->misses += class->misses;
}

static void collect(struct stats *stats)
{
	*stats = (struct stats){ 0 };
	/* The caller's own hot lists can be counted. */
	struct hkm_heap *own = hkm_heap_get();
	for (unsigned class = 0; own != NULL && class < HKM_TINY_CLASSES; class++)
		stats->tiny[class].cached = hkm_tiny_hot_length(own, class);
	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		collect_heap(heap, stats);
	hkm_span_visit(collect_slab, stats);
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		add_class(&stats->tiny_total, &stats->tiny[class], hkm_tiny_size(class));
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		add_class(hkm_ace_is_large(class) ? &stats->large_total : &stats->mid_total, &stats->ace[class],
			  hkm_pool_block_size(class));
	stats->refills = stats->tiny_total.misses;
	hkm_big_stats(&stats->big);
	hkm_span_stats(&stats->span);
	hkm_os_usage(&stats->usage);
	stats->metadata = hkm_meta_held();
	stats->live_bytes = stats->tiny_total.live_bytes + stats->mid_total.live_bytes + stats->large_total.live_bytes +
			    stats->big.live_bytes;
	stats->held_bytes = stats->tiny_total.held_bytes + stats->mid_total.held_bytes + stats->large_total.held_bytes +
			    stats->span.dirty_slices * HKM_SLICE_SIZE + stats->big.live_bytes + stats->big.cached_bytes +
			    stats->metadata;
	stats->purged_bytes = stats->span.purged + stats->big.purged_bytes;
}

/* ---- JSON ------------------------------------------------------------------------------------------- */

static void json_classes(struct hkm_text *text, const struct class_stats *classes, unsigned first, unsigned last,
			 const char **separator)
{
	for (unsigned i = first; i < last; i++) {
		const struct class_stats *class = &classes[i];
		if (class->spans == 0 && class->hits == 0 && class->misses == 0)
			continue;
		hkm_text_put(text, "%s{\"size\":%lu,\"live\":%lu,\"cached\":%lu,\"spans\":%lu,\"hits\":%lu,\"misses\":%lu}",
			     *separator, class->size, class->live, class->cached, class->spans, class->hits, class->misses);
		*separator = ",";
	}
}

static void json_layer(struct hkm_text *text, const char *name, const struct layer_stats *layer)
{
	hkm_text_put(text,
		     ",\"%s\":{\"live_bytes\":%lu,\"held_bytes\":%lu,\"cached_bytes\":%lu,\"spans\":%lu,"
		     "\"hits\":%lu,\"misses\":%lu,\"classes\":[",
		     name, layer->live_bytes, layer->held_bytes, layer->cached_bytes, layer->spans, layer->hits,
		     layer->misses);
}

static void put_json(struct hkm_text *text, const struct stats *stats)
{
	hkm_text_put(text, "{\"hakmem\":{\"version\":\"%s\",\"pid\":%d}", HKM_VERSION_STRING, getpid());
	hkm_text_put(text,
		     ",\"process\":{\"live_bytes\":%lu,\"held_bytes\":%lu,\"resident_bytes\":%zu,"
		     "\"peak_resident_bytes\":%zu,\"page_faults\":%lu,\"purged_bytes\":%lu,\"metadata_bytes\":%lu,"
		     "\"threads\":%lu,\"heaps\":%lu,\"policy_generation\":%lu}",
		     stats->live_bytes, stats->held_bytes, stats->usage.resident, stats->usage.peak_resident,
		     stats->usage.page_faults, stats->purged_bytes, stats->metadata, stats->threads, stats->heaps,
		     stats->policy_generation);
	const struct layer_stats *tiny = &stats->tiny_total;
	hkm_text_put(text,
		     ",\"tiny\":{\"live_bytes\":%lu,\"held_bytes\":%lu,\"slabs\":%lu,\"refills\":%lu,\"carved\":%lu,"
		     "\"remote_sent\":%lu,\"remote_messages\":%lu,\"remote_received\":%lu,\"classes\":[",
		     tiny->live_bytes, tiny->held_bytes, tiny->spans, stats->refills, stats->carved, stats->remote_sent,
		     stats->remote_messages, stats->remote_received);
	const char *separator = "";
	for (unsigned i = 0; i < HKM_TINY_CLASSES; i++) {
		const struct class_stats *class = &stats->tiny[i];
		if (class->spans == 0 && class->misses == 0)
			continue;
		hkm_text_put(text, "%s{\"size\":%lu,\"live\":%lu,\"slabs\":%lu,\"refills\":%lu}", separator, class->size,
			     class->live, class->spans, class->misses);
		separator = ",";
	}
	hkm_text_put(text, "]}");
	json_layer(text, "mid", &stats->mid_total);
	separator = "";
	json_classes(text, stats->ace, 0, HKM_MID_CLASSES, &separator);
	json_classes(text, stats->ace, HKM_DYN1, HKM_ACE_CLASSES, &separator);
	hkm_text_put(text, "]}");
	json_layer(text, "large", &stats->large_total);
	separator = "";
	json_classes(text, stats->ace, HKM_MID_CLASSES, HKM_ACE_STATIC_CLASSES, &separator);
	const struct hkm_big_stats *big = &stats->big;
	hkm_text_put(text,
		     "]},\"big\":{\"live_bytes\":%zu,\"cached_bytes\":%zu,\"mappings\":%zu,\"hits\":%lu,\"misses\":%lu,"
		     "\"remaps\":%lu,\"purged_bytes\":%lu}",
		     big->live_bytes, big->cached_bytes, big->mappings, big->hits, big->misses, big->remaps,
		     big->purged_bytes);
	hkm_service_report(hkm_explain_json, text);
	hkm_text_put(text, "}");
}

size_t hkm_stats_json(char *buf, size_t n)
{
	struct stats stats;
	struct hkm_text text = { .buffer = buf, .capacity = n, .descriptor = -1 };
	collect(&stats);
	put_json(&text, &stats);
	hkm_text_finish(&text);
	return text.total;
}

/* ---- The table ---------------------------------------------------------------------------------------- */

static void put_kib(struct hkm_text *text, uint64_t bytes)
{
	hkm_text_put(text, " %10lu", (bytes + 1023) / 1024);
}

static void table_row(struct hkm_text *text, const char *name, const struct layer_stats *layer)
{
	hkm_text_put(text, "  %-6s", name);
	put_kib(text, layer->live_bytes);
	put_kib(text, layer->held_bytes);
	put_kib(text, layer->cached_bytes);
	hkm_text_put(text, " %8lu %12lu %12lu\n", layer->spans, layer->hits, layer->misses);
}

static void table_classes(struct hkm_text *text, const struct class_stats *classes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct class_stats *class = &classes[i];
		if (class->spans == 0 && class->hits == 0 && class->misses == 0)
			continue;
		hkm_text_put(text, "  %8lu %12lu %10lu %8lu %12lu %12lu\n", class->size, class->live, class->cached,
			     class->spans, class->hits, class->misses);
	}
}

static void put_table(struct hkm_text *text, const struct stats *stats)
{
	const struct hkm_big_stats *big = &stats->big;
	hkm_text_put(text, "hakmem %s statistics of process %d\n", HKM_VERSION_STRING, getpid());
	hkm_text_put(text, "  live %lu KiB, held %lu KiB, resident %lu KiB (peak %lu KiB), page faults %lu\n",
		     stats->live_bytes / 1024, stats->held_bytes / 1024, stats->usage.resident / 1024,
		     stats->usage.peak_resident / 1024, stats->usage.page_faults);
	hkm_text_put(text, "  purged %lu KiB, metadata %lu KiB, threads %lu, heaps %lu, policy generation %lu\n",
		     stats->purged_bytes / 1024, stats->metadata / 1024, stats->threads, stats->heaps,
		     stats->policy_generation);
	hkm_text_put(text, "  Tiny blocks carved %lu; remote frees %lu in %lu messages, %lu received\n", stats->carved,
		     stats->remote_sent, stats->remote_messages, stats->remote_received);
	hkm_service_report(hkm_explain_table, text);
	hkm_text_put(text, "\n  %-6s %10s %10s %10s %8s %12s %12s\n", "layer", "live KiB", "held KiB", "cached KiB", "spans",
		     "hits", "misses");
	/* L0's hits are not counted: that would be work on the fast path. Its misses are refills. */
	table_row(text, "Tiny", &stats->tiny_total);
	table_row(text, "Mid", &stats->mid_total);
	table_row(text, "Large", &stats->large_total);
	table_row(text, "Big",
		  &(struct layer_stats){ .live_bytes = big->live_bytes,
					 .held_bytes = big->live_bytes + big->cached_bytes,
					 .cached_bytes = big->cached_bytes,
					 .spans = big->mappings,
					 .hits = big->hits,
					 .misses = big->misses });
	hkm_text_put(text, "\n  %8s %12s %10s %8s %12s %12s\n", "class B", "live blocks", "cached", "spans", "hits",
		     "misses");
	table_classes(text, stats->tiny, HKM_TINY_CLASSES);
	table_classes(text, stats->ace, HKM_ACE_CLASSES);
}

static void print_to(int descriptor, void (*put)(struct hkm_text *, const struct stats *))
{
	char buffer[1024];
	struct stats stats;
	struct hkm_text text = { .buffer = buffer, .capacity = sizeof buffer, .descriptor = descriptor };
	collect(&stats);
	put(&text, &stats);
	if (put == put_json)
		hkm_text_put(&text, "\n");
	hkm_text_finish(&text);
}

void hkm_malloc_stats(void)
{
	print_to(STDERR_FILENO, put_table);
}

/* What was learned, on standard error. */
static void explain(void)
{
	char buffer[1024];
	struct hkm_text text = { .buffer = buffer, .capacity = sizeof buffer, .descriptor = hkm_os_kept_error() };
	hkm_service_report(hkm_explain_people, &text);
	hkm_text_finish(&text);
}

void hkm_stats_at_exit(void)
{
	if (hkm_heap_first() == NULL)
		return;
	if (hkm_options.explain == 1)
		explain();
	/* 0: none, 1: a table, 2: JSON (options.def). */
	if (hkm_options.stats == 0)
		return;
	int descriptor = hkm_os_kept_error();
	bool to_file = hkm_options.stats_file[0] != '\0';
	char path[HKM_OPTION_TEXT_BYTES + 32];
	if (to_file) {
		hkm_text_expand_path(hkm_options.stats_file, path, sizeof path);
		descriptor = hkm_os_create(path);
		if (descriptor < 0) {
			if (!hkm_output_refused.stats_file)
				hkm_warn_unwritten("HAKMEM_STATS_FILE", path, -descriptor);
			return;
		}
	}
	if (descriptor >= 0)
		print_to(descriptor, hkm_options.stats == 1 ? put_table : put_json);
	if (to_file)
		hkm_os_close(descriptor);
}

/* ---- glibc's interfaces ---------------------------------------------------------------------------------- */

/* The arena is all that is held without being a live block of 2 MiB or more: used and free bytes are its two parts. The free
 * blocks in threads' caches are to it what those in fast bins are to glibc's: free, and not joined with others. */
static struct hkm_mallinfo2 mallinfo_of(const struct stats *stats)
{
	const struct layer_stats *layers[] = { &stats->tiny_total, &stats->mid_total, &stats->large_total };
	size_t idle = stats->span.dirty_slices * HKM_SLICE_SIZE + stats->big.cached_bytes;
	struct hkm_mallinfo2 info = {
		.arena = idle,
		.ordblks = stats->span.dirty_slices + stats->big.cached_mappings,
		.hblks = stats->big.mappings,
		.hblkhd = stats->big.live_bytes,
		.keepcost = idle,
	};
	for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
		info.arena += layers[i]->held_bytes;
		info.ordblks += layers[i]->free - layers[i]->cached;
		info.smblks += layers[i]->cached;
		info.fsmblks += layers[i]->cached_bytes;
		info.uordblks += layers[i]->live_bytes;
	}
	/* Other threads go on meanwhile. */
	info.uordblks = hkm_min(info.uordblks, info.arena);
	info.fordblks = info.arena - info.uordblks;
	info.fsmblks = hkm_min(info.fsmblks, info.fordblks);
	info.keepcost = hkm_min(info.keepcost, info.fordblks);
	return info;
}

struct hkm_mallinfo2 hkm_mallinfo2(void)
{
	struct stats stats;
	collect(&stats);
	return mallinfo_of(&stats);
}

static int cut(size_t value)
{
	return value < INT_MAX ? (int)value : INT_MAX;
}

struct hkm_mallinfo hkm_mallinfo(void)
{
	struct hkm_mallinfo2 info = hkm_mallinfo2();
	return (struct hkm_mallinfo){
		.arena = cut(info.arena), .ordblks = cut(info.ordblks), .smblks = cut(info.smblks),
		.hblks = cut(info.hblks), .hblkhd = cut(info.hblkhd), .fsmblks = cut(info.fsmblks),
		.uordblks = cut(info.uordblks), .fordblks = cut(info.fordblks), .keepcost = cut(info.keepcost),
	};
}

/* A line for free blocks of `from` to `to` bytes, if there are any. */
static void xml_sizes(FILE *stream, const char *name, size_t from, size_t to, size_t bytes, size_t count)
{
	if (count > 0)
		fprintf(stream, "  <%s from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", name, from, to, bytes, count);
}

/* What glibc says of each arena, of which there is one, and then of all. */
static void xml_totals(FILE *stream, const struct stats *stats, const struct hkm_mallinfo2 *info, bool all)
{
	size_t most = hkm_max(info->arena, stats->usage.peak_resident);
	size_t mapped = hkm_max(stats->span.mapped + stats->big.cached_bytes, info->arena);
	fprintf(stream, "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n", info->smblks, info->fsmblks);
	fprintf(stream, "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n", info->ordblks, info->fordblks - info->fsmblks);
	if (all)
		fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n", info->hblks, info->hblkhd);
	fprintf(stream, "<system type=\"current\" size=\"%zu\"/>\n<system type=\"max\" size=\"%zu\"/>\n", info->arena, most);
	fprintf(stream, "<aspace type=\"total\" size=\"%zu\"/>\n<aspace type=\"mprotect\" size=\"%zu\"/>\n", mapped, mapped);
}

int hkm_malloc_info(int options, FILE *stream)
{
	if (options != 0)
		return EINVAL;
	struct stats stats;
	collect(&stats);
	struct hkm_mallinfo2 info = mallinfo_of(&stats);
	fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
	for (unsigned i = 0; i < HKM_TINY_CLASSES + HKM_ACE_CLASSES; i++) {
		const struct class_stats *class = i < HKM_TINY_CLASSES ? &stats.tiny[i] : &stats.ace[i - HKM_TINY_CLASSES];
		xml_sizes(stream, "size", class->size, class->size, class->size * class->free, class->free);
	}
	xml_sizes(stream, "unsorted", HKM_SLICE_SIZE, HKM_SUPERSLAB_SIZE, stats.span.dirty_slices * HKM_SLICE_SIZE,
		  stats.span.dirty_slices);
	fprintf(stream, "</sizes>\n");
	xml_totals(stream, &stats, &info, false);
	fprintf(stream, "</heap>\n");
	xml_totals(stream, &stats, &info, true);
	fprintf(stream, "</malloc>\n");
	return 0;
}
