/* seeds.c FOLDER - writes the fuzz seeds: log files of the campaigns' programs, in every mode of the
 * target. To be compiled with -DVSI_STREAM_BYTES=4096 -DVSI_UNSYNCED_MAX=20000 and not with a small
 * VSI_CHECKPOINT_LOG_BYTES: the target wants all that was committed in the first log file. */
#include "workload.h"

static void write_seed(const char *folder, const char *name, int mode, const sim_file *log) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s-%d", folder, name, mode);
    FILE *f = fopen(path, "wb");
    if (!f || fputc(mode, f) == EOF || fwrite(log->data, 1, log->bytes, f) != log->bytes ||
        fclose(f)) {
        fprintf(stderr, "seeds: %s cannot be written\n", path);
        exit(1);
    }
}

int main(int argc, char **argv) {
    static const char *names[] = {"create", "puts", "churn", "streamed", "notes"};
    if (argc != 2)
        return 2;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        sim *s = sim_new(3, NULL);
        wl_run run;
        workload w = *wl_find(names[i]);
        w.steps = w.steps < 14 ? w.steps : 14;
        w.reopen = w.kill = 0; /* one log file */
        wl_init(&run, &w, s, 3, NULL);
        if (!wl_open(&run) || !wl_steps(&run, 0))
            return 1;
        sim_image image = sim_image_now(s);
        const sim_file *log = sim_image_find(&image, "t.vs-wal-1");
        if (!log || image.count != 2)
            return 1;
        write_seed(argv[1], names[i], i % 2 ? 0 : 4, log);
        write_seed(argv[1], names[i], 3, log);
        sim_image_free(&image);
        wl_free(&run);
        sim_free(s);
    }
    return 0;
}
