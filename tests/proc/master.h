/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_MASTER_H
#define PINION_TESTS_MASTER_H

/*
 * A device of this machine that is never quiet, and that nobody changes here.
 *
 *  - find_master(): the first PCI device that may be master of the bus; NULL: there is none.
 */

#include <linux/pci_regs.h>

#include <pinion/pci_scan.h>

static inline int look_at_command(const struct pinion_pci_bdf *bdf,
				  const struct pinion_pci_ids *ids, void *name)
{
	uint16_t command;

	(void)ids;
	if (pinion_pci_config_read16(bdf, PCI_COMMAND, &command) ||
	    !(command & PCI_COMMAND_MASTER))
		return 0;
	return !pinion_pci_bdf_format(bdf, name, PINION_PCI_BDF_LEN);
}

static inline const char *find_master(void)
{
	static char name[PINION_PCI_BDF_LEN];

	return pinion_pci_scan(NULL, look_at_command, name) == 1 ? name : NULL;
}

#endif
