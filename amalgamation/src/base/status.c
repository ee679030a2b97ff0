/* status.c - error messages. */
#include "base/status.h"

/* Every failure passes here, so one breakpoint catches the first. */
VSI_FN vs_status vsi_fail(vsi_err *err, vs_status code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->code = code;
    return code & 0xff;
}

VSI_FN vs_status vsi_fail_in(vsi_err *err, const char *format, ...) {
    char rest[VSI_ERR_TEXT_BYTES];
    memcpy(rest, err->text, sizeof rest);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", rest);
    return err->code & 0xff;
}

VSI_FN vs_status vsi_fail_nomem(vsi_err *err, size_t bytes) {
    return vsi_fail(err, VS_ERR_NOMEM, "out of memory: %zu bytes refused by the allocator", bytes);
}

VSI_FN const char *vsi_status_name(vs_status status) {
    static const struct {
        vs_status code;
        const char *name;
    } names[] = {
        {VS_OK, "VS_OK"},
        {VS_ERR_MISUSE, "VS_ERR_MISUSE"},
        {VS_ERR_INVALID, "VS_ERR_INVALID"},
        {VS_ERR_NOMEM, "VS_ERR_NOMEM"},
        {VS_ERR_IO, "VS_ERR_IO"},
        {VS_ERR_FULL, "VS_ERR_FULL"},
        {VS_ERR_READONLY, "VS_ERR_READONLY"},
        {VS_ERR_DENIED, "VS_ERR_DENIED"},
        {VS_ERR_BUSY, "VS_ERR_BUSY"},
        {VS_ERR_NOT_FOUND, "VS_ERR_NOT_FOUND"},
        {VS_ERR_EXISTS, "VS_ERR_EXISTS"},
        {VS_ERR_LIMIT, "VS_ERR_LIMIT"},
        {VS_ERR_CORRUPT, "VS_ERR_CORRUPT"},
        {VS_ERR_LOG_MISSING, "VS_ERR_LOG_MISSING"},
        {VS_ERR_NOT_DB, "VS_ERR_NOT_DB"},
        {VS_ERR_TOO_NEW, "VS_ERR_TOO_NEW"},
        {VS_ERR_TOO_OLD, "VS_ERR_TOO_OLD"},
        {VS_ERR_INDOUBT, "VS_ERR_INDOUBT"},
        {VS_ERR_INTERRUPTED, "VS_ERR_INTERRUPTED"},
        {VS_ERR_UNSUPPORTED, "VS_ERR_UNSUPPORTED"},
        {VS_ERR_TIMEOUT, "VS_ERR_TIMEOUT"},
        {VS_ERR_CONFLICT, "VS_ERR_CONFLICT"},
        {VS_ERR_REFUSED, "VS_ERR_REFUSED"},
        {VS_ROW, "VS_ROW"},
        {VS_DONE, "VS_DONE"},
    };
    vs_status primary = status > 0 && status & 0xff ? status & 0xff : status;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == primary)
            return names[i].name;
    return "VS_ERR_?";
}
