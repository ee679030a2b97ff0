/* rq.c - RQ codes: encoding, queries, and why the bounds hold.
 *
 * After RaBitQ: Gao and Long, SIGMOD 2024, arXiv 2405.12497, and Gao et al., SIGMOD 2025, arXiv 2409.09913: a random
 * rotation, the grid vector nearest in angle, an unbiased estimate with an error that is known. What differs: the mean
 * of all vectors instead of centroids, a scale chosen from few candidates, least squares for the bound that always holds.
 *
 * Notation. m is the mean, r = x - m of a row, q' = q - m of a query (for cosine x and q are normalised first, zero
 * stays zero), both rotated; g the row's code as a vector of the grid (step * level - offset), p the part of r along g:
 * p = <r,g> g / |g|^2, so r - p is orthogonal to p, and |p| is the head's length. b is the query's bytes times their unit.
 *
 * Halves. g is r rounded to f16 or bf16 after it was multiplied by a power of two, each row by its own, that makes its
 * length 2^13 or more and less than 2^14: f16 has room for its elements then, and those that are too small for all of its
 * bits are below 2^-27 of |g|. The rounding of |r| and to halves leaves |g| between 2^13 (1 - 2^-8) and 2^14 (1 + 2^-8).
 * b is q' itself, multiplied likewise until its length is in [2^15, 2^16), of which elements that underflow are less
 * than 2^-130. The inner product of the two is rounded to a whole number. It is below 2^31, and |b| |g| above 2^27, so
 * one whole number is 2^-27 of that, less than an operation in single precision loses.
 *
 * Every metric is a sum of what the row alone gives, what the query alone gives, and the inner product:
 *
 *   l2       |q - x|^2   = |r|^2 + |q'|^2 - 2 <q',r>
 *   ip       -<q,x>      = (|m|^2/2 - <m,x>) + (|m|^2/2 - <m,q>) - <q',r>
 *   cosine   1 - <q,x>   = |r|^2 / 2 + |q'|^2 / 2 - <q',r>    where both are of length 1; a zero vector has
 *                          (1 + |m|^2) / 2 instead
 *
 * The bound. Let c = <b,g> / |g| and d >= |q' - b|. Then <q',r> = <b,p> + <q'-b,p> + <q',r-p>, of which the first is
 * |p| c and the second at most |p| d. The third is the inner product of r - p with that part of q' which is orthogonal to g,
 * whose square is |q'|^2 - <q',g>^2 / |g|^2, and |<q',g>| / |g| >= |c| - d. So
 *
 *   | <q',r> - |p| c |  <=  |p| d + e sqrt(max(0, |q'|^2 - max(0, |c| - d)^2)),     e >= |r - p|.
 *
 * Slack. Floats change r and q' a little before the above is applied to them. Let k bound what is lost, relative to
 * |r| and to |q'|: rotation.relative for rotating (quant/rotate.c), 2^-24 for rounding the difference to the mean, for each
 * of the two, and 2^-24 for each operation on the way to c, |p| and the result, of which there are fewer than 24:
 * RQ_SLACK. Then <q',r> is off by at most k |q'| |r| <= k |q'| (|p| + |r - p|), and r - p is orthogonal to p but
 * for k |r|. Both are covered by adding k |q'| to d, which gives k |q'| |p|, and to the root, which gives k |q'| e; the root
 * has that in it when |q'| is taken as (1 + 2k) |q'| there, for sqrt(a^2 + s) - a >= s / (2 sqrt(a^2 + s)), and s is
 * 4k |q'|^2 here. The sum of base, query's base and product is off by 2^-24 of each of its terms: base_relative and base_error.
 *
 * For halves c also has the error of its sum: n fused steps in at least 16 sums, which are then added, lose at most
 * (n / 16 + 16) 2^-24 times the sum of magnitudes, which is at most |b| |g|. (At most 5 of the 16 are for adding, and
 * n / 16 <= 2^12: products of errors take less than two more.) So d is that part of |b| there, and for a row as the
 * query the row's error more.
 *
 * Sums in double, over n dims, are off by (n + 16) 2^-53 <= 2^-36 times the sum of magnitudes. That of <m,x> is
 * covered by adding RQ_TINY |m| to d and to the root, where |x| <= |r| + |m|, and by base_relative where |r| is small
 * against |m|; that of <m,q> by base_error. Of squares it is a part of what is rounded to float anyhow. Unit vectors are so
 * to 2^-50: RQ_COSINE.
 *
 * Underflow. A residual shorter than RQ_SHORT (2^-24 for cosine) gets p = 0 and e = |r|; a shorter query b = 0 and d =
 * |q'|. What is left is above all absolute errors of single precision by more than its relative ones: an element loses at most
 * 2^-140, 2^8 of them 2^-132, and k |r| >= 2^-22 2^-40. */
