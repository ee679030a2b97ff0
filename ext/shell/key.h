/* key.h - what a key looks like as text: 42, text:abc, uuid:00112233-4455-6677-8899-aabbccddeeff or bytes:00ff; in
 * another namespace its number and a slash stand in front: 7/42. */
#ifndef SHELL_KEY_H
#define SHELL_KEY_H

#include "shell.h"

typedef struct record_key {
    vs_key key;                     /* but for data, see key_of */
    const char *text;               /* borrowed from what was read; NULL: data has the bytes */
    uint8_t data[VS_KEY_BYTES_MAX]; /* of uuid: and bytes: */
} record_key;

enum { KEY_TEXT_BYTES = 2 * VS_KEY_BYTES_MAX + 40 };

/* False: the text is no key. */
bool key_read(const char *text, record_key *out_key);
/* The key, which points into what is given. */
vs_key key_of(const record_key *key);
/* The text that reads back as the key, with a NUL; returns its bytes. */
size_t key_write(vs_key key, char out[KEY_TEXT_BYTES]);

/* What key_read reads, for messages. */
#define KEY_EXPECTED                                                                               \
    "a whole number from 0 to 18446744073709551615, text:..., uuid:... or bytes:..., or N/ and "   \
    "one of these in namespace N"

#endif
