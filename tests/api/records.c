/* records.c - collections and records: what is accepted, what is refused with which message, and
 * that what was put comes back, also after closing and opening. */
#include "sample.h"
#include <float.h>
#include <math.h>

/* ---- collections ---------------------------------------------------------------------------- */

static vs_collection_info info_of(vs_collection *c, vs_txn *txn) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(c, txn, &info), c);
    return info;
}

static size_t collection_count(vs_db *db) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    size_t n = 0;
    while (vs_collection_at(db, NULL, n, &info) == VS_OK)
        n++;
    VT_EQ(vs_collection_at(db, NULL, n, &info), VS_DONE);
    return n;
}

/* A creation that must fail: nothing is created, nothing is handed out. */
static void refuse_create(vs_db *db, const char *name, const vs_collection_options *options,
                          vs_status expected, const char *message) {
    vs_collection *c = NULL;
    size_t before = collection_count(db);
    VT_EQ(vs_collection_create(db, NULL, name, options, &c), expected);
    VT_CHECK(c == NULL);
    VT_EQ(vs_extended_errcode(db) & 255, expected);
    VT_CONTAINS(vs_errmsg(db), message);
    VT_EQ(collection_count(db), before);
}

VT_TEST(a_collection_has_the_shape_it_was_created_with) {
    sample s = sample_new();
    int64_t before_us = s.vfs->wall_us(s.vfs->ctx);
    for (int type = VS_F32; type <= VS_U8; type++)
        for (int metric = VS_L2; metric <= VS_COSINE; metric++) {
            char name[32];
            vs_collection *c = NULL;
            vs_collection_options options =
                sample_options((uint32_t)(type * 10 + metric), type, metric);
            options.index = metric == VS_IP ? "flat" : "auto";
            snprintf(name, sizeof name, "c%d%d", type, metric);
            VT_OK(vs_collection_create(s.db, NULL, name, &options, &c), s.db);
            vs_collection_info info = info_of(c, NULL);
            VT_STR(info.name, name);
            VT_STR(info.index, options.index);
            VT_EQ(info.dim, options.dim);
            VT_EQ(info.type, type);
            VT_EQ(info.metric, metric);
            VT_EQ(info.count, 0);
            VT_CHECK(info.id > 0);
            VT_CHECK(info.created_us >= before_us);
            VT_CHECK(info.created_us <= s.vfs->wall_us(s.vfs->ctx));
            vs_collection_close(c);
        }
    sample_end(&s);
}

VT_TEST(a_collection_is_of_f32_under_l2_with_index_auto_unless_told_otherwise) {
    sample s = sample_new();
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    options.dim = 3;
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, &c), s.db);
    vs_collection_info info = info_of(c, NULL);
    VT_EQ(info.type, VS_F32);
    VT_EQ(info.metric, VS_L2);
    VT_STR(info.index, "auto");
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_collection_is_the_same_after_opening_again) {
    sample s = sample_new();
    float v[5] = {1, 2, 3, 4, 5};
    vs_collection *c = sample_create(s.db, NULL, "caf\xc3\xa9 'x' /y", 5, VS_F32, VS_COSINE);
    sample_put(c, NULL, 1, v, NULL);
    vs_collection_info before = info_of(c, NULL);
    vs_collection_close(c);
    for (int round = 0; round < 3; round++) {
        sample_reopen(&s);
        c = sample_collection(s.db, "caf\xc3\xa9 'x' /y");
        vs_collection_info after = info_of(c, NULL);
        VT_CHECK(!memcmp(&before, &after, sizeof before));
        vs_collection_close(c);
    }
    sample_end(&s);
}

VT_TEST(collections_are_listed_by_ids_that_ascend_and_are_not_used_again) {
    sample s = sample_new();
    uint32_t last = 0;
    VT_EQ(collection_count(s.db), 0);
    for (int i = 0; i < 60; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d", (i * 37) % 60);
        vs_collection_close(sample_create(s.db, NULL, name, 1, VS_F32, VS_L2));
        if (i % 7 == 0)
            sample_reopen(&s);
    }
    VT_EQ(collection_count(s.db), 60);
    for (size_t i = 0; i < 60; i++) {
        char name[32];
        vs_collection_info info = VS_COLLECTION_INFO_INIT;
        VT_EQ(vs_collection_at(s.db, NULL, i, &info), VS_OK);
        VT_CHECK(info.id > last);
        last = info.id;
        snprintf(name, sizeof name, "%d", ((int)i * 37) % 60);
        VT_STR(info.name, name);
        vs_collection *c = sample_collection(s.db, name);
        VT_EQ(info_of(c, NULL).id, info.id);
        vs_collection_close(c);
    }
    sample_end(&s);
}

VT_TEST(names_of_1_to_255_bytes_of_utf8_are_accepted) {
    sample s = sample_new();
    char longest[VS_NAME_BYTES_MAX + 1];
    memset(longest, 'n', VS_NAME_BYTES_MAX);
    longest[VS_NAME_BYTES_MAX] = 0;
    const char *names[] = {"a",
                           " ",
                           "A",
                           "a b",
                           "..",
                           "a/b\\c",
                           "\"quoted\" %s %n",
                           "\xe6\x97\xa5\xe6\x9c\xac",
                           "\xf0\x9f\x90\x98",
                           longest};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        vs_collection *c = sample_create(s.db, NULL, names[i], 1, VS_F32, VS_L2);
        VT_STR(info_of(c, NULL).name, names[i]);
        vs_collection_close(c);
    }
    VT_EQ(collection_count(s.db), sizeof names / sizeof names[0]);
    sample_reopen(&s);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        vs_collection_close(sample_collection(s.db, names[i]));
    sample_end(&s);
}

