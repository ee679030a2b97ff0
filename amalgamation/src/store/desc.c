/* desc.c - the registry of collections. */
#include "store/desc.h"
#include "store/live.h"

enum { DESC_CELL_BYTES = 32 };

VSI_FN bool vsi_descs_init(vsi_descs *descs, vsi_mem *mem, const vsi_codes *kernels) {
    memset(descs, 0, sizeof *descs);
    if (!vsi_mutex_init(&descs->lock))
        return false;
    descs->mem = mem;
    descs->kernels = kernels ? kernels : vsi_codes_choose(NULL);
    descs->list.mem = mem;
    return true;
}

VSI_FN uint32_t vsi_desc_set(const vsi_desc *desc, uint32_t field) {
    return desc->field[field].is_optional ? 1 + field : VSI_LIVE_RECORDS;
}

VSI_FN size_t vsi_desc_vector_bytes(const vsi_desc *desc) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < desc->field_count; i++)
        bytes += desc->field[i].vector_bytes;
    return bytes;
}

static void desc_empty(vsi_desc *desc) {
    for (uint32_t i = 0; i < desc->array_count; i++)
        vsi_slabs_free(desc->array[i]);
    for (uint32_t i = 0; i < desc->field_count; i++) {
        vsi_rq_free(desc->field[i].own_rq);
        vsi_buf_free(&desc->field[i].work);
    }
    vsi_buf_free(&desc->pool);
}

VSI_FN void vsi_descs_free(vsi_descs *descs) {
    if (!descs->mem)
        return;
    vsi_desc **list = (vsi_desc **)(void *)descs->list.data;
    for (size_t i = 0; i < descs->list.bytes / sizeof *list; i++) {
        desc_empty(list[i]);
        vsi_free(descs->mem, list[i], sizeof *list[i]);
    }
    vsi_buf_free(&descs->list);
    vsi_mutex_destroy(&descs->lock);
}

