/* What every unit test shares: a table of cases, one CUnit suite, a main(). */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>

#include "lib/mem.h"

/* Replaces a text that its owner frees with mem_free() or mem_free_secret(). */
static inline void unit_set(char **text, const char *value)
{
	mem_free_secret(text);
	*text = mem_strdup(value);
}

struct unit_case {
	const char *name;
	void (*run)(void);
};

/* main() of a test program: runs CASES (ended by a NULL name) as suite NAME. */
#define UNIT_MAIN(suite_name, cases) \
	int main(void) \
	{ \
		unsigned failed; \
		CU_pSuite s; \
		if (CU_initialize_registry() != CUE_SUCCESS || (s = CU_add_suite(suite_name, NULL, NULL)) == NULL) \
			return 2; \
		for (const struct unit_case *c = cases; c->name != NULL; c++) \
			if (CU_add_test(s, c->name, c->run) == NULL) \
				return 2; \
		CU_basic_set_mode(CU_BRM_NORMAL); \
		CU_basic_run_tests(); \
		failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed(); \
		CU_cleanup_registry(); \
		return failed != 0; \
	}

#endif