VT_TEST(names_that_are_empty_too_long_or_no_clean_utf8_are_refused) {
    sample s = sample_new();
    vs_collection_options options = sample_options(1, VS_F32, VS_L2);
    char longer[VS_NAME_BYTES_MAX + 2], control[4] = "a?b";
    memset(longer, 'n', VS_NAME_BYTES_MAX + 1);
    longer[VS_NAME_BYTES_MAX + 1] = 0;
    refuse_create(s.db, "", &options, VS_ERR_INVALID, "name");
    refuse_create(s.db, longer, &options, VS_ERR_INVALID, "256");
    VT_CONTAINS(vs_errmsg(s.db), "255");
    for (int c = 1; c < 0x80; c++)
        if (c < 0x20 || c == 0x7f) {
            control[1] = (char)c;
            refuse_create(s.db, control, &options, VS_ERR_INVALID, "byte 1");
        }
    const char *broken[] = {"\x80",         "a\xff",         "\xc3",         "\xc0\xaf",
                            "\xed\xa0\x80", "\xe2\x82",      "\xf8\x88\x80", "\xf4\x90\x80\x80",
                            "\xe0\x80\xaf", "ok\xc3\xa9\xc3"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        refuse_create(s.db, broken[i], &options, VS_ERR_INVALID, "UTF-8");
    sample_end(&s);
}

VT_TEST(a_name_that_is_taken_is_refused_and_named) {
    sample s = sample_new();
    vs_collection_options options = sample_options(1, VS_F32, VS_L2);
    vs_collection_close(sample_create(s.db, NULL, "docs", 4, VS_F32, VS_L2));
    refuse_create(s.db, "docs", &options, VS_ERR_EXISTS, "'docs'");
    vs_collection_close(sample_create(s.db, NULL, "Docs", 4, VS_F32, VS_L2));
    vs_collection_close(sample_create(s.db, NULL, "doc", 4, VS_F32, VS_L2));
    sample_reopen(&s);
    refuse_create(s.db, "docs", &options, VS_ERR_EXISTS, "'docs'");
    sample_end(&s);
}

VT_TEST(options_out_of_range_are_refused_with_what_was_found_and_expected) {
    sample s = sample_new();
    vs_collection_options o = sample_options(0, 0, 0);
    refuse_create(s.db, "c", &o, VS_ERR_INVALID, "dim is 0");
    VT_CONTAINS(vs_errmsg(s.db), "65535");
    o.dim = VS_DIM_MAX + 1;
    refuse_create(s.db, "c", &o, VS_ERR_INVALID, "65536");
    o.dim = UINT32_MAX;
    refuse_create(s.db, "c", &o, VS_ERR_INVALID, "4294967295");
    o = sample_options(1, 7, 0);
    refuse_create(s.db, "c", &o, VS_ERR_INVALID, "type is 7");
    o = sample_options(1, -1, 0);
    refuse_create(s.db, "c", &o, VS_ERR_INVALID, "type is -1");
    o = sample_options(1, 0, 7);
    refuse_create(s.db, "c", &o, VS_ERR_INVALID, "metric is 7");
    o = sample_options(1, 0, -1);
    refuse_create(s.db, "c", &o, VS_ERR_INVALID, "metric is -1");
    o = sample_options(1, 0, 0);
    const char *indexes[] = {"hnsw", "", "AUTO", "flat ", "autoflat"};
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        o.index = indexes[i];
        refuse_create(s.db, "c", &o, VS_ERR_INVALID, indexes[i]);
        VT_CONTAINS(vs_errmsg(s.db), "flat");
    }
    refuse_create(s.db, "c", NULL, VS_ERR_MISUSE, "options");
    sample_end(&s);
}

VT_TEST(options_of_another_version_work_as_long_as_they_set_nothing_unknown) {
    sample s = sample_new();
    struct {
        vs_collection_options now;
        uint64_t later;
    } o = {sample_options(2, VS_U8, VS_IP), 0};
    o.now.size = sizeof o;
    VT_OK(vs_collection_create(s.db, NULL, "later", &o.now, NULL), s.db);
    o.later = (uint64_t)1 << 40 | 1;
    vs_collection *c = NULL;
    VT_CHECK(vs_collection_create(s.db, NULL, "unknown", &o.now, &c) != VS_OK);
    VT_CHECK(!c && vs_errmsg(s.db)[0]);
    o.now.size = offsetof(vs_collection_options, type); /* what follows is not looked at */
    VT_OK(vs_collection_create(s.db, NULL, "earlier", &o.now, &c), s.db);
    VT_EQ(info_of(c, NULL).type, VS_F32);
    VT_EQ(info_of(c, NULL).metric, VS_L2);
    vs_collection_close(c);
    o.now.size = 0;
    refuse_create(s.db, "none", &o.now, VS_ERR_MISUSE, "size");
    VT_EQ(collection_count(s.db), 2);
    sample_end(&s);
}

VT_TEST(the_info_of_a_smaller_struct_is_filled_no_further_than_it_goes) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 3, VS_F32, VS_L2);
    vs_collection_info info;
    memset(&info, 0xaa, sizeof info);
    info.size = offsetof(vs_collection_info, dim);
    VT_OK(vs_collection_info_get(c, NULL, &info), c);
    VT_STR(info.name, "c");
    VT_EQ(info.size, offsetof(vs_collection_info, dim));
    VT_EQ(info.dim, 0xaaaaaaaa);
    memset(&info, 0xaa, sizeof info);
    info.size = offsetof(vs_collection_info, name);
    VT_EQ(vs_collection_at(s.db, NULL, 0, &info), VS_OK);
    VT_CHECK(info.id != 0xaaaaaaaa);
    VT_EQ((unsigned char)info.name[0], 0xaa);
    info.size = 0;
    VT_EQ(vs_collection_info_get(c, NULL, &info), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "vs_collection_info");
    VT_EQ(vs_collection_at(s.db, NULL, 0, &info), VS_ERR_MISUSE);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_collection_that_is_not_there_is_not_found_and_named) {
    sample s = sample_new();
    vs_collection *c = NULL;
    vs_collection_close(sample_create(s.db, NULL, "docs", 1, VS_F32, VS_L2));
    const char *names[] = {"doc", "docs2", "DOCS", "", "\xff"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        VT_EQ(vs_collection_open(s.db, NULL, names[i], &c), VS_ERR_NOT_FOUND);
        VT_CHECK(!c);
        VT_CONTAINS(vs_errmsg(s.db), names[i]);
    }
    sample_end(&s);
}

