/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRAP_MAPPING_H
#define PINION_TESTS_TRAP_MAPPING_H

/*
 * What a call maps itself is watched from its first byte on.
 *
 *     mapping_follow()     a file, and where it is mapped already, for who looks and changes
 *       ... code under test ...
 *         mmap() of it     one more range (watch.h): PROT_NONE before the caller has its address
 *         munmap()         and one less
 *
 * The linker has mmap and munmap of the program go by here (--wrap); what goes by another way is
 * not seen, and is missed in the loads of an honest run.
 */

/* All files are forgotten, not what is mapped of them. */
void mapping_clear(void);
void mapping_follow(int fd, void *alias);

#endif
