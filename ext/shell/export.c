/* export.c - records of a collection into a file, from one snapshot. */
#include "command.h"
#include "commands.h"
#include "field.h"
#include "format.h"
#include "interrupt.h"
#include "progress.h"
#include "range.h"
#include "store.h"
#include "writer.h"
#include <string.h>

typedef struct exporter {
    const shell_call *call;
    store_use use;
    scan_range range;
    field_list fields;
    writer writer;
    progress progress;
} exporter;

static const char *const companion_options[] = {"--keys", "--metadata"};

/* ---- preparing ------------------------------------------------------------------------------ */

static int find_format(exporter *ex) {
    const shell_call *call = ex->call;
    int format = shell_word(call, "--format", format_names);
    ex->writer.format = format ? format : format_of(call->arg[1]);
    if (!ex->writer.format)
        return shell_usage(call, "%s: the name does not tell its format; say it with --format",
                           call->arg[1]);
    if (!format_has_names(ex->writer.format))
        return SHELL_OK;
    for (int i = 0; i < 2; i++)
        if (shell_value(call, companion_options[i]))
            return shell_usage(call, "%s is for files of vectors, others have it themselves",
                               companion_options[i]);
    if (shell_value(call, "--field"))
        return shell_usage(call, "--field is for files of vectors, others have all fields");
    return SHELL_OK;
}

static int find_fields(exporter *ex) {
    if (fields_of(ex->call, ex->use.collection, ex->use.txn, &ex->fields) != SHELL_OK)
        return SHELL_FAILED;
    ex->writer.field = ex->fields.field;
    ex->writer.field_count = ex->fields.count;
    return fields_find(ex->call, &ex->fields, "--field", &ex->writer.target);
}

/* ---- records -------------------------------------------------------------------------------- */

/* Calls visit for every record of the range. */
static int each_record(exporter *ex, int (*visit)(exporter *ex, const vs_record *record)) {
    vs_cursor *cursor = NULL;
    vs_status st = VS_ROW;
    int result = SHELL_OK;
    if (vs_scan(ex->use.collection, ex->use.txn, &ex->range.range, &cursor) != VS_OK)
        return use_fail(&ex->use);
    while (result == SHELL_OK && (st = vs_step(cursor)) == VS_ROW) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        if (st != VS_OK)
            break;
        result = visit(ex, &record);
        if (result == SHELL_OK && interrupt_came(ex->call->shell->interrupts))
            result = shell_fail(ex->call, "interrupted; nothing was written");
    }
    if (result == SHELL_OK && st != VS_DONE)
        result = shell_fail(ex->call, "%s", vs_errmsg(cursor));
    vs_cursor_close(cursor);
    return result;
}

static int count_row(exporter *ex, const vs_record *record) {
    ex->writer.rows += writer_vector(record, ex->writer.target) != NULL;
    return SHELL_OK;
}

static int add_record(exporter *ex, const vs_record *record) {
    writer *w = &ex->writer;
    if (!writer_add(w, record))
        return shell_fail(ex->call, "%s: %s", ex->call->arg[1], w->why);
    if (sink_error(w->out))
        return shell_fail(ex->call, "%s: cannot be written: %s", ex->call->arg[1],
                          sink_error(w->out));
    if (w->written % 1000 == 0)
        progress_show(&ex->progress, w->written, w->written,
                      (double)w->written / (double)ex->use.info.count, false);
    return SHELL_OK;
}

/* A header wants to know how many rows follow it. */
static int count_rows(exporter *ex) {
    const vs_range *range = &ex->range.range;
    bool has_all = !range->from && !range->to && !range->prefix && !range->space &&
                   !(ex->fields.field[ex->writer.target].flags & VS_FIELD_OPTIONAL);
    ex->writer.rows = has_all ? ex->use.info.count : 0;
    return has_all || !writer_needs_rows(ex->writer.format) ? SHELL_OK : each_record(ex, count_row);
}