#include "quant/rq.h"
#include "math/element.h"

#define RQ_LONG                                                                                    \
    0x1p60 /* longer vectors have no code: their squares are near the end of the range */
#define RQ_SHORT  0x1p-40 /* shorter residuals have a code of length zero */
#define RQ_ULP    0x1p-24
#define RQ_SLACK  (32 * RQ_ULP)
#define RQ_TINY   0x1p-36
#define RQ_COSINE 0x1p-40

/* The least lengths of halves, and of queries for them. */
#define RQ_HALF_LENGTH  0x1p13f
#define RQ_QUERY_LENGTH 0x1p15f

enum {
    RQ_OFF_VERSION = 0,
    RQ_OFF_KIND = 4,
    RQ_OFF_METRIC = 5,
    RQ_OFF_ZERO = 6, /* 2 bytes, and 4 more behind dim */
    RQ_OFF_DIM = 8,
    RQ_OFF_SEED = 16,
    RQ_OFF_MEAN = 24
};

/* Rows whose products are computed before their bounds, so many that they stay in the first cache together: at most
 * RQ_TILE, at least RQ_TILE_MIN, which is what the widest kernel takes at once. With 64 rows of 448 bytes, from
 * memory, a scan took a fifth longer than with 16. */
enum { RQ_TILE = 64, RQ_TILE_MIN = 16, RQ_TILE_BYTES = 8192 };

/* ---- parameters ----------------------------------------------------------------------------- */

VSI_FN void vsi_rq_free(vsi_rq *rq) {
    if (!rq)
        return;
    vsi_rotation_free(rq->mem, &rq->rotation);
    vsi_free(rq->mem, rq->mean, rq->dim * sizeof *rq->mean);
    vsi_free(rq->mem, rq, sizeof *rq);
}

/* Odd numbers around zero; with 8 bits all numbers, so that a row's points fit the bytes of a query. */
static vsi_code_grid rq_grid(uint32_t kind) {
    if (vsi_code_is_half(kind))
        return (vsi_code_grid){.step = 1};
    int32_t top = (1 << kind) - 1;
    if (kind == 8)
        return (vsi_code_grid){1, 128, top, 128.5f};
    return (vsi_code_grid){2, top, top, (float)(1 << (kind - 1))};
}

/* A mean is at most as long as vectors may be, and as those that it is the mean of. NaN is neither. */
static bool rq_mean_is_short(int metric, double square) {
    return square <= (metric == VS_COSINE ? 1 + 0x1p-20 : RQ_LONG * RQ_LONG);
}

static vs_status rq_check(vsi_err *err, const vsi_rq_spec *spec) {
    if (spec->dim < 1 || spec->dim > VS_DIM_MAX)
        return vsi_fail(err, VS_ERR_INVALID, "codes: dim is %u, expected 1 to %u", spec->dim,
                        VS_DIM_MAX);
    if (!vsi_code_is_kind(spec->kind))
        return vsi_fail(err, VS_ERR_INVALID,
                        "codes: kind %u, expected 1, 2, 4 or 8 bits, %d (f16) or %d (bf16)",
                        spec->kind, VSI_CODE_F16, VSI_CODE_BF16);
    if (spec->metric != VS_L2 && spec->metric != VS_IP && spec->metric != VS_COSINE)
        return vsi_fail(err, VS_ERR_INVALID, "codes: metric %d (%s), expected l2, ip or cosine",
                        spec->metric, vsi_metric_name(spec->metric));
    return VS_OK;
}