VT_TEST(all_handles_of_a_collection_see_the_same) {
    sample s = sample_new();
    uint8_t v[2] = {7, 8};
    vs_collection *a = sample_create(s.db, NULL, "c", 2, VS_U8, VS_L2);
    vs_collection *b = sample_collection(s.db, "c");
    sample_put(a, NULL, 5, v, NULL);
    VT_CHECK(sample_has(b, NULL, 5));
    VT_EQ(info_of(b, NULL).count, 1);
    VT_OK(vs_delete(b, NULL, vs_key_u64(5)), b);
    VT_EQ(sample_count(a, NULL), 0);
    vs_collection_close(b);
    vs_collection_close(a);
    sample_end(&s);
}

VT_TEST(collections_do_not_see_each_others_records) {
    sample s = sample_new();
    float one[1] = {1};
    uint8_t bytes[3] = {1, 2, 3};
    vs_collection *a = sample_create(s.db, NULL, "a", 1, VS_F32, VS_L2);
    vs_collection *b = sample_create(s.db, NULL, "b", 3, VS_U8, VS_L2);
    sample_put(a, NULL, 1, one, "{\"of\":\"a\"}");
    sample_put(b, NULL, 1, bytes, NULL);
    sample_put(b, NULL, 2, bytes, NULL);
    VT_OK(vs_delete(a, NULL, vs_key_u64(1)), a);
    VT_EQ(sample_count(a, NULL), 0);
    VT_EQ(sample_count(b, NULL), 2);
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(b, NULL, vs_key_u64(1), &r), b);
    VT_CHECK(!memcmp(r.vector, bytes, 3) && !r.metadata);
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

/* ---- one record ----------------------------------------------------------------------------- */

/* A record as it must come back. */
static void check_record(vs_collection *c, uint64_t key, int type, const void *vector, size_t bytes,
                         const char *metadata) {
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(c, NULL, vs_key_u64(key), &r), c);
    VT_CHECK(r.key.number == key);
    VT_EQ(r.vector_type, type);
    VT_EQ(r.size, sizeof r);
    VT_CHECK(!memcmp(r.vector, vector, bytes));
    VT_EQ(r.metadata_bytes, metadata ? strlen(metadata) : 0);
    VT_CHECK(!r.metadata == !metadata);
    if (metadata)
        VT_STR(r.metadata, metadata);
}

VT_TEST(a_vector_comes_back_bit_by_bit) {
    float hard[8] = {-0.0f, FLT_MAX, -FLT_MAX, FLT_MIN, FLT_MIN / 8, -1e-45f, 1.0f / 3, 0};
    const uint32_t dims[] = {1, 2, 3, 17, 1000, VS_DIM_MAX};
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        uint32_t dim = dims[d];
        char name[32];
        float *v = malloc(dim * sizeof *v);
        uint8_t *u = malloc(dim);
        for (uint32_t i = 0; i < dim; i++) {
            v[i] = i < 8 ? hard[(i + d) % 8] : (float)(vt_uniform(&rng) * 100 - 50);
            u[i] = (uint8_t)(i < 2 ? 255 * i : vt_random(&rng));
        }
        for (int round = 0; round < 2; round++) {
            snprintf(name, sizeof name, "f%u", dim);
            vs_collection *f = round ? sample_collection(s.db, name)
                                     : sample_create(s.db, NULL, name, dim, VS_F32, VS_L2);
            snprintf(name, sizeof name, "u%u", dim);
            vs_collection *b = round ? sample_collection(s.db, name)
                                     : sample_create(s.db, NULL, name, dim, VS_U8, VS_IP);
            if (round == 0) {
                sample_put(f, NULL, 3, v, NULL);
                sample_put(b, NULL, 3, u, "{}");
            }
            check_record(f, 3, VS_F32, v, dim * sizeof *v, NULL);
            check_record(b, 3, VS_U8, u, dim, "{}");
            vs_collection_close(f);
            vs_collection_close(b);
            if (round == 0)
                sample_reopen(&s);
        }
        free(v);
        free(u);
    }
    sample_end(&s);
}

