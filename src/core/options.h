/* options.h - the values of the options in options.def.
 *
 * Read from the environment once, before the first block is handed out; constant afterwards, so
 * any thread may read them. Included by policy/ (which copies what slow paths need into the
 * first snapshot) and by api/; no layer reads an option itself.
 */
#ifndef HKM_OPTIONS_H
#define HKM_OPTIONS_H

#include "base/base.h"

#define HKM_OPTION_TEXT_BYTES 256
#define HKM_OPTION_RATIOS_MOST 7u

struct hkm_options {
#define HKM_OPTION_UINT(name, ...) uint64_t name;
#define HKM_OPTION_REAL(name, ...) uint64_t name; /* thousandths */
#define HKM_OPTION_ENUM(name, ...) uint64_t name; /* index of the choice */
#define HKM_OPTION_TEXT(name, ...) char name[HKM_OPTION_TEXT_BYTES];
#include "core/options.def"
};

extern struct hkm_options hkm_options;

/* A number for each option: HKM_OPTION_refill_blocks and so on. */
enum hkm_option {
#define HKM_OPTION_UINT(name, ...) HKM_OPTION_##name,
#define HKM_OPTION_REAL(name, ...) HKM_OPTION_##name,
#define HKM_OPTION_ENUM(name, ...) HKM_OPTION_##name,
#define HKM_OPTION_TEXT(name, ...) HKM_OPTION_##name,
#include "core/options.def"
	HKM_OPTIONS
};

/* Whether the environment has the option's variable, with a good value or a bad one. Written by
 * hkm_options_read, constant afterwards. */
extern bool hkm_option_given[HKM_OPTIONS];

/* Which files for the process's end could not be made at its start, which was told then. At the end they are tried all the
 * same, as the program may have made their folders; it is not told twice. Written by hkm_options_read. */
extern struct hkm_output_refused {
	bool stats_file, profile_out, sites_out;
} hkm_output_refused;

/* Reads the environment. An empty variable is as good as none. A value that is malformed or out of range gets one line on standard
 * error that names variable, value and range, and the default is used. */
void hkm_options_read(void);

/* Parses `text` into *value; result: whether it is a whole number (suffixes K, M, G, also as KiB, MiB, GiB, in either case) or, for the
 * second, a decimal fraction in thousandths. */
bool hkm_parse_uint(const char *text, uint64_t *value);
bool hkm_parse_thousandths(const char *text, uint64_t *value);

/* The same for ratios from 1 to 4, in thousandths, separated by commas: at most so many, or none ("").
 * *values and *count are written only if all of `text` is right. */
bool hkm_parse_ratios(const char *text, uint32_t values[HKM_OPTION_RATIOS_MOST], unsigned *count);

#endif
