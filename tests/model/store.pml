/* store.pml - the store's protocol: generations of the log, checkpoints, readers, reuse of pages, crashes.
 *
 * Each inline follows one function of amalgamation/src/store and has its name; docs/TESTING.md says what
 * is left out. A database has two leaves; commit n changes leaf n % 2. A page, a frame and a root are what
 * they say they are when the number in them is the expected one, which stands for their checksums.
 *
 * Invariants:
 *   I1  No commit that was acknowledged is lost, or found changed.
 *   I2  Recovery never meets a page that was written for something else, or was never durable: only
 *       damage of the device (at most one page) makes it go back to the checkpoint before.
 *   I3  No page is written that a reader, the newest version, or one of the last two checkpoints reaches.
 *   I4  Every log file from the chosen checkpoint to the generation that the meta page names is there,
 *       whole, and continues the one before.
 *   I5  No file behind that generation has frames that count.
 *
 * Planted bugs, each of which must break an assertion: -DBUG_REUSE_EARLY, -DBUG_READER_PAGES,
 * -DBUG_NAME_BEFORE_SYNC, -DBUG_ACK_BEFORE_META, -DBUG_LOG_GOES_EARLY, -DBUG_DRAFT_STAYS. */

#ifndef LSNS
#define LSNS 3 /* commits */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef FAILURES
#define FAILURES 1 /* writes of a meta page, or syncs, that fail */
#endif
#ifndef DAMAGES
#define DAMAGES 1
#endif
#ifndef CHECKPOINTS
#define CHECKPOINTS 3
#endif
#define GENERATIONS 7
#define PAGES 16
#define GARBAGE 255

#define BIT(p) (1 << (p))
#define ID(lsn, inc) ((lsn) * 4 + (inc)) /* of a commit: its number, and which attempt at that number */

typedef checkpoint_t {
    byte num, lsn, chain, log_from; /* log_from 0: there is none */
    byte root, root_id, list, list_id;
    byte page0, value0, page1, value1;
    int used, dying; /* the list of free pages: what is not free, and what will be */
};
typedef meta_t {
    bool ok;
    byte gen, durable;
    checkpoint_t now, before;
};

#define COPY_CP(a, b) \
    a.num = b.num; a.lsn = b.lsn; a.chain = b.chain; a.log_from = b.log_from; \
    a.root = b.root; a.root_id = b.root_id; a.list = b.list; a.list_id = b.list_id; \
    a.page0 = b.page0; a.value0 = b.value0; a.page1 = b.page1; a.value1 = b.value1; \
    a.used = b.used; a.dying = b.dying
#define NO_CP(a) \
    a.num = 0; a.lsn = 0; a.chain = 0; a.log_from = 0; a.root = 0; a.root_id = 0; a.list = 0; a.list_id = 0; \
    a.page0 = 0; a.value0 = 0; a.page1 = 0; a.value1 = 0; a.used = 0; a.dying = 0
#define COPY_META(a, b) \
    a.ok = b.ok; a.gen = b.gen; a.durable = b.durable; COPY_CP(a.now, b.now); COPY_CP(a.before, b.before)
#define REACH(c) ((BIT(c.root) | BIT(c.list) | BIT(c.page0) | BIT(c.page1)) & ~1) /* page 0: none */
#define NAMED(c) (c.list_id == given_up -> 0 : REACH(c))
#define MAY_BE_BAD(c) (damaged | (given_up != 0 && c.list_id == given_up -> given_pages : 0))

/* ---- the device ---------------------------------------------------------------------------------- */

meta_t slot[2];
byte latest;       /* the slot with the larger number */
byte page[PAGES];
int unsynced;      /* pages that a power cut may spoil */
int damaged;       /* pages that the device spoilt */

bool f_exists[GENERATIONS], f_counts[GENERATIONS]; /* f_counts: has a MARK, or a frame that followed a sync */
byte f_start[GENERATIONS], f_previous[GENERATIONS], f_chain[GENERATIONS];
byte f_end[GENERATIONS], f_durable[GENERATIONS];
byte f_inc[GENERATIONS * (LSNS + 1)];

/* ---- the engine's memory ------------------------------------------------------------------------- */

bool is_up, has_failed;
meta_t m, w;       /* metas.newest, and what is being written */
bool is_pair;
byte next_slot;
bool log_is_open;
byte log_gen, draft_gen, log_durable, next_lsn;
byte inc[LSNS + 1];          /* the commits of the newest version */
byte a_page0, a_value0, a_page1, a_value1, a_root, a_root_id, a_seq; /* applied; page 0: in memory only */
byte p_page0, p_page1, p_root, p_seq;                                /* published */
bool space_is_known;
int free;
int dead;
byte dead_checkpoint[PAGES], dead_version[PAGES];

