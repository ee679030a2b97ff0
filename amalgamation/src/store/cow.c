/* cow.c - blocks that are copied on write.
 *
 *   C1  Owners never decrease from `newest` to the front of the list: one writer, rising scopes.
 *       So the blocks of the open scope are a prefix of the list.
 *   C2  A block on a dead list has an owner below the scope in which it died; it is freed by
 *       vsi_cow_free_dead, or by vsi_cow_keep when its own scope is still open. */
#include "store/cow.h"

VSI_FN void vsi_cow_init(vsi_cow *cow, vsi_mem *mem) {
    memset(cow, 0, sizeof *cow);
    cow->mem = mem;
    cow->dead_extents.mem = mem;
}

/* Of the blocks that only older versions have, block is one more, or one less. */
static void cow_bury(vsi_cow *cow, const vsi_block *block) {
    cow->dead_bytes += block->bytes;
    vsi_page_count_add(&cow->dead_pages, block->pages, 1);
}

static void cow_unbury(vsi_cow *cow, const vsi_block *block) {
    cow->dead_bytes -= block->bytes;
    vsi_page_count_subtract(&cow->dead_pages, block->pages);
}

static void cow_free(vsi_cow *cow, vsi_block *block) {
    if (block->newer)
        block->newer->older = block->older;
    else
        cow->newest = block->older;
    if (block->older)
        block->older->newer = block->newer;
    cow->bytes -= block->bytes;
    vsi_page_count_subtract(&cow->pages, block->pages);
    vsi_free(cow->mem, block, block->bytes);
}

VSI_FN void vsi_cow_free_all(vsi_cow *cow) {
    while (cow->newest)
        cow_free(cow, cow->newest);
    cow->dead = NULL;
    cow->dead_bytes = 0;
    cow->dead_pages = (vsi_page_count){0};
    if (cow->mem)
        vsi_buf_free(&cow->dead_extents);
}

VSI_FN vsi_cow_mark vsi_cow_open(vsi_cow *cow) {
    vsi_cow_mark mark = {.scope = cow->scope,
                         .dead = cow->dead,
                         .dead_extents_bytes = cow->dead_extents.bytes,
                         .dead_bytes = cow->dead_bytes,
                         .dead_pages = cow->dead_pages};
    cow->scope = ++cow->last_scope;
    return mark;
}

VSI_FN void vsi_cow_keep(vsi_cow *cow, vsi_cow_mark mark) {
    /* Blocks of the enclosing scope that died in this one: nobody else ever saw them. */
    vsi_block **link = &cow->dead;
    while (*link != mark.dead) {
        vsi_block *block = *link;
        if (mark.scope && block->owner >= mark.scope) {
            *link = block->next_dead;
            cow_unbury(cow, block);
            cow_free(cow, block);
        } else {
            link = &block->next_dead;
        }
    }
    cow->scope = mark.scope;
}

VSI_FN void vsi_cow_undo(vsi_cow *cow, vsi_cow_mark mark) {
    while (cow->newest && cow->newest->owner >= cow->scope) /* C1 */
        cow_free(cow, cow->newest);
    cow->dead = mark.dead;
    cow->dead_extents.bytes = mark.dead_extents_bytes;
    cow->dead_bytes = mark.dead_bytes;
    cow->dead_pages = mark.dead_pages;
    cow->scope = mark.scope;
}

VSI_FN vsi_block *vsi_cow_take_dead(vsi_cow *cow) {
    vsi_block *dead = cow->dead;
    cow->dead = NULL;
    return dead;
}

VSI_FN void vsi_cow_free_dead(vsi_cow *cow, vsi_block *dead) {
    while (dead) {
        vsi_block *next = dead->next_dead;
        cow_unbury(cow, dead);
        cow_free(cow, dead);
        dead = next;
    }
}

