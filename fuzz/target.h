/* target.h - what the fuzz targets share: claims, input taken byte by byte, and a file system in memory
 * on which a run repeats. */
#ifndef TARGET_H
#define TARGET_H

#include "vecstore.h"
#include <stdbool.h>
#include <stdio.h>

/* The entry of each target, called by libFuzzer and by replay.c. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process with a message when a claim is wrong: libFuzzer's finding. */
void require(bool claim, const char *what, const char *detail);

/* What is left of an input. Behind its end it gives zeros. */
typedef struct fuzz_input {
    const uint8_t *data;
    size_t bytes;
} fuzz_input;

uint32_t input_u8(fuzz_input *in);
uint32_t input_u16(fuzz_input *in); /* little-endian */
/* The next bytes, fewer at the end: how many is in *out_bytes. Borrowed. */
const uint8_t *input_run(fuzz_input *in, size_t bytes, size_t *out_bytes);

/* A memory file system whose clock stands still and whose random numbers repeat; no call of the system is
 * behind it. */
typedef struct fuzz_disk {
    vs_vfs *memory; /* owned */
    vs_vfs vfs;
} fuzz_disk;

void disk_init(fuzz_disk *disk);
void disk_free(fuzz_disk *disk);
void disk_write(fuzz_disk *disk, const char *path, const uint8_t *data, size_t bytes);

/* An allocator that refuses what no input of some kilobytes can need, so that a size which was believed
 * is an error of memory and not a wait for it. */
const vs_allocator *bounded_allocator(void);

#endif
