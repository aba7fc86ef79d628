/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_MMIO_H
#define PINION_MMIO_H

/*
 * Device registers, and the order between them and ordinary memory.
 *
 * A user-space driver maps a BAR (pci.h, vfioctl.h or uio.h) and then speaks to the device
 * through loads and stores of that mapping. Two things can go wrong that never go wrong with
 * memory: the compiler may merge, split or drop an access, and the processor may let the store
 * to the doorbell overtake the stores that filled the queue entry. Here each read and write is
 * one access of the width in its name, and comes in two forms, named as in Linux and in DPDK:
 *
 *                               ordered                       the access alone
 *     8, 16, 32, 64 bits        pinion_mmio_read32()          pinion_mmio_read32_relaxed()
 *                               pinion_mmio_write32()         pinion_mmio_write32_relaxed()
 *     64 bits as two halves     pinion_mmio_read64_lo_hi()    pinion_mmio_read64_lo_hi_relaxed()
 *     in either order           pinion_mmio_write64_hi_lo()   pinion_mmio_write64_hi_lo_relaxed()
 *     some bits of a register   pinion_mmio_modify32()
 *     until bits are so         pinion_mmio_wait32()
 *
 * An ordered write comes after what was stored to memory before it; an ordered read comes before
 * what is loaded from memory after it. That is a barrier and the access, and where one barrier
 * does for several accesses, call it yourself and use the relaxed ones:
 *
 *     barrier                 waits for       holds back          x86-64          arm64
 *     pinion_dma_wmb()        stores          stores              the compiler    dmb oshst
 *     pinion_dma_rmb()        loads           loads and stores    the compiler    dmb oshld
 *     pinion_dma_mb()         both            both                mfence          dmb osh
 *     pinion_mmio_wc_flush()  stores, write-  stores              sfence          dsb st
 *                             combined too
 *
 *     to the device                            from the device
 *     -------------                            ---------------
 *     fill data and queue entry                load the entry's flag (phase bit)
 *     pinion_mmio_write32(doorbell, tail)      pinion_dma_rmb()
 *                                              load the rest of the entry, the data
 *                                              pinion_dma_rmb()
 *                                              pinion_mmio_write32_relaxed(doorbell, head)
 *
 *     through a write-combined mapping         with a doorbell in memory (shadow doorbell)
 *     --------------------------------         -------------------------------------------
 *     pinion_mmio_write64_relaxed() each       fill data and queue entry
 *     pinion_mmio_wc_flush()                   pinion_dma_wmb(), store the tail
 *     pinion_mmio_write32(doorbell, tail)      pinion_dma_mb(), load how far the device looks
 *                                              pinion_mmio_write32_relaxed() only if it asks
 *
 * Accesses to registers of one device stay in program order among themselves, relaxed ones
 * included: BARs are mapped uncached (x86-64) or as device memory (arm64).
 *
 * Registers are little endian, and so are the processors supported: values need no swapping.
 *
 * Threads: every function may be called from any thread. Two threads that write one register, or
 * modify one, must agree between themselves; under a lock their writes arrive in its order.
 * Processes: a mapping is inherited over fork, and both may use it.
 *
 * Death: stores that were issued reach the device, whatever happens to the process. A doorbell
 * already rung keeps the device at work: what stops it is the close of the last vfio device or
 * /dev/uioN descriptor (vfioctl.h, uio.h), not the end of the mapping.
 *
 * Caveats, each with its remedy:
 *  - A device that is gone (unplugged, fallen off the link, reset by someone) reads as all ones.
 *    The waits say -ENODEV; elsewhere compare with UINT32_MAX before believing.
 *  - A write is posted: the processor goes on before the device has it. Read any register of the
 *    same device to wait for it.
 *  - Non-temporal stores are ordered by no write here: pinion_mmio_wc_flush() after them.
 *  - A register that is not aligned to its width is two accesses on x86-64, and SIGBUS on arm64.
 *    Use the widths and offsets of the device's manual.
 *  - On arm64 nothing but these functions should touch a BAR: a compiler makes memcpy(), and any
 *    walk over registers, of instructions that a virtual machine's emulated device cannot carry
 *    out (KVM tells it of no operands: KVM_EXIT_ARM_NISV, Documentation/virt/kvm/api.rst).
 *  - Under -std=c99 or -std=c11 libc hides POSIX: include this header first, or define
 *    _DEFAULT_SOURCE.
 *
 * Source of forms and barriers: Documentation/memory-barriers.txt ("Kernel I/O barrier effects"),
 * Documentation/driver-api/device-io.rst, arch/{x86,arm64}/include/asm/{io,barrier}.h of Linux;
 * rte_io.h and rte_atomic.h of DPDK agree.
 * Needs libc and gcc or clang. C99, C11, C++17; includes no other header of ours.
 */

