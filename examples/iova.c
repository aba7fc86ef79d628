/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Map a pool for the devices of an IOMMU group: where the library likes, at addresses from 4 GiB
 * up, and then so that a pointer is a bus address, if the IOMMU reaches that far.
 *
 *     cc iova.c $(pkg-config --cflags --libs pinion) -o iova
 *     sudo devbind bind 0000:41:00.0 --driver vfio-pci
 *     sudo hugepages reserve 0:4M
 *     sudo ./iova 7           the number that /sys/bus/pci/devices/0000:41:00.0/iommu_group has
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/pinion.h>
#include <pinion/vfioctl.h>

/* What became of a call that makes a domain. */
static void show(const struct pinion_pool *pool, int error, struct pinion_domain *domain,
		 const char *policy)
{
	struct pinion_buffer first = pinion_buffer_make(0, 1);

	if (error) {
		printf("%s: %s\n", policy, pinion_error_text());
		return;
	}
	printf("%s: %p is at IOVA %#jx\n", policy, pinion_buffer_addr(pool, first),
	       (uintmax_t)pinion_buffer_iova(domain, first, 0).addr);
	pinion_domain_destroy(domain);
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 4 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_domain_config linear = {.base = UINT64_C(4) << 30};
	struct pinion_domain_config identity = {.policy = PINION_IOVA_IDENTITY};
	struct pinion_domain *domain = NULL;
	struct pinion_pool *pool;
	int container, group, error;

	if (argc != 2)
		errx(2, "usage: iova GROUP");
	error = pinion_vfio_container_open(&container);
	if (error)
		errx(1, "/dev/vfio/vfio: %s", strerror(-error));
	error = pinion_vfio_group_open((unsigned)atoi(argv[1]), container, &group);
	if (error)
		errx(1, "/dev/vfio/%s: %s", argv[1], strerror(-error));
	if (pinion_pool_create(&config, &pool))
		errx(1, "%s", pinion_error_text());
	linear.container = identity.container = container;
	error = pinion_domain_create_vfio(pool, container, &domain);
	show(pool, error, domain, "as the library likes");
	error = pinion_domain_create_iova(pool, &linear, &domain);
	show(pool, error, domain, "linear");
	error = pinion_domain_create_iova(pool, &identity, &domain);
	show(pool, error, domain, "identity");

	pinion_pool_destroy(pool);
	pinion_vfio_group_close(group);
	pinion_vfio_container_close(container);
	return 0;
}