static int write_records(exporter *ex) {
    int result = count_rows(ex);
    if (result != SHELL_OK)
        return result;
    progress_start(&ex->progress, ex->call->shell->set.has_progress, 0);
    if (!writer_begin(&ex->writer))
        return shell_fail(ex->call, "%s: %s", ex->call->arg[1], ex->writer.why);
    result = each_record(ex, add_record);
    progress_show(&ex->progress, ex->writer.written, ex->writer.written, -1, true);
    return result;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int open_sink(exporter *ex, const char *path, sink **out) {
    char why[SINK_WHY_BYTES];
    *out = path ? sink_open(path, shell_out(ex->call->shell), why) : NULL;
    return *out || !path ? SHELL_OK : shell_fail(ex->call, "%s: %s", path, why);
}

static int open_sinks(exporter *ex) {
    writer *w = &ex->writer;
    int result = open_sink(ex, ex->call->arg[1], &w->out);
    if (result == SHELL_OK)
        result = open_sink(ex, shell_value(ex->call, "--keys"), &w->keys);
    if (result == SHELL_OK)
        result = open_sink(ex, shell_value(ex->call, "--metadata"), &w->metadata);
    return result;
}

/* Files get their names one after the other, the vectors last; a failure discards those that have none yet. */
static int close_sinks(exporter *ex, int result) {
    writer *w = &ex->writer;
    sink *sinks[] = {w->keys, w->metadata, w->out};
    const char *paths[] = {shell_value(ex->call, "--keys"), shell_value(ex->call, "--metadata"),
                           ex->call->arg[1]};
    char why[SINK_WHY_BYTES];
    for (int i = 0; i < 3; i++) {
        if (result != SHELL_OK)
            sink_discard(sinks[i]);
        else if (sinks[i] && !sink_finish(sinks[i], why))
            result = shell_fail(ex->call, "%s: %s", paths[i], why);
    }
    return result;
}

static void report(const exporter *ex) {
    const writer *w = &ex->writer;
    const char *format = format_names[w->format - 1];
    shell_say(ex->call, "%llu records written", (unsigned long long)w->written);
    if (w->without)
        shell_say(ex->call, "%llu records without a vector '%s' were left out",
                  (unsigned long long)w->without, w->field[w->target].name);
    if (w->has_lost_keys)
        shell_say(ex->call,
                  "%s holds no keys, which are not 0, 1, ... here: --keys FILE keeps them", format);
    if (w->has_lost_metadata)
        shell_say(ex->call, "%s holds no metadata: --metadata FILE keeps them", format);
    if (w->has_lost_fields)
        shell_say(ex->call, "%s holds one field, '%s'; jsonl, csv and tsv hold all", format,
                  w->field[w->target].name);
}

static int export_to_files(exporter *ex) {
    int result = find_fields(ex);
    if (result == SHELL_OK)
        result = open_sinks(ex);
    if (result == SHELL_OK)
        result = write_records(ex);
    writer_end(&ex->writer);
    result = close_sinks(ex, result);
    if (result == SHELL_OK)
        report(ex);
    return result;
}

static int run_export(const shell_call *call) {
    exporter ex = {.call = call};
    int result = find_format(&ex);
    if (result == SHELL_OK)
        result = range_parse(call, &ex.range);
    if (result != SHELL_OK)
        return result;
    result = use_read(&ex.use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = export_to_files(&ex);
    return use_end(&ex.use, result);
}

static const option_spec export_options[] = {
    {"--format", OPTION_WORD, NULL, "what FILE becomes, when its name does not tell", format_names,
     0, 0, NULL},
    {"--field", OPTION_TEXT, "NAME", "the field that a file of vectors has (the first)", NULL, 0, 0,
     NULL},
    {"--keys", OPTION_TEXT, "FILE", "keys beside a file of vectors, one a line", NULL, 0, 0, NULL},
    {"--metadata", OPTION_TEXT, "FILE", "metadata beside it, an object or null a line", NULL, 0, 0,
     NULL},
    OPTIONS_RANGE,
    OPTIONS_END};

const shell_command command_export = {
    .name = "export",
    .run = run_export,
    .args = "COLLECTION FILE",
    .args_min = 2,
    .args_max = 2,
    .flags = COMMAND_COLLECTION,
    .brief = "write records to a file",
    .help = "Write the records to FILE, in the order of their keys, in one snapshot; - is the "
            "standard output.\nA name that ends in .zst is compressed. The file is there under its "
            "name when it is whole. Import\nreads it back, exactly.",
    .options = export_options,
};