VSI_FN vsi_block *vsi_cow_free_born_after(vsi_cow *cow, vsi_block *dead, uint64_t scope,
                                          vsi_block *others) {
    while (dead) {
        vsi_block *next = dead->next_dead;
        if (dead->owner > scope) {
            cow_unbury(cow, dead);
            cow_free(cow, dead);
        } else {
            dead->next_dead = others;
            others = dead;
        }
        dead = next;
    }
    return others;
}

static vsi_block *cow_alloc(vsi_cow *cow, size_t bytes, uint64_t pages) {
    vsi_assert(cow->scope > 0);
    vsi_assert(bytes >= sizeof(vsi_block));
    vsi_block *block = vsi_alloc(cow->mem, bytes);
    if (!block)
        return NULL;
    cow->bytes += bytes;
    vsi_page_count_add(&cow->pages, pages, 1);
    *block = (vsi_block){.older = cow->newest, .owner = cow->scope, .bytes = bytes, .pages = pages};
    if (cow->newest)
        cow->newest->newer = block;
    cow->newest = block;
    return block;
}

VSI_FN void *vsi_cow_new_extent(vsi_cow *cow, size_t bytes, uint64_t pages) {
    vsi_block *block = cow_alloc(cow, bytes, pages);
    if (block)
        memset(block + 1, 0, bytes - sizeof *block);
    return block;
}

VSI_FN void *vsi_cow_new(vsi_cow *cow, size_t bytes) {
    return vsi_cow_new_extent(cow, bytes, 1);
}

VSI_FN void *vsi_cow_touch(vsi_cow *cow, void *block) {
    vsi_block *old = block;
    vsi_assert(cow->scope > 0);
    if (old->owner >= cow->scope)
        return old;
    vsi_block *copy = cow_alloc(cow, old->bytes, old->pages);
    if (!copy)
        return NULL;
    memcpy(copy + 1, old + 1, old->bytes - sizeof *old);
    vsi_cow_drop(cow, old);
    return copy;
}

VSI_FN void vsi_cow_drop(vsi_cow *cow, void *block) {
    vsi_block *old = block;
    vsi_assert(cow->scope > 0);
    if (old->owner >= cow->scope) {
        cow_free(cow, old);
        return;
    }
    old->next_dead = cow->dead; /* keeps C2 */
    cow->dead = old;
    cow_bury(cow, old);
}

VSI_FN uint32_t vsi_cow_trailer(const vsi_cow *cow) {
    return cow->pager ? cow->pager->trailer_bytes : 0;
}

VSI_FN vsi_page_count vsi_cow_pages(const vsi_cow *cow) {
    return (vsi_page_count){.single = cow->pages.single - cow->dead_pages.single,
                            .middle = cow->pages.middle - cow->dead_pages.middle,
                            .large = cow->pages.large - cow->dead_pages.large};
}

static vs_status cow_bury_extent(vsi_err *err, vsi_cow *cow, vsi_ref ref, uint64_t birth) {
    vsi_dead_extent dead = {.run = {vsi_ref_page(ref), vsi_ref_pages(ref)}, .birth = birth};
    bool ok = vsi_buf_append(&cow->dead_extents, &dead, sizeof dead);
    return ok ? VS_OK : vsi_fail_nomem(err, sizeof dead);
}

VSI_FN vs_status vsi_cow_drop_ref(vsi_err *err, vsi_cow *cow, vsi_ref ref) {
    if (ref.kind == VSI_REF_NONE)
        return VS_OK;
    if (ref.is_block) {
        vsi_cow_drop(cow, vsi_ref_block(ref));
        return VS_OK;
    }
    return cow_bury_extent(err, cow, ref, ref.birth);
}

VSI_FN vs_status vsi_cow_drop_shared(vsi_err *err, vsi_cow *cow, vsi_ref ref) {
    if (ref.kind == VSI_REF_NONE || ref.is_block)
        return vsi_cow_drop_ref(err, cow, ref);
    return cow_bury_extent(err, cow, ref, 0);
}