VT_TEST(a_vector_may_stand_at_any_address) {
    sample s = sample_new();
    float v[7] = {1, -2, 3, -4, 5, -6, 7};
    uint8_t room[sizeof v + 8];
    vs_collection *c = sample_create(s.db, NULL, "c", 7, VS_F32, VS_L2);
    for (size_t shift = 0; shift < 8; shift++) {
        memcpy(room + shift, v, sizeof v);
        sample_put(c, NULL, shift, room + shift, NULL);
        check_record(c, shift, VS_F32, v, sizeof v, NULL);
        vs_hit hit;
        size_t n = 0;
        VT_OK(vs_search(c, NULL, room + shift, 0, 1, NULL, &hit, &n), c);
        VT_CHECK(n == 1 && hit.key.number == 0 && hit.distance == 0);
    }
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(any_number_of_64_bits_is_a_key) {
    const uint64_t keys[] = {0,
                             1,
                             255,
                             256,
                             UINT32_MAX,
                             (uint64_t)UINT32_MAX + 1,
                             (uint64_t)1 << 63,
                             UINT64_MAX - 1,
                             UINT64_MAX};
    enum { N = sizeof keys / sizeof keys[0] };
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    for (size_t i = 0; i < N; i++) {
        float v = (float)i;
        sample_put(c, NULL, keys[N - 1 - i], &v, NULL);
    }
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "c");
    VT_EQ(sample_count(c, NULL), N);
    for (size_t i = 0; i < N; i++) {
        float v = (float)i;
        check_record(c, keys[N - 1 - i], VS_F32, &v, sizeof v, NULL);
    }
    VT_CHECK(!sample_has(c, NULL, 2));
    for (size_t i = 0; i < N; i++)
        VT_OK(vs_delete(c, NULL, vs_key_u64(keys[i])), c);
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(upsert_replaces_vector_and_metadata_and_insert_refuses) {
    sample s = sample_new();
    float first[2] = {1, 2}, second[2] = {3, 4};
    vs_collection *c = sample_create(s.db, NULL, "docs", 2, VS_F32, VS_L2);
    VT_OK(sample_try_put(c, NULL, 18446744073709551557u, first, "{\"a\":1}", VS_INSERT), c);
    VT_EQ(sample_try_put(c, NULL, 18446744073709551557u, second, NULL, VS_INSERT), VS_ERR_EXISTS);
    VT_CONTAINS(vs_errmsg(c), "18446744073709551557");
    VT_CONTAINS(vs_errmsg(c), "docs");
    check_record(c, 18446744073709551557u, VS_F32, first, sizeof first, "{\"a\":1}");
    VT_OK(sample_try_put(c, NULL, 18446744073709551557u, second, NULL, VS_UPSERT), c);
    check_record(c, 18446744073709551557u, VS_F32, second, sizeof second, NULL);
    VT_OK(sample_try_put(c, NULL, 18446744073709551557u, second, "{\"b\":2}", VS_UPSERT), c);
    check_record(c, 18446744073709551557u, VS_F32, second, sizeof second, "{\"b\":2}");
    VT_EQ(sample_count(c, NULL), 1);
    VT_EQ(sample_try_put(c, NULL, 1, first, NULL, 4), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "mode is 4");
    VT_EQ(sample_try_put(c, NULL, 1, first, NULL, -1), VS_ERR_MISUSE);
    VT_EQ(sample_count(c, NULL), 1);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_deleted_record_is_gone_and_its_key_free) {
    sample s = sample_new();
    float v[1] = {1};
    vs_collection *c = sample_create(s.db, NULL, "docs", 1, VS_F32, VS_L2);
    VT_EQ(vs_delete(c, NULL, vs_key_u64(77)), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "77");
    VT_CONTAINS(vs_errmsg(c), "docs");
    sample_put(c, NULL, 77, v, "{\"x\":0}");
    VT_OK(vs_delete(c, NULL, vs_key_u64(77)), c);
    VT_EQ(vs_get(c, NULL, vs_key_u64(77), NULL), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "77");
    VT_EQ(vs_delete(c, NULL, vs_key_u64(77)), VS_ERR_NOT_FOUND);
    VT_OK(sample_try_put(c, NULL, 77, v, NULL, VS_INSERT), c);
    check_record(c, 77, VS_F32, v, sizeof v, NULL);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_failed_get_writes_nothing) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    vs_record r, before;
    memset(&r, 0x5a, sizeof r);
    r.size = sizeof r;
    before = r;
    VT_EQ(vs_get(c, NULL, vs_key_u64(1), &r), VS_ERR_NOT_FOUND);
    VT_CHECK(!memcmp(&r, &before, sizeof r));
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(what_one_handle_got_stays_while_other_handles_work) {
    sample s = sample_new();
    vs_collection *a = sample_create(s.db, NULL, "c", 40, VS_F32, VS_L2);
    vs_collection *b = sample_collection(s.db, "c");
    float v[40] = {4}, other[40] = {9};
    sample_put(a, NULL, 1, v, "{\"keep\":true}");
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(a, NULL, vs_key_u64(1), &r), a);
    sample_put(b, NULL, 1, other, NULL);
    VT_OK(vs_delete(b, NULL, vs_key_u64(1)), b);
    for (uint64_t key = 10; key < 40; key++)
        sample_put(b, NULL, key, other, "{}");
    VT_CHECK(!memcmp(r.vector, v, sizeof v));
    VT_STR(r.metadata, "{\"keep\":true}");
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(a_record_of_a_smaller_struct_has_the_defaults_for_the_rest) {
    sample s = sample_new();
    float v[1] = {6};
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    vs_record r = sample_record(1, v, "not looked at");
    r.size = offsetof(vs_record, metadata);
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    check_record(c, 1, VS_F32, v, sizeof v, NULL);
    sample_put(c, NULL, 1, v, "{\"m\":1}");
    memset(&r, 0x33, sizeof r);
    r.size = offsetof(vs_record, vector);
    vs_record before = r;
    VT_OK(vs_get(c, NULL, vs_key_u64(1), &r), c);
    VT_CHECK(r.key.number == 1 && r.vector_type == VS_F32);
    VT_CHECK(!memcmp(&r.vector, &before.vector, sizeof r - offsetof(vs_record, vector)));
    r.size = 0;
    VT_EQ(vs_get(c, NULL, vs_key_u64(1), &r), VS_ERR_MISUSE);
    VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "vs_record");
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- vectors that are converted or refused -------------------------------------------------- */

static vs_status put_typed(vs_collection *c, uint64_t key, const void *vector, int type) {
    vs_record r = sample_record(key, vector, NULL);
    r.vector_type = type;
    return vs_put(c, NULL, &r, VS_UPSERT);
}

VT_TEST(u8_becomes_f32_and_whole_f32_become_u8) {
    sample s = sample_new();
    uint8_t bytes[256];
    float floats[256];
    vs_collection *f = sample_create(s.db, NULL, "f", 256, VS_F32, VS_L2);
    vs_collection *u = sample_create(s.db, NULL, "u", 256, VS_U8, VS_L2);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        floats[i] = (float)i;
    }
    VT_OK(put_typed(f, 1, bytes, VS_U8), f);
    VT_OK(put_typed(f, 2, floats, VS_F32), f);
    VT_OK(put_typed(u, 1, floats, VS_F32), u);
    VT_OK(put_typed(u, 2, bytes, VS_U8), u);
    for (uint64_t key = 1; key <= 2; key++) {
        check_record(f, key, VS_F32, floats, sizeof floats, NULL);
        check_record(u, key, VS_U8, bytes, sizeof bytes, NULL);
    }
    vs_collection_close(f);
    vs_collection_close(u);
    sample_end(&s);
}

/* A vector that must be refused, for the element named. */
static void refuse_vector(vs_collection *c, const void *vector, int type, size_t at) {
    char part[32];
    VT_EQ(put_typed(c, 9, vector, type), VS_ERR_INVALID);
    snprintf(part, sizeof part, "element %zu", at);
    VT_CONTAINS(vs_errmsg(c), part);
    VT_EQ(vs_get(c, NULL, vs_key_u64(9), NULL), VS_ERR_NOT_FOUND);
}

