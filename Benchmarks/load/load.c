// The two ends of a measurement: a backend and a load generator, HTTP/1.1 over loopback, one epoll loop each.
//
//   load serve                                answers GET /N with N bytes; prints its port
//   load run PORT [--connections C] [--window W] [--requests N | --seconds S] [--warm S] [--path /128] [--host H] [--fresh]
//   load run PORT ... --rounds 1000,2000      rounds over the same connections, each begun by a byte on the standard input
//
// Requests go round robin over C connections, W of them under way at a time, the next as soon as one is answered. With
// `--requests` nothing depends on time: the same requests in the same order. `--fresh` opens a connection for each request.
// Prints JSON: requests, errors, seconds, latency in microseconds. With --warm, prints "warm" once warm (then the window starts)
// and "end" when the window ends.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { headMax = 16 << 10, bodyMax = 16 << 20, readSize = 256 << 10, eventsMax = 256, bucketsMax = 4096 };

static char scratch[readSize];

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void noDelay(int socket) { setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); }

static void raiseLimits(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// MARK: Backend

struct Peer {
    int socket;
    int length;             // of the head read so far
    char head[headMax];
    size_t left;            // of the answer to be written
    const char *next;
};

static char *answers[64];   // by body size, made once
static size_t sizes[64], lengths[64];

static int answerFor(size_t size) {
    for (int i = 0; i < 64; i++) {
        if (answers[i] && sizes[i] == size) return i;
        if (answers[i]) continue;
        answers[i] = malloc(size + 256);
        int head = sprintf(answers[i], "HTTP/1.1 200 OK\r\nserver: load\r\ncontent-type: text/plain\r\ncontent-length: %zu\r\n\r\n", size);
        memset(answers[i] + head, 'x', size);
        sizes[i] = size;
        lengths[i] = (size_t)head + size;
        return i;
    }
    return 0;
}

// 0: the peer is gone.
static int serveMore(struct Peer *peer) {
    for (;;) {
        while (peer->left > 0) {
            ssize_t count = write(peer->socket, peer->next, peer->left);
            if (count < 0) return errno == EAGAIN;
            peer->next += count;
            peer->left -= (size_t)count;
        }
        char *end = memmem(peer->head, (size_t)peer->length, "\r\n\r\n", 4);
        if (!end) {
            if (peer->length == headMax) return 0;
            ssize_t count = read(peer->socket, peer->head + peer->length, (size_t)(headMax - peer->length));
            if (count == 0) return 0;
            if (count < 0) return errno == EAGAIN;
            peer->length += (int)count;
            continue;
        }
        const char *path = memchr(peer->head, '/', (size_t)(end - peer->head));
        const char *number = path ? path + strcspn(path, " ?\r") : NULL;
        while (number && number > path && number[-1] >= '0' && number[-1] <= '9') number--;
        size_t size = number ? strtoul(number, NULL, 10) : 0;
        int which = answerFor(size > bodyMax ? bodyMax : size);
        peer->next = answers[which];
        peer->left = lengths[which];
        int used = (int)(end - peer->head) + 4;
        memmove(peer->head, peer->head + used, (size_t)(peer->length - used));
        peer->length -= used;
    }
}

static void serve(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    // All of 127.0.0.0/8, so that one backend can be a thousand endpoints, and nothing but loopback.
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) die("cannot listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int poll = epoll_create1(0);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
    struct epoll_event events[eventsMax];
    for (;;) {
        int count = epoll_wait(poll, events, eventsMax, -1);
        for (int i = 0; i < count; i++) {
            struct Peer *peer = events[i].data.ptr;
            if (!peer) {
                int accepted;
                while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    noDelay(accepted);
                    struct Peer *new = calloc(1, sizeof *new);
                    new->socket = accepted;
                    epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &(struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = new});
                }
            } else if (!serveMore(peer)) {
                close(peer->socket);
                free(peer);
            }
        }
    }
}

// MARK: Load

struct Connection {
    int socket;
    size_t length;          // of the head read so far, while it is incomplete
    char head[headMax];
    size_t left;            // of the body
    int inBody, busy;
    uint64_t start;
};

static int port, connectionsCount = 1, window = 1, fresh, poll;
static char request[headMax];
static size_t requestLength;
static struct Connection *connections;
static int *idle, idleHead, idleCount;
static uint64_t answered, failed, toStart;
static uint32_t buckets[bucketsMax];    // 32 per doubling of nanoseconds

static int bucketOf(uint64_t value) {
    if (value < 32) return (int)value;
    int shift = 58 - __builtin_clzll(value);
    return (shift + 1) * 32 + (int)(value >> shift) - 32;
}

static double quantile(double share) {
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < bucketsMax; i++) all += buckets[i];
    for (int i = 0; i < bucketsMax; i++) {
        seen += buckets[i];
        if (all && seen >= (uint64_t)(share * (double)all + 0.5)) return i < 32 ? i / 1e3 : (double)((uint64_t)(i % 32 + 32) << (i / 32 - 1)) / 1e3;
    }
    return 0;
}

static void opened(struct Connection *c) {
    c->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(port);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&address, sizeof address)) die("cannot connect to %d: %s", port, strerror(errno));
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
    noDelay(c->socket);
    c->length = c->left = 0;
    c->inBody = 0;
    epoll_ctl(poll, EPOLL_CTL_ADD, c->socket, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
}

