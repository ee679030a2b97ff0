/* state.c - the catalog and what it leads to: thousands of collections, the one being changed,
 * versions, and entries that are malformed. Records here are made by hand; apply.c has operations. */
#include "store/state.h"
#include "vt.h"

enum { TREES = 6, NAME_ROOM = VS_NAME_BYTES_MAX + 1 };

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_descs descs;
    vsi_state state;
    vsi_err err;
    vt_rng rng;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    VT_CHECK(vsi_descs_init(&f->descs, &f->mem, NULL));
    f->state = vsi_state_empty(&f->cow, &f->descs);
    f->rng.state = vt_seed();
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    vsi_descs_free(&f->descs);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

/* Ends a transaction without older versions, as the writer does. */
static void commit(fixture *f, vsi_cow_mark mark) {
    VT_EQ(vsi_state_settle(&f->err, &f->state), VS_OK);
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
}

static size_t count_blocks(const fixture *f) {
    size_t n = 0;
    for (const vsi_block *block = f->cow.newest; block; block = block->older)
        n++;
    return n;
}

/* What readers of a settled state have: the catalog, and nothing of the writer's. */
static vsi_state catalog_only(const vsi_state *state) {
    VT_CHECK(state->is_settled);
    vsi_state bare = vsi_state_empty(state->catalog.cow, state->descs);
    bare.catalog = state->catalog;
    return bare;
}

static vsi_bytes bytes_of(const char *text) {
    return (vsi_bytes){(const uint8_t *)text, strlen(text)};
}

static void check_tree(const vsi_btree *tree) {
    vsi_err err = {0};
    const char *problem = NULL;
    VT_EQ(vsi_btree_check(&err, tree, &problem), VS_OK);
    if (problem)
        vt_fail(__FILE__, __LINE__, "%s", problem);
}

/* ---- collections made by hand --------------------------------------------------------------- */

static vs_status try_add(fixture *f, uint32_t id, const char *name) {
    vsi_desc given, *desc = NULL;
    memset(&given, 0, sizeof given);
    given.id = id;
    given.field_count = 1;
    snprintf(given.field[0].name, sizeof given.field[0].name, "vector");
    given.field[0].dim = 1 + id % 50;
    given.field[0].type = VS_U8;
    given.field[0].metric = VS_COSINE;
    given.field[0].element_bytes = 1;
    given.created_us = -5 - (int64_t)id;
    snprintf(given.name, sizeof given.name, "%s", name);
    snprintf(given.field[0].index, sizeof given.field[0].index, "index of %u", (unsigned)id);
    vs_status st = vsi_descs_add(&f->err, &f->descs, &given, &desc);
    return st == VS_OK ? vsi_state_add_coll(&f->err, &f->state, desc) : st;
}

static void add(fixture *f, uint32_t id, const char *name) {
    VT_EQ(try_add(f, id, name), VS_OK);
}

static void add_committed(fixture *f, uint32_t id, const char *name) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    add(f, id, name);
    commit(f, mark);
}

static vsi_btree *tree_of(vsi_coll *coll, int at) {
    vsi_btree *const tree[TREES] = {&coll->keys,  &coll->metadata,  &coll->live,
                                    &coll->slabs, &coll->long_keys, &coll->payloads};
    return tree[at];
}

/* Entry number n of tree number at of a collection. */
static vsi_bytes entry_key(int at, uint32_t n, uint8_t out[VSI_KEY_BYTES_MAX]) {
    return at == 0 ? vsi_key_encode(out, VT_KEY(n)) : vsi_slot_encode(out, n);
}

static vsi_bytes entry_value(int at, uint32_t id, uint32_t n, uint8_t out[4]) {
    vsi_put_u32(out, (uint32_t)vt_mix((uint64_t)id << 32 | (uint64_t)at << 28 | n));
    return (vsi_bytes){out, 4};
}

/* One more entry in every tree of a collection: the trees must not be mixed up. */
static vs_status try_grow(fixture *f, uint32_t id) {
    vsi_coll *coll = NULL;
    vs_status st = vsi_state_work_on(&f->err, &f->state, id, &coll);
    if (st != VS_OK)
        return st;
    uint32_t n = coll->slot_end++;
    coll->count += 3;
    for (int at = 0; st == VS_OK && at < TREES; at++) {
        uint8_t key[VSI_KEY_BYTES_MAX], value[4];
        st = vsi_btree_put(&f->err, tree_of(coll, at), entry_key(at, n, key),
                           entry_value(at, id, n, value));
    }
    return st;
}

static void grow(fixture *f, uint32_t id) {
    VT_EQ(try_grow(f, id), VS_OK);
}

/* The collection has n entries in every tree: the first, some, and the last are looked at. */
static void check_coll(const vsi_coll *coll, uint32_t id, uint32_t n) {
    vsi_coll copy = *coll;
    vsi_err err = {0};
    VT_EQ(coll->desc->id, id);
    VT_EQ(coll->slot_end, n);
    VT_EQ(coll->count, 3 * (uint64_t)n);
    for (int at = 0; at < TREES; at++) {
        VT_EQ(tree_of(&copy, at)->count, n);
        for (uint32_t i = 0; i < n; i += i + 1 == n ? 1 : 1 + (n - i - 1) / 2) {
            uint8_t key[VSI_KEY_BYTES_MAX], value[4];
            vsi_node_item item;
            VT_EQ(vsi_btree_get(&err, tree_of(&copy, at), entry_key(at, i, key), &item), VS_OK);
            VT_EQ(vsi_bytes_compare(item.value, entry_value(at, id, i, value)), 0);
        }
    }
}

/* By id, by name, and as the first one that is not below its id. */
static vsi_coll find(const vsi_state *state, uint32_t id, const char *name) {
    vsi_err err = {0};
    vsi_coll by_id, by_name, from;
    VT_EQ(vsi_state_coll(&err, state, id, &by_id), VS_OK);
    VT_EQ(vsi_state_coll_named(&err, state, bytes_of(name), &by_name), VS_OK);
    VT_EQ(vsi_state_coll_from(&err, state, id, &from), VS_OK);
    VT_CHECK(by_id.desc->id == id && by_id.desc == by_name.desc && by_id.desc == from.desc);
    VT_STR(by_id.desc->name, name);
    VT_CHECK(by_id.keys.root.at == by_name.keys.root.at && by_id.count == by_name.count);
    VT_CHECK(by_id.keys.root.at == from.keys.root.at && by_id.count == from.count);
    return by_id;
}

