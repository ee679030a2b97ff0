/* sim.h - a simulated file system: it records what is written, so that any crash can be replayed,
 * and fails where it is told to.
 *
 * Everything follows from seeds: random numbers, clocks, damage. A crash *image* is what a machine
 * could find on its disk after power was cut behind operation number n of the record. */
#ifndef SIM_H
#define SIM_H

#include "vecstore.h"
#include <stdbool.h>
#include <stdio.h>

enum { SIM_PATH_BYTES = 64, SIM_FILES_MAX = 64 };

typedef struct sim sim;

/* ---- images --------------------------------------------------------------------------------- */

typedef struct sim_file {
    char path[SIM_PATH_BYTES];
    uint8_t *data;
    size_t bytes;
} sim_file;

/* A disk. Files are in no special order. */
typedef struct sim_image {
    sim_file file[SIM_FILES_MAX];
    int count;
} sim_image;

void sim_image_free(sim_image *image);
sim_image sim_image_copy(const sim_image *image);
uint64_t sim_image_hash(const sim_image *image); /* names and bytes, whatever the order */
sim_file *sim_image_find(sim_image *image, const char *path); /* NULL: none */

/* ---- the file system ------------------------------------------------------------------------ */

/* A file system whose disk is image, which passes to it; NULL: an empty disk. */
sim *sim_new(uint64_t seed, sim_image *image);
void sim_free(sim *s);
const vs_vfs *sim_vfs(sim *s);

/* The block that a power cut damages as a whole, which the device also announces: 4096 unless set. */
void sim_set_block(sim *s, uint32_t bytes);

/* The disk has room for so many bytes of all files together; 0: for any number. */
void sim_set_room(sim *s, uint64_t bytes);
/* What the files take now. */
uint64_t sim_used_bytes(const sim *s);

void sim_advance_clocks(sim *s, int64_t us);

/* The process that vs_open and fork guards see. */
void sim_set_process(sim *s, uint64_t process_id);
/* Locks of a killed process are gone with it. */
void sim_drop_locks(sim *s);

/* What the files contain for a program that reads them now. */
sim_image sim_image_now(const sim *s);
/* Bytes written to and calls of the file system so far. */
uint64_t sim_write_count(const sim *s);

/* ---- faults --------------------------------------------------------------------------------- */

/* Kinds of faults. */
enum {
    SIM_FAULT_NONE,
    SIM_FAULT_IO,         /* the call fails, nothing was done */
    SIM_FAULT_IO_HALF,    /* a write fails with half of its bytes in the file */
    SIM_FAULT_IO_AFTER,   /* the call was carried out, and fails all the same */
    SIM_FAULT_FULL,       /* no space; a write may have put half of its bytes */
    SIM_FAULT_SHORT,      /* a transfer moves half of its bytes, without an error */
    SIM_FAULT_INTERRUPT,  /* nothing was done, try again */
    SIM_FAULT_SYNC_LOSES, /* a sync fails and the system forgets what it did not write */
    SIM_FAULT_COUNT
};

const char *sim_fault_name(int kind);

/* From now on the at-th call (from 1) that this kind can fail does so, once or it and all after it.
 */
void sim_set_fault(sim *s, int kind, uint64_t at, bool for_ever);
uint64_t sim_fault_calls(const sim *s); /* calls that the fault could have failed */
uint64_t sim_fault_hits(const sim *s);  /* that it did fail */

/* ---- crashes -------------------------------------------------------------------------------- */

/* Puts a mark into the record; value is the caller's. */
void sim_note(sim *s, int kind, uint64_t value);

size_t sim_op_count(const sim *s);
/* Whether operation number at (from 0) is a mark, and which. */
bool sim_op_note(const sim *s, size_t at, int *out_kind, uint64_t *out_value);

/* What a power cut does to what was not synced. */
enum {
    SIM_DROP_ALL,     /* all of it is lost */
    SIM_KEEP_ALL,     /* none of it: the program was killed, not the machine */
    SIM_SUBSET,       /* some writes, some creations and deletions */
    SIM_REORDER,      /* some writes, in another order */
    SIM_TORN_512,     /* each 512-byte sector of a write old or new */
    SIM_TORN_4096,    /* each block old or new */
    SIM_GARBAGE_512,  /* each sector old, new or garbage */
    SIM_GARBAGE_4096, /* each block old, new or garbage, with what stood beside the write */
    SIM_SIZE_ONLY,    /* files have their new size, and zeros in it */
    SIM_ZERO_TAIL,    /* the first writes, and zeros for the others */
    SIM_LOST_ENTRIES, /* all writes, but creations and deletions are lost */
    SIM_PREFIX,       /* the first writes only */
    SIM_DAMAGE_COUNT
};

const char *sim_damage_name(int damage);

/* Walks through a record, keeping what is durable after each operation. */
typedef struct sim_player sim_player;
sim_player *sim_player_new(const sim *s);
void sim_player_free(sim_player *p);
/* Plays the record up to, not including, operation number at; only forward. */
void sim_player_seek(sim_player *p, size_t at);
/* The disk after a crash here. Zero pending operations make all damages the same image. */
sim_image sim_player_crash(const sim_player *p, int damage, uint64_t seed);
size_t sim_player_pending(const sim_player *p);

#endif
