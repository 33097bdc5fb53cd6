/* profile.h - a policy as a small text, so that a later run, or another host, starts from what was learned.
 *
 * A struct hkm_profile holds a value and the weight of its evidence for any of the keys, which are the numbers of the
 * policy (policy/fields.def); ranges and units are those of options.def. The text (docs/profiles.md):
 *
 *   hakmem-profile 1
 *   windows = 120
 *   hot_blocks = 512 120        # key = value weight
 *   cache_blocks.5120 = 8 90
 *
 * Invariants: a present value lies in the range of its key, and a weight is at most HKM_PROFILE_MOST, whoever filled
 * the profile (hkm_profile_set clamps, hkm_profile_parse refuses). A text is taken whole or not at all. Nothing here
 * allocates or changes errno; nothing is shared between threads but what hkm_profile_start sets, so any thread may
 * call the functions on a profile of its own.
 * Included by the learner, by the command `hakmem`, and, for start and exit, by heap.c and api/malloc.c.
 */
#ifndef HKM_PROFILE_H
#define HKM_PROFILE_H

#include "policy/policy.h"

#define HKM_PROFILE_VERSION 1
#define HKM_PROFILE_FILE_BYTES ((size_t)64 << 10) /* a larger file is refused */
#define HKM_PROFILE_MOST ((uint64_t)1 << 40)      /* the largest weight, and the most windows */
#define HKM_PROFILE_GOAL_BYTES 16                 /* with its NUL */
#define HKM_PROFILE_KEY_BYTES 32                  /* likewise */
#define HKM_PROFILE_ERROR_BYTES 160               /* likewise */

/* Numbers for the keys: one for each field, then one for each class of each array. */
enum {
#define HKM_POLICY_FIELD(option, member) HKM_PROFILE_##option,
#include "policy/fields.def"
	HKM_PROFILE_FIELDS
};
enum {
#define HKM_POLICY_CLASSES(member, ...) HKM_PROFILE_##member,
#include "policy/fields.def"
	HKM_PROFILE_ARRAYS
};
#define HKM_PROFILE_KEYS (HKM_PROFILE_FIELDS + HKM_PROFILE_ARRAYS * HKM_ACE_CLASSES)

/* The key of an array's member: hkm_profile_class_key(HKM_PROFILE_cache_blocks, class). */
static inline unsigned hkm_profile_class_key(unsigned array, unsigned class)
{
	return HKM_PROFILE_FIELDS + array * HKM_ACE_CLASSES + class;
}

struct hkm_profile_value {
	uint64_t value;  /* in the unit of the key; ratios in thousandths */
	uint64_t weight; /* windows that speak for the value; 0: it was configured, not learned */
	bool present;
};

struct hkm_profile {
	uint64_t windows;                  /* that were learned from, all runs together */
	char goal[HKM_PROFILE_GOAL_BYTES]; /* what was learned for, a choice of HAKMEM_GOAL; empty: not said */
	struct hkm_profile_value values[HKM_PROFILE_KEYS];
};

struct hkm_profile_key {
	char name[HKM_PROFILE_KEY_BYTES];
	const char *unit;
	uint64_t low, high; /* the values that are accepted */
	bool thousandths;   /* written as a decimal fraction */
};

/* What a key (below HKM_PROFILE_KEYS) is called and may be. */
void hkm_profile_describe(unsigned key, struct hkm_profile_key *description);

/* Sets a value, clamped to its range, and its weight. */
void hkm_profile_set(struct hkm_profile *profile, unsigned key, uint64_t value, uint64_t weight);

/* Reads `length` bytes of text (no NUL needed) into *profile. Result: whether every line was good; if not, *profile is
 * empty and *error says "LINE: KEY: what is wrong", or "LINE: what is wrong", in one line. */
bool hkm_profile_parse(const char *text, size_t length, struct hkm_profile *profile,
		       char error[HKM_PROFILE_ERROR_BYTES]);

/* Writes the text, which hkm_profile_parse reads back as the same profile, with a NUL, cut to `size` bytes.
 * Result: its length without the NUL, as with snprintf. */
size_t hkm_profile_write(const struct hkm_profile *profile, char *buffer, size_t size);

/* Copies all present values into a policy, or all numbers of a policy into a profile with the given weight (windows and
 * goal stay as they are). */
void hkm_profile_apply(const struct hkm_profile *profile, struct hkm_policy *policy);
void hkm_profile_from_policy(struct hkm_profile *profile, const struct hkm_policy *policy, uint64_t weight);

/* Forgets the values that options in the environment decide: the option's own, and for capacities by class also
 * mid_cache_bytes, large_cache_bytes, and the dynamic class's size. */
void hkm_profile_yield_to_options(struct hkm_profile *profile);

/* Reads a file. Result: whether it is good; if not, *profile is empty and one line on standard error names the variable that
 * says so ("HAKMEM_PROFILE=", or ""), the file and, as far as there are any, the line and the key. */
bool hkm_profile_load(const char *variable, const char *path, struct hkm_profile *profile);

/* Writes a file, in one step (see hkm_os_write_file). If that fails, one line on standard error says so. */
void hkm_profile_write_file(const struct hkm_profile *profile, const char *path);

/* Publishes the policy of the profile that HAKMEM_PROFILE names, if it is good. Once, after hkm_policy_start. */
void hkm_profile_start(void);

/* Whether the policy started from a profile. Constant after hkm_profile_start. */
bool hkm_profile_loaded(void);

/* Writes the best policy that is known, with the windows that were learned from as its weight, to the file that HAKMEM_PROFILE_OUT names. */
void hkm_profile_at_exit(void);

#endif
