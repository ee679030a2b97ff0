/* tile.h - which rows may be near which of many queries: inner products of all queries while a tile of rows is in the cache, in single
 * precision or, of bytes where the set of kernels has that, exact ones, and a bound on what rounding can have done to
 * them. Nothing that is near enough is left out; what is kept is for query/score to decide. */
#ifndef VSI_TILE_H
#define VSI_TILE_H

#include "math/dispatch.h"
#include "store/desc.h"

enum { VSI_TILE_ROWS_MAX = 128 };

/* Some of the queries. */
typedef struct vsi_tile_group {
    void *queries; /* packed as the form says */
    float slope[VSI_TILE_QUERIES], level[VSI_TILE_QUERIES];
    double norm[VSI_TILE_QUERIES], size[VSI_TILE_QUERIES]; /* squared, and its root from above */
} vsi_tile_group;

typedef struct vsi_tile {
    const vsi_kernels *kernels;
    const vsi_field *field;
    const vsi_tile_form *form;
    size_t rows_max;
    vsi_tile_group *
        group; /* of VSI_TILE_QUERIES queries each, the last one's lanes without a query are zero */
    float *
        wide; /* [rows_max][dim] where rows, and queries, are widened to single precision, else NULL */
    uint8_t *ones; /* [dim] where they are taken as bytes, else NULL */
    vsi_tile_rows rows;
    double sum[VSI_TILE_ROWS_MAX], square[VSI_TILE_ROWS_MAX]; /* of rows of bytes */
    uint32_t start[VSI_TILE_ROWS_MAX];
    float norm[VSI_TILE_ROWS_MAX], term[VSI_TILE_ROWS_MAX];
} vsi_tile;

/* Whether a tile is worth it for so many queries of a field. */
VSI_FN bool vsi_tile_fits(const vsi_kernels *kernels, const vsi_field *field, size_t count);
/* Memory that it takes. */
VSI_FN size_t vsi_tile_bytes(const vsi_kernels *kernels, const vsi_field *field, size_t count);

/* queries [count], each in the field's type; memory is aligned for anything and outlives the tile. */
VSI_FN void vsi_tile_begin(vsi_tile *tile, const vsi_kernels *kernels, const vsi_field *field,
                           size_t count, void *memory);
VSI_FN void vsi_tile_add(vsi_tile *tile, size_t query, const void *vector);

/* From now on rows farther than this need not be kept for a query; INFINITY: all are. */
VSI_FN void vsi_tile_limit(vsi_tile *tile, size_t query, double distance);

/* The rows that are looked at next, at most rows_max; they stay where they are meanwhile. */
VSI_FN void vsi_tile_take(vsi_tile *tile, const void *rows, size_t n);
/* Bit q of out_keep[r]: row r may be near enough to query q of a group. out_keep [n]. */
VSI_FN void vsi_tile_keep(const vsi_tile *tile, size_t group, uint32_t *out_keep);

#endif
