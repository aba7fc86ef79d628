/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_PCI_BIND_H
#define PINION_PCI_BIND_H

/*
 * Which driver has a PCI function, changed and looked at again; reset and rescan.
 *
 *     pinion_pci_bind(&bdf, "vfio-pci")      from whatever driver it has to this one
 *     ...                                    drive it: vfioctl.h, uio.h
 *     pinion_pci_bind(&bdf, NULL)            to whichever driver the kernel finds fit
 *
 *     pinion_pci_unbind(&bdf)                to none
 *     pinion_pci_override_set(&bdf, name)    only that driver may bind it from now on
 *     pinion_pci_reset(&bdf)                 the device as after power-on; its driver stays
 *     pinion_pci_rescan()                    look for devices that were plugged in or removed
 *
 * What the kernel answers to a write is not enough: it says nothing when a driver declines. So
 * each call looks at the result and says -EIO when it is another, and pinion_pci_bind() then puts
 * the driver and the override back that were there.
 *
 * Caveats, each with its remedy:
 *  - Nobody is asked. A file system on the drive, an address on the card: they lose their device.
 *    The command devbind(8) looks first, and refuses; these calls are for a program that knows.
 *  - Unbinding waits until the driver lets go, which can be for ever: vfio-pci waits until its
 *    group is closed. Close it first.
 *  - In an IOMMU group of several, all must be bound to vfio-pci or to none before VFIO opens it.
 *  - A driver's own work can go on after it has bound: /dev/nvme0n1 comes some time later.
 *  - Two programs that bind one function at once undo each other's work: leave it to one.
 *
 * Who: root. Any thread, any process; nothing is kept between calls. Death: what was written
 * stays. A process killed inside pinion_pci_bind() can leave the function without a driver and
 * with an override: call it again.
 *
 * Errors are -errno; errno itself is left undefined.
 *
 * Sources: Documentation/ABI/testing/sysfs-bus-pci of Linux (bind, unbind, driver_override, reset,
 * rescan, drivers_probe).
 * Needs pci.h, libc and the kernel's UAPI headers. C99, C11, C++17.
 */

#include <pinion/pci.h>

/* Where drivers and the bus's own files stand: any expression of type const char *. */
#ifndef PINION_PCI_BUS
#define PINION_PCI_BUS "/sys/bus/pci"
#endif

/* Room for the name of a driver with its end: a module's name has at most 55 characters
 * (MODULE_NAME_LEN of Linux), a driver's is no longer in practice. */
#define PINION_PCI_DRIVER_LEN 64

/* Write a text in one piece, as sysfs wants it, and close fd. */
static inline int pinion_pci_put(int fd, const char *text)
{
	const size_t len = strlen(text);
	ssize_t n;
	int err;

	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	err = n < 0 ? pinion_pci_errno() : (size_t)n == len ? 0 : -EIO;
	close(fd);
	return err;
}

/* Write an attribute of a function. The errors of pinion_pci_open(), and what the kernel says. */
static inline int pinion_pci_attr_write(const struct pinion_pci_bdf *bdf, const char *attr,
					const char *text)
{
	const int fd = pinion_pci_open(bdf, attr, O_WRONLY);

	return fd < 0 ? fd : pinion_pci_put(fd, text);
}

/* Open a file of the bus: "drivers_probe", or "drivers/NAME/bind" with that driver's name. */
static inline int pinion_pci_bus_open(const char *driver, const char *file)
{
	char path[PINION_PCI_PATH_LEN];
	const int n = snprintf(path, sizeof(path), "%s/%s%s%s%s", PINION_PCI_BUS,
			       driver != NULL ? "drivers/" : "", driver != NULL ? driver : "",
			       driver != NULL ? "/" : "", file);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	do
		fd = open(path, O_WRONLY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? pinion_pci_errno() : fd;
}

/* Whether this can be the name of a driver: one component of a path, in one line. */
static inline bool pinion_pci_is_driver_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strlen(name) < PINION_PCI_DRIVER_LEN &&
	       strpbrk(name, "/\n") == NULL;
}

/* The driver, or "" for none; name has PINION_PCI_DRIVER_LEN bytes. */
static inline int pinion_pci_driver_or_none(const struct pinion_pci_bdf *bdf, char *name)
{
	int err;

	name[0] = '\0';
	err = pinion_pci_driver(bdf, name, PINION_PCI_DRIVER_LEN);
	return err == -ENOENT ? 0 : err;
}

