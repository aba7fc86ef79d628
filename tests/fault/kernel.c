/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"
#include "kernel.h"
#include "kernel_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "inject.h"

/* Drivers. */

#define DRIVER_LINK "devices/" TREE_BDF "/driver"
#define OVERRIDE "devices/" TREE_BDF "/driver_override"

const char *kernel_name_of(int fd)
{
	static char path[256];
	const size_t root = strlen(tree_bus);
	char link[32];
	ssize_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = tree_exists() ? readlink(link, path, sizeof(path) - 1) : -1;
	if (len <= (ssize_t)root)
		return NULL;
	path[len] = '\0';
	return strncmp(path, tree_bus, root) == 0 ? path + root + 1 : NULL;
}

static void give_to(const char *driver)
{
	char target[64];

	(void)snprintf(target, sizeof(target), "../../drivers/%s", driver);
	(void)unlink(tree_path(DRIVER_LINK));
	(void)!symlink(target, tree_path(DRIVER_LINK));
}

/* The override's driver, and nvme without one. */
static void probe(void)
{
	const int fd = open(tree_path(OVERRIDE), O_RDONLY | O_CLOEXEC);
	char name[64] = "";
	ssize_t len = read(fd, name, sizeof(name) - 1);

	(void)close(fd);
	name[len > 0 ? len - 1 : 0] = '\0';
	give_to(strcmp(name, "(null)") != 0 ? name : "nvme");
}

static void heard(int fd, size_t len)
{
	const char *name = kernel_name_of(fd);

	if (!name)
		return;
	if (!strcmp(name, "drivers/nvme/bind"))
		give_to("nvme");
	if (!strcmp(name, "drivers/vfio-pci/bind"))
		give_to("vfio-pci");
	if (!strcmp(name, "drivers/nvme/unbind") || !strcmp(name, "drivers/vfio-pci/unbind"))
		(void)unlink(tree_path(DRIVER_LINK));
	if (!strcmp(name, "drivers_probe"))
		probe();
	if (!strcmp(name, OVERRIDE) && len == 1)
		(void)!pwrite(fd, "(null)\n", 7, 0);
	if (!strcmp(name, OVERRIDE))
		(void)!ftruncate(fd, len == 1 ? 7 : (off_t)len);
}

ssize_t write(int fd, const void *text, size_t len)
{
	const ssize_t n = syscall(SYS_write, fd, text, len);
	const int saved = errno;

	if (n > 0 && tree_exists()) {
		inject_pause();
		heard(fd, (size_t)n);
		inject_resume();
	}
	errno = saved;
	return n;
}

/* VFIO. */

static struct {
	uint32_t iommu; /* its kind; 0: none yet */
	unsigned long long mapped;
} container;

uint32_t kernel_iommu(void)
{
	return container.iommu;
}

unsigned long long kernel_mapped(void)
{
	return container.mapped;
}

void kernel_reset(void)
{
	container.iommu = 0;
	container.mapped = 0;
	kernel_device_reset();
	kernel_iommufd_reset();
}

/* One range, behind the fixed part when there is room for it. */
static int iommu_info(struct vfio_iommu_type1_info *info)
{
	const struct vfio_iova_range all = {0, 0x7fffffffff};
	struct vfio_iommu_type1_info_cap_iova_range cap = {
		{VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0}, 1, 0};
	const uint32_t room = info->argsz;
	const uint32_t at = sizeof(*info);

	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = 4096;
	info->argsz = at + sizeof(cap) + sizeof(all);
	if (room < info->argsz)
		return 0;
	info->cap_offset = at;
	memcpy((char *)info + at, &cap, sizeof(cap));
	memcpy((char *)info + at + sizeof(cap), &all, sizeof(all));
	return 0;
}

static int unmap(struct vfio_iommu_type1_dma_unmap *all)
{
	if ((all->flags & VFIO_DMA_UNMAP_FLAG_ALL) != 0 || all->size > container.mapped)
		all->size = container.mapped;
	container.mapped -= all->size;
	return 0;
}

/* Where there is none, no request is known; before there is, none can be served. */
static int of_iommu(unsigned long request, void *arg)
{
	if (container.iommu == 0)
		return -EINVAL;
	if (container.iommu == VFIO_NOIOMMU_IOMMU)
		return -ENOTTY;
	switch (request) {
	case VFIO_IOMMU_GET_INFO:
		return iommu_info(arg);
	case VFIO_IOMMU_MAP_DMA:
		container.mapped += ((const struct vfio_iommu_type1_dma_map *)arg)->size;
		return 0;
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap(arg);
	default:
		return -ENOTTY;
	}
}

static int of_container(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return 1;
	case VFIO_SET_IOMMU:
		container.iommu = (uint32_t)(uintptr_t)arg;
		return 0;
	default:
		return of_iommu(request, arg);
	}
}

static int of_group(unsigned long request, void *arg)
{
	int fd;

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		fd = open(tree_path("devices/" TREE_BDF "/config"), O_RDWR | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	default:
		return -ENOTTY;
	}
}

static int answer(int fd, unsigned long request, void *arg)
{
	const char *name = kernel_name_of(fd);

	if (!name)
		return -ENOTTY;
	if (!strcmp(name, "dev/vfio/vfio"))
		return of_container(request, arg);
	if (!strcmp(name, "dev/vfio/12") || !strcmp(name, "dev/vfio/noiommu-12"))
		return of_group(request, arg);
	if (!strcmp(name, "dev/iommu"))
		return kernel_iommufd_answer(request, arg);
	if (!strcmp(name, "dev/vfio/devices/vfio7"))
		return kernel_node_answer(request, arg);
	return kernel_device_answer(request, arg);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int n;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	n = (int)syscall(SYS_ioctl, fd, request, arg);
	/* What every file says that knows no ioctl. */
	if (n >= 0 || errno != ENOTTY || !tree_exists())
		return n;
	inject_pause();
	n = answer(fd, request, arg);
	inject_resume();
	if (n >= 0)
		return n;
	errno = -n;
	return -1;
}