VT_TEST(f32_that_would_lose_something_as_u8_are_refused) {
    const float bad[] = {0.5f,  -1,     256,     255.5f, 254.99998f, -0.25f,
                         1e30f, 1e-30f, FLT_MAX, NAN,    INFINITY,   -INFINITY};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "u", 35, VS_U8, VS_L2);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (size_t at = 0; at < 35; at += 17) {
            float v[35] = {0};
            v[at] = bad[i];
            refuse_vector(c, v, VS_F32, at);
        }
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(nan_and_infinity_are_refused_wherever_they_stand) {
    /* infinities, quiet and signalling NaN, both signs */
    const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
                            0x7f800001, 0xffbfffff, 0x7fffffff};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "f", 37, VS_F32, VS_COSINE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (size_t at = 0; at < 37; at++) {
            float v[37] = {1, 2, 3};
            memcpy(&v[at], &bad[i], sizeof bad[i]); /* as bits: a register may quieten it */
            refuse_vector(c, v, VS_F32, at);
        }
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_missing_vector_or_an_unknown_type_is_refused) {
    sample s = sample_new();
    float v[2] = {1, 2};
    vs_collection *c = sample_create(s.db, NULL, "f", 2, VS_F32, VS_L2);
    VT_CHECK(put_typed(c, 1, NULL, 0) != VS_OK);
    VT_CONTAINS(vs_errmsg(c), "vector");
    VT_EQ(put_typed(c, 1, v, 7), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "type is 7");
    VT_EQ(put_typed(c, 1, v, -1), VS_ERR_INVALID);
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- metadata ------------------------------------------------------------------------------- */

VT_TEST(metadata_comes_back_byte_by_byte_but_for_white_space) {
    const char *texts[] = {"{}",
                           " \t\r\n{ } ",
                           "{\"a\":1}",
                           "{\"a\":1,\"a\":2}",
                           "{\"\":\"\",\"n\":null,\"t\":true,\"f\":false}",
                           "{\"n\":[-0,1.5e+10,2E-3,0.25,[[]],{}],\"o\":{\"p\":{\"q\":[1,2]}}}",
                           "{\"e\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"}",
                           "{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}",
                           "{\"nul\":\"\\u0000\"}"};
    enum { N = sizeof texts / sizeof texts[0], SPACED = 1 };
    sample s = sample_new();
    float v[1] = {1};
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    for (uint64_t i = 0; i < N; i++)
        sample_put(c, NULL, i, v, texts[i]);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < N; i++)
            check_record(c, i, VS_F32, v, sizeof v, i == SPACED ? "{}" : texts[i]);
        vs_collection_close(c);
        sample_reopen(&s);
        c = sample_collection(s.db, "c");
    }
    vs_collection_close(c);
    sample_end(&s);
}

static vs_status put_metadata(vs_collection *c, const void *text, size_t bytes) {
    uint8_t v[1] = {1};
    vs_record r = sample_record(9, v, text);
    r.metadata_bytes = bytes;
    return vs_put(c, NULL, &r, VS_UPSERT);
}

VT_TEST(what_is_no_json_object_is_refused_and_changes_nothing) {
    const char *bad[] = {"",
                         " ",
                         "null",
                         "1",
                         "\"a\"",
                         "[]",
                         "[{}]",
                         "{",
                         "}",
                         "{]",
                         "{}{}",
                         "{} x",
                         "{\"a\"}",
                         "{\"a\":}",
                         "{a:1}",
                         "{'a':1}",
                         "{\"a\":1",
                         "{\"a\":1,}",
                         "{,}",
                         "{\"a\":01}",
                         "{\"a\":.5}",
                         "{\"a\":1.}",
                         "{\"a\":+1}",
                         "{\"a\":-}",
                         "{\"a\":1e}",
                         "{\"a\":NaN}",
                         "{\"a\":True}",
                         "{\"a\":\"\\x\"}",
                         "{\"a\":\"\\u12g4\"}",
                         "{\"a\":\"\\ud800\"}",
                         "{\"a\":\"\\udc00\"}",
                         "{\"a\":\"\n\"}",
                         "{\"a\":\"\xff\"}",
                         "{\"a\":\"\xc0\x80\"}",
                         "{\"a\" 1}",
                         "{\"a\":[1 2]}",
                         "{\"a\":[1,]}",
                         "{\"a\":1 \"b\":2}",
                         "/**/{}",
                         "\xef\xbb\xbf{}"};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_U8, VS_L2);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vs_status st = put_metadata(c, bad[i], 0);
        if (st != VS_ERR_INVALID)
            vt_fail(__FILE__, __LINE__, "metadata <%s> gives %d", bad[i], st);
        VT_CONTAINS(vs_errmsg(c), "metadata");
    }
    VT_EQ(put_metadata(c, "{\"a\":1,\"b\":tru}", 0), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "byte 11 of 15");
    VT_EQ(put_metadata(c, "{}\0", 3), VS_ERR_INVALID); /* a NUL is not part of JSON */
    VT_EQ(put_metadata(c, "{\"a\":\"\0\"}", 9), VS_ERR_INVALID);
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(metadata_with_a_size_needs_no_nul) {
    sample s = sample_new();
    uint8_t v[1] = {1};
    char *exact =
        malloc(7); /* a block of exactly the size, so that a sanitizer sees more reading */
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_U8, VS_L2);
    memcpy(exact, "{\"a\":1}", 7);
    VT_OK(put_metadata(c, exact, 7), c);
    check_record(c, 9, VS_U8, v, 1, "{\"a\":1}");
    VT_OK(put_metadata(c, "{}garbage", 2), c);
    check_record(c, 9, VS_U8, v, 1, "{}");
    free(exact);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(no_metadata_is_none_whatever_its_size_says) {
    sample s = sample_new();
    uint8_t v[1] = {1};
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_U8, VS_L2);
    VT_OK(put_metadata(c, NULL, 40), c);
    check_record(c, 9, VS_U8, v, 1, NULL);
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "c");
    check_record(c, 9, VS_U8, v, 1, NULL);
    vs_collection_close(c);
    sample_end(&s);
}

/* An object of exactly so many bytes; malloc. */
static char *object_of(size_t bytes) {
    char *text = malloc(bytes + 1);
    memset(text, 'x', bytes);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + bytes - 2, "\"}", 3);
    return text;
}

