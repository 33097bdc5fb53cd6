/* merge.h - one profile of many: of each key the value that the evidence speaks for. See docs/profiles.md. */
#ifndef MERGE_H
#define MERGE_H

#include "learn/profile.h"

/* Merges `count` profiles (at least one) into *merged. The order of the profiles does not matter, and each value of the
 * result is one that a profile holds. A goal must be that of all that name one: the caller checks it.
 *
 * A number is the weighted median of the profiles that hold it: the smallest value such that those up to it have at
 * least half of the weight. (The median, and not the mean, so that the result is a value somebody ran with, and that
 * a few strange hosts do not move it.) The sizes of the dynamic classes are names rather than amounts, so they are
 * elected: the two sizes with the most weight, the smaller of equals; their capacities are those of the profiles that
 * hold the size, and count for nothing without one. If the evidence for a key is 0 everywhere, each profile counts 1.
 * Weights and windows are added up. */
void merge_profiles(const struct hkm_profile *profiles, size_t count, struct hkm_profile *merged);

#endif