#if !defined(_DEFAULT_SOURCE) && !defined(_FEATURES_H)
#define _DEFAULT_SOURCE 1
#endif

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#ifndef CLOCK_MONOTONIC
#error "POSIX is hidden: include pinion/mmio.h first, or define _DEFAULT_SOURCE"
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "pinion/mmio.h swaps no bytes: it is for little endian processors"
#endif

/* Polls before a wait starts to sleep: with about 1 us a read, some 100 us. */
#define PINION_MMIO_SPINS 100u

/* Sleep between later polls, in nanoseconds: devices answer a reset in milliseconds. */
#define PINION_MMIO_NAP_NS 50000

/* What lies at a register, whatever else the program takes that memory for. */
typedef uint8_t __attribute__((__may_alias__)) pinion_mmio_u8;
typedef uint16_t __attribute__((__may_alias__)) pinion_mmio_u16;
typedef uint32_t __attribute__((__may_alias__)) pinion_mmio_u32;
typedef uint64_t __attribute__((__may_alias__)) pinion_mmio_u64;

/*
 * One access is one instruction. As `volatile` alone, clang makes a read and a write that follow
 * it one "or" in memory on x86-64, and both compilers step the pointer within the load or store
 * ("str w2, [x0], #4") on arm64, see the caveat. Qo: a register and a constant, nothing more.
 */
#if defined(__x86_64__)
#define PINION_MMIO_LOAD(arm64, v, reg) __asm__ volatile("mov {%1, %0|%0, %1}" : "=r"(v) : "m"(reg))
#define PINION_MMIO_STORE(arm64, v, reg) \
	__asm__ volatile("mov {%1, %0|%0, %1}" : "=m"(reg) : "r"(v))
#define PINION_MMIO_BARRIER(x86_64, arm64) __asm__ volatile(x86_64 ::: "memory")
#elif defined(__aarch64__)
#define PINION_MMIO_LOAD(arm64, v, reg) __asm__ volatile(arm64 : "=r"(v) : "Qo"(reg))
#define PINION_MMIO_STORE(arm64, v, reg) __asm__ volatile(arm64 : "=Qo"(reg) : "rZ"(v))
#define PINION_MMIO_BARRIER(x86_64, arm64) __asm__ volatile(arm64 ::: "memory")
#else
#error "pinion/mmio.h does not know this processor: add its accesses and barriers here"
#endif

/*
 * Memory stored before is seen by the device before what is stored after: queue entries, then
 * the doorbell, in a register or in memory. Source: dma_wmb(), which is what writel() of Linux
 * begins with; x86-64 keeps stores in order, so only the compiler needs telling.
 */
static inline void pinion_dma_wmb(void)
{
	PINION_MMIO_BARRIER("", "dmb oshst");
}

/*
 * Loads of what the device wrote stay after the load that saw its flag, be the flag in memory (a
 * phase bit) or in a register; and what is stored after comes after all these loads, such as the
 * doorbell that lets the device write there anew. Source: dma_rmb() and readl() of Linux.
 */
static inline void pinion_dma_rmb(void)
{
	PINION_MMIO_BARRIER("", "dmb oshld");
}

/*
 * Memory stored before is seen by the device before anything is loaded after: the one order that
 * x86-64 does not keep by itself. Needed where each side stores and then looks whether the other
 * did, as with the shadow doorbells of NVMe (NVM Express Base Specification 2.0, 5.8, Doorbell
 * Buffer Config): without it both can miss the other, and the queue stands still. Source:
 * nvme_dbbuf_update_and_check_event() and dma_mb() of Linux.
 */
