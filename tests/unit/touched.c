/* touched.c - the list of records that a transaction has changed. */
#include "store/touched.h"
#include "vt.h"

static vsi_op op_of(int kind, uint32_t coll, vs_key key) {
    vsi_op op;
    memset(&op, 0, sizeof op);
    op.kind = kind;
    op.coll = coll;
    op.key = key;
    op.old_slot = VSI_SLOT_NONE;
    return op;
}

static void add(vsi_touched *t, int kind, uint32_t coll, const char *name, vs_key key) {
    vsi_op op = op_of(kind, coll, key);
    if (t->coll != coll)
        VT_CHECK(vsi_touched_name(t, coll, name));
    VT_CHECK(vsi_touched_add(t, &op));
}

static void expect(const vsi_touched *t, size_t *pos, vs_change *change, int kind, uint32_t coll,
                   const char *name, vs_key key) {
    VT_CHECK(vsi_touched_next(t, pos, change));
    VT_EQ(change->kind, kind);
    VT_EQ(change->collection_id, coll);
    VT_STR(change->collection, name);
    VT_EQ(change->key.kind, key.kind);
    VT_EQ(change->key.space, key.space);
    VT_EQ(change->key.number, key.number);
    VT_EQ(change->key.bytes, key.bytes);
    VT_CHECK(!key.bytes || !memcmp(change->key.data, key.data, key.bytes));
    VT_EQ(change->key.data == NULL, key.bytes == 0);
}

VT_TEST(changes_come_out_as_they_went_in_also_behind_a_cut) {
    vsi_mem mem;
    vsi_mem_init(&mem, NULL);
    vsi_touched t = {.list = {.mem = &mem}};
    vs_change change = {.size = 0};
    size_t pos = 0;
    const vs_key number = {.number = UINT64_MAX, .space = 7},
                 bytes = {.data = "xyz", .bytes = 3, .kind = VS_KEY_BYTES};
    VT_CHECK(!vsi_touched_next(&t, &pos, &change));
    add(&t, VSI_OP_PUT, 1, "one", number);
    add(&t, VSI_OP_DELETE, 1, "one", bytes);
    size_t middle = t.list.bytes;
    add(&t, VSI_OP_METADATA, 2, "two", bytes);
    add(&t, VSI_OP_METADATA, 2, "two", number);
    vsi_touched_cut(&t, t.list.bytes); /* nothing */
    VT_EQ(t.coll, 2);
    vsi_touched_cut(&t, middle);
    add(&t, VSI_OP_PUT, 2, "two", number);
    add(&t, VSI_OP_DELETE, 1, "ONE", number);
    expect(&t, &pos, &change, VS_CHANGE_INSERT, 1, "one", number);
    expect(&t, &pos, &change, VS_CHANGE_DELETE, 1, "one", bytes);
    expect(&t, &pos, &change, VS_CHANGE_INSERT, 2, "two", number);
    expect(&t, &pos, &change, VS_CHANGE_DELETE, 1, "ONE", number);
    VT_CHECK(!vsi_touched_next(&t, &pos, &change));
    vsi_buf_free(&t.list);
}

VT_TEST(a_put_of_a_record_that_is_there_is_an_update) {
    vsi_mem mem;
    vsi_mem_init(&mem, NULL);
    vsi_touched t = {.list = {.mem = &mem}};
    vs_change change = {.size = 0};
    size_t pos = 0;
    vsi_op op = op_of(VSI_OP_PUT, 1, (vs_key){.number = 1});
    op.old_slot = 0;
    VT_CHECK(vsi_touched_name(&t, 1, "c") && vsi_touched_add(&t, &op));
    expect(&t, &pos, &change, VS_CHANGE_UPDATE, 1, "c", op.key);
    vsi_buf_free(&t.list);
}

VT_TEST(pieces_of_a_payload_are_one_change_and_none_of_their_own_behind_one_of_their_record) {
    vsi_mem mem;
    vsi_mem_init(&mem, NULL);
    vsi_touched t = {.list = {.mem = &mem}};
    vs_change change = {.size = 0};
    size_t pos = 0;
    const vs_key a = {.data = "abc", .bytes = 3, .kind = VS_KEY_BYTES},
                 b = {.data = "abd", .bytes = 3, .kind = VS_KEY_BYTES}, number = {.number = 3};
    add(&t, VSI_OP_PUT, 1, "one", a);
    add(&t, VSI_OP_PAYLOAD, 1, "one", a);
    add(&t, VSI_OP_PAYLOAD, 1, "one", b);
    add(&t, VSI_OP_PAYLOAD, 1, "one", b);
    size_t before = t.list.bytes;
    add(&t, VSI_OP_PAYLOAD, 1, "one", a);
    vsi_touched_cut(&t, before);
    add(&t, VSI_OP_PAYLOAD, 1, "one", b); /* behind a cut it may come twice */
    add(&t, VSI_OP_PAYLOAD, 2, "two", b);
    add(&t, VSI_OP_PAYLOAD, 2, "two", number);
    add(&t, VSI_OP_PAYLOAD, 2, "two", number);
    expect(&t, &pos, &change, VS_CHANGE_INSERT, 1, "one", a);
    expect(&t, &pos, &change, VS_CHANGE_UPDATE, 1, "one", b);
    expect(&t, &pos, &change, VS_CHANGE_UPDATE, 1, "one", b);
    expect(&t, &pos, &change, VS_CHANGE_UPDATE, 2, "two", b);
    expect(&t, &pos, &change, VS_CHANGE_UPDATE, 2, "two", number);
    VT_CHECK(!vsi_touched_next(&t, &pos, &change));
    vsi_buf_free(&t.list);
}

VT_TEST(without_memory_the_list_stays_as_it_is) {
    vt_allocator counter = {.fail_at = 1, .fails_for_ever = true};
    const vs_allocator allocator = {&counter, vt_realloc};
    vsi_mem mem;
    vsi_mem_init(&mem, &allocator);
    vsi_touched t = {.list = {.mem = &mem}};
    VT_CHECK(!vsi_touched_name(&t, 1, "c"));
    VT_EQ(t.coll, 0);
    VT_EQ(t.list.bytes, 0);
}