VT_TEST(metadata_of_any_size_up_to_its_limit_is_kept) {
    const size_t sizes[] = {8,
                            63,
                            64,
                            65,
                            255,
                            256,
                            300,
                            1000,
                            2047,
                            2048,
                            4096,
                            5000,
                            65535,
                            65536,
                            100000,
                            VS_METADATA_BYTES_MAX - 1,
                            VS_METADATA_BYTES_MAX};
    enum { N = sizeof sizes / sizeof sizes[0] };
    sample s = sample_new();
    uint8_t v[1] = {3};
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_U8, VS_L2);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < N; i++) {
            char *text = object_of(sizes[i]);
            if (round == 0)
                sample_put(c, NULL, i, v, text);
            check_record(c, i, VS_U8, v, 1, text);
            free(text);
        }
        vs_collection_close(c);
        sample_reopen(&s);
        c = sample_collection(s.db, "c");
    }
    char *longer = object_of(VS_METADATA_BYTES_MAX + 1);
    VT_EQ(put_metadata(c, longer, 0), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(c), "1048577");
    VT_CONTAINS(vs_errmsg(c), "1048576");
    VT_EQ(put_metadata(c, longer, VS_METADATA_BYTES_MAX + 1), VS_ERR_LIMIT);
    free(longer);
    VT_EQ(sample_count(c, NULL), N);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- batches -------------------------------------------------------------------------------- */

enum { ROWS = 9, DIM = 3 };

typedef struct columns {
    vs_batch batch;
    uint64_t keys[ROWS];
    float vectors[ROWS][DIM];
    const char *metadata[ROWS];
    size_t metadata_bytes[ROWS];
} columns;

/* Rows with keys 100, 101, ... */
static void columns_init(columns *b) {
    vs_batch empty = VS_BATCH_INIT;
    memset(b, 0, sizeof *b);
    b->batch = empty;
    b->batch.count = ROWS;
    b->batch.numbers = b->keys;
    b->batch.vectors = b->vectors;
    for (int i = 0; i < ROWS; i++) {
        b->keys[i] = 100 + (uint64_t)i;
        for (int j = 0; j < DIM; j++)
            b->vectors[i][j] = (float)(10 * i + j);
    }
}

static vs_collection *create_batch_collection(sample *s) {
    return sample_create(s->db, NULL, "c", DIM, VS_F32, VS_L2);
}

VT_TEST(a_batch_is_one_commit_of_all_its_rows) {
    sample s = sample_new();
    columns b;
    columns_init(&b);
    vs_collection *c = create_batch_collection(&s);
    uint64_t commits = sample_stats(s.db).commits;
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_INSERT), c);
    VT_EQ(sample_stats(s.db).commits, commits + 1);
    VT_EQ(sample_count(c, NULL), ROWS);
    for (int i = 0; i < ROWS; i++)
        check_record(c, b.keys[i], VS_F32, b.vectors[i], sizeof b.vectors[i], NULL);
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "c");
    for (int i = 0; i < ROWS; i++)
        check_record(c, b.keys[i], VS_F32, b.vectors[i], sizeof b.vectors[i], NULL);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(an_empty_batch_changes_nothing) {
    sample s = sample_new();
    vs_batch empty = VS_BATCH_INIT;
    vs_collection *c = create_batch_collection(&s);
    uint64_t commits = sample_stats(s.db).commits;
    VT_OK(vs_put_batch(c, NULL, &empty, VS_INSERT), c);
    VT_EQ(sample_count(c, NULL), 0);
    VT_EQ(sample_stats(s.db).commits, commits);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(metadata_of_a_batch_may_be_missing_sized_or_end_with_a_nul) {
    sample s = sample_new();
    columns b;
    columns_init(&b);
    vs_collection *c = create_batch_collection(&s);
    b.metadata[0] = "{\"i\":0}";
    b.metadata[2] = "{\"i\":2}tail";
    b.metadata_bytes[2] = 7;
    b.metadata_bytes[3] = 5; /* of no metadata */
    b.batch.metadata = b.metadata;
    b.batch.metadata_bytes = b.metadata_bytes;
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_INSERT), c);
    check_record(c, 100, VS_F32, b.vectors[0], sizeof b.vectors[0], "{\"i\":0}");
    check_record(c, 101, VS_F32, b.vectors[1], sizeof b.vectors[1], NULL);
    check_record(c, 102, VS_F32, b.vectors[2], sizeof b.vectors[2], "{\"i\":2}");
    check_record(c, 103, VS_F32, b.vectors[3], sizeof b.vectors[3], NULL);
    b.metadata[2] = "{\"i\":22}";
    b.batch.metadata_bytes = NULL; /* all end with a NUL */
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), c);
    check_record(c, 102, VS_F32, b.vectors[2], sizeof b.vectors[2], "{\"i\":22}");
    b.batch.metadata = NULL;
    b.batch.metadata_bytes = b.metadata_bytes; /* of nothing */
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), c);
    check_record(c, 100, VS_F32, b.vectors[0], sizeof b.vectors[0], NULL);
    check_record(c, 102, VS_F32, b.vectors[2], sizeof b.vectors[2], NULL);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(rows_may_stand_any_number_of_bytes_apart) {
    sample s = sample_new();
    columns b;
    columns_init(&b);
    vs_collection *c = create_batch_collection(&s);
    for (size_t stride = sizeof b.vectors[0]; stride < sizeof b.vectors[0] + 10; stride++) {
        /* a block that ends with the last row, so that a sanitizer sees more reading */
        uint8_t *room = malloc(stride * (ROWS - 1) + sizeof b.vectors[0]);
        memset(room, 0xff, stride * (ROWS - 1)); /* NaN between the rows */
        for (size_t i = 0; i < ROWS; i++)
            memcpy(room + i * stride, b.vectors[i], sizeof b.vectors[i]);
        b.batch.vectors = room;
        b.batch.stride_bytes = stride;
        VT_OK(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), c);
        for (int i = 0; i < ROWS; i++) {
            check_record(c, b.keys[i], VS_F32, b.vectors[i], sizeof b.vectors[i], NULL);
            VT_OK(vs_delete(c, NULL, vs_key_u64(b.keys[i])), c);
        }
        free(room);
    }
    b.batch.vectors = b.vectors;
    for (size_t stride = 1; stride < sizeof b.vectors[0]; stride++) {
        b.batch.stride_bytes = stride;
        VT_EQ(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), VS_ERR_INVALID);
        VT_CONTAINS(vs_errmsg(c), "stride");
        VT_CONTAINS(vs_errmsg(c), "12");
    }
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_batch_of_the_other_element_type_is_converted) {
    sample s = sample_new();
    columns b;
    columns_init(&b);
    uint8_t bytes[ROWS][DIM];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < DIM; j++)
            bytes[i][j] = (uint8_t)b.vectors[i][j];
    vs_collection *f = create_batch_collection(&s);
    vs_collection *u = sample_create(s.db, NULL, "u", DIM, VS_U8, VS_L2);
    b.batch.vector_type = VS_F32;
    VT_OK(vs_put_batch(u, NULL, &b.batch, VS_INSERT), u);
    b.batch.vector_type = VS_U8;
    b.batch.vectors = bytes;
    VT_OK(vs_put_batch(f, NULL, &b.batch, VS_INSERT), f);
    for (int i = 0; i < ROWS; i++) {
        check_record(f, b.keys[i], VS_F32, b.vectors[i], sizeof b.vectors[i], NULL);
        check_record(u, b.keys[i], VS_U8, bytes[i], DIM, NULL);
    }
    vs_collection_close(f);
    vs_collection_close(u);
    sample_end(&s);
}