static inline void pinion_dma_mb(void)
{
	PINION_MMIO_BARRIER("mfence", "dmb osh");
}

/*
 * What was stored to a write-combined mapping (resourceN_wc of sysfs, a controller memory buffer)
 * leaves the processor now, is not merged with later stores, and arrives before them; so do
 * non-temporal stores. Before the doorbell it is needed for the order, elsewhere to make haste.
 *
 * Source: wmb() of Linux on both processors, mmio_flush_writes() of rdma-core. On arm64 a dmb
 * would order the stores but let them wait, and io_stop_wc() of Linux only ends the merging.
 */
static inline void pinion_mmio_wc_flush(void)
{
	PINION_MMIO_BARRIER("sfence", "dsb st");
}

/*
 * The access alone: in order with other accesses to the same device, and with nothing else.
 * pre: reg lies in a mapped BAR and is aligned to the width; the device takes that width.
 */
static inline uint8_t pinion_mmio_read8_relaxed(const volatile void *reg)
{
	uint8_t v;

	PINION_MMIO_LOAD("ldrb %w0, %1", v, *(const volatile pinion_mmio_u8 *)reg);
	return v;
}

static inline uint16_t pinion_mmio_read16_relaxed(const volatile void *reg)
{
	uint16_t v;

	PINION_MMIO_LOAD("ldrh %w0, %1", v, *(const volatile pinion_mmio_u16 *)reg);
	return v;
}

static inline uint32_t pinion_mmio_read32_relaxed(const volatile void *reg)
{
	uint32_t v;

	PINION_MMIO_LOAD("ldr %w0, %1", v, *(const volatile pinion_mmio_u32 *)reg);
	return v;
}

static inline uint64_t pinion_mmio_read64_relaxed(const volatile void *reg)
{
	uint64_t v;

	PINION_MMIO_LOAD("ldr %x0, %1", v, *(const volatile pinion_mmio_u64 *)reg);
	return v;
}

static inline void pinion_mmio_write8_relaxed(volatile void *reg, uint8_t v)
{
	PINION_MMIO_STORE("strb %w1, %0", v, *(volatile pinion_mmio_u8 *)reg);
}

static inline void pinion_mmio_write16_relaxed(volatile void *reg, uint16_t v)
{
	PINION_MMIO_STORE("strh %w1, %0", v, *(volatile pinion_mmio_u16 *)reg);
}

static inline void pinion_mmio_write32_relaxed(volatile void *reg, uint32_t v)
{
	PINION_MMIO_STORE("str %w1, %0", v, *(volatile pinion_mmio_u32 *)reg);
}

static inline void pinion_mmio_write64_relaxed(volatile void *reg, uint64_t v)
{
	PINION_MMIO_STORE("str %x1, %0", v, *(volatile pinion_mmio_u64 *)reg);
}

/*
 * A 64-bit register as two 32-bit accesses, for devices that take no 64-bit access. Which half
 * comes first, the device's manual says:
 *
 *   lo_hi  where the high half sets it off: xHCI (5.1). NVMe, which allows halves for every
 *          64-bit property (NVM Express Base Specification 2.0, 3.1.3), is mostly driven so
 *   hi_lo  where the low half has the bit that sets it off: CMBMSC of NVMe, whose bits 0 and 1
 *          enable the address of which the other half is a part
 *
 * The value can change between two reads. For a counter, read high, low and high again, until
 * the high halves agree. pre: as above; 4-byte aligned is enough.
 */
static inline uint64_t pinion_mmio_read64_lo_hi_relaxed(const volatile void *reg)
{
	const uint32_t low = pinion_mmio_read32_relaxed(reg);
	const uint32_t high = pinion_mmio_read32_relaxed((const volatile char *)reg + 4);

	return (uint64_t)high << 32 | low;
}

