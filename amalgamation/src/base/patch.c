/* patch.c - merge patches of JSON (RFC 7396), without recursion.
 *
 * Both texts are read once into lists of members. Sorting the lists brings members of one object and name
 * together; so doubles are found, and the members that an object of the target and one of the patch have in
 * common by walking both at once.
 *
 *   P1  Members stand in the order of the text, each in front of those of its value: [at + 1, end) is what
 *       is in it. Member 0 is the whole text and has no name. Objects in arrays are no part of the list.
 *   P2  `order` is sorted by parent, name, and place in the text; the members of one object are adjacent. */
#include "base/patch.h"

#define PATCH_NONE UINT32_MAX

typedef struct patch_member {
    uint32_t name_at, name_bytes;   /* between the quotes */
    uint32_t value_at, value_bytes; /* of an object: its bracket */
    uint32_t parent, end;           /* members */
    uint32_t first, count;          /* of an object: its members in `order` */
    uint32_t match;                 /* target: the patch's member of this name, or PATCH_NONE */
    bool is_object, is_null;        /* its value */
    bool has_escape;                /* its name */
    bool is_done; /* another one of this name follows, or, in a patch, was matched */
} patch_member;

typedef struct patch_side {
    const char *what;
    const uint8_t *text;
    vsi_buf buf;          /* owns member */
    patch_member *member; /* [count] */
    uint32_t *order;      /* [2 * count] owned; the second half is scratch */
    uint32_t count;
} patch_side;

/* ---- reading -------------------------------------------------------------------------------- */

static vs_status patch_fail(vsi_err *err, const patch_side *side, const vs_json *r) {
    return vsi_fail(err, r->status, "%s: expected %s at byte %zu of %zu", side->what, r->expected,
                    r->at, r->bytes);
}

/* Appends the member whose value the reader has come to; NULL without memory. */
static patch_member *patch_add(patch_side *side, const vs_json *r, uint32_t parent) {
    patch_member *m = NULL;
    if (!vsi_buf_reserve(&side->buf, sizeof *m))
        return NULL;
    side->buf.bytes += sizeof *m;
    side->member = (patch_member *)(void *)side->buf.data;
    m = &side->member[side->count++];
    *m = (patch_member){.value_at = (uint32_t)r->token_at,
                        .value_bytes = (uint32_t)r->token_bytes,
                        .parent = parent,
                        .end = side->count,
                        .match = PATCH_NONE,
                        .is_object = r->token == VS_JSON_OBJECT_BEGIN,
                        .is_null = r->token == VS_JSON_NULL};
    return m;
}

/* The next member of the object `parent`, or the first value of the text, with its name. */
static vs_status patch_take(vsi_err *err, patch_side *side, vs_json *r, uint32_t parent) {
    size_t name_at = r->token_at + 1,
           name_bytes = r->token == VS_JSON_NAME ? r->token_bytes - 2 : 0;
    vsi_json_next(r);
    if (r->token == VS_JSON_ARRAY_BEGIN)
        vsi_json_skip(r);
    if (r->token == VS_JSON_ERROR)
        return patch_fail(err, side, r);
    patch_member *m = patch_add(side, r, parent);
    if (!m)
        return vsi_fail_nomem(err, side->buf.cap * 2);
    m->name_at = (uint32_t)name_at;
    m->name_bytes = (uint32_t)name_bytes;
    m->has_escape = name_bytes && memchr(side->text + name_at, '\\', name_bytes);
    return VS_OK;
}

static vs_status patch_read(vsi_err *err, patch_side *side, vsi_bytes text) {
    vs_json r;
    uint32_t open[VSI_JSON_DEPTH_MAX + 1] = {0}; /* the member of each open object */
    if (text.bytes >= UINT32_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "%s: %zu bytes, the limit is 4 GiB", side->what,
                        text.bytes);
    vsi_json_begin(&r, (const char *)text.data, text.bytes, 0);
    do {
        if (r.token == VS_JSON_OBJECT_END) {
            patch_member *object = &side->member[open[r.depth + 1]];
            object->end = side->count; /* keeps P1 */
        } else {
            vs_status st = patch_take(err, side, &r, open[r.depth]);
            if (st != VS_OK)
                return st;
            if (r.token == VS_JSON_OBJECT_BEGIN)
                open[r.depth] = side->count - 1;
        }
        vsi_json_next(&r);
    } while (r.token > VS_JSON_END);
    return r.token == VS_JSON_END ? VS_OK : patch_fail(err, side, &r);
}

/* ---- names ---------------------------------------------------------------------------------- */

