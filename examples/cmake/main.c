/* main.c - a program that is built by CMake; see CMakeLists.txt. */
#include "vecstore.h"

#include <stdio.h>

int main(void) {
    vs_db *db = NULL;
    vs_collection *points = NULL;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_open_options how = VS_OPEN_OPTIONS_INIT;
    how.flags = VS_OPEN_CREATE;
    shape.dim = 2;
    vs_status st = vs_open("app.vs", &how, &db);
    if (st == VS_OK)
        st = vs_collection_open(db, NULL, "points", &points);
    if (st == VS_ERR_NOT_FOUND)
        st = vs_collection_create(db, NULL, "points", &shape, &points);
    const float vector[2] = {3, 4}, origin[2] = {0, 0};
    vs_record record = VS_RECORD_INIT;
    record.vector = vector;
    uint64_t number = 0;
    size_t found = 0;
    vs_hit hit;
    if (st == VS_OK)
        st = vs_append(points, NULL, &record, &number);
    if (st == VS_OK)
        st = vs_search(points, NULL, origin, VS_F32, 1, NULL, &hit, &found);
    if (st == VS_OK)
        printf("vecstore %s: record %llu of %llu at squared distance %g\n", vs_version(),
               (unsigned long long)hit.key.number, (unsigned long long)number, hit.distance);
    else
        fprintf(stderr, "%s: %s\n", vs_status_name(st), vs_errmsg(points ? (void *)points : db));
    vs_collection_close(points);
    return vs_close(db) != VS_OK || st != VS_OK;
}
