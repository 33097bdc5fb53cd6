/* rules.h - the text of a file of site rules (docs/sites.md):
 *
 *   hakmem-sites 1
 *   server+0x1a2b4 long-lived          # a call of malloc that returns to this place of the program `server`
 *   symbol:read_frame populate huge    # any such call in a function of that name
 *
 * A rule is a place and what to do with the blocks asked for there. A text is taken whole or not at all.
 */
#ifndef HKM_RULES_H
#define HKM_RULES_H

#include "core/lines.h"

#define HKM_RULES_VERSION 1
#define HKM_RULES_FILE_BYTES ((size_t)256 << 10) /* a larger file is refused */
#define HKM_RULES_MOST 1024u
#define HKM_RULES_ERROR_BYTES 160 /* with its NUL */

/* What a rule asks for; the sizes to which each applies are in docs/sites.md. A set of them is a hkm_hints. */
enum {
	HKM_HINT_LONG_LIVED = 1, /* Tiny: from slabs that hold such blocks only */
	HKM_HINT_BIG = 2,        /* above Tiny: whole pages from L2, whatever the size */
	HKM_HINT_NO_CACHE = 4,   /* the same, and unmapped as soon as it is freed */
	HKM_HINT_POPULATE = 8,   /* above Mid: fresh pages are faulted in at once */
	HKM_HINT_HUGE = 16,      /* from a huge page up: huge pages are asked for */
	HKM_HINT_SAMPLED = 32,   /* no rule's: the block's life is recorded (samples.h) */
	HKM_HINT_BITS = 8
};

/* The low HKM_HINT_BITS are the hints; above them stands, for a sampled block, the number of its sample. */
typedef uint64_t hkm_hints;

struct hkm_rule {
	struct hkm_word name; /* of the module (path, or its last part) or of the function; lies in the text */
	uint64_t offset;      /* of a module: bytes from where its file's beginning is mapped */
	uint8_t hints;
	bool is_symbol;
};

/* Reads `length` bytes of text (no NUL needed) into `rules`; the names point into the text. Result: whether every line
 * was good; if not, *count is 0 and *error says "LINE: KEY: what is wrong", or "LINE: what is wrong". */
bool hkm_rules_parse(const char *text, size_t length, struct hkm_rule rules[HKM_RULES_MOST], unsigned *count,
		     char error[HKM_RULES_ERROR_BYTES]);

/* Puts the names of the hints, each behind a blank. */
void hkm_hints_put(struct hkm_text *text, hkm_hints hints);

#endif