static bool is_there(const vsi_state *state, uint32_t id) {
    vsi_err err = {0};
    vsi_coll coll;
    vs_status st = vsi_state_coll(&err, state, id, &coll);
    VT_CHECK(st == VS_OK || (st == VS_ERR_NOT_FOUND && !err.text[0]));
    return st == VS_OK;
}

static bool is_named(const vsi_state *state, vsi_bytes name) {
    vsi_err err = {0};
    vsi_coll coll;
    vs_status st = vsi_state_coll_named(&err, state, name, &coll);
    VT_CHECK(st == VS_OK || (st == VS_ERR_NOT_FOUND && !err.text[0]));
    return st == VS_OK;
}

/* The id of the first collection from id on; 0: none. */
static uint32_t first_from(const vsi_state *state, uint32_t id) {
    vsi_err err = {0};
    vsi_coll coll;
    vs_status st = vsi_state_coll_from(&err, state, id, &coll);
    VT_CHECK(st == VS_OK || (st == VS_ERR_NOT_FOUND && !err.text[0]));
    return st == VS_OK ? coll.desc->id : 0;
}

static size_t count_colls(const vsi_state *state) {
    size_t n = 0;
    for (uint32_t id = first_from(state, 0); id;
         id = id < UINT32_MAX ? first_from(state, id + 1) : 0)
        n++;
    return n;
}

/* ---- an empty state ------------------------------------------------------------------------- */

VT_TEST(an_empty_state_has_nothing_and_digest_zero) {
    fixture f;
    begin(&f);
    vsi_value value;
    vsi_coll *work = NULL;
    VT_CHECK(f.state.digest.lo == 0 && f.state.digest.hi == 0 && f.state.last_coll == 0);
    VT_CHECK(!is_there(&f.state, 0) && !is_there(&f.state, 1) && !is_there(&f.state, UINT32_MAX));
    VT_CHECK(!is_named(&f.state, bytes_of("a")));
    VT_EQ(first_from(&f.state, 0), 0);
    VT_EQ(first_from(&f.state, UINT32_MAX), 0);
    VT_EQ(vsi_note_find(&f.err, &f.state, 0, bytes_of("a"), &value), VS_ERR_NOT_FOUND);
    VT_EQ(vsi_state_work_on(&f.err, &f.state, 1, &work), VS_ERR_NOT_FOUND);
    VT_EQ(vsi_state_settle(&f.err, &f.state), VS_OK); /* has nothing to do, needs no scope */
    VT_EQ(f.allocator.calls, 0);
    VT_EQ(f.err.text[0], 0);
    end(&f);
}

/* ---- thousands of collections --------------------------------------------------------------- */

enum { MANY = 4000 };

/* Of 1 to 255 bytes: runs of one letter are prefixes of each other, others differ in their last
 * bytes only, or hold any byte but 0. */
static void name_of(uint32_t i, char out[NAME_ROOM]) {
    memset(out, 0, NAME_ROOM);
    if (i < VS_NAME_BYTES_MAX) {
        memset(out, 'a', i + 1);
    } else if (i < 1000) {
        memset(out, 'b', VS_NAME_BYTES_MAX);
        snprintf(out + VS_NAME_BYTES_MAX - 4, 5, "%04u", (unsigned)i);
    } else if (i < 1100) {
        out[0] = (char)(uint8_t)(i - 1000 + 140); /* one byte, not a letter */
    } else if (i < 2000) {
        snprintf(out, NAME_ROOM, "%u", (unsigned)i);
    } else {
        for (size_t k = 0; k < 2 + vt_mix(i) % 253; k++)
            out[k] = (char)(uint8_t)(1 + vt_mix((uint64_t)i << 32 | k) % 255);
    }
}

static uint32_t id_of(uint32_t i) {
    return i + 1 == MANY ? UINT32_MAX : 1 + 3 * i + (i > MANY / 2 ? 100000 : 0);
}

static void begin_many(fixture *f) {
    begin(f);
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    for (uint32_t i = 0; i < MANY; i++) {
        char name[NAME_ROOM];
        name_of(i, name);
        add(f, id_of(i), name);
        if (i % 16 == 0)
            grow(f, id_of(i));
    }
    commit(f, mark);
}

VT_TEST(thousands_of_collections_are_found_by_id_and_by_name) {
    fixture f;
    begin_many(&f);
    const vsi_state reader = catalog_only(&f.state);
    VT_EQ(f.state.last_coll, UINT32_MAX);
    check_tree(&f.state.catalog);
    VT_EQ(f.state.catalog.count, 4 * MANY + 1); /* itself, its field, its name both ways */
    for (uint32_t i = 0; i < MANY; i++) {
        char name[NAME_ROOM];
        name_of(i, name);
        vsi_coll coll = find(&reader, id_of(i), name);
        check_coll(&coll, id_of(i), i % 16 == 0);
        VT_CHECK(coll.desc == vsi_descs_find(&f.descs, id_of(i)));
        coll = find(&f.state, id_of(i), name);
        check_coll(&coll, id_of(i), i % 16 == 0);
    }
    end(&f);
}

VT_TEST(ids_and_names_that_no_collection_has_are_not_found) {
    fixture f;
    begin_many(&f);
    uint8_t name[VS_NAME_BYTES_MAX + 2];
    for (uint32_t i = 0; i < MANY - 1; i++)
        VT_CHECK(!is_there(&f.state, id_of(i) + 1) && !is_there(&f.state, id_of(i) - 1));
    VT_CHECK(!is_there(&f.state, UINT32_MAX - 1));
    memset(name, 'a', sizeof name);
    for (size_t n = 1; n <= sizeof name; n++) /* 'a' up to 255 times */
        VT_EQ(is_named(&f.state, (vsi_bytes){name, n}), n <= VS_NAME_BYTES_MAX);
    memset(name, 'b', sizeof name);
    for (size_t n = 1; n <= sizeof name; n++)
        VT_CHECK(!is_named(&f.state, (vsi_bytes){name, n}));
    static const char *const none[] = {"1", "199", "19999", "ab", "aab", "c", "0", " "};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        VT_CHECK(!is_named(&f.state, bytes_of(none[i])));
    VT_CHECK(is_named(&f.state, bytes_of("1999")));
    VT_CHECK(!is_named(&f.state, (vsi_bytes){name, 0}));
    end(&f);
}

VT_TEST(walking_by_ids_meets_every_collection_in_order) {
    fixture f;
    begin_many(&f);
    const vsi_state reader = catalog_only(&f.state);
    uint32_t id = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t from = i ? id_of(i - 1) + 1 : 0;
        id = first_from(&reader, from);
        VT_EQ(id, id_of(i));
        VT_EQ(first_from(&f.state, from), id);
        VT_EQ(first_from(&f.state, id), id);
        VT_EQ(first_from(&f.state, id - 1), id);
    }
    VT_EQ(id, UINT32_MAX);
    VT_EQ(count_colls(&reader), MANY);
    end(&f);
}