/* ---- the reader ---------------------------------------------------------------------------------- */

bool is_pinned;
byte r_page0, r_page1, r_root, r_seq;

/* ---- ghosts -------------------------------------------------------------------------------------- */

byte acked, ack_inc[LSNS + 1], tries[LSNS + 1];
byte crashes, failures, damages, ids;
byte given_up;    /* list_id of a damaged checkpoint that recovery left, though a meta page may name it yet */
int given_pages;

/* ---- scratch, zero between steps ------------------------------------------------------------------ */

bool st, is_needed, is_final, from_before, was_open;
byte i, g, l, hi, at, n0, n1, n2, n3;
int mask, oldest;
checkpoint_t c;

inline may_crash() {
    if
    :: crashes < CRASHES -> goto crash
    :: skip
    fi
}

/* ---- meta.c -------------------------------------------------------------------------------------- */

/* What a write that was cut short, or that failed, left of a meta page. */
inline slot_outcome() {
    if
    :: skip
    :: slot[next_slot].ok = false
    :: d_step { COPY_META(slot[next_slot], w); latest = next_slot }
    fi
}

/* metas_write_next: writes w to the slot whose turn it is, and syncs. */
inline metas_write_next() {
    if
    :: d_step {
           COPY_META(slot[next_slot], w);
           latest = next_slot;
           is_pair = (w.gen == m.gen && w.now.num == m.now.num);
           COPY_META(m, w);
           next_slot = 1 - next_slot;
           st = false
       }
    :: failures < FAILURES -> failures++; is_pair = false; st = true; slot_outcome()
    :: crashes < CRASHES -> slot_outcome(); goto crash
    fi
}

inline metas_write() {
    metas_write_next();
    if
    :: !st -> metas_write_next()
    :: else
    fi
}

inline metas_repair() {
    d_step { COPY_META(w, m) };
    metas_write_next()
}

/* ---- log.c --------------------------------------------------------------------------------------- */

/* draft_make: a file of the next generation with all frames that may not be durable. */
inline draft_make() {
    if
    :: log_gen + 1 >= GENERATIONS -> goto bound
    :: else
    fi;
    d_step {
        g = log_gen + 1;
        f_exists[g] = true;
        f_counts[g] = false;
        f_start[g] = log_durable + 1;
        f_previous[g] = log_gen;
        f_chain[g] = inc[log_durable];
        f_end[g] = next_lsn - 1;
        f_durable[g] = next_lsn - 1;
        for (l : 1 .. LSNS) {
            f_inc[g * (LSNS + 1) + l] = (l > log_durable && l < next_lsn -> inc[l] : 0)
        }
        draft_gen = g;
        g = 0; l = 0
    }
}

/* draft_install, vsi_log_remove_strays */
inline draft_install() {
    d_step {
        log_gen = draft_gen;
        draft_gen = 0;
        log_is_open = true;
        log_durable = next_lsn - 1;
        for (g : 1 .. GENERATIONS - 1) {
            if
            :: g > log_gen -> f_exists[g] = false
            :: else
            fi
        }
        g = 0
    }
}

/* vsi_log_take_over, vsi_engine_take_over */
inline take_over() {
    was_open = log_is_open;
    st = false;
    if
    :: draft_gen == 0 -> may_crash(); draft_make()
    :: else
    fi;
    may_crash();
#ifndef BUG_ACK_BEFORE_META
    d_step { COPY_META(w, m); w.gen = draft_gen; w.durable = next_lsn - 1 };
    metas_write();
#endif
    if
    :: !st -> draft_install()
    :: st && was_open -> has_failed = true
    :: else
    fi;
    was_open = false
}

/* ---- engine.c, version.c ------------------------------------------------------------------------- */

/* vsi_versions_publish */
inline publish() {
    p_page0 = a_page0; p_page1 = a_page1; p_root = a_root; p_seq = a_seq
}

/* What the caller of a commit with VS_SYNC_FULL, or of vs_sync, was told. */
inline acknowledge() {
    d_step {
        publish();
        for (l : 1 .. LSNS) {
            if
            :: l < next_lsn && l > acked -> ack_inc[l] = inc[l]
            :: else
            fi
        }
        l = 0;
        acked = (next_lsn - 1 > acked -> next_lsn - 1 : acked)
    }
}

