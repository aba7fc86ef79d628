/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers_mapping.h"
#include "headers_widths.h"

#include <pinion/uio.h>

/*
 * uio.h. /dev/uio3 is a FIFO, which polls and reads as one would.
 */

static union {
	struct pinion_uio uio;
	struct {
		void *addr;
		size_t len;
	} bar;
	unsigned number;
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;
} out;

/* The drive, open, for all but open itself. */
static struct pinion_uio uio;

static void open_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_uio_open(TREE_BDF, &uio), "/dev/uio3");
}

static void setup(struct scene *scene)
{
	tree_open(scene);
	open_again(scene);
}

static void teardown(struct scene *scene)
{
	if (uio.fd >= 0)
		(void)pinion_uio_close(&uio);
	tree_close(scene);
}

#define UIO_DEED(text, call, good) \
	.name = (text), .setup = setup, .run = (call), .use = (good), .teardown = teardown, \
	.bare = true

#define UIO_CALL(text, call, good) \
	UIO_DEED(text, call, good), .out = &out, .out_len = sizeof(out)

static int find(struct scene *scene)
{
	(void)scene;
	return pinion_uio_find(TREE_BDF, &out.number);
}

static const char *number_is_3(struct scene *scene)
{
	(void)scene;
	return out.number != 3 ? "it is another number" : NULL;
}

static int open_uio(struct scene *scene)
{
	(void)scene;
	return pinion_uio_open(TREE_BDF, &out.uio);
}

static const char *is_open(struct scene *scene)
{
	(void)scene;
	return out.uio.number != 3 || out.uio.command != TREE_COMMAND ? "it is another" : NULL;
}

static void open_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_uio_close(&out.uio), "a close");
}

/* With bus mastering on, and interrupts let through: both are to go. */
static void master(struct scene *scene)
{
	open_again(scene);
	scene_must(!pinion_uio_bus_master_set(&uio, true), "bus mastering");
	scene_must(!pinion_uio_irq_enable(&uio), "interrupts");
}

static void master_setup(struct scene *scene)
{
	tree_open(scene);
	master(scene);
}

static int close_uio(struct scene *scene)
{
	(void)scene;
	return pinion_uio_close(&uio);
}

static const char *command_is_restored(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != TREE_COMMAND ? "COMMAND is not what it was" : NULL;
}

/* Configuration space. */

WIDTHS(pinion_uio_config, &uio)

static int bus_master_set(struct scene *scene)
{
	(void)scene;
	return pinion_uio_bus_master_set(&uio, true);
}

/* BARs. */

static int bar_map(struct scene *scene)
{
	(void)scene;
	return pinion_uio_bar_map(&uio, 0, &out.bar.addr, &out.bar.len);
}

static int bar_map_small(struct scene *scene)
{
	(void)scene;
	return pinion_uio_bar_map(&uio, 1, &out.bar.addr, &out.bar.len);
}

static const char *bar_is_mapped(struct scene *scene)
{
	(void)scene;
	return tree_bar_holds(out.bar.addr);
}

MAPPING(pinion_uio_bar, setup, teardown, &uio, 1)

/* Interrupts. */

static int irq_enable(struct scene *scene)
{
	(void)scene;
	return pinion_uio_irq_enable(&uio);
}

static const char *line_is_let_through(struct scene *scene)
{
	(void)scene;
	return tree_config16(PCI_COMMAND) != 0x0003 ? "COMMAND has another value" : NULL;
}

/* One interrupt has come, and one more after each that was waited for. */
static void interrupt(struct scene *scene)
{
	const uint32_t count = 5;

	(void)scene;
	scene_must(write(uio.fd, &count, sizeof(count)) == sizeof(count), "an interrupt");
}

static void interrupt_setup(struct scene *scene)
{
	setup(scene);
	interrupt(scene);
}

static int irq_wait(struct scene *scene)
{
	(void)scene;
	return pinion_uio_irq_wait(&uio, 1000000000u, &out.v32);
}

static const char *count_is_5(struct scene *scene)
{
	(void)scene;
	return out.v32 != 5 ? "it is another count" : NULL;
}

/* A function whose uio directory went with its driver. */
static const int lost[] = {-ENODEV, 0};

const struct operation uio_operations[] = {
	{HEADER_CALL("uio find", find, number_is_3)},
	{HEADER_CALL("uio open", open_uio, is_open), .undo = open_undo, .may = lost},
	{.name = "uio close", .setup = master_setup, .run = close_uio, .use = command_is_restored,
	 .undo = master, .teardown = teardown, .final = true, .bare = true, .may = lost},
	{UIO_CALL("uio config_read8", read8, vendor_is_8)},
	{UIO_CALL("uio config_read16", read16, vendor_is_16)},
	{UIO_CALL("uio config_read32", read32, vendor_is_32)},
	{UIO_DEED("uio config_write8", write8, tree_is_master), .kept = tree_command_stayed,
	 .may = lost},
	{UIO_DEED("uio config_write16", write16, tree_is_master), .kept = tree_command_stayed,
	 .may = lost},
	{UIO_DEED("uio config_write32", write32, tree_is_master), .kept = tree_command_stayed,
	 .may = lost},
	{UIO_DEED("uio bus_master_set", bus_master_set, tree_is_master), .may = lost},
	{UIO_CALL("uio bar_map", bar_map, bar_is_mapped), .undo = map_undo},
	{UIO_CALL("uio bar_map, of less than a page", bar_map_small, bar_is_mapped),
	 .undo = map_undo},
	{.name = "uio bar_unmap", .setup = unmap_setup, .run = unmap, .undo = unmap_undo,
	 .teardown = unmap_teardown, .final = true, .bare = true},
	{UIO_DEED("uio irq_enable", irq_enable, line_is_let_through), .kept = tree_command_stayed,
	 .may = lost},
	{.name = "uio irq_wait", .setup = interrupt_setup, .run = irq_wait, .use = count_is_5,
	 .undo = interrupt, .teardown = teardown, .bare = true, .out = &out,
	 .out_len = sizeof(out)},
	{0},
};
