// What the kernel allows, without Channel Access: `raw_tcp pingpong REQUEST REPLY N` with one
// message outstanding, `raw_tcp stream TOTAL` with writes of 8 MB and reads of 256 KiB. It forks
// its own peer. BENCH_CPUS="A B" pins the two.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 8000000, READ = 256 * 1024, MAX_SECONDS = 60 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void pin(int which) {
    const char* cpus = getenv("BENCH_CPUS");
    int cpu[2];
    if (!cpus || sscanf(cpus, "%d %d", &cpu[0], &cpu[1]) != 2) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu[which], &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void read_all(int socket, char* to, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t n = read(socket, to + at, size - at);
        if (n <= 0) exit(0);
        at += (size_t)n;
    }
}

static int ascending(const void* a, const void* b) {
    double x = *(const double*)a, y = *(const double*)b;
    return (x > y) - (x < y);
}

static void answer(int socket, size_t request, size_t reply) {
    char* buffer = calloc(1, request + reply);
    for (;;) {
        read_all(socket, buffer, request);
        if (write(socket, buffer, reply) < 0) exit(0);
    }
}

static void pour(int socket, size_t total) {
    char* buffer = calloc(1, WRITE);
    while (total) {
        ssize_t n = write(socket, buffer, total < WRITE ? total : WRITE);
        if (n <= 0) exit(0);
        total -= (size_t)n;
    }
}

static void pingpong(int socket, size_t request, size_t reply, long n) {
    char* buffer = calloc(1, request + reply);
    double* times = malloc(sizeof *times * (size_t)n);
    double begin = 0;
    for (long k = -n / 10; k < n; k++) {
        double start = now();
        if (k == 0) begin = start;
        if (write(socket, buffer, request) < 0) exit(1);
        read_all(socket, buffer, reply);
        if (k >= 0) times[k] = now() - start;
    }
    double took = now() - begin;
    qsort(times, (size_t)n, sizeof *times, ascending);
    printf("RESULT ops=%ld secs=%.9f p50_us=%.3f p99_us=%.3f max_us=%.3f\n", n, took,
           times[n / 2] * 1e6, times[n * 99 / 100] * 1e6, times[n - 1] * 1e6);
}

static void drink(int socket) {
    char* buffer = malloc(READ);
    size_t total = 0;
    double begin = now();
    for (ssize_t n; (n = read(socket, buffer, READ)) > 0;) total += (size_t)n;
    double took = now() - begin;
    printf("RESULT ops=%.6f secs=%.9f bytes=%d\n", (double)total / WRITE, took, WRITE);
}

int main(int argc, char** argv) {
    int stream = argc == 3 && strcmp(argv[1], "stream") == 0;
    if (!stream && !(argc == 5 && strcmp(argv[1], "pingpong") == 0)) return 2;
    alarm(MAX_SECONDS);
    size_t request = (size_t)atol(argv[2]), reply = stream ? 0 : (size_t)atol(argv[3]);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listener, (void*)&address, length) || listen(listener, 1)) return 1;
    getsockname(listener, (void*)&address, &length);
    pid_t peer = fork();
    if (peer == 0) {
        alarm(MAX_SECONDS);
        pin(0);
        int socket = accept(listener, NULL, NULL);
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (stream)
            pour(socket, request);
        else
            answer(socket, request, reply);
        return 0;
    }
    pin(1);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (void*)&address, length)) return 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (stream)
        drink(client);
    else
        pingpong(client, request, reply, atol(argv[4]));
    close(client);
    kill(peer, SIGTERM);
    waitpid(peer, NULL, 0);
    return 0;
}
