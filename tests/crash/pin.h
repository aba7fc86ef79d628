/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PIN_H
#define PINION_TESTS_PIN_H

/*
 * Tracer and tracee on one CPU: a step is then two switches, 5 us, and not two processors that wake
 * one another, 140 us (measured in a virtual machine).
 */

/* This process, and its children, run on one CPU from now on; one that no other harness has. */
void pin_here(void);

#endif