/* The entry of a name may look like that of an id but for its first byte. */
VT_TEST(behind_the_last_collection_there_is_none_even_when_names_follow) {
    fixture f;
    begin(&f);
    add_committed(&f, 3, "abcd");
    add_committed(&f, 0x61626364, "b"); /* the first name is "abcd" */
    VT_EQ(first_from(&f.state, 0), 3);
    VT_EQ(first_from(&f.state, 4), 0x61626364);
    VT_EQ(first_from(&f.state, 0x61626365), 0);
    add_committed(&f, 0x61626370, "abcp");
    VT_EQ(first_from(&f.state, 0x61626365), 0x61626370);
    VT_EQ(first_from(&f.state, 0x61626371), 0);
    VT_EQ(first_from(&f.state, UINT32_MAX), 0);
    end(&f);
}

/* ---- the entries of the catalog ------------------------------------------------------------- */

static vsi_bytes id_key(uint8_t out[5], uint32_t id) {
    out[0] = 1;
    vsi_put_u32_be(out + 1, id);
    return (vsi_bytes){out, 5};
}

static vsi_node_item get_entry(const vsi_state *state, vsi_bytes key) {
    vsi_err err = {0};
    vsi_node_item item;
    VT_EQ(vsi_btree_get(&err, &state->catalog, key, &item), VS_OK);
    return item;
}

VT_TEST(an_entry_of_the_catalog_describes_its_collection_completely) {
    fixture f;
    uint8_t key[5];
    begin(&f);
    add_committed(&f, 0x01020304, "some name");
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < 10; i++)
        grow(&f, 0x01020304);
    f.state.work.last_number = 0x1122334455667788;
    f.state.work.bytes = 11;
    f.state.work.max_records = 22;
    f.state.work.max_bytes = 33;
    f.state.work.digest = (vsi_hash128){.lo = 44, .hi = 55};
    f.state.work.changed_us = -66;
    commit(&f, mark);
    vsi_coll coll = find(&f.state, 0x01020304, "some name");
    const vsi_node_item item = get_entry(&f.state, id_key(key, 0x01020304));
    const uint8_t *value = item.value.data;
    VT_EQ((int64_t)vsi_get_u64(value), coll.desc->created_us);
    VT_EQ(vsi_get_u64(value + 8), 30);
    VT_CHECK(vsi_get_u64(value + 16) == coll.last_number && coll.last_number == 0x1122334455667788);
    VT_EQ(vsi_get_u32(value + 24), 10);
    VT_EQ(vsi_get_u16(value + 28), 1);
    VT_EQ(value[30], coll.desc->cells.shift);
    VT_EQ(value[31], 0);
    VT_EQ(item.ref_count, TREES);
    for (int at = 0; at < TREES; at++) {
        VT_EQ(vsi_get_u64(value + 32 + 8 * at), 10);
        VT_EQ(vsi_ref_decode(item.refs + at * VSI_REF_BYTES).at, tree_of(&coll, at)->root.at);
    }
    VT_CHECK(vsi_get_u64(value + 80) == 11 && coll.bytes == 11);
    VT_CHECK(vsi_get_u64(value + 88) == 22 && coll.max_records == 22);
    VT_CHECK(vsi_get_u64(value + 96) == 33 && coll.max_bytes == 33);
    VT_CHECK(vsi_get_u64(value + 104) == 44 && coll.digest.lo == 44);
    VT_CHECK(vsi_get_u64(value + 112) == 55 && coll.digest.hi == 55);
    VT_CHECK((int64_t)vsi_get_u64(value + 120) == -66 && coll.changed_us == -66);
    VT_EQ(item.value.bytes, 128);
    end(&f);
}

static vsi_bytes field_key(uint8_t out[7], uint32_t id, uint8_t field) {
    id_key(out, id);
    out[5] = 0;
    out[6] = field;
    return (vsi_bytes){out, 7};
}

VT_TEST(an_entry_of_the_catalog_describes_each_field_completely) {
    fixture f;
    uint8_t key[7];
    begin(&f);
    add_committed(&f, 0x01020304, "some name");
    vsi_coll coll = find(&f.state, 0x01020304, "some name");
    const vsi_field *field = &coll.desc->field[0];
    const vsi_node_item item = get_entry(&f.state, field_key(key, 0x01020304, 0));
    const uint8_t *value = item.value.data;
    VT_EQ(vsi_get_u32(value), field->dim);
    VT_EQ(value[4], VS_U8);
    VT_EQ(value[5], VS_COSINE);
    VT_EQ(value[6], field->rows.shift);
    VT_EQ(value[7], field->is_optional);
    VT_EQ(vsi_get_u16(value + 8), strlen(field->name));
    VT_EQ(vsi_get_u16(value + 10), strlen(field->index));
    VT_EQ(item.value.bytes, 12 + strlen(field->name) + strlen(field->index));
    VT_CHECK(!memcmp(value + 12, field->name, strlen(field->name)));
    VT_CHECK(!memcmp(value + 12 + strlen(field->name), field->index, strlen(field->index)));
    VT_EQ(item.ref_count, 0);
    end(&f);
}

VT_TEST(the_base_entry_has_the_notes_and_the_largest_id) {
    static const uint8_t key[1] = {3};
    fixture f;
    uint8_t note[VSI_NOTE_KEY_BYTES_MAX];
    begin(&f);
    add_committed(&f, 77, "a");
    for (uint32_t n = 1; n < 100; n++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        uint8_t name[4];
        VT_EQ(vsi_value_put(&f.err, &f.state.notes,
                            vsi_note_encode(note, 0, vsi_slot_encode(name, n)), bytes_of("value"),
                            vsi_hash128_of("value", 5, 0)),
              VS_OK);
        f.state.is_settled = false; /* as vsi_apply does */
        commit(&f, mark);
        const vsi_node_item item = get_entry(&f.state, (vsi_bytes){key, 1});
        VT_EQ(item.value.bytes, 16);
        VT_EQ(vsi_get_u64(item.value.data), n);
        VT_EQ(vsi_get_u32(item.value.data + 8), 77);
        VT_EQ(item.ref_count, 1);
        VT_EQ(vsi_ref_decode(item.refs).at, f.state.notes.root.at);
    }
    end(&f);
}