/* The character at *p, an escape resolved. Code points are in the order of their UTF-8. */
static uint32_t patch_next_code(const uint8_t **p, const uint8_t *end) {
    const uint8_t *at = *p;
    uint32_t code = *at;
    size_t n = *at == '\\' ? vsi_json_escape(at, &code) : vsi_utf8_sequence(at, (size_t)(end - at));
    if (*at != '\\' && n > 1)
        code &= 0x7fu >> n;
    for (size_t i = 1; *at != '\\' && i < n; i++)
        code = code << 6 | (at[i] & 0x3fu);
    *p = at + n;
    return code;
}

static int patch_compare_codes(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    const uint8_t *a_end = a + a_bytes, *b_end = b + b_bytes;
    while (a < a_end && b < b_end) {
        uint32_t a_code = patch_next_code(&a, a_end), b_code = patch_next_code(&b, b_end);
        if (a_code != b_code)
            return a_code < b_code ? -1 : 1;
    }
    return a < a_end ? 1 : b < b_end ? -1 : 0;
}

/* Names as they are meant: "\u0061" is "a". */
static int patch_compare(const patch_side *a_side, const patch_member *a, const patch_side *b_side,
                         const patch_member *b) {
    const uint8_t *a_name = a_side->text + a->name_at, *b_name = b_side->text + b->name_at;
    if (a->has_escape || b->has_escape)
        return patch_compare_codes(a_name, a->name_bytes, b_name, b->name_bytes);
    size_t shorter = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    int result = shorter ? memcmp(a_name, b_name, shorter) : 0;
    return result ? result : a->name_bytes < b->name_bytes ? -1 : a->name_bytes > b->name_bytes;
}

/* Whether a may stand in front of b in `order`. */
static bool patch_is_ordered(const patch_side *side, uint32_t a_at, uint32_t b_at) {
    const patch_member *a = &side->member[a_at], *b = &side->member[b_at];
    return a->parent != b->parent ? a->parent < b->parent : patch_compare(side, a, side, b) <= 0;
}

/* Merges the sorted runs [low, middle) and [middle, high) of from into to. */
static void patch_merge_runs(const patch_side *side, const uint32_t *from, uint32_t *to,
                             uint32_t low, uint32_t middle, uint32_t high) {
    uint32_t left = low, right = middle;
    for (uint32_t at = low; at < high; at++) {
        bool takes_left =
            left < middle && (right == high || patch_is_ordered(side, from[left], from[right]));
        to[at] = takes_left ? from[left++] : from[right++];
    }
}

/* Merge sort from runs of one upwards, stable; keeps P2. */
static void patch_sort(patch_side *side) {
    uint32_t n = side->count, *from = side->order, *to = side->order + n;
    for (uint64_t run = 1; run < n; run *= 2) {
        for (uint64_t low = 0; low < n; low += 2 * run) {
            uint64_t middle = low + run < n ? low + run : n;
            uint64_t high = middle + run < n ? middle + run : n;
            patch_merge_runs(side, from, to, (uint32_t)low, (uint32_t)middle, (uint32_t)high);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != side->order)
        memcpy(side->order, from, n * sizeof *from);
}

/* Sorts, marks doubles, and tells each object where its members are. */
static vs_status patch_index(vsi_err *err, patch_side *side) {
    size_t bytes = 2 * side->count * sizeof *side->order;
    side->order = vsi_alloc(side->buf.mem, bytes);
    if (!side->order)
        return vsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; i < side->count; i++)
        side->order[i] = i;
    patch_sort(side);
    for (uint32_t i = 0; i < side->count; i++) {
        uint32_t at = side->order[i];
        if (at == 0)
            continue; /* the whole text is nobody's member */
        patch_member *m = &side->member[at], *parent = &side->member[m->parent];
        parent->first = parent->count++ ? parent->first : i;
        if (i + 1 < side->count) {
            const patch_member *next = &side->member[side->order[i + 1]];
            m->is_done = next->parent == m->parent && !patch_compare(side, m, side, next);
        }
    }
    return VS_OK;
}

/* ---- merging -------------------------------------------------------------------------------- */

/* An object that is being written: what an object of the patch makes of one of the target. */
typedef struct patch_frame {
    uint32_t target, patch; /* members whose values they are, or PATCH_NONE */
    uint32_t next;          /* the member to be written next: of the target, then of the patch */
    bool in_patch;
    bool has_members; /* something was written */
} patch_frame;

typedef struct patch_merge {
    patch_side target, patch;
    patch_frame frame[VSI_JSON_DEPTH_MAX];
    int depth;
    vsi_json_out *out;
} patch_merge;

/* Matches the members of an object with those of the patch for it. */
static void patch_join(patch_merge *merge, const patch_member *target, const patch_member *patch) {
    uint32_t i = 0, j = 0;
    while (i < target->count && j < patch->count) {
        uint32_t j_at = merge->patch.order[patch->first + j];
        patch_member *a = &merge->target.member[merge->target.order[target->first + i]];
        patch_member *b = &merge->patch.member[j_at];
        int order = a->is_done   ? -1
                    : b->is_done ? 1
                                 : patch_compare(&merge->target, a, &merge->patch, b);
        if (order == 0) {
            a->match = j_at;
            b->is_done = true;
        }
        i += order <= 0;
        j += order >= 0;
    }
}

