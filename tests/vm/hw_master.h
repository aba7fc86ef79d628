/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HW_MASTER_H
#define PINION_TESTS_HW_MASTER_H

/*
 * Whether the drive may do DMA on its own, and that it may not once its driver is dead: the same
 * promise, whatever the driver opened it through.
 */

#include <pinion/pci.h>

#include <signal.h>

#include "hw_support.h"

/* Through sysfs: the register itself, not what vfio shows. */
static inline bool hw_is_master(void)
{
	struct pinion_pci_bdf bdf = {0};
	uint16_t command = 0;

	assert_int_equal(pinion_pci_bdf_parse(hw_bdf, &bdf), 0);
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_COMMAND, &command), 0);
	return (command & PCI_COMMAND_MASTER) != 0;
}

/* @drive runs in a child: makes the drive a master, writes a byte to the descriptor that it is
 * given a pointer to, and waits to be killed. */
static inline void hw_killed_driver_masters_nothing(int (*drive)(void *ready))
{
	int status = 0, ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(drive(&ready[1]));
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_true(hw_is_master());
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_false(hw_is_master());
}

#endif
