/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_HEADERS_MAPPING_H
#define TESTS_FAULT_HEADERS_MAPPING_H

/*
 * A mapping of registers that a call made, in the file's `out.bar`, and one that is there for the
 * call that undoes it:
 *
 *     MAPPING(pinion_uio_bar, setup, teardown, &uio, 1)
 *
 * makes unmap() with what a table wants of it, on what pinion_uio_bar_map(&uio, 1, &addr, &len)
 * gave between setup() and teardown(); and map_undo(), for tables of calls that map.
 */

#include "headers.h"

#define MAPPING(call, before, after, ...) \
	static void map_undo(struct scene *scene) \
	{ \
		(void)scene; \
		scene_must(!call##_unmap(out.bar.addr, out.bar.len), "no mapping"); \
	} \
	static void *regs; \
	static size_t regs_len; \
	static void unmap_undo(struct scene *scene) \
	{ \
		(void)scene; \
		scene_must(!call##_map(__VA_ARGS__, &regs, &regs_len), "a mapping"); \
	} \
	static void unmap_setup(struct scene *scene) \
	{ \
		before(scene); \
		unmap_undo(scene); \
	} \
	/* The injector does what it says failed: a second munmap(2) finds nothing there. */ \
	static void unmap_teardown(struct scene *scene) \
	{ \
		(void)call##_unmap(regs, regs_len); \
		after(scene); \
	} \
	static int unmap(struct scene *scene) \
	{ \
		(void)scene; \
		return call##_unmap(regs, regs_len); \
	}

#endif