/* Begins an object. Every level of it is one of the target or of the patch, so the limit holds. */
static void patch_open(patch_merge *merge, uint32_t target, uint32_t patch) {
    vsi_assert(merge->depth < VSI_JSON_DEPTH_MAX);
    vsi_assert(target != PATCH_NONE || patch != PATCH_NONE);
    if (target != PATCH_NONE && patch != PATCH_NONE)
        patch_join(merge, &merge->target.member[target], &merge->patch.member[patch]);
    patch_frame *f = &merge->frame[merge->depth++];
    *f = (patch_frame){.target = target, .patch = patch, .in_patch = target == PATCH_NONE};
    f->next = (f->in_patch ? patch : target) + 1;
    vsi_json_put(merge->out, "{", 1);
}

/* The value of a member of the target, or PATCH_NONE, and of the one that the patch has for it, likewise.
 */
static void patch_put_value(patch_merge *merge, uint32_t target, uint32_t patch) {
    const patch_side *side = patch != PATCH_NONE ? &merge->patch : &merge->target;
    const patch_member *m = &side->member[patch != PATCH_NONE ? patch : target];
    bool keeps_target = target != PATCH_NONE && merge->target.member[target].is_object;
    if (m->is_object)
        patch_open(merge, keeps_target ? target : PATCH_NONE, patch);
    else
        vsi_json_put_compact(merge->out, side->text + m->value_at, m->value_bytes);
}

static void patch_put_name(patch_merge *merge, patch_frame *f, const patch_side *side,
                           const patch_member *m) {
    if (f->has_members)
        vsi_json_put(merge->out, ",", 1);
    f->has_members = true;
    vsi_json_put(merge->out, side->text + m->name_at - 1, m->name_bytes + (size_t)2);
    vsi_json_put(merge->out, ":", 1);
}

/* Writes the next member of an object of the target, unless the patch deletes it. */
static void patch_put_of_target(patch_merge *merge, patch_frame *f) {
    uint32_t at = f->next;
    const patch_member *m = &merge->target.member[at];
    f->next = m->end;
    if (m->is_done || (m->match != PATCH_NONE && merge->patch.member[m->match].is_null))
        return;
    patch_put_name(merge, f, &merge->target, m);
    patch_put_value(merge, at, m->match);
}

/* Writes the next member of an object of the patch, unless it deletes something or was matched. */
static void patch_put_of_patch(patch_merge *merge, patch_frame *f) {
    uint32_t at = f->next;
    const patch_member *m = &merge->patch.member[at];
    f->next = m->end;
    if (m->is_done || m->is_null)
        return;
    patch_put_name(merge, f, &merge->patch, m);
    patch_put_value(merge, PATCH_NONE, at);
}

static void patch_put(patch_merge *merge) {
    patch_put_value(merge, 0, 0);
    while (merge->depth > 0) {
        patch_frame *f = &merge->frame[merge->depth - 1];
        const patch_side *side = f->in_patch ? &merge->patch : &merge->target;
        bool is_end = f->next == side->member[f->in_patch ? f->patch : f->target].end;
        if (!is_end && f->in_patch) {
            patch_put_of_patch(merge, f);
        } else if (!is_end) {
            patch_put_of_target(merge, f);
        } else if (!f->in_patch && f->patch != PATCH_NONE) {
            f->in_patch = true;
            f->next = f->patch + 1;
        } else {
            vsi_json_put(merge->out, "}", 1);
            merge->depth--;
        }
    }
}

static void patch_free(patch_side *side) {
    vsi_free(side->buf.mem, side->order, 2 * side->count * sizeof *side->order);
    vsi_buf_free(&side->buf);
}

static vs_status patch_load(vsi_err *err, patch_side *side, vsi_bytes text) {
    vs_status st = patch_read(err, side, text);
    return st == VS_OK ? patch_index(err, side) : st;
}

VSI_FN vs_status vsi_patch_merge(vsi_err *err, vsi_mem *mem, vsi_bytes target, vsi_bytes patch,
                                 vsi_json_out *out) {
    patch_merge merge = {
        .target = {.what = "metadata", .text = target.data, .buf = {.mem = mem}},
        .patch = {.what = "patch", .text = patch.data, .buf = {.mem = mem}},
        .out = out,
    };
    vs_status st = patch_load(err, &merge.target, target);
    if (st == VS_OK)
        st = patch_load(err, &merge.patch, patch);
    if (st == VS_OK)
        patch_put(&merge);
    patch_free(&merge.target);
    patch_free(&merge.patch);
    return st;
}