/* vsi_engine_sync, vsi_engine_sync_round, engine_settle_metas */
inline engine_sync() {
    st = has_failed;
    if
    :: !st && !is_pair -> metas_repair()
    :: else
    fi;
    if
    :: !st && log_durable < next_lsn - 1 && !log_is_open -> take_over()
    :: !st && log_durable < next_lsn - 1 && log_is_open ->
        if
        :: d_step {
               f_durable[log_gen] = f_end[log_gen];
               f_counts[log_gen] = true;
               log_durable = next_lsn - 1
           }
        :: failures < FAILURES -> failures++; take_over() /* engine_survive_failed_sync */
        fi
    :: else
    fi;
    if
    :: !st -> acknowledge()
    :: else
    fi
}

/* vsi_engine_bury: a page that the version being made replaces. */
inline bury(p, checkpoint, version) {
    if
    :: p != 0 ->
        dead = dead | BIT(p);
        dead_checkpoint[p] = checkpoint;
        dead_version[p] = version
    :: else
    fi
}

/* apply of one commit to the applied version */
inline apply(lsn) {
    if
    :: (lsn) % 2 == 0 -> bury(a_page0, m.now.num, a_seq + 1); a_page0 = 0; a_value0 = ID(lsn, inc[lsn])
    :: else -> bury(a_page1, m.now.num, a_seq + 1); a_page1 = 0; a_value1 = ID(lsn, inc[lsn])
    fi;
    bury(a_root, m.now.num, a_seq + 1);
    a_root = 0
}

/* vsi_write_commit up to the sync: write_append, write_hand_over */
inline commit() {
    st = false;
    if
    :: !log_is_open -> take_over()
    :: else
    fi;
    if
    :: !st ->
        d_step {
            l = next_lsn;
            tries[l] = tries[l] + 1;
            assert(tries[l] < 4);
            inc[l] = tries[l];
            f_inc[log_gen * (LSNS + 1) + l] = inc[l];
            f_end[log_gen] = l;
            if
            :: log_durable >= f_start[log_gen] -> f_counts[log_gen] = true
            :: else
            fi;
            apply(l);
            a_seq++;
            next_lsn++;
            l = 0
        }
    :: else
    fi
}

/* ---- space.c, checkpoint.c ------------------------------------------------------------------------ */

inline reach_of(x) { mask = mask | REACH(x) }

/* space_load, vsi_space_read, space_rebuild */
inline space_load() {
    d_step {
        if
        :: !space_is_known ->
            if
            :: m.now.list == 0 || page[m.now.list] == m.now.list_id ->
                free = ~m.now.used & (BIT(PAGES) - 2);
                for (i : 1 .. PAGES - 1) {
                    if
                    :: m.now.dying & BIT(i) -> bury(i, m.now.num - 1, 0)
                    :: else
                    fi
                }
            :: else ->
                mask = REACH(m.now);
                free = (m.before.log_from != 0 -> REACH(m.before) : 0);
                for (i : 1 .. PAGES - 1) {
                    if
                    :: (free & ~mask) & BIT(i) -> bury(i, m.before.num, 0)
                    :: else
                    fi
                }
                free = ~(mask | free) & (BIT(PAGES) - 2);
                mask = 0
            fi;
            i = 0;
            space_is_known = true
        :: else
        fi
    }
}

/* vsi_space_take and the write of the page; I3 */
inline write_page(out, id) {
    out = 1;
    do
    :: out < PAGES && !(free & BIT(out)) -> out++
    :: else -> break
    od;
    assert(out < PAGES); /* the model's bound, not the database's */
    mask = REACH(m.now) | REACH(m.before);
    mask = mask | (slot[0].ok -> NAMED(slot[0].now) | NAMED(slot[0].before) : 0);
    mask = mask | (slot[1].ok -> NAMED(slot[1].now) | NAMED(slot[1].before) : 0);
    assert(!(mask & BIT(out)));
    mask = BIT(a_page0) | BIT(a_page1) | BIT(a_root) | BIT(p_page0) | BIT(p_page1) | BIT(p_root);
    mask = mask | (is_pinned -> BIT(r_page0) | BIT(r_page1) | BIT(r_root) : 0);
    assert(!(mask & BIT(out)));
    mask = 0;
    free = free & ~BIT(out);
    unsynced = unsynced | BIT(out);
    damaged = damaged & ~BIT(out);
    page[out] = id
}