static inline uint64_t pinion_mmio_read64_hi_lo_relaxed(const volatile void *reg)
{
	const uint32_t high = pinion_mmio_read32_relaxed((const volatile char *)reg + 4);
	const uint32_t low = pinion_mmio_read32_relaxed(reg);

	return (uint64_t)high << 32 | low;
}

static inline void pinion_mmio_write64_lo_hi_relaxed(volatile void *reg, uint64_t v)
{
	pinion_mmio_write32_relaxed(reg, (uint32_t)(v & UINT32_MAX));
	pinion_mmio_write32_relaxed((volatile char *)reg + 4, (uint32_t)(v >> 32));
}

static inline void pinion_mmio_write64_hi_lo_relaxed(volatile void *reg, uint64_t v)
{
	pinion_mmio_write32_relaxed((volatile char *)reg + 4, (uint32_t)(v >> 32));
	pinion_mmio_write32_relaxed(reg, (uint32_t)(v & UINT32_MAX));
}

/*
 * Ordered reads: what is loaded from memory afterwards was there when the register said so. One
 * barrier behind both halves is enough, for these keep their own order. pre: as above.
 */
static inline uint8_t pinion_mmio_read8(const volatile void *reg)
{
	const uint8_t v = pinion_mmio_read8_relaxed(reg);

	pinion_dma_rmb();
	return v;
}

static inline uint16_t pinion_mmio_read16(const volatile void *reg)
{
	const uint16_t v = pinion_mmio_read16_relaxed(reg);

	pinion_dma_rmb();
	return v;
}

static inline uint32_t pinion_mmio_read32(const volatile void *reg)
{
	const uint32_t v = pinion_mmio_read32_relaxed(reg);

	pinion_dma_rmb();
	return v;
}

static inline uint64_t pinion_mmio_read64(const volatile void *reg)
{
	const uint64_t v = pinion_mmio_read64_relaxed(reg);

	pinion_dma_rmb();
	return v;
}

static inline uint64_t pinion_mmio_read64_lo_hi(const volatile void *reg)
{
	const uint64_t v = pinion_mmio_read64_lo_hi_relaxed(reg);

	pinion_dma_rmb();
	return v;
}

static inline uint64_t pinion_mmio_read64_hi_lo(const volatile void *reg)
{
	const uint64_t v = pinion_mmio_read64_hi_lo_relaxed(reg);

	pinion_dma_rmb();
	return v;
}

/* Ordered writes: what was stored to memory before is there when the device looks. pre: as above */
static inline void pinion_mmio_write8(volatile void *reg, uint8_t v)
{
	pinion_dma_wmb();
	pinion_mmio_write8_relaxed(reg, v);
}

static inline void pinion_mmio_write16(volatile void *reg, uint16_t v)
{
	pinion_dma_wmb();
	pinion_mmio_write16_relaxed(reg, v);
}

static inline void pinion_mmio_write32(volatile void *reg, uint32_t v)
{
	pinion_dma_wmb();
	pinion_mmio_write32_relaxed(reg, v);
}

static inline void pinion_mmio_write64(volatile void *reg, uint64_t v)
{
	pinion_dma_wmb();
	pinion_mmio_write64_relaxed(reg, v);
}

static inline void pinion_mmio_write64_lo_hi(volatile void *reg, uint64_t v)
{
	pinion_dma_wmb();
	pinion_mmio_write64_lo_hi_relaxed(reg, v);
}

static inline void pinion_mmio_write64_hi_lo(volatile void *reg, uint64_t v)
{
	pinion_dma_wmb();
	pinion_mmio_write64_hi_lo_relaxed(reg, v);
}

/*
 * Read-modify-write: the bits of mask become those of bits, the others are written as they were
 * read. An ordered read and an ordered write, the write also when nothing changes. Returns what
 * the register was; all ones may mean that the device is gone.
 *
 * Not atomic: a change by another thread, or by the device, between read and write is undone. Not
 * for registers that clear a bit when a 1 is written to it: every bit that was set would go.
 * pre: as above.
 */
static inline uint8_t pinion_mmio_modify8(volatile void *reg, uint8_t mask, uint8_t bits)
{
	const uint8_t old = pinion_mmio_read8(reg);

	pinion_mmio_write8(reg, (uint8_t)((old & ~mask) | (bits & mask)));
	return old;
}

