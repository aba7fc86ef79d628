/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel.h"
#include "kernel_parts.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <pinion/iommufd.h>

/*
 * One iommufd with a few spaces, numbered from 1 on, and the one device that lives in one of them.
 * A space has one mapping at the most, and only where it lies is looked at: what else could be
 * wrong with one the unit tests ask.
 */

#define SPACES 4

/* The number of the device among the objects. */
#define DEVICE_ID 100

static struct {
	bool bound;
	uint32_t home; /* the device's space; 0: none */
	uint64_t huge_pages;
	struct {
		bool used;
		uint64_t iova, mapped; /* bytes; 0: nothing */
		uint32_t allowed;
	} space[SPACES];
} iommufd;

void kernel_iommufd_reset(void)
{
	memset(&iommufd, 0, sizeof(iommufd));
	iommufd.huge_pages = 1;
}

static bool is_space(uint32_t id)
{
	return id > 0 && id <= SPACES && iommufd.space[id - 1].used;
}

unsigned long long kernel_space_mapped(uint32_t ioas)
{
	return is_space(ioas) ? iommufd.space[ioas - 1].mapped : 0;
}

uint32_t kernel_space_allowed(uint32_t ioas)
{
	return is_space(ioas) ? iommufd.space[ioas - 1].allowed : 0;
}

uint32_t kernel_spaces(void)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < SPACES; i++)
		nr += iommufd.space[i].used;
	return nr;
}

uint32_t kernel_home(void)
{
	return iommufd.home;
}

uint64_t kernel_huge_pages(void)
{
	return iommufd.huge_pages;
}

/* Spaces. */

static int alloc(struct pinion_iommufd_alloc_arg *arg)
{
	for (uint32_t i = 0; i < SPACES; i++) {
		if (iommufd.space[i].used)
			continue;
		memset(&iommufd.space[i], 0, sizeof(iommufd.space[i]));
		iommufd.space[i].used = true;
		arg->ioas = i + 1;
		return 0;
	}
	return -ENOMEM;
}

static int destroy(const struct pinion_iommufd_destroy_arg *arg)
{
	if (!is_space(arg->id))
		return -ENOENT;
	if (arg->id == iommufd.home)
		return -EBUSY;
	iommufd.space[arg->id - 1].used = false;
	return 0;
}

static int allow(const struct pinion_iommufd_ranges_arg *arg)
{
	if (!is_space(arg->ioas))
		return -ENOENT;
	iommufd.space[arg->ioas - 1].allowed = arg->nr;
	return 0;
}

/* Two ranges: there is the window of the interrupts between them. */
static int ranges(struct pinion_iommufd_ranges_arg *arg)
{
	const struct pinion_iommufd_range all[2] = {{0, 0xfedfffff}, {0xfef00000, 0x7fffffffff}};

	if (!is_space(arg->ioas))
		return -ENOENT;
	if (arg->nr < 2)
		return -EMSGSIZE;
	memcpy((void *)(uintptr_t)arg->ranges, all, sizeof(all));
	arg->nr = 2;
	arg->alignment = 4096;
	return 0;
}

/* Mappings. */

static bool holds(uint64_t iova, uint64_t len, uint64_t part, uint64_t part_len)
{
	return part >= iova && part_len <= len && part - iova <= len - part_len;
}

static int map(uint32_t ioas, uint64_t iova, uint64_t len)
{
	if (!is_space(ioas))
		return -ENOENT;
	if (iommufd.space[ioas - 1].mapped)
		return -EEXIST;
	iommufd.space[ioas - 1].iova = iova;
	iommufd.space[ioas - 1].mapped = len;
	return 0;
}

static int map_memory(struct pinion_iommufd_map_arg *arg)
{
	if ((arg->flags & PINION_IOMMUFD_MAP_FIXED) == 0)
		arg->iova = KERNEL_CHOSEN_IOVA;
	return map(arg->ioas, arg->iova, arg->len);
}

static int map_file(const struct pinion_iommufd_map_file_arg *arg)
{
	return map(arg->ioas, arg->iova, arg->len);
}

/* A part of a mapping will do (iopt_get_pages() of drivers/iommu/iommufd). */
static int copy(const struct pinion_iommufd_copy_arg *arg)
{
	if (!is_space(arg->from) ||
	    !holds(iommufd.space[arg->from - 1].iova, iommufd.space[arg->from - 1].mapped,
		   arg->from_iova, arg->len))
		return -ENOENT;
	return map(arg->to, arg->to_iova, arg->len);
}

/* A mapping goes as a whole. All addresses, and nothing there, is no error. */
static int unmap(struct pinion_iommufd_unmap_arg *arg)
{
	const uint64_t mapped = kernel_space_mapped(arg->ioas);

	if (!is_space(arg->ioas) || (mapped == 0 && arg->len != UINT64_MAX))
		return -ENOENT;
	if (mapped && !holds(arg->iova, arg->len, iommufd.space[arg->ioas - 1].iova, mapped))
		return -ENOENT;
	arg->len = mapped;
	iommufd.space[arg->ioas - 1].mapped = 0;
	return 0;
}

static int option(struct pinion_iommufd_option_arg *arg)
{
	if (arg->option != PINION_IOMMUFD_HUGE_PAGES)
		return -EOPNOTSUPP;
	if (!is_space(arg->object))
		return -ENOENT;
	if (arg->op == 1)
		arg->value = iommufd.huge_pages;
	else
		iommufd.huge_pages = arg->value;
	return 0;
}

int kernel_iommufd_answer(unsigned long request, void *arg)
{
	switch (request) {
	case PINION_IOMMUFD_DESTROY:
		return destroy(arg);
	case PINION_IOMMUFD_IOAS_ALLOC:
		return alloc(arg);
	case PINION_IOMMUFD_IOAS_ALLOW:
		return allow(arg);
	case PINION_IOMMUFD_IOAS_COPY:
		return copy(arg);
	case PINION_IOMMUFD_IOAS_RANGES:
		return ranges(arg);
	case PINION_IOMMUFD_IOAS_MAP:
		return map_memory(arg);
	case PINION_IOMMUFD_IOAS_MAP_FILE:
		return map_file(arg);
	case PINION_IOMMUFD_IOAS_UNMAP:
		return unmap(arg);
	case PINION_IOMMUFD_OPTION:
		return option(arg);
	default:
		return -ENOTTY;
	}
}

/* The device. */

static int bind(struct pinion_iommufd_bind_arg *arg)
{
	const char *name = kernel_name_of(arg->iommufd);

	if (!name || strcmp(name, "dev/iommu"))
		return -EBADFD;
	iommufd.bound = true;
	arg->device = DEVICE_ID;
	return 0;
}

static int attach(const struct pinion_iommufd_attach_arg *arg)
{
	if (!iommufd.bound)
		return -EINVAL;
	if (!is_space(arg->ioas))
		return -ENOENT;
	iommufd.home = arg->ioas;
	return 0;
}

int kernel_node_answer(unsigned long request, void *arg)
{
	switch (request) {
	case PINION_IOMMUFD_DEVICE_BIND:
		return bind(arg);
	case PINION_IOMMUFD_DEVICE_ATTACH:
		return attach(arg);
	case PINION_IOMMUFD_DEVICE_DETACH:
		iommufd.home = 0;
		return iommufd.bound ? 0 : -EINVAL;
	default:
		return -ENOTTY;
	}
}