/* checkpoint_write: vsi_flush, space_save; n0 .. n3: the pages of leaf 0, leaf 1, the root and the list */
inline checkpoint_write() {
    d_step {
        ids++;
        if
        :: a_value0 != 0 && a_page0 == 0 -> write_page(n0, a_value0)
        :: else
        fi;
        if
        :: a_value1 != 0 && a_page1 == 0 -> write_page(n1, a_value1)
        :: else
        fi;
        if
        :: a_root == 0 -> write_page(n2, 100 + ids)
        :: else
        fi;
        /* vsi_space_write: the dead that the checkpoint before reaches are dying, the others free. */
        NO_CP(c);
        for (i : 1 .. PAGES - 1) {
            if
            :: (dead & BIT(i)) && !is_final && dead_checkpoint[i] >= m.now.num -> c.dying = c.dying | BIT(i)
            :: else
            fi
        }
        c.dying = c.dying | (is_final -> 0 : BIT(m.now.list) & ~1);
        oldest = ~free & ~dead & (BIT(PAGES) - 2) & (is_final -> ~BIT(m.now.list) : -1);
        c.used = oldest | c.dying;
        write_page(n3, 150 + ids);
        c.used = c.used | BIT(n3);
        oldest = 0; i = 0;

        c.num = m.now.num + 1;
        c.lsn = log_durable;
        c.chain = inc[log_durable];
        c.log_from = m.gen + 1;
        c.page0 = (n0 -> n0 : a_page0); c.value0 = a_value0;
        c.page1 = (n1 -> n1 : a_page1); c.value1 = a_value1;
        c.root = (n2 -> n2 : a_root);
        c.root_id = (n2 -> 100 + ids : a_root_id);
        c.list = n3;
        c.list_id = 150 + ids
    }
}

/* checkpoint_name */
inline checkpoint_name() {
    d_step {
        COPY_META(w, m);
        NO_CP(w.before);
        if
        :: !is_final -> COPY_CP(w.before, m.now)
        :: else
        fi;
        COPY_CP(w.now, c);
        w.durable = log_durable;
        at = m.now.list; /* replaced */
        hi = m.now.num
    };
    metas_write();
    if
    :: st ->
        metas_repair();
        if
        :: st -> has_failed = true
        :: !st && m.now.num == c.num
        :: else -> st = true
        fi
    :: else
    fi
}

/* vsi_log_end, checkpoint_install */
inline checkpoint_install() {
    d_step {
        log_is_open = false;
#ifndef BUG_DRAFT_STAYS
        draft_gen = 0;
        log_gen = m.gen;
#endif
        bury(at, hi, 0);
        a_page0 = c.page0; a_page1 = c.page1; a_root = c.root; a_root_id = c.root_id;
        a_seq++;
        publish()
    }
}

/* vsi_pager_undo, unless writing has stopped */
inline checkpoint_undo() {
    d_step {
        if
        :: !has_failed ->
            free = free | ((BIT(n0) | BIT(n1) | BIT(n2) | BIT(n3)) & ~1)
        :: else
        fi
    }
}

/* checkpoint_clean: vsi_versions_reclaim, vsi_space_reap, log_remove_below */
inline checkpoint_clean() {
    d_step {
        oldest = (is_pinned && r_seq < p_seq -> r_seq : p_seq);
#ifdef BUG_READER_PAGES
        oldest = p_seq;
#endif
        hi = (m.before.log_from != 0 -> m.before.num : m.now.num);
#ifdef BUG_REUSE_EARLY
        hi = m.now.num;
#endif
        for (i : 1 .. PAGES - 1) {
            if
            :: (dead & BIT(i)) && space_is_known && dead_checkpoint[i] < hi && dead_version[i] <= oldest ->
                dead = dead & ~BIT(i);
                free = free | BIT(i);
                dead_checkpoint[i] = 0;
                dead_version[i] = 0
            :: else
            fi
        }
        oldest = 0; hi = 0; i = 0
    };
    may_crash();
    d_step {
        hi = (m.before.log_from != 0 -> m.before.log_from : m.now.log_from);
#ifdef BUG_LOG_GOES_EARLY
        hi = m.now.log_from;
#endif
        for (g : 1 .. GENERATIONS - 1) {
            if
            :: g < hi || (is_final && g > log_gen) -> f_exists[g] = false
            :: else
            fi
        }
        g = 0; hi = 0
    }
}

