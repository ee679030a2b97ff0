/* hello.c - vecstore in twenty lines: cc -I. hello.c vecstore.c -lzstd -lm -lpthread */
#include "vecstore.h"
#include <stdio.h>

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
    vs_record record = {sizeof record, VS_F32, vs_key_u64(1), red, "{\"name\":\"red\"}", 0};
    vs_status st = vs_put(colors, NULL, &record, VS_UPSERT); /* durable when it returns */
    record = (vs_record){sizeof record, VS_F32, vs_key_u64(2), pink, "{\"name\":\"pink\"}", 0};
    st = st ? st : vs_put(colors, NULL, &record, VS_UPSERT);
    vs_hit hit;
    size_t count = 0;
    st = st ? st : vs_search(colors, NULL, query, VS_F32, 1, &hit, &count);
    st = st ? st : vs_get(colors, NULL, hit.key, &record);
    printf("%s\n", st ? vs_errmsg(colors) : record.metadata); /* {"name":"red"} */
    vs_collection_close(colors);
    return vs_close(db) || st;
}
