/* sites.c - see sites.h. */
#include "sites/sites.h"

#include <errno.h>
#include <string.h>

#include "core/options.h"
#include "core/report.h"
#include "os/os.h"
#include "sites/modules.h"
#include "sites/samples.h"

#define PLACES 4096u  /* more of them are not looked for */
#define READINGS 256u /* of the modules; with that, a program that makes code as it runs has had enough of them */

struct place {
	uintptr_t start, end; /* addresses that calls return to */
	uint8_t hints;
};

/* All that rules need, in one mapping. Guarded by hkm_sites_lock once the process has started. */
struct book {
	unsigned rules, places, known, readings;
	bool has_symbols;
	struct hkm_rule rule[HKM_RULES_MOST]; /* names lie in `text` */
	struct place place[PLACES];
	struct {
		uintptr_t start, end;
	} module[HKM_MODULES_MOST]; /* whose places are known */
	_Atomic uint64_t table[HKM_SITES_SLOTS];
	char text[HKM_RULES_FILE_BYTES + 1];
};

struct hkm_sites hkm_sites = { .direct_sizes = HKM_LARGE_MAX - HKM_TINY_MAX - 1 };
struct hkm_lock hkm_sites_lock;
static struct book *book; /* while there are rules */

/* ---- Places -------------------------------------------------------------------------------------------------- */

static bool names_are_equal(struct hkm_word one, struct hkm_word other)
{
	return one.length == other.length && memcmp(one.start, other.start, one.length) == 0;
}

static void add_place(uintptr_t start, uintptr_t end, uint8_t hints)
{
	if (book->places < PLACES)
		book->place[book->places++] = (struct place){ start, end, hints };
}

/* The compiler calls what it makes of a function NAME.constprop.0 and the like. */
static bool is_function(struct hkm_word rule, const char *name)
{
	size_t length = strlen(name);
	return names_are_equal(rule, (struct hkm_word){ name, length }) ||
	       (length > rule.length && name[rule.length] == '.' && memcmp(rule.start, name, rule.length) == 0);
}

static void add_function(void *context, const char *name, uintptr_t start, uintptr_t end)
{
	(void)context;
	for (unsigned i = 0; i < book->rules; i++)
		/* A call returns behind itself, so to the first byte never, and behind the last perhaps. */
		if (book->rule[i].is_symbol && is_function(book->rule[i].name, name))
			add_place(start + 1, end + 1, book->rule[i].hints);
}

static bool is_known(uintptr_t start, uintptr_t end)
{
	for (unsigned i = 0; i < book->known; i++)
		if (book->module[i].start == start && book->module[i].end == end)
			return true;
	return false;
}

static void add_module(const struct hkm_module *module)
{
	if (book->known == HKM_MODULES_MOST || is_known(module->start, module->end))
		return;
	book->module[book->known].start = module->start;
	book->module[book->known++].end = module->end;
	for (unsigned i = 0; i < book->rules; i++) {
		const struct hkm_rule *rule = &book->rule[i];
		bool by_path = rule->name.start[0] == '/';
		struct hkm_word name = by_path ? module->path : hkm_module_name(module);
		uintptr_t address = module->base + rule->offset;
		if (!rule->is_symbol && names_are_equal(rule->name, name) && address >= module->start &&
		    address < module->end)
			add_place(address, address + 1, rule->hints);
	}
	if (book->has_symbols)
		hkm_module_functions(module, add_function, NULL);
}

/* Result: whether it can be known what is mapped. */
static bool read_modules(void)
{
	book->readings++;
	struct hkm_modules *modules = hkm_modules_read();
	if (modules == NULL)
		return false;
	for (unsigned i = 0; i < modules->count; i++)
		add_module(&modules->list[i]);
	hkm_modules_free(modules);
	return true;
}

/* ---- The table ----------------------------------------------------------------------------------------------- */

static bool lies_in_known_module(uintptr_t address)
{
	for (unsigned i = 0; i < book->known; i++)
		if (address >= book->module[i].start && address < book->module[i].end)
			return true;
	return false;
}

static uint8_t hints_at(uintptr_t address)
{
	uint8_t hints = 0;
	for (unsigned i = 0; i < book->places; i++)
		if (address >= book->place[i].start && address < book->place[i].end)
			hints |= book->place[i].hints;
	return hints;
}

static void insert(uintptr_t address, uint8_t hints)
{
	size_t slot = address * 0x9E3779B97F4A7C15u >> 49;
	for (unsigned i = 0; i < HKM_SITES_PROBES; i++) {
		_Atomic uint64_t *word = &book->table[(slot + i) % HKM_SITES_SLOTS];
		if (atomic_load_explicit(word, memory_order_relaxed) != 0)
			continue;
		atomic_store_explicit(word, (uint64_t)address << HKM_HINT_BITS | hints, memory_order_relaxed);
		return;
	}
}

unsigned hkm_sites_resolve(const void *site)
{
	uintptr_t address = (uintptr_t)site;
	/* Not waited for: whoever has it may be reading files. This call goes without hints, a later one asks again. */
	if (!hkm_lock_try(&hkm_sites_lock))
		return 0;
	unsigned hints = hkm_sites_find(site);
	if (hints == HKM_SITE_UNKNOWN) {
		if (!lies_in_known_module(address) && book->readings < READINGS)
			read_modules();
		hints = hints_at(address);
		insert(address, (uint8_t)hints);
	}
	hkm_lock_release(&hkm_sites_lock);
	return hints;
}

/* ---- Start --------------------------------------------------------------------------------------------------- */

static bool read_rules(const char *path)
{
	char error[HKM_RULES_ERROR_BYTES];
	int64_t length = hkm_os_read_file(path, book->text, sizeof book->text);
	if (length < 0)
		hkm_warn("HAKMEM_SITES=%s: cannot be read: %s; not used", path, hkm_error_text((int)-length));
	else if (length > (int64_t)HKM_RULES_FILE_BYTES)
		hkm_warn("HAKMEM_SITES=%s: more than %zu bytes; not used", path, HKM_RULES_FILE_BYTES);
	else if (!hkm_rules_parse(book->text, (size_t)length, book->rule, &book->rules, error))
		hkm_warn("HAKMEM_SITES=%s:%s; not used", path, error);
	return book->rules > 0;
}

static void load(const char *path)
{
	size_t bytes = hkm_align_up(sizeof *book, hkm_os_page_size());
	book = hkm_os_map(bytes);
	if (book == NULL) {
		hkm_warn("HAKMEM_SITES=%s: cannot be read: %s; not used", path, hkm_error_text(ENOMEM));
		return;
	}
	bool good = read_rules(path);
	for (unsigned i = 0; i < book->rules; i++)
		book->has_symbols |= book->rule[i].is_symbol;
	if (good && !read_modules()) {
		hkm_warn("HAKMEM_SITES=%s: /proc/self/maps cannot be read; not used", path);
		good = false;
	}
	if (good)
		hkm_sites.table = book->table;
	else
		hkm_os_unmap(book, bytes, false);
}

bool hkm_sites_start(void)
{
	if (hkm_options.sites[0] != '\0')
		load(hkm_options.sites);
	hkm_sites.sampling = hkm_options.sites_out[0] != '\0' && hkm_samples_start();
	hkm_sites.in_use = hkm_sites.table != NULL || hkm_sites.sampling;
	if (hkm_sites.in_use)
		hkm_sites.direct_sizes = 0;
	return hkm_sites.in_use;
}
