/* key.c - keys as text. */
#include "key.h"
#include "text.h"
#include <string.h>

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Bytes as hexadecimal digits, hyphens between them allowed; false: something else, or too many. */
static bool parse_hex(const char *text, record_key *key) {
    size_t n = 0;
    for (; *text; text++) {
        int high = hex_digit(*text), low = high < 0 ? -1 : hex_digit(text[1]);
        if (*text == '-' && n)
            continue;
        if (low < 0 || n == sizeof key->data)
            return false;
        key->data[n++] = (uint8_t)(high << 4 | low);
        text++;
    }
    key->key.bytes = (uint16_t)n;
    return n > 0;
}

/* "7/" in front of a key; what follows it. */
static const char *parse_space(const char *text, record_key *key) {
    char digits[16];
    size_t n = strspn(text, "0123456789");
    uint64_t space = 0;
    if (text[n] != '/' || n >= sizeof digits)
        return text;
    memcpy(digits, text, n);
    digits[n] = 0;
    if (!text_to_u64(digits, &space) || space > UINT32_MAX)
        return text;
    key->key.space = (uint32_t)space;
    return text + n + 1;
}

bool key_read(const char *text, record_key *out_key) {
    record_key key = {.text = NULL};
    const char *rest = parse_space(text, &key);
    bool is_key = true;
    if (!strncmp(rest, "text:", 5)) {
        key.text = rest + 5;
        key.key.kind = VS_KEY_BYTES;
        is_key = *key.text && strlen(key.text) <= VS_KEY_BYTES_MAX;
        key.key.bytes = (uint16_t)strlen(key.text);
    } else if (!strncmp(rest, "bytes:", 6)) {
        key.key.kind = VS_KEY_BYTES;
        is_key = parse_hex(rest + 6, &key);
    } else if (!strncmp(rest, "uuid:", 5)) {
        key.key.kind = VS_KEY_UUID;
        is_key = parse_hex(rest + 5, &key) && key.key.bytes == 16;
    } else {
        is_key = text_to_u64(rest, &key.key.number);
    }
    if (is_key)
        *out_key = key;
    return is_key;
}

vs_key key_of(const record_key *key) {
    vs_key found = key->key;
    if (found.kind != VS_KEY_U64)
        found.data = key->text ? (const void *)key->text : key->data;
    return found;
}

/* Whether bytes can be shown as a text that reads back as them. */
static bool is_text_key(vs_key key) {
    const char *text = key.data;
    for (size_t i = 0; i < key.bytes;) {
        size_t n = text_utf8_bytes(text + i, key.bytes - i);
        if (!n || (unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
        i += n;
    }
    return true;
}

static size_t write_hex(char *out, vs_key key, bool is_uuid) {
    const uint8_t *data = key.data;
    size_t at = 0;
    for (size_t i = 0; i < key.bytes; i++)
        at +=
            (size_t)sprintf(out + at, "%s%02x",
                            is_uuid && (i == 4 || i == 6 || i == 8 || i == 10) ? "-" : "", data[i]);
    return at;
}

size_t key_write(vs_key key, char out[KEY_TEXT_BYTES]) {
    size_t at = key.space ? (size_t)sprintf(out, "%lu/", (unsigned long)key.space) : 0;
    if (key.kind == VS_KEY_U64)
        return at + (size_t)sprintf(out + at, "%llu", (unsigned long long)key.number);
    if (key.kind == VS_KEY_UUID) {
        at += (size_t)sprintf(out + at, "uuid:");
        return at + write_hex(out + at, key, true);
    }
    if (is_text_key(key))
        return at + (size_t)sprintf(out + at, "text:%.*s", (int)key.bytes, (const char *)key.data);
    at += (size_t)sprintf(out + at, "bytes:");
    return at + write_hex(out + at, key, false);
}