static void startOne(void) {
    if (toStart == 0 || idleCount == 0) return;
    toStart--;
    struct Connection *c = &connections[idle[idleHead]];
    idleHead = (idleHead + 1) % connectionsCount;
    idleCount--;
    if (c->socket < 0) opened(c);
    c->busy = 1;
    c->start = now();
    if (write(c->socket, request, requestLength) != (ssize_t)requestLength) die("cannot send: %s", strerror(errno));
}

static void finished(struct Connection *c, int well) {
    buckets[bucketOf(now() - c->start)]++;
    well ? answered++ : failed++;
    c->busy = 0;
    if (fresh || !well) {
        close(c->socket);
        c->socket = -1;
    }
    idle[(idleHead + idleCount++) % connectionsCount] = (int)(c - connections);
    startOne();
}

static void receive(struct Connection *c) {
    for (;;) {
        ssize_t count = c->inBody ? read(c->socket, scratch, c->left < readSize ? c->left : readSize)
                                  : read(c->socket, c->head + c->length, headMax - c->length);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            if (c->busy) return finished(c, 0);
            close(c->socket);
            c->socket = -1;
            return;
        }
        if (c->inBody) {
            c->left -= (size_t)count;
        } else {
            c->length += (size_t)count;
            char *end = memmem(c->head, c->length, "\r\n\r\n", 4);
            if (!end) {
                if (c->length == headMax) return finished(c, 0);
                continue;
            }
            *end = 0;
            char *length = strcasestr(c->head, "\r\ncontent-length:");
            if (!length || strncmp(c->head, "HTTP/1.1 200", 12)) return finished(c, 0);
            c->left = strtoul(length + 17, NULL, 10) - (c->length - (size_t)(end + 4 - c->head));
            c->inBody = 1;
        }
        if (c->inBody && c->left == 0) {
            c->inBody = 0;
            c->length = 0;
            return finished(c, 1);
        }
    }
}

static void turn(int timeout) {
    struct epoll_event events[eventsMax];
    int count = epoll_wait(poll, events, eventsMax, timeout);
    for (int i = 0; i < count; i++) receive(events[i].data.ptr);
}

static void forget(void) {
    memset(buckets, 0, sizeof buckets);
    answered = failed = 0;
}

static void go(uint64_t requests, double seconds) {
    uint64_t end = seconds > 0 ? now() + (uint64_t)(seconds * 1e9) : UINT64_MAX;
    toStart = requests;
    while (connectionsCount - idleCount < window && toStart > 0) startOne();
    while (idleCount < connectionsCount && now() < end) turn(100);
}

static void report(double seconds) {
    printf("{\"requests\": %llu, \"errors\": %llu, \"seconds\": %.4f, \"p50\": %.1f, \"p99\": %.1f}\n", (unsigned long long)answered,
           (unsigned long long)failed, seconds, quantile(0.5), quantile(0.99));
    fflush(stdout);
}

int main(int count, char **words) {
    raiseLimits();
    if (count > 1 && !strcmp(words[1], "serve")) serve();
    if (count < 3) die("usage: see the head of load.c");
    port = atoi(words[2]);
    double seconds = 0, warm = 0;
    uint64_t requests = 0;
    const char *path = "/128", *host = "payment", *rounds = NULL, *headers = "";
    for (int i = 3; i < count; i++) {
        const char *name = words[i];
        if (!strcmp(name, "--fresh")) { fresh = 1; continue; }
        if (i + 1 >= count) die("%s takes a value", name);
        const char *value = words[++i];
        if (!strcmp(name, "--connections")) connectionsCount = atoi(value);
        else if (!strcmp(name, "--window")) window = atoi(value);
        else if (!strcmp(name, "--requests")) requests = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--warm")) warm = atof(value);
        else if (!strcmp(name, "--path")) path = value;
        else if (!strcmp(name, "--host")) host = value;
        else if (!strcmp(name, "--headers")) headers = value;
        else if (!strcmp(name, "--rounds")) rounds = value;
        else die("unknown option %s", name);
    }
    if (connectionsCount < 1 || window < 1) die("at least one connection and one request at a time");
    requestLength = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nhost: %s\r\nuser-agent: load/1\r\naccept: */*\r\n%s\r\n", path, host, headers);
    if (requestLength >= sizeof request) die("the request is too long");
    poll = epoll_create1(0);
    connections = calloc((size_t)connectionsCount, sizeof *connections);
    idle = calloc((size_t)connectionsCount, sizeof *idle);
    for (int i = 0; i < connectionsCount; i++) {
        connections[i].socket = -1;
        idle[i] = i;
    }
    idleCount = connectionsCount;
    if (rounds) {
        for (char *list = strdup(rounds), *round; (round = strsep(&list, ",")) && getchar() != EOF;) {
            forget();
            uint64_t start = now();
            go(strtoull(round, NULL, 10), 0);
            report((double)(now() - start) / 1e9);
        }
        return 0;
    }
    if (warm > 0) {
        go(UINT64_MAX, warm);
        forget();
        puts("warm");
        fflush(stdout);
    }
    uint64_t start = now();
    if (seconds > 0) {
        toStart = UINT64_MAX;
        uint64_t end = start + (uint64_t)(seconds * 1e9);
        while (connectionsCount - idleCount < window) startOne();
        while (now() < end) turn(100);
        puts("end");
        fflush(stdout);
    } else {
        go(requests, 0);
    }
    report((double)(now() - start) / 1e9);
    return failed > 0 && seconds == 0;
}
