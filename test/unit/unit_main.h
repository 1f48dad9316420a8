/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every check program ends with.
 */
#ifndef XENSR_TEST_UNIT_MAIN_H
#define XENSR_TEST_UNIT_MAIN_H

#include <check.h>
#include <stdlib.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Run the suite with this one case. Returns main's answer. */
static inline int unit_main(Suite *suite, TCase *tc)
{
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120); /* only a hang takes that long */
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
