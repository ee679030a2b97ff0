/* interrupt.c - Ctrl-C. A thread waits for SIGINT, which all others block, so that no handler runs anywhere:
 * vs_interrupt may be called from any thread. */
#define _POSIX_C_SOURCE 200809L
#include "interrupt.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct shell_interrupts {
    pthread_mutex_t lock; /* of all below but the pipe */
    vs_db *db;
    bool is_running; /* a command */
    bool came;       /* while it ran */
    int pipe[2];     /* a byte for each Ctrl-C while none ran */
};

enum { EXIT_BY_SIGINT = 130 };

static void note_interrupt(shell_interrupts *in) {
    pthread_mutex_lock(&in->lock);
    if (in->is_running && in->came)
        _exit(EXIT_BY_SIGINT); /* it does not listen; what was committed is safe */
    if (in->is_running) {
        in->came = true;
        if (in->db)
            (void)vs_interrupt(in->db);
    } else if (write(in->pipe[1], "", 1) != 1) {
        in->came = true; /* the pipe is full of them */
    }
    pthread_mutex_unlock(&in->lock);
}

static void *wait_for_interrupts(void *ctx) {
    shell_interrupts *in = ctx;
    sigset_t set;
    int number = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    while (!sigwait(&set, &number))
        note_interrupt(in);
    return NULL;
}

shell_interrupts *interrupt_start(void) {
    struct sigaction now;
    if (!sigaction(SIGINT, NULL, &now) && now.sa_handler == SIG_IGN)
        return NULL; /* it runs in the background: Ctrl-C is meant for others */
    shell_interrupts *in = calloc(1, sizeof *in);
    pthread_t thread;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    if (!in || pthread_mutex_init(&in->lock, NULL) || pipe(in->pipe)) {
        free(in);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(in->pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(in->pipe[i], F_SETFD, FD_CLOEXEC);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, wait_for_interrupts, in)) {
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        close(in->pipe[0]);
        close(in->pipe[1]);
        free(in);
        return NULL;
    }
    pthread_detach(thread);
    return in;
}

void interrupt_watch(shell_interrupts *in, vs_db *db) {
    if (!in)
        return;
    pthread_mutex_lock(&in->lock);
    in->db = db;
    pthread_mutex_unlock(&in->lock);
}

static void set_state(shell_interrupts *in, bool is_running, bool came) {
    if (!in)
        return;
    pthread_mutex_lock(&in->lock);
    in->is_running = is_running;
    in->came = in->came && came;
    pthread_mutex_unlock(&in->lock);
}

void interrupt_begin(shell_interrupts *in) {
    set_state(in, true, true);
}

void interrupt_end(shell_interrupts *in) {
    set_state(in, false, true);
}

void interrupt_forget(shell_interrupts *in) {
    set_state(in, false, false);
}

bool interrupt_came(shell_interrupts *in) {
    if (!in)
        return false;
    pthread_mutex_lock(&in->lock);
    bool came = in->came;
    pthread_mutex_unlock(&in->lock);
    return came;
}

int interrupt_fd(const shell_interrupts *in) {
    return in ? in->pipe[0] : -1;
}

void interrupt_drain(const shell_interrupts *in) {
    char bytes[64];
    while (in && read(in->pipe[0], bytes, sizeof bytes) > 0)
        continue;
}
