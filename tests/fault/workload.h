/* workload.h - random programs against a database, with a plain model of what it must contain. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "sim.h"
#include "vt.h"

enum { WL_SHAPES = 3, WL_KEYS = 40, WL_NOTES = 7, WL_SAVEPOINTS = 5, WL_TOKENS = 16 };

/* Behind the collections that are created, as many that are copies of them. */
enum { WL_COLLS = 2 * WL_SHAPES, WL_OWN_NOTES = 2 };

/* The last note is for transactions with tokens: two of them never show the same content. */
enum { WL_TOKEN_NOTE = WL_NOTES - 1 };

/* Payloads are of parts that have a seed each; the parts' borders are not those of the pieces that the
 * database cuts them into. */
enum { WL_PART_BYTES = 20000, WL_PARTS = 8 };

typedef struct wl_payload {
    uint32_t bytes; /* 0: none */
    uint32_t part[WL_PARTS];
} wl_payload;

typedef struct wl_record {
    uint32_t vector;   /* seed of the vector; 0: no such record */
    uint32_t metadata; /* seed of the metadata; 0: none */
    wl_payload payload;
} wl_record;

/* The content of a database. */
typedef struct wl_model {
    bool exists[WL_COLLS];
    bool is_renamed[WL_COLLS];
    uint8_t limit[WL_COLLS]; /* of records, 0: none; it is never reached */
    uint8_t alias;           /* 1 + the collection that it leads to; 0: there is none */
    wl_record record[WL_COLLS][WL_KEYS];
    uint32_t note[WL_NOTES];                   /* seed; 0: none */
    uint32_t own_note[WL_COLLS][WL_OWN_NOTES]; /* of each collection */
    uint32_t tokens;                           /* bit t: a transaction with token t was committed */
} wl_model;

/* A number of all content of an open database, read through the public interface; the same that each
 * wl_state of a run has. False when reading failed. */
bool wl_read_fingerprint(vs_db *db, uint64_t *out_fingerprint);

/* Whether the database knows the tokens of a model and no others. Not VS_OK: it could not be asked. */
vs_status wl_compare_tokens(vs_db *db, const wl_model *model, bool *out_is_same);

/* Marks in the simulated file system's record; the value is the index of a state. */
enum {
    WL_STARTED = 1, /* a commit to this state has begun: a crash may show it */
    WL_DURABLE,     /* it was acknowledged as durable: nothing older may be shown */
    WL_REFUSED      /* it was refused: it must never be shown */
};

typedef struct wl_state {
    uint64_t fingerprint;
    wl_model model;
    bool is_refused;
} wl_state;

/* A kind of random program: how often each step is taken. */
typedef struct workload {
    const char *name;
    int steps;
    int put, batch, delete, note, create, begin, commit, rollback, sync, reopen, kill, read;
    int commit_sync; /* VS_SYNC_... of commits; -1: a random one */
    int big; /* percent of metadata and notes that are long; negative: of those some take pages that
                        compression saves, and handles with and without it take turns */
    int fault; /* SIM_FAULT_...: one call in fault_every fails */
    int fault_every;
    int checkpoint, maintain,
        hold;                /* more steps; hold: take a snapshot, or look at it and let it go */
    uint64_t memory;         /* the memory limit; 0: the usual one */
    int save, back, release; /* more steps: of savepoints, in transactions */
    int update;    /* more steps: parts of a record that stays; names, limits and an alias */
    int payload;   /* more steps: of a few records, a run is written or the end cut off */
    uint64_t room; /* bytes that the disk has; 0: any number */
    int drop, copy, vacuum; /* more steps: of whole collections and of the file */
    bool has_no_codes;      /* their last bits are a processor's own */
    int token;              /* percent of transactions that ask for a token before they commit */
} workload;

extern const workload wl_all[];
extern const int wl_count;
const workload *wl_find(const char *name);

/* A run of a workload. */
typedef struct wl_run {
    const workload *w;
    sim *s;
    vt_rng rng;
    vs_open_options options;
    bool expects_failures; /* errors of memory or files are part of the run */
    vs_vfs vfs;       /* the simulated one; its clock is so fast that long calls are always asked */
    uint64_t stop_in; /* questions until one is answered with no; 0: none is */
    vt_rng stops;

    vs_db *db;
    vs_collection *coll[WL_COLLS];
    vs_txn *txn;
    wl_model staged;
    wl_model saved[WL_SAVEPOINTS]; /* at each open savepoint */
    int saved_count;
    vs_txn *held; /* a snapshot, and what it must show */
    wl_model held_model;

    wl_state *state; /* every state that a commit was started to; 0: the initial one */
    int state_count, state_cap;
    int acked; /* the last one acknowledged at any level */
    int floor; /* the last one acknowledged as durable */
    bool is_in_doubt;
    uint64_t commits, failures;
    char problem[512]; /* "" or what is wrong */
} wl_run;

/* initial: the content of the disk of s. The run is freed by wl_free. */
void wl_init(wl_run *run, const workload *w, sim *s, uint64_t seed, const wl_model *initial);
void wl_free(wl_run *run);

/* Opens the database; checks that it shows one of the states [floor, last]. */
bool wl_open(wl_run *run);
/* Takes so many steps, or all of the workload's; then ends the transaction. False: see problem. */
bool wl_steps(wl_run *run, int steps);
/* Closes as a program does that ends properly. */
bool wl_close(wl_run *run);
/* Ends as a program does that is killed. */
void wl_kill(wl_run *run);

/* The state with this fingerprint that may be shown, or -1. */
int wl_match(const wl_run *run, uint64_t fingerprint, int floor, int last);

#endif