/* Puts an entry into the catalog, and undoes that at the end of the check. */
static void plant(fixture *f, vsi_bytes key, vsi_bytes value, uint32_t ref_count) {
    uint8_t refs[VSI_NODE_REFS_MAX * VSI_REF_BYTES] = {0};
    vsi_node_item item = {.key = key, .value = value, .refs = refs, .ref_count = ref_count};
    VT_EQ(vsi_btree_put_item(&f->err, &f->state.catalog, &item), VS_OK);
}

static void check_coll_is_malformed(fixture *f, vsi_bytes value, uint32_t ref_count) {
    uint8_t key[5];
    const vsi_state before = f->state;
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    vsi_coll coll, *work = NULL;
    plant(f, id_key(key, 3), value, ref_count);
    memset(&f->err, 0, sizeof f->err);
    VT_EQ(vsi_state_coll(&f->err, &f->state, 3, &coll), VS_ERR_CORRUPT);
    VT_EQ(f->err.code, VS_ERR_CORRUPT);
    VT_CONTAINS(f->err.text, "collection 3");
    VT_EQ(vsi_state_coll_named(&f->err, &f->state, bytes_of("three"), &coll), VS_ERR_CORRUPT);
    VT_EQ(vsi_state_coll_from(&f->err, &f->state, 2, &coll), VS_ERR_CORRUPT);
    VT_EQ(vsi_state_work_on(&f->err, &f->state, 3, &work), VS_ERR_CORRUPT);
    find(&f->state, 1, "one");
    vsi_cow_undo(&f->cow, mark);
    f->state = before;
}

VT_TEST(entries_of_collections_that_are_malformed_are_called_damage) {
    fixture f;
    uint8_t key[5], value[150] = {0};
    begin(&f);
    add_committed(&f, 1, "one");
    add_committed(&f, 3, "three");
    add_committed(&f, 5, "five"); /* so that 3 is not the one being changed */
    for (size_t n = 0; n < 150; n += n == 127 ? 2 : 1)
        check_coll_is_malformed(&f, (vsi_bytes){value, n}, TREES);
    for (uint32_t refs = 0; refs <= VSI_NODE_REFS_MAX; refs++)
        if (refs != TREES)
            check_coll_is_malformed(&f, (vsi_bytes){value, 128}, refs);
    find(&f.state, 3, "three");
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    vsi_coll coll;
    plant(&f, id_key(key, 4), (vsi_bytes){value, 128}, TREES); /* no desc has this id */
    VT_EQ(vsi_state_coll(&f.err, &f.state, 4, &coll), VS_ERR_CORRUPT);
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

/* Every number of an entry beyond what it may be, by itself. */
VT_TEST(each_number_in_an_entry_of_a_collection_is_checked) {
    static const struct {
        size_t off, bytes;
        uint32_t wrong;
    } bad[] = {{28, 2, 0}, {28, 2, VS_FIELDS_MAX + 1}, {30, 1, 0}};
    fixture f;
    uint8_t key[5], value[VSI_NODE_ENTRY_MAX];
    begin(&f);
    add_committed(&f, 1, "one");
    add_committed(&f, 3, "three");
    add_committed(&f, 5, "five");
    const vsi_node_item item = get_entry(&f.state, id_key(key, 3));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memcpy(value, item.value.data, item.value.bytes);
        for (size_t k = 0; k < bad[i].bytes; k++)
            value[bad[i].off + k] = (uint8_t)(bad[i].wrong >> 8 * k);
        check_coll_is_malformed(&f, (vsi_bytes){value, item.value.bytes}, TREES);
    }
    memcpy(value, item.value.data, item.value.bytes);
    check_coll_is_malformed(&f, (vsi_bytes){value, item.value.bytes - 1}, TREES);
    check_coll_is_malformed(&f, (vsi_bytes){value, item.value.bytes + 1}, TREES);
    find(&f.state, 3, "three");
    end(&f);
}

/* Of a collection that is used for the first time. */
VT_TEST(each_number_in_an_entry_of_a_field_is_checked) {
    static const struct {
        size_t off, bytes;
        uint32_t wrong;
    } bad[] = {{0, 4, 0},          {0, 4, VS_DIM_MAX + 1},
               {4, 1, 0},          {4, 1, VS_BIT + 1},
               {5, 1, 0},          {5, 1, VS_JACCARD + 1},
               {5, 1, VS_HAMMING}, {4, 1, VS_BIT},
               {6, 1, 0},          {7, 1, 2},
               {8, 2, 0},          {8, 2, VS_FIELD_BYTES_MAX + 1},
               {8, 2, 1},          {10, 2, VS_INDEX_BYTES_MAX + 1},
               {10, 2, 0}};
    fixture f;
    uint8_t key[7], id[5], value[VSI_NODE_ENTRY_MAX], entry[VSI_NODE_ENTRY_MAX];
    begin(&f);
    add_committed(&f, 3, "three");
    add_committed(&f, 5, "five");
    const vsi_node_item coll_item = get_entry(&f.state, id_key(id, 3));
    const vsi_node_item item = get_entry(&f.state, field_key(key, 3, 0));
    const size_t bytes = item.value.bytes, cases = sizeof bad / sizeof bad[0];
    memcpy(entry, coll_item.value.data, coll_item.value.bytes);
    for (size_t i = 0; i < cases + 4;
         i++) { /* the last ones: missing, too short, too long, right */
        const vsi_state before = f.state;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        vsi_coll coll;
        size_t n = bytes - (i == cases + 1) + (i == cases + 2);
        memcpy(value, item.value.data, bytes);
        for (size_t k = 0; i < cases && k < bad[i].bytes; k++)
            value[bad[i].off + k] = (uint8_t)(bad[i].wrong >> 8 * k);
        plant(&f, id_key(id, 4), (vsi_bytes){entry, coll_item.value.bytes}, TREES);
        field_key(key, 4, 0xff);
        key[5] = 0xff;
        plant(&f, (vsi_bytes){key, 7}, bytes_of("four"), 0);
        if (i != cases)
            plant(&f, field_key(key, 4, 0), (vsi_bytes){value, n}, 0);
        vs_status st = vsi_state_coll(&f.err, &f.state, 4, &coll);
        VT_EQ(st, i < cases + 3 ? VS_ERR_CORRUPT : VS_OK);
        if (st != VS_OK)
            VT_CONTAINS(f.err.text, i == cases ? "field 0 of collection 4 is missing"
                                               : "field 0 of collection 4 is malformed");
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
    }
    end(&f);
}

