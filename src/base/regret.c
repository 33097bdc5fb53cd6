/* regret.c - see regret.h. */
#include "base/regret.h"

_Atomic uint64_t hkm_regret_delay;
