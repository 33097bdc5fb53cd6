/* cmocka_tests.h - cmocka.h with the headers it needs. */
#ifndef HAKMEM_TESTS_CMOCKA_TESTS_H
#define HAKMEM_TESTS_CMOCKA_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif /* HAKMEM_TESTS_CMOCKA_TESTS_H */