/* The batch must fail because of one row, for the reason named; nothing of it stays. */
static void refuse_batch(vs_collection *c, const columns *b, int mode, vs_status expected, int row,
                         const char *reason) {
    char part[40];
    VT_EQ(vs_put_batch(c, NULL, &b->batch, mode), expected);
    snprintf(part, sizeof part, "row %d", row);
    VT_CONTAINS(vs_errmsg(c), part);
    VT_CONTAINS(vs_errmsg(c), reason);
    VT_EQ(sample_count(c, NULL), 1);
    for (int i = 0; i < ROWS; i++)
        VT_CHECK(!sample_has(c, NULL, b->keys[i]) || b->keys[i] == 1);
}

VT_TEST(one_bad_row_anywhere_keeps_the_whole_batch_out) {
    sample s = sample_new();
    columns b;
    float v[DIM] = {0};
    vs_collection *c = create_batch_collection(&s);
    sample_put(c, NULL, 1, v, "{\"first\":1}");
    for (int row = 0; row < ROWS; row++) {
        columns_init(&b);
        b.vectors[row][1] = NAN;
        refuse_batch(c, &b, VS_UPSERT, VS_ERR_INVALID, row, "element 1");
        columns_init(&b);
        b.metadata[row] = "[]";
        b.batch.metadata = b.metadata;
        refuse_batch(c, &b, VS_UPSERT, VS_ERR_INVALID, row, "metadata");
        columns_init(&b);
        b.keys[row] = 1;
        refuse_batch(c, &b, VS_INSERT, VS_ERR_EXISTS, row, "key 1 ");
        check_record(c, 1, VS_F32, v, sizeof v, "{\"first\":1}");
    }
    columns_init(&b);
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_INSERT), c);
    vs_collection_close(c);
    sample_reopen(&s);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_failed_batch_leaves_the_digest_as_it_was) {
    sample s = sample_new();
    columns b;
    columns_init(&b);
    vs_collection *c = create_batch_collection(&s);
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_INSERT), c);
    vs_stats before = sample_stats(s.db);
    for (int i = 0; i < ROWS; i++)
        b.vectors[i][0] += 500;
    b.vectors[ROWS - 1][2] = INFINITY;
    VT_EQ(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), VS_ERR_INVALID);
    vs_stats after = sample_stats(s.db);
    VT_CHECK(before.digest[0] == after.digest[0] && before.digest[1] == after.digest[1]);
    VT_EQ(after.commits, before.commits);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_key_twice_in_a_batch_is_refused_by_insert_and_the_later_wins_with_upsert) {
    sample s = sample_new();
    columns b;
    columns_init(&b);
    vs_collection *c = create_batch_collection(&s);
    b.keys[2] = b.keys[7] = 555;
    VT_EQ(vs_put_batch(c, NULL, &b.batch, VS_INSERT), VS_ERR_EXISTS);
    VT_CONTAINS(vs_errmsg(c), "row 7");
    VT_CONTAINS(vs_errmsg(c), "555");
    VT_EQ(sample_count(c, NULL), 0);
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), c);
    VT_EQ(sample_count(c, NULL), ROWS - 1);
    check_record(c, 555, VS_F32, b.vectors[7], sizeof b.vectors[7], NULL);
    for (int i = 0; i < ROWS; i++)
        b.keys[i] = 9;
    VT_OK(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), c);
    check_record(c, 9, VS_F32, b.vectors[ROWS - 1], sizeof b.vectors[0], NULL);
    VT_EQ(sample_count(c, NULL), ROWS);
    vs_collection_close(c);
    sample_reopen(&s);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_batch_without_keys_or_vectors_or_of_no_size_is_misuse) {
    sample s = sample_new();
    columns b;
    vs_collection *c = create_batch_collection(&s);
    columns_init(&b);
    b.batch.numbers = NULL;
    VT_EQ(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "keys");
    columns_init(&b);
    b.batch.vectors = NULL;
    VT_EQ(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "vectors");
    columns_init(&b);
    b.batch.size = 0;
    VT_EQ(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), VS_ERR_MISUSE);
    columns_init(&b);
    VT_EQ(vs_put_batch(c, NULL, &b.batch, 7), VS_ERR_MISUSE);
    b.batch.vector_type = 9;
    VT_EQ(vs_put_batch(c, NULL, &b.batch, VS_UPSERT), VS_ERR_INVALID);
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- many records --------------------------------------------------------------------------- */

enum { MANY = 4000 };

