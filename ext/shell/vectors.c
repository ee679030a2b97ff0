/* vectors.c - vectors of one field as a file of vectors and nothing else; keys and metadata go beside it or are lost. */
#include "element.h"
#include "format.h"
#include "key.h"
#include "writer.h"
#include <string.h>

static void put_u32(uint8_t *out, uint32_t word) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(word >> 8 * i);
}

static void write_u32(sink *out, uint64_t word) {
    uint8_t bytes[4];
    put_u32(bytes, (uint32_t)word);
    sink_write(out, bytes, sizeof bytes);
}

/* The elements that a file of the format has for vectors of a type. */
static int element_of(int format, int type) {
    switch (format) {
    case FORMAT_FVECS:
    case FORMAT_FBIN:
        return ELEMENT_F32;
    case FORMAT_BVECS:
    case FORMAT_U8BIN:
        return ELEMENT_U8;
    case FORMAT_I8VECS:
    case FORMAT_I8BIN:
        return ELEMENT_I8;
    default:
        break;
    }
    return type == VS_F16                                    ? ELEMENT_F16
           : type == VS_I8                                   ? ELEMENT_I8
           : type == VS_U8 || type == VS_BIT                 ? ELEMENT_U8
           : type == VS_BF16 && format == FORMAT_SAFETENSORS ? ELEMENT_BF16
                                                             : ELEMENT_F32;
}

/* ---- headers -------------------------------------------------------------------------------- */

static const char *name_of(int format, int element) {
    bool is_npy = format == FORMAT_NPY;
    switch (element) {
    case ELEMENT_F16:
        return is_npy ? "<f2" : "F16";
    case ELEMENT_BF16:
        return "BF16";
    case ELEMENT_U8:
        return is_npy ? "|u1" : "U8";
    case ELEMENT_I8:
        return is_npy ? "|i1" : "I8";
    default:
        return is_npy ? "<f4" : "F32";
    }
}

/* Version 1.0; blanks make the elements begin at a multiple of 64. */
static void write_npy(writer *w, uint32_t dim, int element) {
    char text[118];
    const uint8_t head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, sizeof text, 0};
    memset(text, ' ', sizeof text);
    int n = snprintf(text, sizeof text,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (%llu, %lu), }",
                     name_of(FORMAT_NPY, element), (unsigned long long)w->rows, (unsigned long)dim);
    text[n] = ' ';
    text[sizeof text - 1] = '\n';
    sink_write(w->out, head, sizeof head);
    sink_write(w->out, text, sizeof text);
}

/* One tensor, called as the field is; blanks make its bytes begin at a multiple of 8. */
static void write_safetensors(writer *w, const vs_field_info *field, int element) {
    char name[6 * VS_FIELD_BYTES_MAX + 2], text[6 * VS_FIELD_BYTES_MAX + 200];
    size_t bytes = 0;
    if (vs_json_write_string(field->name, strlen(field->name), name, sizeof name, &bytes) != VS_OK)
        bytes = 0; /* a field's name is UTF-8 */
    int n = snprintf(text, sizeof text,
                     "{%.*s:{\"dtype\":\"%s\",\"shape\":[%llu,%lu],\"data_offsets\":[0,%llu]}}",
                     (int)bytes, name, name_of(FORMAT_SAFETENSORS, element),
                     (unsigned long long)w->rows, (unsigned long)field->dim,
                     (unsigned long long)(w->rows * field->dim * element_bytes(element)));
    for (; n % 8; n++)
        text[n] = ' ';
    write_u32(w->out, (uint64_t)n);
    write_u32(w->out, 0);
    sink_write(w->out, text, (size_t)n);
}

bool writer_needs_rows(int format) {
    return format >= FORMAT_FBIN && format <= FORMAT_SAFETENSORS;
}

bool vectors_begin(writer *w) {
    const vs_field_info *field = &w->field[w->target];
    int element = element_of(w->format, field->type);
    if (w->format == FORMAT_IVECS) {
        snprintf(w->why, sizeof w->why, "ivecs holds neighbour ids, not vectors");
        return false;
    }
    if (w->format == FORMAT_NPY)
        write_npy(w, field->dim, element);
    else if (w->format == FORMAT_SAFETENSORS)
        write_safetensors(w, field, element);
    else if (writer_needs_rows(w->format)) {
        write_u32(w->out, w->rows);
        write_u32(w->out, field->dim);
    }
    return true;
}

/* ---- records -------------------------------------------------------------------------------- */

static void add_key(writer *w, vs_key key) {
    char text[KEY_TEXT_BYTES];
    if (!w->keys) {
        w->has_lost_keys |= key.kind != VS_KEY_U64 || key.space || key.number != w->written;
        return;
    }
    size_t bytes = key_write(key, text);
    text[bytes++] = '\n';
    sink_write(w->keys, text, bytes);
}

static void add_metadata(writer *w, const vs_record *record) {
    if (!w->metadata) {
        w->has_lost_metadata |= record->metadata != NULL;
        return;
    }
    w->line.bytes = 0;
    writer_metadata(&w->line, record);
    buffer_add_string(&w->line, "\n");
    sink_write(w->metadata, w->line.text, w->line.bytes);
}

bool vectors_add(writer *w, const vs_record *record) {
    const vs_field_info *field = &w->field[w->target];
    const void *vector = writer_vector(record, w->target);
    int element = element_of(w->format, field->type), type = element_type(element);
    uint32_t at = 0;
    if (!vector) {
        w->without++;
        return true;
    }
    if (vs_vector_convert(vector, field->type, w->vector, type, field->dim, &at) != VS_OK) {
        char key[KEY_TEXT_BYTES];
        key_write(record->key, key);
        snprintf(w->why, sizeof w->why, "record %.100s: element %lu is no number that %s has", key,
                 (unsigned long)at, vs_type_name(type));
        return false;
    }
    if (w->format <= FORMAT_I8VECS)
        write_u32(w->out, field->dim);
    element_store(element, w->vector, field->dim);
    sink_write(w->out, w->vector, vs_vector_bytes(type, field->dim));
    add_key(w, record->key);
    add_metadata(w, record);
    w->has_lost_fields |= record->vector_count + (record->vector != NULL) > 1;
    w->written++;
    return true;
}
