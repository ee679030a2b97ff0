/* verify.h - what must hold of a disk after a crash. */
#ifndef VERIFY_H
#define VERIFY_H

#include "workload.h"

/* Checks the recovery invariants on a copy of image, which must show one of the states
 * [floor, last] of run that was not refused:
 *
 *   i    the state is one of the commit history
 *   ii   not older than the last durable one
 *   iii  its digest is right
 *   iv   vs_check finds nothing at level 3
 *   v    a second recovery finds the same, and a read-only one writes nothing
 *   vi   a further commit works, survives a power cut, and the next open shows it
 *   vii  no file is left over
 *
 * Writes the reason into problem on failure. *out_state, unless NULL, is the state shown. */
bool verify_image(const sim_image *image, const wl_run *run, int floor, int last, uint64_t seed,
                  char *problem, size_t problem_bytes, int *out_state);

#endif
