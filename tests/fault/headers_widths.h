/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_HEADERS_WIDTHS_H
#define TESTS_FAULT_HEADERS_WIDTHS_H

/*
 * The drive's configuration space, or registers that begin with it, where a header has a call for
 * each width:
 *
 *     WIDTHS(pinion_uio_config, &uio)
 *
 * makes read8() to write32(): of pinion_uio_config_read8(&uio, off, &v) and so on, v in the file's
 * `out`; and vendor_is_8() to vendor_is_32(), which say what is wrong with what was read. What was
 * written turns bus mastering on, and tree_is_master() and tree_command_stayed() look.
 */

#include <linux/pci_regs.h>

#include "headers.h"

#define WIDTH_READ(bits, vendor, call, ...) \
	static int read##bits(struct scene *scene) \
	{ \
		(void)scene; \
		return call##_read##bits(__VA_ARGS__, PCI_VENDOR_ID, &out.v##bits); \
	} \
	static const char *vendor_is_##bits(struct scene *scene) \
	{ \
		(void)scene; \
		return out.v##bits != (vendor) ? "it is another vendor" : NULL; \
	}

#define WIDTH_WRITE(bits, off, value, call, ...) \
	static int write##bits(struct scene *scene) \
	{ \
		(void)scene; \
		return call##_write##bits(__VA_ARGS__, off, value); \
	}

#define WIDTHS(call, ...) \
	WIDTH_READ(8, 0x36, call, __VA_ARGS__) \
	WIDTH_READ(16, 0x1b36, call, __VA_ARGS__) \
	WIDTH_READ(32, 0x00101b36, call, __VA_ARGS__) \
	WIDTH_WRITE(8, PCI_COMMAND, 0x07, call, __VA_ARGS__) \
	WIDTH_WRITE(16, PCI_COMMAND, 0x0407, call, __VA_ARGS__) \
	WIDTH_WRITE(32, PCI_COMMAND, 0x00100407, call, __VA_ARGS__)

#endif