static vs_status rq_init(vsi_err *err, const vsi_rq_spec *spec, vsi_rq *rq) {
    size_t mean_bytes = spec->dim * sizeof *rq->mean;
    rq->dim = spec->dim;
    rq->kind = spec->kind;
    rq->metric = spec->metric;
    rq->seed = spec->seed;
    rq->grid = rq_grid(spec->kind);
    rq->mean = vsi_alloc_zeroed(rq->mem, mean_bytes);
    if (!rq->mean)
        return vsi_fail_nomem(err, mean_bytes);
    if (spec->mean)
        memcpy(rq->mean, spec->mean, mean_bytes);
    rq->mean_square = rq->kernels->product(rq->mean, rq->mean, rq->dim);
    if (!rq_mean_is_short(rq->metric, rq->mean_square))
        return vsi_fail(err, VS_ERR_INVALID,
                        "codes: the length of the mean is %g, expected at most %g",
                        sqrt(rq->mean_square), rq->metric == VS_COSINE ? 1.0 : RQ_LONG);
    vs_status st = vsi_rotation_init(err, rq->mem, rq->dim, rq->seed, &rq->rotation);
    rq->code_bytes = vsi_code_bytes(rq->kind, rq->rotation.padded);
    return st;
}

VSI_FN vs_status vsi_rq_create(vsi_err *err, vsi_mem *mem, const vsi_rq_spec *spec,
                               const vsi_codes *kernels, vsi_rq **out) {
    vs_status st = rq_check(err, spec);
    if (st != VS_OK)
        return st;
    vsi_rq *rq = vsi_alloc_zeroed(mem, sizeof *rq);
    if (!rq)
        return vsi_fail_nomem(err, sizeof *rq);
    rq->mem = mem;
    rq->kernels = kernels;
    st = rq_init(err, spec, rq);
    if (st != VS_OK) {
        vsi_rq_free(rq);
        return st;
    }
    *out = rq;
    return VS_OK;
}

VSI_FN size_t vsi_rq_packed_bytes(const vsi_rq *rq) {
    return RQ_OFF_MEAN + rq->dim * sizeof *rq->mean;
}

VSI_FN void vsi_rq_write(const vsi_rq *rq, uint8_t *out) {
    memset(out, 0, RQ_OFF_MEAN);
    vsi_put_u32(out + RQ_OFF_VERSION, VSI_RQ_VERSION);
    out[RQ_OFF_KIND] = (uint8_t)rq->kind;
    out[RQ_OFF_METRIC] = (uint8_t)rq->metric;
    vsi_put_u32(out + RQ_OFF_DIM, rq->dim);
    vsi_put_u64(out + RQ_OFF_SEED, rq->seed);
    vsi_copy_le(out + RQ_OFF_MEAN, rq->mean, rq->dim, sizeof *rq->mean);
}

static vs_status rq_read_spec(vsi_err *err, vsi_bytes packed, vsi_rq_spec *out) {
    const uint8_t *in = packed.data;
    if (packed.bytes < RQ_OFF_MEAN)
        return vsi_fail(err, VS_ERR_CORRUPT, "codes: parameters of %zu bytes, expected at least %d",
                        packed.bytes, RQ_OFF_MEAN);
    uint32_t version = vsi_get_u32(in + RQ_OFF_VERSION);
    if (version > VSI_RQ_VERSION)
        return vsi_fail(err, VS_ERR_UNSUPPORTED,
                        "codes: parameters of version %u, this build knows 1 to %d", version,
                        VSI_RQ_VERSION);
    *out = (vsi_rq_spec){vsi_get_u32(in + RQ_OFF_DIM), in[RQ_OFF_KIND], in[RQ_OFF_METRIC],
                         vsi_get_u64(in + RQ_OFF_SEED), NULL};
    if (version == 0 || vsi_get_u16(in + RQ_OFF_ZERO) || vsi_get_u32(in + RQ_OFF_DIM + 4))
        return vsi_fail(err, VS_ERR_CORRUPT, "codes: parameters do not begin as version %d does",
                        VSI_RQ_VERSION);
    if (rq_check(err, out) != VS_OK) {
        err->code = VS_ERR_CORRUPT;
        return vsi_fail_in(err, "parameters");
    }
    if (packed.bytes - RQ_OFF_MEAN != out->dim * sizeof *out->mean)
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "codes: parameters of %zu bytes for dim %u, expected %zu", packed.bytes,
                        out->dim, RQ_OFF_MEAN + out->dim * sizeof *out->mean);
    return VS_OK;
}