static void check_many(vs_collection *c, const int *value) {
    uint64_t expected = 0;
    for (uint64_t key = 0; key < MANY; key++) {
        vs_record r = VS_RECORD_INIT;
        int32_t found[2];
        vs_status st = vs_get(c, NULL, vs_key_u64(key * key), &r);
        VT_EQ(st, value[key] ? VS_OK : VS_ERR_NOT_FOUND);
        if (!value[key])
            continue;
        float v[2];
        char metadata[40];
        memcpy(v, r.vector, sizeof v);
        found[0] = (int32_t)v[0];
        VT_EQ(found[0], value[key]);
        snprintf(metadata, sizeof metadata, "{\"v\":%d}", value[key]);
        if (value[key] % 3 == 0)
            VT_STR(r.metadata, metadata);
        else
            VT_CHECK(!r.metadata);
        expected++;
    }
    VT_CHECK(sample_count(c, NULL) == expected);
}

static void change_many(vs_collection *c, vs_txn *txn, int *value, vt_rng *rng, int n) {
    while (n-- > 0) {
        uint64_t key = vt_below(rng, MANY);
        if (value[key] && vt_below(rng, 3) == 0) {
            VT_OK(vs_delete(c, txn, vs_key_u64(key * key)), c);
            value[key] = 0;
            continue;
        }
        char metadata[40];
        float v[2] = {(float)(1 + vt_below(rng, 1000)), 0};
        snprintf(metadata, sizeof metadata, "{\"v\":%d}", (int)v[0]);
        sample_put(c, txn, key * key, v, (int)v[0] % 3 == 0 ? metadata : NULL);
        value[key] = (int)v[0];
    }
}

VT_TEST(thousands_of_puts_and_deletes_in_any_order_leave_what_an_array_says) {
    static int value[MANY];
    vt_rng rng = {vt_seed()};
    sample s = sample_new();
    memset(value, 0, sizeof value);
    vs_collection *c = sample_create(s.db, NULL, "many", 2, VS_F32, VS_L2);
    for (int round = 0; round < 4; round++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        change_many(c, txn, value, &rng, 6000);
        VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
        change_many(c, NULL, value, &rng, 300);
        check_many(c, value);
        vs_collection_close(c);
        sample_reopen(&s);
        c = sample_collection(s.db, "many");
        check_many(c, value);
    }
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- what was read, passed back in ------------------------------------------------------------ */

static void check_vector(vs_collection *c, uint64_t key, float first, const char *metadata) {
    vs_record r = VS_RECORD_INIT;
    float v[128];
    VT_OK(vs_get(c, NULL, vs_key_u64(key), &r), c);
    memcpy(v, r.vector, sizeof v);
    for (int i = 0; i < 128; i++)
        VT_CHECK(v[i] == first + (float)i);
    VT_STR(r.metadata, metadata);
}

/* The way to change metadata: read, change, write. */
VT_TEST(a_record_that_was_read_can_be_put_back_with_other_metadata) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 128, VS_F32, VS_L2);
    float v[128];
    for (int i = 0; i < 128; i++)
        v[i] = 7 + (float)i;
    vs_record r = sample_record(3, v, "{\"a\":1}");
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    VT_OK(vs_get(c, NULL, vs_key_u64(3), &r), c);
    r.metadata = "{\"a\":2}";
    r.metadata_bytes = 0;
    VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    check_vector(c, 3, 7, "{\"a\":2}");
    VT_OK(vs_get(c, NULL, vs_key_u64(3), &r), c);
    r.key.number = 4; /* a copy, with the metadata read */
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    check_vector(c, 4, 7, "{\"a\":2}");
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_vector_that_was_read_can_be_the_query) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 128, VS_F32, VS_L2);
    for (uint64_t key = 1; key <= 5; key++) {
        float v[128];
        for (int i = 0; i < 128; i++)
            v[i] = (float)(key * 10) + (float)i;
        vs_record r = sample_record(key, v, NULL);
        VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    }
    vs_record r = VS_RECORD_INIT;
    vs_hit hits[2];
    size_t found = 0;
    VT_OK(vs_get(c, NULL, vs_key_u64(3), &r), c);
    VT_OK(vs_search(c, NULL, r.vector, 0, 2, NULL, hits, &found), c);
    VT_EQ(found, 2);
    VT_EQ(hits[0].key.number, 3);
    VT_CHECK(hits[0].distance == 0);
    VT_EQ(hits[1].key.number, 2);
    VT_CHECK(hits[1].distance == 12800);
    vs_collection_close(c);
    sample_end(&s);
}

static int64_t clock_us;

static int64_t clock_told(void *ctx) {
    (void)ctx;
    return clock_us;
}

static void check_changed_at(vs_collection *c, vs_txn *txn, int64_t us) {
    VT_EQ(info_of(c, txn).changed_us, us);
}

/* The transaction in which a collection's records change last tells its time, also after reopening. */
VT_TEST(a_collection_tells_when_its_records_changed_last) {
    sample s = sample_new();
    vs_vfs told = *s.vfs;
    vs_txn *txn = NULL;
    told.wall_us = clock_told;
    clock_us = 1000;
    vs_db *db = sample_open(&told, "told.vs", VS_OPEN_CREATE);
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    vs_collection *other = sample_create(db, NULL, "other", 2, VS_F32, VS_L2);
    check_changed_at(c, NULL, 1000);
    const float v[2] = {1, 2};
    vs_record r = sample_record(1, v, NULL);
    clock_us = 2000;
    VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    check_changed_at(c, NULL, 2000);
    clock_us = 3000;
    VT_EQ(vs_delete(c, NULL, vs_key_u64(9)), VS_ERR_NOT_FOUND); /* nothing changed */
    check_changed_at(c, NULL, 2000);
    VT_OK(vs_set_metadata(c, NULL, vs_key_u64(1), "{}", 2), c);
    check_changed_at(c, NULL, 3000);
    clock_us = 2500; /* clocks are put back */
    VT_OK(vs_begin(db, VS_TXN_WRITE, &txn), db);
    clock_us = 9000; /* the transaction's beginning counts */
    VT_OK(vs_delete(c, txn, vs_key_u64(1)), c);
    check_changed_at(c, txn, 2500);
    check_changed_at(c, NULL, 3000);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    check_changed_at(other, NULL, 1000);
    vs_collection_close(other);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    db = sample_open(&told, "told.vs", 0);
    VT_OK(vs_collection_open(db, NULL, "c", &c), db);
    check_changed_at(c, NULL, 2500);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    sample_end(&s);
}