/* Of a collection that is used for the first time. */
VT_TEST(a_collection_s_own_name_that_is_malformed_is_called_damage) {
    static const uint8_t bad[VS_NAME_BYTES_MAX + 1] = {'a', 'b', 0};
    fixture f;
    uint8_t key[7], id[5], entry[VSI_NODE_ENTRY_MAX];
    begin(&f);
    add_committed(&f, 3, "three");
    add_committed(&f, 5, "five");
    const vsi_node_item item = get_entry(&f.state, id_key(id, 3));
    memcpy(entry, item.value.data, item.value.bytes);
    static const size_t sizes[] = {0, 3, sizeof bad,
                                   2}; /* the last one is right, but for its field */
    for (size_t i = 0; i < 5; i++) {
        const vsi_state before = f.state;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        vsi_coll coll;
        plant(&f, id_key(id, 4), (vsi_bytes){entry, item.value.bytes}, TREES);
        field_key(key, 4, 0xff);
        key[5] = 0xff;
        if (i < 4)
            plant(&f, (vsi_bytes){key, 7}, (vsi_bytes){bad, sizes[i]}, 0);
        VT_EQ(vsi_state_coll(&f.err, &f.state, 4, &coll), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, i == 3 ? "field 0" : "name of collection 4");
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
    }
    end(&f);
}

/* Of a collection that is used for the first time: more records than slots, or slots without slabs. */
VT_TEST(an_entry_with_more_records_or_slots_than_there_are_is_called_damage) {
    fixture f;
    uint8_t key[5], value[VSI_NODE_ENTRY_MAX];
    begin(&f);
    add_committed(&f, 3, "three");
    add_committed(&f, 5, "five");
    const vsi_node_item item = get_entry(&f.state, id_key(key, 3));
    for (uint32_t slot_end = 0; slot_end < 2; slot_end++) {
        const vsi_state before = f.state;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        vsi_coll coll;
        memcpy(value, item.value.data, item.value.bytes);
        vsi_put_u64(value + 8, 1);
        vsi_put_u32(value + 24, slot_end);
        plant(&f, id_key(key, 4), (vsi_bytes){value, item.value.bytes}, TREES);
        VT_EQ(vsi_state_coll(&f.err, &f.state, 4, &coll), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "collection 4 is malformed");
        VT_CHECK(!vsi_descs_find(&f.descs, 4));
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
    }
    end(&f);
}

