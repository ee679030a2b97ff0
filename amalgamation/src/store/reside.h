/* reside.h - memory that holds what the file has too: who may be looking at it, and what waits until
 * nobody can be.
 *
 * A call that follows pointers into such memory stays from enter to leave. Whoever takes something out
 * of a table first makes it unreachable and then retires it; it is freed when all who stayed at that
 * moment have left or renewed. Nobody waits for anybody. Epoch-based reclamation (Fraser, Practical
 * lock-freedom, 2004), with counters of those who stay in place of a list of threads. */
#ifndef VSI_RESIDE_H
#define VSI_RESIDE_H

#include "base/region.h"

enum { VSI_RESIDE_STRIPES = 16 };

/* First member of what can be retired. */
typedef struct vsi_retired {
    struct vsi_retired *next;
    uint64_t epoch; /* in which it was retired */
    size_t bytes;   /* of the allocation */
    bool is_block;  /* base/region */
} vsi_retired;

/* Threads count themselves in different cache lines. */
typedef struct vsi_reside_stripe {
    vsi_atomic_u64 stays[2]; /* begun in an even epoch, in an odd one */
    uint8_t apart[112];
} vsi_reside_stripe;

typedef struct vsi_reside {
    vsi_mem *mem;               /* borrowed */
    vsi_atomic_u64 limit_bytes; /* of all memory of the database; UINT64_MAX: none */
    vsi_atomic_u64 epoch;
    vsi_reside_stripe stripes[VSI_RESIDE_STRIPES];
    vsi_mutex lock; /* guards the queue and the change of the epoch */
    vsi_retired *first, *last;
    vsi_atomic_u64 waiting_bytes; /* retired, not freed yet */
    vsi_atomic_u64 evictions;     /* changes before something that the file has leaves a table */
} vsi_reside;

/* What a call that stays must give back. */
typedef struct vsi_stay {
    uint32_t stripe, parity;
} vsi_stay;

VSI_FN bool vsi_reside_init(vsi_reside *reside, vsi_mem *mem);
VSI_FN void vsi_reside_free(vsi_reside *reside); /* and all that was retired */

/* Any thread; stays may nest. Neither waits nor allocates. */
VSI_FN vsi_stay vsi_stay_enter(vsi_reside *reside);
VSI_FN void vsi_stay_leave(vsi_reside *reside, vsi_stay stay);
/* Leaves and enters again if something waits: then true, and pointers got before are not valid any more. */
VSI_FN bool vsi_stay_renew(vsi_reside *reside, vsi_stay *stay);

/* Frees it, now or later. Nobody who enters from now on can reach it. */
VSI_FN void vsi_retire(vsi_reside *reside, vsi_retired *retired, size_t bytes);
VSI_FN void vsi_retire_block(vsi_reside *reside, vsi_retired *retired, size_t bytes);
/* Moves the epoch on by up to two, as far as those who stay let it, and returns it. What left its table in
 * epoch e can be looked at by nobody in e + 2. */
VSI_FN uint64_t vsi_reside_advance(vsi_reside *reside);
/* Frees what nobody can be looking at any more. */
VSI_FN void vsi_reside_collect(vsi_reside *reside);

/* By how many bytes memory, what waits not counted, and extra more would exceed the limit. */
VSI_FN uint64_t vsi_reside_excess(vsi_reside *reside, uint64_t extra);

#endif
