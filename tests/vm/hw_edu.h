/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HW_EDU_H
#define PINION_TESTS_HW_EDU_H

/* QEMU's "edu", a device that raises an interrupt and reads and writes memory when told: its
 * register list is docs/specs/edu.txt of QEMU. */

#include "hw_support.h"

/* Registers, in bytes: identification, cause, raise, acknowledge. */
#define EDU_ID 0x00
#define EDU_STATUS 0x24
#define EDU_RAISE 0x60
#define EDU_ACK 0x64

/* Of its DMA: from, to, how many bytes, which way; and the buffer of its own, of 4 KiB. An address
 * in memory has 28 bits. */
#define EDU_DMA_FROM 0x80
#define EDU_DMA_TO 0x88
#define EDU_DMA_LEN 0x90
#define EDU_DMA_COMMAND 0x98
#define EDU_DMA_RUN 1u
#define EDU_DMA_TO_MEMORY 2u
#define EDU_BUFFER UINT64_C(0x40000)

static inline void edu_raise(void *regs, uint32_t cause)
{
	pinion_mmio_write32(hw_reg(regs, EDU_RAISE), cause);
}

/* It is the one cause that there is. */
static inline void edu_acknowledge(void *regs, uint32_t cause)
{
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, EDU_STATUS)), cause);
	pinion_mmio_write32(hw_reg(regs, EDU_ACK), cause);
}

static inline void edu_begin(void *regs, uint64_t from, uint64_t to, uint32_t len, uint32_t way)
{
	pinion_mmio_write64(hw_reg(regs, EDU_DMA_FROM), from);
	pinion_mmio_write64(hw_reg(regs, EDU_DMA_TO), to);
	pinion_mmio_write64(hw_reg(regs, EDU_DMA_LEN), len);
	pinion_mmio_write32(hw_reg(regs, EDU_DMA_COMMAND), way | EDU_DMA_RUN);
}

/* Memory at @bus into its buffer. It begins a tenth of a second later. */
static inline void edu_read(void *regs, uint64_t bus, uint32_t len)
{
	edu_begin(regs, bus, EDU_BUFFER, len, 0);
}

/* Its buffer into memory at @bus, likewise. */
static inline void edu_write(void *regs, uint64_t bus, uint32_t len)
{
	edu_begin(regs, EDU_BUFFER, bus, len, EDU_DMA_TO_MEMORY);
}

/* It is done, whether it got there or not. */
static inline void edu_wait(void *regs)
{
	assert_int_equal(pinion_mmio_wait32(hw_reg(regs, EDU_DMA_COMMAND), EDU_DMA_RUN, 0,
					    30000 * HW_MS), 0);
}

#endif