static inline uint16_t pinion_mmio_modify16(volatile void *reg, uint16_t mask, uint16_t bits)
{
	const uint16_t old = pinion_mmio_read16(reg);

	pinion_mmio_write16(reg, (uint16_t)((old & ~mask) | (bits & mask)));
	return old;
}

static inline uint32_t pinion_mmio_modify32(volatile void *reg, uint32_t mask, uint32_t bits)
{
	const uint32_t old = pinion_mmio_read32(reg);

	pinion_mmio_write32(reg, (old & ~mask) | (bits & mask));
	return old;
}

static inline uint64_t pinion_mmio_modify64(volatile void *reg, uint64_t mask, uint64_t bits)
{
	const uint64_t old = pinion_mmio_read64(reg);

	pinion_mmio_write64(reg, (old & ~mask) | (bits & mask));
	return old;
}

/* Nanoseconds on a clock that never steps. */
static inline uint64_t pinion_mmio_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One look of a wait at a register of 1, 2, 4 or 8 bytes. */
static inline uint64_t pinion_mmio_look(const volatile void *reg, unsigned len)
{
	switch (len) {
	case 1:
		return pinion_mmio_read8_relaxed(reg);
	case 2:
		return pinion_mmio_read16_relaxed(reg);
	case 4:
		return pinion_mmio_read32_relaxed(reg);
	default:
		return pinion_mmio_read64_relaxed(reg);
	}
}

/* What the four waits below do, for a register of len bytes. */
static inline int pinion_mmio_wait(const volatile void *reg, unsigned len, uint64_t mask,
				   uint64_t want, uint64_t timeout_ns)
{
	const struct timespec nap = {0, PINION_MMIO_NAP_NS};
	const uint64_t start = pinion_mmio_clock_ns();
	unsigned polls = 0;

	if (want & ~mask)
		return -EINVAL;
	for (;;) {
		/* The clock before the register: who was preempted past the end looks again. */
		const bool late = pinion_mmio_clock_ns() - start >= timeout_ns;
		const uint64_t v = pinion_mmio_look(reg, len);

		if (v == UINT64_MAX >> (64 - 8 * len))
			return -ENODEV;
		if ((v & mask) == want) {
			pinion_dma_rmb();
			return 0;
		}
		if (late)
			return -ETIMEDOUT;
		/* A signal only shortens the nap: the clock decides. It leaves errno alone. */
		if (++polls > PINION_MMIO_SPINS)
			clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	}
}

/*
 * Wait until (register & mask) == want, at most timeout_ns nanoseconds and one sleep more. With
 * timeout_ns 0 it looks once. Spins first, then sleeps between looks. What is loaded from memory
 * after a wait that returned 0 was there when the register said so. pre: as above.
 *
 * -EINVAL     want has a bit outside mask, so it would never come: correct the call
 * -ETIMEDOUT  the device did not get there: reset it
 * -ENODEV     the register reads all ones: the device is gone, its mapping is of no more use. A
 *             narrow register that is all ones in a sound device needs a loop of your own
 */
static inline int pinion_mmio_wait8(const volatile void *reg, uint8_t mask, uint8_t want,
				    uint64_t timeout_ns)
{
	return pinion_mmio_wait(reg, 1, mask, want, timeout_ns);
}

static inline int pinion_mmio_wait16(const volatile void *reg, uint16_t mask, uint16_t want,
				     uint64_t timeout_ns)
{
	return pinion_mmio_wait(reg, 2, mask, want, timeout_ns);
}

static inline int pinion_mmio_wait32(const volatile void *reg, uint32_t mask, uint32_t want,
				     uint64_t timeout_ns)
{
	return pinion_mmio_wait(reg, 4, mask, want, timeout_ns);
}

static inline int pinion_mmio_wait64(const volatile void *reg, uint64_t mask, uint64_t want,
				     uint64_t timeout_ns)
{
	return pinion_mmio_wait(reg, 8, mask, want, timeout_ns);
}

#endif
