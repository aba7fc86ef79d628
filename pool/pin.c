/* SPDX-License-Identifier: BSD-3-Clause */
#include "pin.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

/* The kernel takes at most 1 GiB in one registered buffer (io_uring_register(2)). */
#define PIECE ((size_t)1 << 30)

struct pins {
	struct io_uring ring;
};

static int pin(struct pins *pins, const struct pinion_hostmem *memory, uint32_t segment)
{
	size_t nr = (memory->len + PIECE - 1) / PIECE;
	struct iovec *iov = calloc(nr, sizeof(*iov));
	int err;

	if (!iov)
		return pinion_fail(-ENOMEM, "no memory to pin %zu pieces", nr);
	for (size_t i = 0; i < nr; i++) {
		size_t left = memory->len - i * PIECE;

		iov[i].iov_base = (char *)memory->addr + i * PIECE;
		iov[i].iov_len = left < PIECE ? left : PIECE;
	}
	err = io_uring_register_buffers(&pins->ring, iov, (unsigned)nr);
	free(iov);
	if (err)
		return pinion_fail(err, "segment %u: cannot pin its pages: %s (memlock is counted "
				   "for processes without CAP_IPC_LOCK: ulimit -l)", segment,
				   strerror(-err));
	return 0;
}

int pins_create(const struct pinion_hostmem *memory, uint32_t segment, struct pins **out)
{
	struct pins *pins = calloc(1, sizeof(*pins));
	int err;

	if (!pins)
		return pinion_fail(-ENOMEM, "no memory for pins");
	err = io_uring_queue_init(1, &pins->ring, 0);
	if (err) {
		free(pins);
		if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
			return pinion_fail(err, "cannot pin pages: io_uring says %s (memlock is "
					   "counted for processes without CAP_IPC_LOCK: ulimit -l)",
					   strerror(-err));
		return pinion_fail(-ENOTSUP, "cannot pin pages without VFIO: io_uring says %s "
				   "(see: sysctl kernel.io_uring_disabled)", strerror(-err));
	}
	err = pin(pins, memory, segment);
	if (err) {
		pins_destroy(pins);
		return err;
	}
	*out = pins;
	return 0;
}

void pins_destroy(struct pins *pins)
{
	if (!pins)
		return;
	/* Unpinned here and now: the exit alone leaves it to a worker of the kernel, and whoever
	 * counts hugepages right afterwards would miss some. Without buffers it is a harmless
	 * -ENXIO. */
	(void)io_uring_unregister_buffers(&pins->ring);
	pins_discard(pins);
}

void pins_discard(struct pins *pins)
{
	if (!pins)
		return;
	io_uring_queue_exit(&pins->ring);
	free(pins);
}
