/* walks_holds.h - what walks.c does in the build that measures how long locks are held; see walks_holds.c. */
#ifndef WALKS_HOLDS_H
#define WALKS_HOLDS_H

/* Forgets all holds so far; prints the longest since then, by where they end. */
void holds_forget(void);
void holds_print(void);

#endif
