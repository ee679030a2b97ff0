/* poison.h - from here on memory comes from base/mem alone; anything else does not compile. */
#if defined(VSI_AMALGAMATION) && defined(__GNUC__)
#pragma GCC poison malloc calloc free
#endif
