/* report.h - what HAKMEM has to say: one line on standard error, `hakmem: ...`, and what follows
 * from it. Never allocates, never takes a lock; any layer may include it. */
#ifndef HKM_REPORT_H
#define HKM_REPORT_H

#include "base/base.h"

/* A line for the user: `hakmem: <text>`, whatever stands in the text: control characters are shown as `?`. */
void hkm_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same: the file that `variable` names cannot be written, and why. */
void hkm_warn_unwritten(const char *variable, const char *path, int error);

/* What strerror says of an error that files give, without the C library's locale; never NULL, and a constant. */
const char *hkm_error_text(int error);

/* The same of what the program itself did: `hakmem: PROGRAM[PID]: <text>`. One standard error may be that of many. */
void hkm_accuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The process ends: from now on warnings go where standard error led when it started, if that was kept, as programs close
 * theirs before (coreutils, say). */
void hkm_warn_at_exit(void);

/* What can be wrong with a pointer, or with a free block. */
enum hkm_wrong {
	HKM_INVALID_POINTER,     /* nobody was ever given a block that starts there */
	HKM_MISALIGNED_POINTER,  /* nor could anybody be */
	HKM_FREED_TWICE,         /* the block that starts there is free */
	HKM_WRITTEN_AFTER_FREE,  /* a free block was written to; `pointer` is what stands in its first word */
};

/* The program misused `pointer`: `hakmem: PROGRAM[PID]: <call>(): <what> <pointer>`; then abort, or, with
 * HAKMEM_ON_ERROR=warn, return so that the call can be ignored. */
void hkm_misuse(const char *call, enum hkm_wrong wrong, const void *pointer);

/* HAKMEM_ON_ERROR=warn: misuse is reported only. Written once at start. */
void hkm_misuse_goes_on(bool goes_on);

#endif
