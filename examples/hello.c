/* hello.c - vecstore in some twenty lines: cc -I. hello.c vecstore.c -lzstd -lm -lpthread */
#include "vecstore.h"
#include <stdio.h>

static vs_status put(vs_collection *colors, uint64_t key, const float *rgb, const char *json) {
    vs_record record = VS_RECORD_INIT;
    record.key = vs_key_u64(key);
    record.vector = rgb;
    record.metadata = json;
    return vs_put(colors, NULL, &record, VS_UPSERT); /* durable when it returns */
}

int main(void) {
    vs_db *db;
    vs_collection *colors = NULL;
    vs_open_options how = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    how.flags = VS_OPEN_CREATE;
    shape.dim = 3;
    if (vs_open("colors.vs", &how, &db) ||
        (vs_collection_open(db, NULL, "colors", &colors) &&
         vs_collection_create(db, NULL, "colors", &shape, &colors)))
        return printf("%s\n", db ? vs_errmsg(db) : "out of memory"), 1;
    const float red[] = {1, 0, 0}, pink[] = {1, 0.7f, 0.8f}, query[] = {0.9f, 0.1f, 0.1f};
    vs_status st = put(colors, 1, red, "{\"name\":\"red\"}");
    st = st ? st : put(colors, 2, pink, "{\"name\":\"pink\"}");
    vs_record found = VS_RECORD_INIT;
    vs_hit hit;
    size_t count = 0;
    st = st ? st : vs_search(colors, NULL, query, VS_F32, 1, NULL, &hit, &count);
    st = st ? st : vs_get(colors, NULL, hit.key, &found);
    printf("%s\n", st ? vs_errmsg(colors) : found.metadata); /* {"name":"red"} */
    vs_collection_close(colors);
    return vs_close(db) || st;
}
