/* key.h - keys of records as bytes whose order is the keys' order; docs/FORMAT.md has them. */
#ifndef VSI_KEY_H
#define VSI_KEY_H

#include "base/bytes.h"
#include "base/status.h"

enum {
    VSI_KEY_BYTES_MAX = 6 + VS_KEY_BYTES_MAX,
    VSI_KEY_UUID_BYTES = 16,
    VSI_KEY_TEXT_BYTES = 160 /* of a key in a message */
};

/* A key that a caller gave: VS_ERR_INVALID, VS_ERR_LIMIT. */
VS_NODISCARD VSI_FN vs_status vsi_key_check(vsi_err *err, vs_key key);

/* The bytes by which a key is found; written to out. */
VSI_FN vsi_bytes vsi_key_encode(uint8_t out[VSI_KEY_BYTES_MAX], vs_key key);
/* What all keys of a namespace begin with. */
VSI_FN vsi_bytes vsi_key_encode_space(uint8_t out[VSI_KEY_BYTES_MAX], uint32_t space);
/* The key of such bytes, borrowed from them; false: they are of none. */
VS_NODISCARD VSI_FN bool vsi_key_decode(vsi_bytes bytes, vs_key *out_key);

/* As memcmp of their bytes would give. */
VSI_FN int vsi_key_compare(vs_key a, vs_key b);

/* For messages. */
VSI_FN const char *vsi_key_text(char out[VSI_KEY_TEXT_BYTES], vs_key key);

#endif