VT_TEST(a_catalog_without_its_entry_of_the_database_or_with_another_is_called_damage) {
    static const uint8_t key[1] = {3}, zero[17];
    fixture f;
    begin(&f);
    add_committed(&f, 1, "one");
    vsi_state loaded = f.state;
    VT_EQ(vsi_state_load(&f.err, &loaded), VS_OK);
    VT_EQ(loaded.last_coll, 1);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (size_t n = 15; n <= sizeof zero; n++)
        for (uint32_t refs = 0; refs < 3; refs++) {
            plant(&f, (vsi_bytes){key, 1}, (vsi_bytes){zero, n}, refs);
            loaded = f.state;
            VT_EQ(vsi_state_load(&f.err, &loaded), n == 16 && refs == 1 ? VS_OK : VS_ERR_CORRUPT);
        }
    VT_EQ(vsi_btree_delete(&f.err, &f.state.catalog, (vsi_bytes){key, 1}), VS_OK);
    loaded = f.state;
    VT_EQ(vsi_state_load(&f.err, &loaded), VS_ERR_CORRUPT);
    VT_CONTAINS(f.err.text, "the entry of the database is missing");
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

VT_TEST(an_entry_of_a_name_that_is_malformed_is_called_damage) {
    fixture f;
    static const uint8_t key[] = {2, 'o', 'n', 'e'}, value[9] = {1};
    begin(&f);
    add_committed(&f, 1, "one");
    for (size_t n = 0; n <= sizeof value; n++) {
        const vsi_state before = f.state;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        vsi_coll coll;
        plant(&f, (vsi_bytes){key, sizeof key}, (vsi_bytes){value, n}, 0);
        VT_EQ(vsi_state_coll_named(&f.err, &f.state, bytes_of("one"), &coll),
              n == 4 ? VS_OK : VS_ERR_CORRUPT);
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
    }
    end(&f);
}

/* ---- the collection being changed ----------------------------------------------------------- */

VT_TEST(the_collection_being_changed_is_newer_than_its_entry_until_it_is_settled) {
    fixture f;
    begin(&f);
    add_committed(&f, 1, "one");
    add_committed(&f, 2, "two");
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    vsi_coll *work = NULL, *again = NULL;
    VT_EQ(vsi_state_work_on(&f.err, &f.state, 1, &work), VS_OK);
    for (uint32_t n = 1; n <= 400; n++) {
        grow(&f, 1);
        VT_CHECK(!f.state.is_settled);
        VT_EQ(work->slot_end, n); /* changes go where the first call pointed */
        VT_EQ(vsi_state_work_on(&f.err, &f.state, 1, &again), VS_OK);
        VT_CHECK(again == work);
        vsi_coll coll = find(&f.state, 1, "one");
        check_coll(&coll, 1, n);
    }
    VT_EQ(vsi_state_settle(&f.err, &f.state), VS_OK);
    const vsi_state reader = catalog_only(&f.state);
    vsi_coll coll = find(&reader, 1, "one");
    check_coll(&coll, 1, 400);
    uint64_t calls = f.allocator.calls;
    VT_EQ(vsi_state_settle(&f.err, &f.state), VS_OK);
    VT_EQ(f.allocator.calls, calls); /* nothing to do twice */
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

VT_TEST(going_to_another_collection_settles_the_one_before) {
    fixture f;
    begin(&f);
    add_committed(&f, 1, "one");
    add_committed(&f, 2, "two");
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint32_t n = 1; n <= 300; n++) { /* enough for trees of two levels */
        grow(&f, 1);
        grow(&f, 2);
        vsi_coll one = find(&f.state, 1, "one"), two = find(&f.state, 2, "two");
        check_coll(&one, 1, n);
        check_coll(&two, 2, n);
        VT_EQ(f.state.work.desc->id, 2);
    }
    commit(&f, mark);
    const vsi_state reader = catalog_only(&f.state);
    vsi_coll one = find(&reader, 1, "one"), two = find(&reader, 2, "two");
    check_coll(&one, 1, 300);
    check_coll(&two, 2, 300);
    end(&f);
}

VT_TEST(a_collection_that_is_not_there_cannot_be_worked_on_and_nothing_changes) {
    fixture f;
    begin(&f);
    add_committed(&f, 1, "one");
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    grow(&f, 1);
    uint64_t calls = f.allocator.calls;
    vsi_coll *work = NULL;
    memset(&f.err, 0, sizeof f.err);
    VT_EQ(vsi_state_work_on(&f.err, &f.state, 2, &work), VS_ERR_NOT_FOUND);
    VT_CHECK(!work && !f.err.text[0]);
    VT_EQ(f.allocator.calls, calls);
    vsi_coll coll = find(&f.state, 1, "one");
    check_coll(&coll, 1, 1);
    commit(&f, mark);
    end(&f);
}

VT_TEST(a_creation_that_was_undone_can_be_repeated_with_another_shape) {
    fixture f;
    begin(&f);
    add_committed(&f, 1, "one");
    for (int round = 0; round < 20; round++) {
        const vsi_state before = f.state;
        size_t blocks = count_blocks(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        char name[16];
        snprintf(name, sizeof name, "two-%d", round);
        add(&f, 2, name);
        for (int i = 0; i <= round; i++)
            grow(&f, 2);
        vsi_coll coll = find(&f.state, 2, name);
        check_coll(&coll, 2, (uint32_t)round + 1);
        VT_EQ(f.state.last_coll, 2);
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
        VT_EQ(count_blocks(&f), blocks);
        VT_EQ(f.state.last_coll, 1);
        VT_CHECK(!is_there(&f.state, 2) && !is_named(&f.state, bytes_of(name)));
        VT_EQ(count_colls(&f.state), 1);
    }
    end(&f);
}

/* ---- against a plain list ------------------------------------------------------------------- */

enum { COLLS = 80 };

/* How many entries each collection has in every tree; id at + 1, 0: not created. */
typedef struct model {
    uint32_t n[COLLS]; /* entries + 1 */
} model;

static void short_name(uint32_t id, char out[16]) {
    snprintf(out, 16, "c%u", (unsigned)id);
}

static void check_model(const vsi_state *state, const model *m) {
    size_t count = 0;
    for (uint32_t i = 0; i < COLLS; i++) {
        char name[16];
        short_name(i + 1, name);
        VT_EQ(is_there(state, i + 1), m->n[i] > 0);
        VT_EQ(is_named(state, bytes_of(name)), m->n[i] > 0);
        if (m->n[i]) {
            vsi_coll coll = find(state, i + 1, name);
            check_coll(&coll, i + 1, m->n[i] - 1);
        }
        count += m->n[i] > 0;
    }
    VT_EQ(count_colls(state), count);
    check_tree(&state->catalog);
}

/* Some step that fits: a new collection, one more entry, or settling. Ids ascend. */
static void random_step(fixture *f, model *m) {
    uint64_t what = vt_below(&f->rng, 20);
    uint32_t i = (uint32_t)vt_below(&f->rng, COLLS), last = f->state.last_coll;
    if (what == 0 && last < COLLS) {
        uint32_t id = last + 1 + (uint32_t)vt_below(&f->rng, 2);
        char name[16];
        short_name(id <= COLLS ? id : COLLS, name);
        add(f, id <= COLLS ? id : COLLS, name);
        m->n[(id <= COLLS ? id : COLLS) - 1] = 1;
    } else if (what == 1) {
        VT_EQ(vsi_state_settle(&f->err, &f->state), VS_OK);
    } else if (m->n[i]) {
        for (uint64_t n = 1 + vt_below(&f->rng, 3); n > 0; n--, m->n[i]++)
            grow(f, i + 1);
    }
}

static void random_steps(fixture *f, model *m, int n) {
    while (n-- > 0)
        random_step(f, m);
}

VT_TEST(random_changes_of_many_collections_in_nested_scopes_agree_with_a_list) {
    static model m, outer_m, inner_m;
    fixture f;
    begin(&f);
    memset(&m, 0, sizeof m);
    for (int round = 0; round < 400; round++) {
        const vsi_state before = f.state;
        size_t blocks = count_blocks(&f);
        outer_m = m;
        vsi_cow_mark outer = vsi_cow_open(&f.cow);
        random_steps(&f, &m, (int)vt_below(&f.rng, 15));
        const vsi_state middle = f.state;
        inner_m = m;
        vsi_cow_mark inner = vsi_cow_open(&f.cow);
        random_steps(&f, &m, (int)vt_below(&f.rng, 15));
        if (vt_below(&f.rng, 2)) {
            vsi_cow_keep(&f.cow, inner);
        } else {
            vsi_cow_undo(&f.cow, inner);
            f.state = middle;
            m = inner_m;
        }
        if (round % 8 == 0)
            check_model(&f.state, &m); /* also what is not settled */
        random_steps(&f, &m, (int)vt_below(&f.rng, 5));
        if (vt_below(&f.rng, 4)) {
            commit(&f, outer);
        } else {
            vsi_cow_undo(&f.cow, outer);
            f.state = before;
            m = outer_m;
            VT_EQ(count_blocks(&f), blocks);
        }
        if (round % 8 == 0) {
            const vsi_state reader = catalog_only(&f.state);
            check_model(&reader, &m);
        }
    }
    check_model(&f.state, &m);
    VT_CHECK(f.state.last_coll == COLLS);
    end(&f);
}

VT_TEST(older_versions_stay_as_they_were) {
    enum { VERSIONS = 10 };
    static model m[VERSIONS];
    fixture f;
    vsi_state state[VERSIONS];
    vsi_block *dead[VERSIONS];
    begin(&f);
    memset(m, 0, sizeof m);
    for (int v = 0; v < VERSIONS; v++) {
        if (v)
            m[v] = m[v - 1];
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        random_steps(&f, &m[v], 250);
        VT_EQ(vsi_state_settle(&f.err, &f.state), VS_OK);
        vsi_cow_keep(&f.cow, mark);
        dead[v] = vsi_cow_take_dead(&f.cow);
        state[v] = f.state;
        for (int old = 0; old <= v; old++)
            check_model(&state[old], &m[old]);
    }
    for (int v = 1; v < VERSIONS; v++) { /* the oldest goes */
        vsi_cow_free_dead(&f.cow, dead[v]);
        for (int old = v; old < VERSIONS; old++)
            check_model(&state[old], &m[old]);
    }
    end(&f);
}

/* ---- without memory ------------------------------------------------------------------------- */

/* A new collection, changes of two others in turn, and settling. */
static vs_status try_changes(fixture *f, uint32_t round) {
    char name[16];
    short_name(round + 2, name);
    vs_status st = try_add(f, round + 2, name);
    for (uint32_t i = 0; st == VS_OK && i < 4; i++)
        st = try_grow(f, i % 2 ? 1 + round / 2 : round + 2);
    return st == VS_OK ? vsi_state_settle(&f->err, &f->state) : st;
}

static void check_before(const vsi_state *state, uint32_t round) {
    VT_EQ(count_colls(state), round + 1);
    for (uint32_t id = 1; id <= round + 1; id += 1 + round / 4) {
        char name[16];
        short_name(id, name);
        vsi_coll coll = find(state, id, name);
        int times = (id > 1) + (2 * id - 2 < round) + (2 * id - 1 < round);
        check_coll(&coll, id, 2 * (uint32_t)times);
    }
    check_tree(&state->catalog);
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    fixture f;
    uint64_t failed = 0;
    begin(&f);
    add_committed(&f, 1, "c1");
    for (uint32_t round = 0; round < 60; round++)
        for (uint64_t at = 1;; at++) {
            const vsi_state before = f.state;
            size_t blocks = count_blocks(&f);
            uint64_t failures = f.allocator.failures;
            f.allocator.fail_at = f.allocator.calls + at;
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            vs_status st = try_changes(&f, round);
            f.allocator.fail_at = 0;
            VT_EQ(st == VS_OK, f.allocator.failures == failures);
            if (st == VS_OK) {
                commit(&f, mark);
                break;
            }
            VT_EQ(st, VS_ERR_NOMEM);
            VT_CHECK(f.err.text[0]);
            vsi_cow_undo(&f.cow, mark);
            f.state = before;
            VT_EQ(count_blocks(&f), blocks);
            if (at < 3 || round % 6 == 0)
                check_before(&f.state, round);
            failed++;
        }
    VT_CHECK(failed > 60 * 10);
    check_before(&f.state, 60);
    end(&f);
}

/* The collection being changed must be settled before another one can be added. */
VT_TEST(a_collection_that_cannot_be_settled_keeps_another_from_being_added) {
    fixture f;
    uint64_t failed = 0;
    begin(&f);
    add_committed(&f, 1, "one");
    for (uint64_t at = 1;; at++) {
        const vsi_state before = f.state;
        uint64_t failures = f.allocator.failures;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        grow(&f, 1);
        vsi_cow_mark inner = vsi_cow_open(&f.cow); /* so that settling copies blocks */
        f.allocator.fail_at = f.allocator.calls + at;
        vs_status st = try_add(&f, 2, "two");
        f.allocator.fail_at = 0;
        VT_EQ(st, f.allocator.failures > failures ? VS_ERR_NOMEM : VS_OK);
        vsi_cow_undo(&f.cow, inner);
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
        if (st == VS_OK)
            break;
        failed++;
        VT_CHECK(is_there(&f.state, 1) && !is_there(&f.state, 2));
    }
    VT_CHECK(failed >= 2);
    end(&f);
}

/* ---- keys, slots, cells and rows ------------------------------------------------------------ */

VT_TEST(encoded_keys_and_slots_have_the_order_of_their_numbers) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 20000; i++) {
        uint64_t a = vt_random(&rng) >> vt_below(&rng, 64), b = a + vt_below(&rng, 3);
        uint8_t x[VSI_KEY_BYTES_MAX], y[VSI_KEY_BYTES_MAX];
        b = i % 2 ? b : vt_random(&rng);
        int order = (a > b) - (a < b);
        int found = vsi_bytes_compare(vsi_key_encode(x, VT_KEY(a)), vsi_key_encode(y, VT_KEY(b)));
        VT_EQ((found > 0) - (found < 0), order);
        uint32_t c = (uint32_t)a, d = (uint32_t)b;
        found = vsi_bytes_compare(vsi_slot_encode(x, c), vsi_slot_encode(y, d));
        VT_EQ((found > 0) - (found < 0), (c > d) - (c < d));
    }
}