/*
 * The driver that alone may bind the function; "" when any that fits may. name has
 * PINION_PCI_DRIVER_LEN bytes, and is not to be read after a failure.
 *
 * -ENODEV  no such device
 * -ENOSPC  a longer name: some other program's, that no driver has
 */
static inline int pinion_pci_override(const struct pinion_pci_bdf *bdf, char *name)
{
	const int err = pinion_pci_attr_read(bdf, "driver_override", name, PINION_PCI_DRIVER_LEN);

	/* The kernel's word for none. */
	if (err == 0 && strcmp(name, "(null)") == 0)
		name[0] = '\0';
	return err;
}

/*
 * Let only that driver bind the function, or with NULL any that fits. The driver it has stays.
 *
 * -EINVAL  not the name of a driver: "", or with a slash, or of 64 characters and more
 * -ENODEV  no such device
 * -EACCES  not root
 * -EIO     the kernel shows another name afterwards: someone else wrote, too
 */
static inline int pinion_pci_override_set(const struct pinion_pci_bdf *bdf, const char *driver)
{
	char line[PINION_PCI_DRIVER_LEN + 1], now[PINION_PCI_DRIVER_LEN];
	int err;

	if (driver != NULL && !pinion_pci_is_driver_name(driver))
		return -EINVAL;
	snprintf(line, sizeof(line), "%s\n", driver != NULL ? driver : "");
	err = pinion_pci_attr_write(bdf, "driver_override", line);
	if (err == 0)
		err = pinion_pci_override(bdf, now);
	if (err < 0)
		return err;
	return strcmp(now, driver != NULL ? driver : "") == 0 ? 0 : -EIO;
}

/*
 * Take the function from its driver, and look whether it is gone. Waits until the driver lets go.
 * The override stays: the next rescan may bind a driver again.
 *
 * -ENOENT  it has no driver
 * -ENODEV  no such device
 * -EACCES  not root
 * -EIO     it has a driver still, or again
 */
static inline int pinion_pci_unbind(const struct pinion_pci_bdf *bdf)
{
	char name[PINION_PCI_BDF_LEN], driver[PINION_PCI_DRIVER_LEN];
	int err = pinion_pci_bdf_format(bdf, name, sizeof(name));

	if (err == 0)
		err = pinion_pci_attr_write(bdf, "driver/unbind", name);
	if (err == 0)
		err = pinion_pci_driver_or_none(bdf, driver);
	if (err < 0)
		return err;
	return driver[0] == '\0' ? 0 : -EIO;
}

/*
 * Let a driver have a function that has none: the one named, or with "" whichever fits. 0 only
 * when it has it then.
 */
static inline int pinion_pci_probe(const struct pinion_pci_bdf *bdf, const char *driver)
{
	char name[PINION_PCI_BDF_LEN], now[PINION_PCI_DRIVER_LEN];
	int fd, told, err = pinion_pci_bdf_format(bdf, name, sizeof(name));

	if (err < 0)
		return err;
	fd = driver[0] != '\0' ? pinion_pci_bus_open(driver, "bind")
			       : pinion_pci_bus_open(NULL, "drivers_probe");
	told = fd < 0 ? fd : pinion_pci_put(fd, name);
	/* Whatever was told: another may have been faster, and bound just that driver. */
	err = pinion_pci_driver_or_none(bdf, now);
	if (err < 0)
		return err;
	if (now[0] != '\0' && (driver[0] == '\0' || strcmp(now, driver) == 0))
		return 0;
	/* What a driver says that declines (-ENODEV, -EINVAL) reads like our own errors; but one
	 * that was never asked has not declined. */
	return fd < 0 || told == -EACCES || told == -EPERM || told == -ENOMEM ? told : -EIO;
}

/* Driver and override of a function, "" for none. */
struct pinion_pci_bound {
	char driver[PINION_PCI_DRIVER_LEN], override[PINION_PCI_DRIVER_LEN];
};

/* What is now. */
static inline int pinion_pci_bound_read(const struct pinion_pci_bdf *bdf,
					struct pinion_pci_bound *bound)
{
	const int err = pinion_pci_driver_or_none(bdf, bound->driver);

	return err < 0 ? err : pinion_pci_override(bdf, bound->override);
}

