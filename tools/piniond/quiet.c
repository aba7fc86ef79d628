/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/pci.h>

#include "ledger.h"

/* PCI Local Bus 3.0, 6.2.2: bit 2 of the command register lets the device be master of the bus. */
#define COMMAND 4
#define COMMAND_MASTER 4u

/* After this long it is said why nothing comes back. */
#define COMPLAIN_NS UINT64_C(1000000000)

static int read_command(const char *address, uint16_t *command)
{
	struct pinion_pci_bdf bdf;
	int err = pinion_pci_bdf_parse(address, &bdf);

	return err ? err : pinion_pci_config_read16(&bdf, COMMAND, command);
}

int quiet_is_seen(const char *bdf)
{
	uint16_t command;

	return bdf[0] == '-' ? 0 : read_command(bdf, &command);
}

/*
 * The kernel turns bus mastering off when the last descriptor of the device is closed, by vfio-pci
 * and uio_pci_generic alike; that is done when the pidfd tells of the death, unless somebody else
 * has the device open as well. A device that cannot be master cannot write. One that is gone since
 * it was announced, or that was never on a bus, neither.
 */
static bool is_quiet(const struct device *device)
{
	uint16_t command;
	int err = read_command(device->bdf, &command);

	if (err)
		return err == -ENOENT || err == -ENODEV || device->bdf[0] == '-';
	return !(command & COMMAND_MASTER);
}

static void complain(const struct member *member)
{
	struct device *device = member->device;

	if (device->complained || service_now_ns() - device->dead_ns < COMPLAIN_NS)
		return;
	device->complained = true;
	if (member->branch)
		return; /* said of the one that it is a branch of */
	service_log(LOG_WARNING, "%s: pid %d is dead, but its device is still master of the bus: "
		    "some process has %s open; what it held comes back when that ends",
		    device->name, (int)member->pid, device->bdf);
}

bool quiet_now(struct member *member)
{
	struct device *device = member->device;

	if (!is_quiet(device)) {
		complain(member);
		return false;
	}
	/* The last holder: this unmaps, and lets the pages go. */
	if (device->container >= 0) {
		ledger_remove_container(member);
		(void)close(device->container);
	}
	device->container = -1;
	return true;
}
