/* powers.c - prints amalgamation/src/base/powers.inc: the powers of five from 5^-342 to 5^324, each scaled by
 * a power of two to [2^127, 2^128), as two words, the upper one first.
 *
 * Cut off below, except 5^-27 to 5^-1, which are rounded up (base/number.c says why). The numbers are
 * exact until then, in plain long arithmetic; tests/unit/number.c verifies the result by another way. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LIMBS = 28, POWER_MIN = -342, POWER_MAX = 324, ROUNDED_UP_MIN = -27 };

typedef struct big {
    uint32_t limb[LIMBS]; /* the least significant first */
} big;

static void multiply(big *a, uint32_t factor) {
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)a->limb[i] * factor;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static int compare(const big *a, const big *b) {
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

static void subtract(big *a, const big *b) {
    uint64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        uint64_t difference = (uint64_t)a->limb[i] - b->limb[i] - borrow;
        a->limb[i] = (uint32_t)difference;
        borrow = difference >> 63;
    }
}

/* The 128 bits of dividend / divisor, which is in [1, 2). */
static void divide(big *dividend, const big *divisor, uint64_t word[2]) {
    for (int bit = 0; bit < 128; bit++) {
        uint64_t is_set = compare(dividend, divisor) >= 0;
        if (is_set)
            subtract(dividend, divisor);
        word[bit / 64] = word[bit / 64] << 1 | is_set;
        multiply(dividend, 2);
    }
}

static void print_power(int power) {
    uint64_t word[2] = {0, 0};
    big five = {{1}}, two = {{1}};
    for (int i = 0; i < (power < 0 ? -power : power); i++)
        multiply(&five, 5);
    big scale = two;
    while (compare(&scale, &five) <= 0) {
        two = scale;
        multiply(&scale, 2);
    }
    if (power < 0)
        divide(&scale, &five, word);
    else
        divide(&five, &two, word);
    if (power >= ROUNDED_UP_MIN && power < 0)
        word[0] += ++word[1] == 0;
    printf("{0x%016llx, 0x%016llx},", (unsigned long long)word[0], (unsigned long long)word[1]);
}

int main(void) {
    printf("/* powers.inc - 5^-342 to 5^324 as 128 bits; printed by amalgamation/powers.c (make "
           "powers). */\n");
    for (int power = POWER_MIN; power <= POWER_MAX; power++) {
        int column = (power - POWER_MIN) % 2;
        if (column)
            putchar(' ');
        print_power(power);
        if (column || power == POWER_MAX)
            putchar('\n');
    }
    return 0;
}
