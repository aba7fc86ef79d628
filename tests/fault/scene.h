/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_SCENE_H
#define TESTS_FAULT_SCENE_H

/*
 * What several operations set up in the same way. Nothing here returns an error: a scene that
 * cannot be set breaks the trial off, with a line that says what was wanted.
 */

#include "operations.h"

void scene_must(bool good, const char *what);

/* Bytes in a hugepage. */
#define SCENE_HUGE ((size_t)2 << 20)

/* Room for one member beside the maker and one cache a zone: what is lost once is missed. */
struct pinion_pool_config scene_config(void);      /* two zones in pages of 4 KiB */
struct pinion_pool_config scene_huge_config(void); /* two zones in three pages of 2 MiB */

void scene_pool_open(struct scene *scene);
void scene_huge_pool_open(struct scene *scene);
void scene_pool_close(struct scene *scene);

/* Whatever keeps it from looking, it is not the table that it finds wrong: that is told of a moved
 * page alone, and has an operator stop the device. Here that is 1, which no call may return. */
int scene_domain_audit(struct scene *scene);

/* Every buffer can be taken, written and given back, in each zone; or what is wrong. */
const char *scene_pool_works(struct pinion_pool *pool);

/* That of the scene's pool, which was taken over from one dead keeper. Of a keeper whose death
 * cannot be told nothing was recovered: the caller, who knows, does it. */
const char *scene_adopted_works(struct scene *scene);

/* The pool's files, each once more: attaching takes them over. */
void scene_files_open(struct scene *scene);
void scene_files_close(struct scene *scene);

void scene_dir_open(struct scene *scene);
void scene_dir_close(struct scene *scene);
/* That of a process which died before it could close it, with all in it; or none. */
void scene_dir_remove(const struct scene *scene);

/* A directory that is a hugetlbfs, in a mount namespace of this process's own: it goes with the
 * process, however that ends. */
bool scene_can_mount(void);
void scene_mount_open(struct scene *scene);
void scene_mount_close(struct scene *scene);

/* The other process runs @f and exits; it dies with this one, and has none of its descriptors. */
void scene_other_start(struct scene *scene, void (*f)(const struct scene *scene));
void scene_other_wait(struct scene *scene); /* for its own end */
void scene_other_stop(struct scene *scene);

/* A cache for the buffers of scene_config()'s first segment, and of a later one like it. */
void scene_cache_open(struct scene *scene, struct pinion_pool *pool);
void scene_cache_close(struct scene *scene);
/* All that the cache can have, and back. Nothing lies in the cache afterwards. */
void scene_take_all(struct scene *scene);
void scene_give_all(struct scene *scene);

#endif
