/* explain.h - what the learner does, in words: the lines of HAKMEM_LEARN_LOG, the object "learning" and the line of the
 * table in the statistics, and what `hakmem run --explain` prints at the end.
 */
#ifndef HKM_EXPLAIN_H
#define HKM_EXPLAIN_H

#include "learn/service.h"

/* One JSON object and a newline: a window; a decision. */
void hkm_explain_window(struct hkm_text *text, const struct hkm_report *report);
void hkm_explain_decision(struct hkm_text *text, const struct hkm_report *report, const struct hkm_decision *decision);

/* For hkm_service_report: ,"learning":{...}; a line of the table; some lines for people. */
void hkm_explain_json(struct hkm_text *text, const struct hkm_report *report);
void hkm_explain_table(struct hkm_text *text, const struct hkm_report *report);
void hkm_explain_people(struct hkm_text *text, const struct hkm_report *report);

#endif