/* Make it so; with any, whatever want->driver is, take the driver away and have one chosen. */
static inline int pinion_pci_bound_make(const struct pinion_pci_bdf *bdf,
					const struct pinion_pci_bound *want, bool any)
{
	const char *only = want->override[0] != '\0' ? want->override : NULL;
	/* The kernel binds none but the override's: that of another driver comes last. */
	const char *during = any ? NULL : want->driver[0] != '\0' ? want->driver : only;
	char now[PINION_PCI_DRIVER_LEN] = "";
	int err = pinion_pci_override_set(bdf, during);

	if (err == 0)
		err = pinion_pci_driver_or_none(bdf, now);
	if (err < 0)
		return err;
	if (any || strcmp(now, want->driver) != 0) {
		if (now[0] != '\0')
			err = pinion_pci_unbind(bdf);
		if (err == 0 && (any || want->driver[0] != '\0'))
			err = pinion_pci_probe(bdf, any ? "" : want->driver);
	}
	return err == 0 && during != only ? pinion_pci_override_set(bdf, only) : err;
}

/* After err: make it what it was, if it is not. err, or -ENOTRECOVERABLE when that fails. */
static inline int pinion_pci_bound_restore(const struct pinion_pci_bdf *bdf,
					   const struct pinion_pci_bound *was, int err)
{
	struct pinion_pci_bound now;

	if (pinion_pci_bound_read(bdf, &now) == 0 && strcmp(now.driver, was->driver) == 0 &&
	    strcmp(now.override, was->override) == 0)
		return err;
	return pinion_pci_bound_make(bdf, was, false) == 0 ? err : -ENOTRECOVERABLE;
}

/* -ENOENT when the kernel has no driver of that name now. */
static inline int pinion_pci_driver_check(const char *driver)
{
	char path[PINION_PCI_PATH_LEN];
	const int n = snprintf(path, sizeof(path), "%s/drivers/%s", PINION_PCI_BUS, driver);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return access(path, F_OK) == 0 ? 0 : pinion_pci_errno();
}

/*
 * Give the function to a driver, from whichever has it, and let only that one bind it; with NULL
 * clear the override, and give it to whichever driver fits (that can be the one it had). 0 only
 * when the driver has it then. After a failure, driver and override are what they were, but for
 * -ENOTRECOVERABLE. The driver that gets it back begins anew: names like nvme0 can change.
 *
 * -EINVAL  not the name of a driver
 * -ENOENT  the kernel has no driver of that name: load its module
 * -ENODEV  no such device
 * -EACCES  not root
 * -EIO     the driver declined, or with NULL none fits: the kernel's log may say why
 * -ENOTRECOVERABLE  that, and what was could not be put back: look with pinion_pci_driver() and
 *          pinion_pci_override(), and bind what it shall have
 */
static inline int pinion_pci_bind(const struct pinion_pci_bdf *bdf, const char *driver)
{
	struct pinion_pci_bound was, want;
	int err;

	if (driver != NULL && !pinion_pci_is_driver_name(driver))
		return -EINVAL;
	err = pinion_pci_bound_read(bdf, &was);
	if (err == 0 && driver != NULL)
		err = pinion_pci_driver_check(driver);
	if (err < 0)
		return err;
	memset(&want, 0, sizeof(want));
	if (driver != NULL) {
		memcpy(want.driver, driver, strlen(driver) + 1);
		memcpy(want.override, driver, strlen(driver) + 1);
	}
	err = pinion_pci_bound_make(bdf, &want, driver == NULL);
	return err == 0 ? 0 : pinion_pci_bound_restore(bdf, &was, err);
}

/*
 * Reset the function alone, by whichever way the kernel knows ("reset_method"). The kernel saves
 * configuration space before and restores it after, and tells a bound driver; what the device was
 * doing is lost. Waits until the device answers again.
 *
 * -ENOENT  the kernel knows no way to reset it alone
 * -ENODEV  no such device
 * -EACCES  not root
 * -ENOTTY  no way worked this time
 */
static inline int pinion_pci_reset(const struct pinion_pci_bdf *bdf)
{
	return pinion_pci_attr_write(bdf, "reset", "1");
}

/*
 * Look for devices on all PCI buses, and let drivers have what is new. Functions that are known
 * stay as they are.
 *
 * -ENOENT  no PCI bus, or sysfs is not mounted
 * -EACCES  not root
 */
static inline int pinion_pci_rescan(void)
{
	const int fd = pinion_pci_bus_open(NULL, "rescan");

	return fd < 0 ? fd : pinion_pci_put(fd, "1");
}

#endif
