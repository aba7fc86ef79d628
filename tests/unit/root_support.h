/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_ROOT_SUPPORT_H
#define PINION_TESTS_ROOT_SUPPORT_H

/*
 * A sysfs tree made of files. A header of ours finds it when this comes first:
 *
 *     #include "root_support.h"
 *     #define PINION_PCI_SYSFS root
 *     #include <pinion/pci.h>
 */

#include "support.h"

static char root[SUPPORT_PATH_LEN];

/* For a program. */
static inline int root_make(void **state)
{
	(void)state;
	support_dir_create(root);
	return 0;
}

static inline int root_remove(void **state)
{
	(void)state;
	support_dir_destroy(root);
	return 0;
}

/* After a test that had one of its own. */
static inline int root_after(void **state)
{
	root_remove(state);
	return support_fds_after(state);
}

#endif