VSI_FN vs_status vsi_rq_read(vsi_err *err, vsi_mem *mem, vsi_bytes packed, const vsi_codes *kernels,
                             vsi_rq **out) {
    vsi_rq_spec spec;
    vs_status st = rq_read_spec(err, packed, &spec);
    if (st != VS_OK)
        return st;
    size_t mean_bytes = spec.dim * sizeof(float);
    float *mean = vsi_alloc(mem, mean_bytes);
    if (!mean)
        return vsi_fail_nomem(err, mean_bytes);
    vsi_copy_le(mean, packed.data + RQ_OFF_MEAN, spec.dim, sizeof *mean);
    spec.mean = mean;
    st = vsi_rq_create(err, mem, &spec, kernels, out);
    vsi_free(mem, mean, mean_bytes);
    if (st != VS_ERR_INVALID)
        return st;
    err->code = VS_ERR_CORRUPT;
    return vsi_fail_in(err, "parameters");
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* A float that is not below value, which is not negative and far from the end of the range. */
static float rq_up(double value) {
    return (float)(value * (1 + 0x1p-22)) + FLT_MIN;
}

/* What is lost on the way from vectors to an inner product, relative to their lengths. */
static double rq_slack(const vsi_rq *rq) {
    return 2 * rq->rotation.relative + RQ_SLACK;
}

/* The least length of a residual that has a code of its own. */
static double rq_short(const vsi_rq *rq) {
    return rq->metric == VS_COSINE ? 0x1p-24 : RQ_SHORT;
}

/* The power of two at or below a length that rows and queries with codes have, but for rounding. */
static double rq_power(double length) {
    float power = (float)length;
    uint32_t bits;
    memcpy(&bits, &power, sizeof bits);
    bits &= 0x7f800000;
    memcpy(&power, &bits, sizeof power);
    return (double)power;
}

static void rq_put_float(uint8_t *p, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    vsi_put_u32(p, bits);
}

static float rq_get_float(const uint8_t *p) {
    uint32_t bits = vsi_get_u32(p);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static const uint8_t *rq_head(const vsi_rq *rq, const uint8_t *row, int which) {
    return row + rq->code_bytes + 4 * which;
}

static void rq_put_head(const vsi_rq *rq, uint8_t *row, const float head[4]) {
    for (int i = 0; i < 4; i++)
        rq_put_float(row + rq->code_bytes + 4 * i, head[i]);
}

/* ---- residuals ------------------------------------------------------------------------------ */

/* A vector without the mean, and what the inner product with another one is added to. */
typedef struct rq_residual {
    double square;     /* |x - m|^2 */
    double base;       /* see the top */
    double base_error; /* of base, from sums in double */
} rq_residual;

/* Into out [padded]; false when there is no code for such a vector. */
static bool rq_subtract_mean(const vsi_rq *rq, const float *vector, float *out,
                             rq_residual *residual) {
    const vsi_codes *kernels = rq->kernels;
    double square = rq->metric == VS_L2 ? 0 : kernels->product(vector, vector, rq->dim), factor = 1;
    bool is_zero = rq->metric == VS_COSINE && square == 0;
    if (rq->metric == VS_COSINE)
        factor = is_zero ? 0 : 1 / sqrt(square);
    residual->square = kernels->residual(vector, rq->mean, rq->dim, factor, out);
    memset(out + rq->dim, 0, (rq->rotation.padded - rq->dim) * sizeof *out);
    residual->base_error = 0;
    if (rq->metric == VS_L2) {
        residual->base = residual->square;
    } else if (rq->metric == VS_COSINE) {
        residual->base = is_zero ? (1 + rq->mean_square) / 2 : residual->square / 2;
        residual->base_error = RQ_COSINE;
    } else {
        residual->base = rq->mean_square / 2 - kernels->product(vector, rq->mean, rq->dim);
        residual->base_error = RQ_TINY * (rq->mean_square + sqrt(rq->mean_square * square));
    }
    return isfinite(square) && residual->square <= RQ_LONG * RQ_LONG;
}

/* ---- rows ----------------------------------------------------------------------------------- */

VSI_FN size_t vsi_rq_row_bytes(uint32_t dim, uint32_t kind) {
    return vsi_code_bytes(kind, vsi_rotation_padded(dim)) + VSI_CODE_HEAD_BYTES;
}

VSI_FN size_t vsi_rq_work_bytes(uint32_t dim) {
    return vsi_rotation_padded(dim) * (sizeof(float) + 1);
}

/* The cosine that a step of the grid would reach, up to a constant. */
static double rq_try(const vsi_rq *rq, const float *x, double step) {
    float sums[2];
    rq->kernels->grid(x, rq->rotation.padded, &rq->grid, (float)(1 / step), sums);
    return sums[1] > 0 ? (double)sums[0] / sqrt((double)sums[1]) : 0;
}

/* The best of some steps around the one that suits a normal distribution: of deviation 1 these are 0.996, 0.335 and 0.0308 for
 * 2, 4 and 8 bits (Max, "Quantizing for minimum distortion", 1960). With one bit all steps are the same. */
static double rq_choose_step(const vsi_rq *rq, const float *x, double length) {
    static const float first[] = {0.75f, 0.85f, 0.95f, 1.05f, 1.15f, 1.3f};
    double normal = rq->kind == 8 ? 0.0308 : rq->kind == 4 ? 0.335 : 0.996;
    double unit = normal * length / sqrt(rq->rotation.padded), best = unit, most = 0;
    if (rq->kind == 1)
        return unit;
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        double found = rq_try(rq, x, unit * (double)first[i]);
        best = found > most ? unit * (double)first[i] : best;
        most = found > most ? found : most;
    }
    double below = best - 0.05 * unit, above = best + 0.05 * unit;
    double lower = rq_try(rq, x, below), higher = rq_try(rq, x, above);
    if (lower > most || higher > most)
        return lower > higher ? below : above;
    return best;
}

static void rq_round(const vsi_rq *rq, const float *x, double step, uint8_t *levels) {
    float inverse = (float)(1 / step), top = (float)rq->grid.top;
    for (size_t i = 0; i < rq->rotation.padded; i++) {
        float level = x[i] * inverse + rq->grid.half;
        levels[i] = (uint8_t)(level < 0 ? 0 : level > top ? top : level);
    }
}

/* The code of x, which is as long as length, into a row; gives it as rq_points takes it. */
static const uint8_t *rq_put_code(const vsi_rq *rq, const float *x, double length, uint8_t *levels,
                                  uint8_t *row) {
    if (vsi_code_is_half(rq->kind)) {
        float scale = (float)(RQ_HALF_LENGTH / rq_power(length));
        vsi_codes_narrow(x, rq->rotation.padded, scale, rq->kind, row);
        return row;
    }
    rq_round(rq, x, rq_choose_step(rq, x, length), levels);
    vsi_codes_pack(levels, rq->rotation.padded, rq->kind, row);
    return levels;
}

/* The code of a row as rq_points takes it: levels unpacked into the memory given, halves where they are. */
static const uint8_t *rq_code(const vsi_rq *rq, const uint8_t *row, uint8_t *levels) {
    if (vsi_code_is_half(rq->kind))
        return row;
    vsi_codes_unpack(row, rq->rotation.padded, rq->kind, levels);
    return levels;
}

/* The points of VSI_CODE_DIMS dims from dim `at` on. */
static void rq_points(const vsi_rq *rq, const uint8_t *code, size_t at, float out[VSI_CODE_DIMS]) {
    if (vsi_code_is_half(rq->kind)) {
        vsi_codes_widen(code + 2 * at, VSI_CODE_DIMS, rq->kind, out);
        return;
    }
    for (size_t i = 0; i < VSI_CODE_DIMS; i++)
        out[i] = (float)(rq->grid.step * code[at + i] - rq->grid.offset);
}

/* Length, error and inverse of the head. */
static void rq_measure(const vsi_rq *rq, const float *x, const uint8_t *code, double length,
                       float head[4]) {
    double along[4] = {0}, squares[4] = {0}, own = 0;
    for (size_t at = 0; at < rq->rotation.padded; at += VSI_CODE_DIMS) {
        float points[VSI_CODE_DIMS];
        rq_points(rq, code, at, points);
        for (size_t i = 0; i < VSI_CODE_DIMS; i++) {
            double point = (double)points[i], value = (double)x[at + i];
            along[i % 4] += value * point;
            squares[i % 4] += value * value;
            own += point * point;
        }
    }
    double inverse = own > 0 ? 1 / sqrt(own) : 0;
    double product = ((along[0] + along[1]) + (along[2] + along[3])) * inverse;
    double square = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    float stored = (float)product;
    double error = square + (double)stored * ((double)stored - 2 * product);
    error = sqrt((error > 0 ? error : 0) + RQ_TINY * square);
    head[VSI_HEAD_LENGTH] = stored;
    head[VSI_HEAD_ERROR] = rq_up(error + (rq->rotation.relative + 2 * RQ_ULP) * length);
    head[VSI_HEAD_INVERSE] = (float)inverse;
}

VSI_FN bool vsi_rq_encode(const vsi_rq *rq, const float *vector, void *work, uint8_t *row) {
    float *x = work, head[4] = {INFINITY, 0, 0, 0};
    uint8_t *levels = (uint8_t *)(x + rq->rotation.padded);
    rq_residual residual;
    memset(row, 0, rq->code_bytes);
    rq_put_head(rq, row, head);
    if (!rq_subtract_mean(rq, vector, x, &residual))
        return false;
    double length = sqrt(residual.square);
    head[VSI_HEAD_BASE] = (float)residual.base;
    head[VSI_HEAD_ERROR] = rq_up(length + 0x1p-50);
    if (length >= rq_short(rq)) {
        vsi_rotate(&rq->rotation, rq->kernels, x);
        rq_measure(rq, x, rq_put_code(rq, x, length, levels, row), length, head);
    }
    rq_put_head(rq, row, head);
    return true;
}

/* Whether two figures of a head agree but for what sums in another order differ by, as a part of scale. */
static bool rq_agrees(float found, float expected, double scale) {
    double apart = fabs((double)found - (double)expected);
    return apart <= 0x1p-14 * (fabs((double)expected) + scale);
}

/* Whether the inner product of a row's code and a query has room. */
static bool rq_has_room(const vsi_rq *rq, float inverse) {
    return !vsi_code_is_half(rq->kind) ||
           (inverse >= 0.98f / (2 * RQ_HALF_LENGTH) && inverse <= 1.02f / RQ_HALF_LENGTH);
}

/* Which step of the grid was best may hang on the last bit of a sum, so codes are judged by the error that the head says. That may
 * be a small part of the length. Tables may differ in the last bit of an element, and then in what the rotation rounds: if all of
 * that were another, by about 2^-21 of the length. */
VSI_FN bool vsi_rq_check(const vsi_rq *rq, const float *vector, void *work, const uint8_t *row) {
    float *x = work, head[4], found[4];
    uint8_t *levels = (uint8_t *)(x + rq->rotation.padded);
    rq_residual residual;
    for (int i = 0; i < 4; i++)
        found[i] = rq_get_float(rq_head(rq, row, i));
    if (!rq_subtract_mean(rq, vector, x, &residual))
        return found[VSI_HEAD_BASE] == INFINITY;
    double length = sqrt(residual.square);
    if (!rq_agrees(found[VSI_HEAD_BASE], (float)residual.base,
                   rq->mean_square + sqrt(rq->mean_square) * length))
        return false;
    if (length < rq_short(rq))
        return found[VSI_HEAD_LENGTH] == 0 && found[VSI_HEAD_INVERSE] == 0 &&
               (double)found[VSI_HEAD_ERROR] >= length;
    vsi_rotate(&rq->rotation, rq->kernels, x);
    rq_measure(rq, x, rq_code(rq, row, levels), length, head);
    return rq_agrees(found[VSI_HEAD_LENGTH], head[VSI_HEAD_LENGTH], length) &&
           rq_agrees(found[VSI_HEAD_ERROR], head[VSI_HEAD_ERROR], 0x1p-5 * length) &&
           rq_agrees(found[VSI_HEAD_INVERSE], head[VSI_HEAD_INVERSE], 0) &&
           rq_has_room(rq, head[VSI_HEAD_INVERSE]) &&
           (double)head[VSI_HEAD_ERROR] < length * (1 + 0x1p-10);
}

VSI_FN bool vsi_rq_decode(const vsi_rq *rq, const uint8_t *row, void *work, float *out) {
    float *x = work;
    uint8_t *levels = (uint8_t *)(x + rq->rotation.padded);
    if (!isfinite(rq_get_float(rq_head(rq, row, VSI_HEAD_BASE))))
        return false;
    double unit = (double)rq_get_float(rq_head(rq, row, VSI_HEAD_LENGTH)) *
                  (double)rq_get_float(rq_head(rq, row, VSI_HEAD_INVERSE));
    const uint8_t *code = rq_code(rq, row, levels);
    for (size_t at = 0; at < rq->rotation.padded; at += VSI_CODE_DIMS) {
        rq_points(rq, code, at, x + at);
        for (size_t i = at; i < at + VSI_CODE_DIMS; i++)
            x[i] = (float)((double)x[i] * unit);
    }
    vsi_rotate_back(&rq->rotation, rq->kernels, x);
    for (size_t i = 0; i < rq->dim; i++)
        out[i] = x[i] + rq->mean[i];
    return true;
}

/* ---- queries -------------------------------------------------------------------------------- */

/* What the bound needs of a query, and the errors it has to cover. */
typedef struct rq_lengths {
    double length; /* |q'| */
    double error;  /* d, without slack */
    double base;
    double base_error;
    double whole; /* >= |q| */
    double kernel_error;
} rq_lengths;

static void rq_frame(const vsi_rq *rq, const rq_lengths *q, float unit, int32_t sum,
                     vsi_code_frame *out) {
    double slack = rq_slack(rq), mean = sqrt(rq->mean_square), kernel = q->kernel_error;
    double length = q->length, more = RQ_TINY * mean + 0x1p-50, relative = 16 * RQ_ULP;
    double base_error = q->base_error + 16 * RQ_ULP * fabs(q->base);
    if (rq->metric == VS_L2) {
        relative += 2 * kernel;
        base_error += 2 * kernel * q->base;
    } else if (rq->metric == VS_IP) {
        more += kernel * q->whole;
        base_error += kernel * q->whole * mean;
    } else {
        base_error += kernel;
    }
    double across = length * (1 + 2 * slack) + more;
    *out = (vsi_code_frame){
        .step = rq->grid.step,
        .offset = (int32_t)((uint32_t)rq->grid.offset * (uint32_t)sum),
        .unit = unit,
        .error = rq_up(q->error + slack * length + more),
        .square = rq_up(across * across),
        .length = rq_up(across),
        .base = (float)q->base,
        .base_error = rq_up(base_error),
        .base_relative = (float)relative,
        .factor = rq->metric == VS_L2 ? 2 : 1,
    };
}

/* The points that inner products are made with. */
typedef struct rq_query_points {
    const void *points;
    double error; /* d, without slack */
    float unit;
    int32_t sum;
} rq_query_points;

/* What the sum of the products with halves may be off by, as a part of the lengths. */
static double rq_sum_error(const vsi_rq *rq) {
    return (rq->rotation.padded / 16 + 16) * RQ_ULP;
}

/* Of a query x, which is as long as length: bytes into the memory behind it; for halves they are x, multiplied. */
static rq_query_points rq_query_of(const vsi_rq *rq, float *x, double length) {
    const size_t padded = rq->rotation.padded;
    rq_query_points of = {.points = x};
    if (vsi_code_is_half(rq->kind)) {
        double scale = RQ_QUERY_LENGTH / rq_power(length);
        rq->kernels->scale(x, padded, (float)scale, NULL);
        of.unit = (float)(1 / scale);
        of.error = rq_sum_error(rq) * length;
        return of;
    }
    int8_t *bytes = (int8_t *)(x + padded);
    float error_square = 0;
    of.unit = rq->kernels->bytes(x, padded, bytes, &of.sum, &error_square);
    /* Summed in single precision in at least four lanes. */
    of.error = sqrt((double)error_square * (1 + (rq->rotation.padded / 4 + 16) * RQ_ULP));
    of.points = bytes;
    return of;
}

VSI_FN bool vsi_rq_prepare(const vsi_rq *rq, const float *vector, double kernel_error, void *work,
                           vsi_rq_query *out) {
    float *x = work;
    rq_residual residual;
    if (!rq_subtract_mean(rq, vector, x, &residual))
        return false;
    double length = sqrt(residual.square);
    rq_query_points of = {.points = x, .error = length};
    if (length >= rq_short(rq)) {
        vsi_rotate(&rq->rotation, rq->kernels, x);
        of = rq_query_of(rq, x, length);
    } else {
        memset(x, 0, rq->rotation.padded * sizeof *x);
    }
    rq_lengths q = {
        length,      of.error, residual.base, residual.base_error, length + sqrt(rq->mean_square),
        kernel_error};
    rq_frame(rq, &q, of.unit, of.sum, &out->frame);
    out->rq = rq;
    out->points = of.points;
    return true;
}

/* Of a row whose points are counted in unit; work as for a query. */
static rq_query_points rq_query_of_row(const vsi_rq *rq, const uint8_t *row, float unit,
                                       void *work) {
    float *x = work;
    const size_t padded = rq->rotation.padded;
    const float more = RQ_QUERY_LENGTH / RQ_HALF_LENGTH;
    int8_t *bytes = (int8_t *)(x + padded);
    rq_query_points of = {.points = x, .unit = unit};
    if (vsi_code_is_half(rq->kind)) {
        vsi_codes_widen(row, padded, rq->kind, x);
        rq->kernels->scale(x, padded, more, NULL);
        of.unit = unit / more;
        return of;
    }
    const uint8_t *levels = rq_code(rq, row, work);
    for (size_t i = 0; i < padded; i++) {
        bytes[i] = (int8_t)(rq->grid.step * levels[i] - rq->grid.offset);
        of.sum += bytes[i];
    }
    of.points = bytes;
    return of;
}

VSI_FN bool vsi_rq_prepare_row(const vsi_rq *rq, const uint8_t *row, double kernel_error,
                               void *work, vsi_rq_query *out) {
    double base = (double)rq_get_float(rq_head(rq, row, VSI_HEAD_BASE));
    double length = (double)rq_get_float(rq_head(rq, row, VSI_HEAD_LENGTH));
    double error = (double)rq_get_float(rq_head(rq, row, VSI_HEAD_ERROR));
    if (!isfinite(base))
        return false;
    float unit = (float)(length * (double)rq_get_float(rq_head(rq, row, VSI_HEAD_INVERSE)));
    rq_query_points of = rq_query_of_row(rq, row, unit, work);
    double whole = sqrt(length * length + error * error), mean = sqrt(rq->mean_square);
    double base_error = rq->metric == VS_COSINE ? RQ_COSINE : RQ_TINY * mean * (whole + mean);
    if (vsi_code_is_half(rq->kind))
        error += rq_sum_error(rq) * length;
    rq_lengths q = {whole, error, base, base_error, whole + mean, kernel_error};
    rq_frame(rq, &q, of.unit, of.sum, &out->frame);
    out->rq = rq;
    out->points = of.points;
    return true;
}

/* ---- many rows ------------------------------------------------------------------------------ */

static size_t rq_tile_rows(size_t stride, size_t n) {
    size_t rows = RQ_TILE_BYTES / stride / RQ_TILE_MIN * RQ_TILE_MIN;
    rows = rows < RQ_TILE_MIN ? RQ_TILE_MIN : rows > RQ_TILE ? RQ_TILE : rows;
    return rows < n ? rows : n;
}

/* The next rows of a scan, and the inner products with them. */
static vsi_code_rows rq_tile(const vsi_rq_query *query, const uint8_t *rows, size_t stride,
                             size_t n, int32_t dots[RQ_TILE]) {
    const vsi_rq *rq = query->rq;
    vsi_code_rows tile = {rows, stride, rq->code_bytes, rq_tile_rows(stride, n)};
    rq->kernels->dot[vsi_code_kernel(rq->kind)](query->points, rq->rotation.padded, &tile, dots);
    return tile;
}

VSI_FN void vsi_rq_bounds(const vsi_rq_query *query, const uint8_t *rows, size_t stride, size_t n,
                          float *lower, float *upper) {
    int32_t dots[RQ_TILE];
    for (size_t i = 0; i < n; i += rq_tile_rows(stride, n)) {
        vsi_code_rows tile = rq_tile(query, rows + i * stride, stride, n - i, dots);
        query->rq->kernels->bounds(&query->frame, &tile, dots, lower + i, upper ? upper + i : NULL);
    }
}

VSI_FN void vsi_rq_estimates(const vsi_rq_query *query, const uint8_t *rows, size_t stride,
                             size_t n, float *out) {
    vsi_rq_likely(query, rows, stride, n, out, NULL);
}

/* The part of a row that its code does not see points in a random direction, in padded - 1 dims, so its product with the
 * query is at most deviations / sqrt(padded - 1) of their lengths but for the probability named. */
VSI_FN void vsi_rq_deviations(vsi_rq_query *query, double deviations) {
    query->frame.spread =
        (float)((double)query->frame.length * deviations / sqrt(query->rq->rotation.padded - 1));
}

VSI_FN void vsi_rq_likely(const vsi_rq_query *query, const uint8_t *rows, size_t stride, size_t n,
                          float *out, float *out_wide) {
    int32_t dots[RQ_TILE];
    for (size_t i = 0; i < n; i += rq_tile_rows(stride, n)) {
        vsi_code_rows tile = rq_tile(query, rows + i * stride, stride, n - i, dots);
        query->rq->kernels->estimates(&query->frame, &tile, dots, out + i,
                                      out_wide ? out_wide + i : NULL);
    }
}
