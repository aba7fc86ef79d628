/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HW_EDU_H
#define PINION_TESTS_HW_EDU_H

/* QEMU's "edu", a device that raises an interrupt when told: its register list is
 * docs/specs/edu.txt of QEMU. */

#include "hw_support.h"

/* Registers, in bytes: identification, cause, raise, acknowledge. */
#define EDU_ID 0x00
#define EDU_STATUS 0x24
#define EDU_RAISE 0x60
#define EDU_ACK 0x64

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

#endif