/* The place of the first desc whose id is not below id; the lock is held. */
static size_t descs_place(const vsi_descs *descs, uint32_t id) {
    vsi_desc *const *list = (vsi_desc *const *)(const void *)descs->list.data;
    size_t low = 0, high = descs->list.bytes / sizeof *list;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (list[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static vsi_desc *descs_at(const vsi_descs *descs, size_t at, uint32_t id) {
    vsi_desc *const *list = (vsi_desc *const *)(const void *)descs->list.data;
    bool is_there = at < descs->list.bytes / sizeof *list && list[at]->id == id;
    return is_there ? list[at] : NULL;
}

VSI_FN vsi_desc *vsi_descs_find(vsi_descs *descs, uint32_t id) {
    vsi_mutex_lock(&descs->lock);
    vsi_desc *desc = descs_at(descs, descs_place(descs, id), id);
    vsi_mutex_unlock(&descs->lock);
    return desc;
}

VSI_FN vsi_desc *vsi_descs_from(vsi_descs *descs, uint64_t id) {
    vsi_desc *desc = NULL;
    if (id > UINT32_MAX)
        return NULL;
    vsi_mutex_lock(&descs->lock);
    size_t at = descs_place(descs, (uint32_t)id);
    if (at < descs->list.bytes / sizeof desc)
        desc = ((vsi_desc **)(void *)descs->list.data)[at];
    vsi_mutex_unlock(&descs->lock);
    return desc;
}

VSI_FN uint32_t vsi_descs_last_id(vsi_descs *descs) {
    vsi_mutex_lock(&descs->lock);
    vsi_desc *const *list = (vsi_desc *const *)(const void *)descs->list.data;
    size_t n = descs->list.bytes / sizeof *list;
    uint32_t id = n ? list[n - 1]->id : 0;
    vsi_mutex_unlock(&descs->lock);
    return id;
}

VSI_FN void vsi_descs_undo(vsi_descs *descs, vsi_pager *pager) {
    for (vsi_desc *desc = vsi_descs_from(descs, 0); desc;
         desc = vsi_descs_from(descs, (uint64_t)desc->id + 1))
        for (uint32_t i = 0; i < desc->array_count; i++)
            vsi_slabs_undo(desc->array[i], pager);
}

static void desc_add_array(vsi_desc *desc, vsi_slabs *slabs) {
    slabs->dir = desc->new_dir;
    desc->array[desc->array_count++] = slabs;
}

static void desc_fill_rows(vsi_desc *desc, vsi_mem *mem, uint32_t at, uint32_t trailer) {
    vsi_field *field = &desc->field[at];
    field->element_bytes = vsi_type_bytes(field->type);
    field->vector_bytes = vsi_vector_bytes(field->type, field->dim);
    vsi_slabs_init(&field->rows, mem, 1 + at, field->vector_bytes, trailer);
    field->rows.element_bytes = field->element_bytes;
    desc_add_array(desc, &field->rows);
}

/* A description of an index that this version does not know asks for nothing. */
VSI_FN uint32_t vsi_field_code_kind(const vsi_field *field) {
    vsi_err ignored = {0};
    vsi_spec spec = {.code_kind = 0};
    vs_status st = vsi_spec_read(&ignored, field->index, field->type, field->metric, &spec);
    return st == VS_OK ? spec.code_kind : 0;
}

static void desc_fill_codes(vsi_desc *desc, vsi_mem *mem, uint32_t at, uint32_t trailer) {
    vsi_field *field = &desc->field[at];
    field->code_kind = vsi_field_code_kind(field);
    if (!field->code_kind)
        return;
    vsi_slabs_init(&field->codes, mem, VSI_DESC_CODES + at,
                   (uint32_t)vsi_rq_row_bytes(field->dim, field->code_kind), trailer);
    field->work.mem = mem;
    field->codes_end = VSI_SLOT_NONE;
    desc_add_array(desc, &field->codes);
}

static void desc_fill(vsi_desc *desc, vsi_mem *mem, const vsi_desc *given) {
    const vsi_btree *dir = &given->new_dir;
    uint32_t trailer = dir->cow ? vsi_cow_trailer(dir->cow) : 0;
    *desc = *given;
    vsi_slabs_init(&desc->cells, mem, 0, DESC_CELL_BYTES, trailer);
    desc_add_array(desc, &desc->cells);
    for (uint32_t i = 0; i < desc->field_count; i++)
        desc_fill_rows(desc, mem, i, trailer);
    for (uint32_t i = 0; i < desc->field_count; i++)
        desc_fill_codes(desc, mem, i, trailer);
    desc->pool = (vsi_buf){.mem = mem};
    desc->pool_is_filled = false;
}

/* A new member of the list, not filled yet; the lock is held. */
static vsi_desc *descs_insert(vsi_descs *descs, size_t at) {
    vsi_desc *desc =
        vsi_buf_reserve(&descs->list, sizeof desc) ? vsi_alloc(descs->mem, sizeof *desc) : NULL;
    if (!desc)
        return NULL;
    vsi_desc **place = (vsi_desc **)(void *)descs->list.data + at;
    memmove(place + 1, place, descs->list.bytes - at * sizeof *place);
    *place = desc;
    descs->list.bytes += sizeof *place;
    return desc;
}

/* Empties one that a transaction rolled back has left; pages that its slabs were written to go back. */
static vs_status desc_reset(vsi_err *err, vsi_desc *desc) {
    vsi_pager *pager = desc->cells.dir.cow ? desc->cells.dir.cow->pager : NULL;
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && pager && i < desc->array_count; i++)
        st = vsi_slabs_forget(err, desc->array[i], pager);
    if (st == VS_OK)
        desc_empty(desc);
    return st;
}

static vs_status descs_add(vsi_err *err, vsi_descs *descs, const vsi_desc *given, bool keeps_old,
                           vsi_desc **out_desc) {
    vsi_mutex_lock(&descs->lock);
    size_t at = descs_place(descs, given->id);
    vsi_desc *old = descs_at(descs, at, given->id);
    vsi_desc *desc = old ? old : descs_insert(descs, at);
    vs_status st = desc ? VS_OK : vsi_fail_nomem(err, sizeof *desc);
    if (old && !keeps_old)
        st = desc_reset(err, old);
    if (st == VS_OK && !(old && keeps_old))
        desc_fill(desc, descs->mem, given);
    vsi_mutex_unlock(&descs->lock);
    if (st == VS_OK)
        *out_desc = desc;
    return st;
}

VSI_FN vs_status vsi_descs_add(vsi_err *err, vsi_descs *descs, const vsi_desc *given,
                               vsi_desc **out_desc) {
    return descs_add(err, descs, given, false, out_desc);
}

VSI_FN vs_status vsi_descs_intern(vsi_err *err, vsi_descs *descs, const vsi_desc *given,
                                  vsi_desc **out_desc) {
    return descs_add(err, descs, given, true, out_desc);
}

static void desc_count_unused(vsi_desc *desc, uint32_t slot, bool is_unused) {
    for (uint32_t i = 0; i < desc->array_count; i++)
        vsi_slabs_count_unused(desc->array[i], slot, is_unused);
}

VSI_FN uint32_t vsi_desc_take_slot(vsi_desc *desc) {
    uint32_t slot = VSI_SLOT_NONE;
    if (desc->pool.bytes) {
        desc->pool.bytes -= sizeof slot;
        memcpy(&slot, desc->pool.data + desc->pool.bytes, sizeof slot);
        desc_count_unused(desc, slot, false);
    }
    return slot;
}

VSI_FN void vsi_desc_give_slot(vsi_desc *desc, uint32_t slot) {
    if (!vsi_buf_append(&desc->pool, &slot, sizeof slot))
        return; /* it is found again after the next open */
    desc_count_unused(desc, slot, true);
}