/* checkpoint_with_role, checkpoint_make */
inline checkpoint() {
    engine_sync();
    is_needed = !(m.now.lsn == next_lsn - 1 && m.now.log_from > m.gen) || (is_final && m.before.log_from != 0);
    if
    :: !st && is_needed ->
        if
        :: m.now.num >= CHECKPOINTS || ids >= CHECKPOINTS + 1 -> goto bound
        :: else
        fi;
        space_load();
        checkpoint_write();
        may_crash();
#ifndef BUG_NAME_BEFORE_SYNC
        if
        :: unsynced = 0
        :: failures < FAILURES -> failures++; st = true
        fi;
#endif
        if
        :: !st -> checkpoint_name()
        :: else
        fi;
        if
        :: !st -> checkpoint_install()
        :: else -> checkpoint_undo()
        fi;
        unsynced = 0;
        d_step { n0 = 0; n1 = 0; n2 = 0; n3 = 0; at = 0; hi = 0; NO_CP(c) }
    :: else
    fi;
    if
    :: !st && (is_needed || is_final) -> checkpoint_clean()
    :: else
    fi
}

/* ---- recovery: engine.c, replay.c ------------------------------------------------------------------ */


/* vsi_metas_read, engine_settle_metas */
inline open_metas() {
    d_step {
        at = (slot[latest].ok -> latest : 1 - latest);
        assert(slot[at].ok);
        COPY_META(m, slot[at]);
        is_pair = (slot[0].ok && slot[1].ok && slot[0].gen == slot[1].gen && slot[0].now.num == slot[1].now.num);
        latest = at;
        next_slot = 1 - at;
        at = 0
    };
    if
    :: !is_pair -> metas_repair(); st = false /* a failure is a message */
    :: else
    fi
}

/* replay_collect_files, vsi_replay_next: all frames from the checkpoint c on; I4 and I5. st: c is damaged. */
inline recover_from() {
    d_step {
        st = false;
        a_page0 = c.page0; a_value0 = c.value0; a_page1 = c.page1; a_value1 = c.value1;
        a_root = c.root; a_root_id = c.root_id; a_seq = 0;
        dead = 0;
        for (i : 0 .. PAGES - 1) {
            dead_checkpoint[i] = 0;
            dead_version[i] = 0
        }
        for (l : 0 .. LSNS) { inc[l] = 0 }
        inc[c.lsn] = c.chain;
        next_lsn = c.lsn + 1;
        log_durable = c.lsn;
        if
        :: c.root != 0 && page[c.root] != c.root_id ->
            assert(MAY_BE_BAD(c) & BIT(c.root)); /* I2 */
            st = true
        :: else
        fi;
        g = m.gen;
        if
        :: g >= c.log_from ->
            next_lsn = f_end[g] + 1;
            log_durable = f_start[g] - 1;
            hi = f_end[g];
            assert(f_end[g] >= m.durable);
            log_durable = (m.durable > log_durable -> m.durable : log_durable)
        :: else
        fi;
        do
        :: g != 0 && g >= c.log_from ->
            assert(f_exists[g]);
            assert(f_end[g] >= hi);
            for (l : 1 .. LSNS) {
                if
                :: l >= f_start[g] && l <= hi -> inc[l] = f_inc[g * (LSNS + 1) + l]
                :: else
                fi
            }
            hi = f_start[g] - 1;
            if
            :: f_previous[g] != 0 && f_previous[g] >= c.log_from ->
                assert(f_inc[f_previous[g] * (LSNS + 1) + hi] == f_chain[g] ||
                       hi < f_start[f_previous[g]])
            :: else -> assert(f_start[g] == c.lsn + 1 && f_chain[g] == c.chain)
            fi;
            g = f_previous[g]
        :: else -> break
        od;
        for (g : 1 .. GENERATIONS - 1) {
            assert(!(g > m.gen && f_exists[g] && f_counts[g]))
        }
        g = 0; hi = 0;
        for (l : 1 .. LSNS) {
            if
            :: !st && l > c.lsn && l < next_lsn ->
                at = (l % 2 -> a_page1 : a_page0);
                if
                :: at != 0 && page[at] != (l % 2 -> a_value1 : a_value0) ->
                    assert(MAY_BE_BAD(c) & BIT(at)); /* I2 */
                    st = true
                :: else
                fi;
                apply(l)
            :: else
            fi
        }
        at = 0; l = 0
    }
}