VT_TEST(notes_of_different_owners_or_keys_never_share_an_entry) {
    static const char *const key[] = {"a",  "aa",  "b",
                                      "\1", "\1a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const uint32_t coll[] = {0, 1, 256, 0x61000001, UINT32_MAX};
    enum { KEYS = 6, OWNERS = 5 };
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < KEYS * OWNERS; i++) {
        uint8_t bytes[VSI_NOTE_KEY_BYTES_MAX];
        vsi_bytes value = {(const uint8_t *)"0123456789abcdefghijklmnopqrstuv", (size_t)i};
        vsi_bytes encoded = vsi_note_encode(bytes, coll[i % OWNERS], bytes_of(key[i / OWNERS]));
        VT_EQ(encoded.bytes, 6 + strlen(key[i / OWNERS]));
        VT_EQ(vsi_value_put(&f.err, &f.state.notes, encoded, value, (vsi_hash128){1, 2}), VS_OK);
    }
    VT_EQ(f.state.notes.count, KEYS * OWNERS);
    for (int i = 0; i < KEYS * OWNERS; i++) {
        vsi_value value;
        vsi_bytes name = bytes_of(key[i / OWNERS]);
        VT_EQ(vsi_note_find(&f.err, &f.state, coll[i % OWNERS], name, &value), VS_OK);
        VT_EQ(value.bytes, i);
        VT_EQ(vsi_note_find(&f.err, &f.state, 2, name, &value), VS_ERR_NOT_FOUND);
    }
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

/* The only collection, being changed. */
static vsi_coll *begin_with_coll(fixture *f, vsi_cow_mark *out_mark) {
    vsi_coll *coll = NULL;
    begin(f);
    *out_mark = vsi_cow_open(&f->cow);
    add(f, 1, "one");
    VT_EQ(vsi_state_work_on(&f->err, &f->state, 1, &coll), VS_OK);
    return coll;
}

VT_TEST(a_cell_is_a_key_and_a_hash_in_file_order) {
    fixture f;
    vsi_cow_mark mark;
    vsi_coll *coll = begin_with_coll(&f, &mark);
    uint8_t *cell = NULL;
    const uint8_t *row = NULL;
    vsi_cell found = {0};
    VT_EQ(vsi_coll_cell(&f.err, coll, 5, &found), VS_ERR_CORRUPT);
    VT_CONTAINS(f.err.text, "slot 5");
    VT_EQ(vsi_coll_row(&f.err, coll, 0, 5, &row), VS_ERR_CORRUPT);
    VT_EQ(vsi_slab_make_row(&f.err, &coll->desc->cells, 5, &cell), VS_OK);
    for (uint8_t i = 0; i < VSI_CELL_BYTES; i++)
        cell[i] = (uint8_t)(i + 1);
    VT_EQ(vsi_coll_cell(&f.err, coll, 5, &found), VS_OK);
    VT_CHECK(found.number == 0x0807060504030201u);
    VT_CHECK(found.vector_hash.lo == 0x100f0e0d0c0b0a09u);
    VT_CHECK(found.vector_hash.hi == 0x1817161514131211u);
    VT_CHECK(found.space == 0x1c1b1a19u);
    VT_CHECK(found.kind == 0x1e1c);
    uint8_t *made = NULL;
    VT_EQ(vsi_slab_make_row(&f.err, &coll->desc->field[0].rows, 5, &made), VS_OK);
    VT_EQ(vsi_coll_row(&f.err, coll, 0, 5, &row), VS_OK);
    VT_CHECK(row == made);
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

VT_TEST(keys_are_found_and_walked_in_order_from_anywhere) {
    enum { COUNT = 1500 };
    fixture f;
    vsi_cow_mark mark;
    vsi_coll *coll = begin_with_coll(&f, &mark);
    for (uint64_t i = 0; i < COUNT; i++) { /* keys 10, 20, ... and the largest, in no order */
        uint64_t n = i * 7 % COUNT, key = n + 1 == COUNT ? UINT64_MAX : n * 10;
        uint8_t bytes[VSI_KEY_BYTES_MAX], slot[4];
        vsi_put_u32(slot, (uint32_t)n);
        VT_EQ(vsi_btree_put(&f.err, &coll->keys, vsi_key_encode(bytes, VT_KEY(key)),
                            (vsi_bytes){slot, 4}),
              VS_OK);
    }
    for (uint64_t from = 0; from < COUNT * 10; from += 37) {
        vsi_btree_cursor cursor;
        uint8_t bytes[VSI_KEY_BYTES_MAX];
        uint64_t expected = (from + 9) / 10 * 10;
        vs_key key = {0};
        uint32_t slot = 0, found = 77;
        vsi_bytes first = vsi_key_encode(bytes, VT_KEY(from));
        VT_EQ(vsi_btree_seek(&f.err, &coll->keys, first, &cursor), VS_OK);
        for (int i = 0; i < 5 && expected < (COUNT - 1) * 10; i++, expected += 10) {
            VT_EQ(vsi_coll_entry(&f.err, &cursor, &key, &slot), VS_OK);
            VT_CHECK(key.number == expected && slot == expected / 10);
            VT_EQ(vsi_coll_find(&f.err, coll, key, &found), VS_OK);
            VT_EQ(found, slot);
            VT_EQ(vsi_coll_find(&f.err, coll, VT_KEY(key.number + 1), &found), VS_ERR_NOT_FOUND);
            VT_EQ(vsi_btree_next(&f.err, &cursor), VS_OK);
        }
    }
    vsi_btree_cursor cursor;
    uint8_t bytes[VSI_KEY_BYTES_MAX];
    vs_key key = {0};
    uint32_t slot = 0;
    vsi_bytes last = vsi_key_encode(bytes, VT_KEY(UINT64_MAX - 1));
    VT_EQ(vsi_btree_seek(&f.err, &coll->keys, last, &cursor), VS_OK);
    VT_EQ(vsi_coll_entry(&f.err, &cursor, &key, &slot), VS_OK);
    VT_CHECK(key.number == UINT64_MAX && slot == COUNT - 1);
    VT_EQ(vsi_btree_next(&f.err, &cursor), VS_OK);
    VT_CHECK(vsi_btree_at_end(&cursor));
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

VT_TEST(entries_of_keys_that_are_malformed_are_called_damage) {
    static const uint8_t value[9] = {1};
    for (size_t n = 0; n <= sizeof value; n++)
        for (size_t short_by = 0; short_by <= 10; short_by++) {
            fixture f;
            vsi_cow_mark mark;
            uint8_t bytes[VSI_KEY_BYTES_MAX];
            vsi_btree_cursor cursor;
            vs_key key = VT_KEY(99);
            uint32_t slot = 99;
            vsi_coll *coll = begin_with_coll(&f, &mark);
            vsi_bytes entry = vsi_key_encode(bytes, VT_KEY(5));
            entry.bytes -= short_by;
            VT_EQ(vsi_btree_put(&f.err, &coll->keys, entry, (vsi_bytes){value, n}), VS_OK);
            bool is_good = n == 4 && short_by == 0;
            VT_EQ(vsi_btree_seek(&f.err, &coll->keys, (vsi_bytes){value, 0}, &cursor), VS_OK);
            VT_EQ(vsi_coll_entry(&f.err, &cursor, &key, &slot), is_good ? VS_OK : VS_ERR_CORRUPT);
            VT_CHECK(is_good ? key.number == 5 && slot == 1 : key.number == 99 && slot == 99);
            if (short_by == 0)
                VT_EQ(vsi_coll_find(&f.err, coll, VT_KEY(5), &slot),
                      is_good ? VS_OK : VS_ERR_CORRUPT);
            vsi_cow_keep(&f.cow, mark);
            end(&f);
        }
}

VT_TEST(metadata_is_appended_and_none_adds_nothing) {
    static uint8_t text[5000];
    static const size_t size[] = {1, 60, 1200, 1290, 1300, 5000}; /* in the entry and outside it */
    fixture f;
    vsi_cow_mark mark;
    vsi_coll *coll = begin_with_coll(&f, &mark);
    memset(text, 'm', sizeof text);
    for (uint32_t i = 0; i < 6; i++) {
        uint8_t slot[VSI_SLOT_KEY_BYTES];
        VT_EQ(vsi_value_put(&f.err, &coll->metadata, vsi_slot_encode(slot, i * 300),
                            (vsi_bytes){text, size[i]}, (vsi_hash128){0, 0}),
              VS_OK);
    }
    for (uint32_t i = 0; i < 6; i++) {
        vsi_buf buf = {.mem = &f.mem};
        VT_CHECK(vsi_buf_append(&buf, "before", 6));
        VT_EQ(vsi_coll_read_metadata(&f.err, coll, i * 300 + 1, &buf), VS_OK);
        VT_EQ(buf.bytes, 6);
        VT_EQ(vsi_coll_read_metadata(&f.err, coll, i * 300, &buf), VS_OK);
        VT_EQ(buf.bytes, 6 + size[i]);
        VT_CHECK(!memcmp(buf.data, "before", 6) && !memcmp(buf.data + 6, text, size[i]));
        vsi_buf_free(&buf);
    }
    vsi_buf buf = {.mem = &f.mem};
    f.allocator.fail_at = f.allocator.calls + 1;
    VT_EQ(vsi_coll_read_metadata(&f.err, coll, 1500, &buf), VS_ERR_NOMEM);
    f.allocator.fail_at = 0;
    VT_EQ(buf.bytes, 0);
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}