/* I1; I2 for the pages that only readers will ask for */
inline verify_recovered() {
    d_step {
        assert(a_page0 == 0 || page[a_page0] == a_value0 || (damaged & BIT(a_page0)));
        assert(a_page1 == 0 || page[a_page1] == a_value1 || (damaged & BIT(a_page1)));
        assert(acked < next_lsn);
        for (l : 1 .. LSNS) {
            if
            :: l <= acked && l + 2 >= next_lsn ->
                assert((l % 2 -> a_value1 : a_value0) == ID(l, ack_inc[l]))
            :: else
            fi
        }
        l = 0
    }
}

/* open_recover, open_go_back */
inline open_recover() {
    d_step { COPY_CP(c, m.now) };
    recover_from();
    if
    :: st && m.before.log_from == 0 -> goto lost
    :: st && m.before.log_from != 0 ->
        d_step { COPY_CP(c, m.before) };
        recover_from();
        if
        :: st -> goto lost
        :: else
        fi;
        d_step {
            given_up = m.now.list_id;
            given_pages = REACH(m.now);
            COPY_CP(m.now, c);
            NO_CP(m.before)
        }
    :: else
    fi;
    verify_recovered();
    d_step {
        NO_CP(c);
        log_gen = m.gen;
        log_is_open = false;
        draft_gen = 0;
        space_is_known = false;
        free = 0;
        has_failed = false;
        publish();
        is_up = true
    }
}

/* ---- what happens ---------------------------------------------------------------------------------- */

active proctype database() {
    d_step {
        slot[0].ok = true; slot[0].now.log_from = 1;
        slot[1].ok = true; slot[1].now.log_from = 1
    };
open:
    open_metas();
    open_recover();
    do
    :: !has_failed && next_lsn <= LSNS -> commit() /* VS_SYNC_NORMAL, _OFF */
    :: !has_failed && log_durable < next_lsn - 1 -> engine_sync() /* ... and then _FULL */
    :: !has_failed -> checkpoint()
    :: !has_failed && !is_pinned -> /* vs_close */
        is_final = true;
        checkpoint();
        if
        :: !st -> is_final = false; goto down
        :: else -> is_final = false
        fi
    :: crashes < CRASHES -> goto crash
    od;

crash: /* of the power: what was not synced may be lost */
    crashes++;
    g = 1;
    do
    :: g < GENERATIONS && f_exists[g] && f_end[g] > f_durable[g] ->
        if
        :: f_end[g] = f_durable[g]
        :: skip
        fi;
        g++
    :: g < GENERATIONS && !(f_exists[g] && f_end[g] > f_durable[g]) -> g++
    :: g >= GENERATIONS -> break
    od;
    g = 0;
    if
    :: unsynced != 0 ->
        d_step {
            for (i : 1 .. PAGES - 1) {
                if
                :: unsynced & BIT(i) -> page[i] = GARBAGE
                :: else
                fi
            }
            i = 0
        }
    :: skip
    fi;
    if
    :: damages < DAMAGES && slot[latest].ok && slot[latest].now.num != 0 ->
        damages++;
        if
        :: at = slot[latest].now.root
        :: at = slot[latest].now.list
        :: at = slot[latest].now.page0
        :: at = slot[latest].now.page1
        fi;
        d_step {
            if
            :: at != 0 -> page[at] = GARBAGE; damaged = damaged | BIT(at)
            :: else
            fi;
            at = 0
        }
    :: skip
    fi;
down: /* memory is gone */
    skip;
    d_step {
        is_up = false; is_pinned = false; is_final = false; is_needed = false; was_open = false; st = false;
        r_page0 = 0; r_page1 = 0; r_root = 0; r_seq = 0;
        unsynced = 0; i = 0; g = 0; l = 0; hi = 0; at = 0; n0 = 0; n1 = 0; n2 = 0; n3 = 0; mask = 0; oldest = 0;
        NO_CP(c); NO_CP(w.now); NO_CP(w.before); w.gen = 0; w.durable = 0
    };
    goto open;

lost:  /* two damaged checkpoints, or one and no other: an error, not a wrong answer */
bound: /* beyond what the model holds */
    skip
}

/* vsi_versions_pin, vsi_versions_unpin */
active proctype reader() {
end:
    do
    :: atomic {
           is_up && !is_pinned ->
           is_pinned = true;
           r_page0 = p_page0; r_page1 = p_page1; r_root = p_root; r_seq = p_seq
       }
    :: atomic {
           is_pinned ->
           is_pinned = false; r_page0 = 0; r_page1 = 0; r_root = 0; r_seq = 0
       }
    od
}
