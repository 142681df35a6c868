#define _GNU_SOURCE
#include "CPlatform.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int result(long value) { return value < 0 ? -errno : (int)value; }

// MARK: Clocks and chance

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t weft_monotonic_nanoseconds(void) { return nanoseconds(CLOCK_MONOTONIC); }
int64_t weft_realtime_nanoseconds(void) { return nanoseconds(CLOCK_REALTIME); }

int weft_random_bytes(void *bytes, size_t count) {
    uint8_t *next = bytes;
    while (count > 0) {
        ssize_t got = getrandom(next, count, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            return -errno;
        }
        next += got;
        count -= (size_t)got;
    }
    return 0;
}

// MARK: Readiness

int weft_epoll_create(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

int weft_epoll_add(int epoll, int descriptor, uint64_t data) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = data};
    return result(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event));
}

int weft_epoll_remove(int epoll, int descriptor) {
    struct epoll_event unused = {0};
    return result(epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &unused));
}

int weft_epoll_wait(int epoll, struct weft_event *events, int capacity, int milliseconds) {
    struct epoll_event ready[WEFT_EVENTS_PER_WAIT];
    if (capacity > WEFT_EVENTS_PER_WAIT) capacity = WEFT_EVENTS_PER_WAIT;
    int count = epoll_wait(epoll, ready, capacity, milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int index = 0; index < count; index++) {
        events[index].data = ready[index].data.u64;
        events[index].readiness = ready[index].events;
    }
    return count;
}

int weft_eventfd(void) { return result(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

int weft_eventfd_signal(int descriptor) {
    uint64_t one = 1;
    for (;;) {
        ssize_t written = write(descriptor, &one, sizeof one);
        if (written >= 0 || errno == EAGAIN) return 0;  // EAGAIN: the count is at its maximum, so it is signalled
        if (errno != EINTR) return -errno;
    }
}

uint64_t weft_eventfd_take(int descriptor) {
    uint64_t count = 0;
    return read(descriptor, &count, sizeof count) == sizeof count ? count : 0;
}

// MARK: Signals

static void set_of(sigset_t *set, const int *signals, int count) {
    sigemptyset(set);
    for (int index = 0; index < count; index++) sigaddset(set, signals[index]);
}

int weft_signals_block(const int *signals, int count) {
    sigset_t set;
    set_of(&set, signals, count);
    return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int weft_signalfd(const int *signals, int count) {
    sigset_t set;
    set_of(&set, signals, count);
    return result(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

int weft_signalfd_take(int descriptor) {
    struct signalfd_siginfo info;
    ssize_t got = read(descriptor, &info, sizeof info);
    if (got == sizeof info) return (int)info.ssi_signo;
    return got < 0 ? -errno : -EAGAIN;
}

void weft_ignore_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }

// MARK: Addresses

_Static_assert(sizeof(struct sockaddr_un) <= sizeof(((struct weft_address *)0)->words), "every address fits");

static struct sockaddr *any(const struct weft_address *address) { return (struct sockaddr *)address->words; }
static struct sockaddr_in *ipv4(const struct weft_address *address) { return (struct sockaddr_in *)address->words; }
static struct sockaddr_in6 *ipv6(const struct weft_address *address) { return (struct sockaddr_in6 *)address->words; }
static struct sockaddr_un *local(const struct weft_address *address) { return (struct sockaddr_un *)address->words; }

int weft_address_family(const struct weft_address *address) { return any(address)->sa_family; }

int weft_address_ipv4(struct weft_address *address, const char *text, uint16_t port) {
    memset(address, 0, sizeof *address);
    ipv4(address)->sin_family = AF_INET;
    ipv4(address)->sin_port = htons(port);
    address->length = sizeof(struct sockaddr_in);
    return inet_pton(AF_INET, text, &ipv4(address)->sin_addr) == 1 ? 0 : -EINVAL;
}

int weft_address_ipv6(struct weft_address *address, const char *text, uint16_t port) {
    memset(address, 0, sizeof *address);
    ipv6(address)->sin6_family = AF_INET6;
    ipv6(address)->sin6_port = htons(port);
    address->length = sizeof(struct sockaddr_in6);
    return inet_pton(AF_INET6, text, &ipv6(address)->sin6_addr) == 1 ? 0 : -EINVAL;
}

int weft_address_local(struct weft_address *address, const char *path) {
    memset(address, 0, sizeof *address);
    size_t count = strlen(path);
    if (count == 0 || count >= sizeof local(address)->sun_path) return -ENAMETOOLONG;
    local(address)->sun_family = AF_UNIX;
    memcpy(local(address)->sun_path, path, count);
    address->length = (offsetof(struct sockaddr_un, sun_path) + count + 1);
    return 0;
}

int weft_address_host(const struct weft_address *address, char *text, int capacity) {
    const void *bytes;
    switch (any(address)->sa_family) {
    case AF_INET: bytes = &ipv4(address)->sin_addr; break;
    case AF_INET6: bytes = &ipv6(address)->sin6_addr; break;
    default: return -EINVAL;
    }
    return inet_ntop(any(address)->sa_family, bytes, text, (socklen_t)capacity) ? 0 : -EINVAL;
}

uint16_t weft_address_port(const struct weft_address *address) {
    switch (any(address)->sa_family) {
    case AF_INET: return ntohs(ipv4(address)->sin_port);
    case AF_INET6: return ntohs(ipv6(address)->sin6_port);
    default: return 0;
    }
}

void weft_address_set_port(struct weft_address *address, uint16_t port) {
    if (any(address)->sa_family == AF_INET) ipv4(address)->sin_port = htons(port);
    if (any(address)->sa_family == AF_INET6) ipv6(address)->sin6_port = htons(port);
}

// MARK: Sockets

static int set_option(int descriptor, int level, int option, int value) {
    return result(setsockopt(descriptor, level, option, &value, sizeof value));
}

int weft_socket(int family) { return result(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

int weft_listen(const struct weft_address *address, int backlog, int shared_port, unsigned mode) {
    int descriptor = weft_socket(any(address)->sa_family);
    if (descriptor < 0) return descriptor;
    int failure = 0;
    // The file that bind makes takes the socket's own permissions (less the umask), so there is no moment in which others may
    // connect; changing the umask instead would change it for every thread.
    if (any(address)->sa_family == AF_UNIX) failure = result(fchmod(descriptor, mode));
    if (any(address)->sa_family != AF_UNIX) {
        failure = set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
        if (!failure && shared_port) failure = set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1);
        if (!failure && any(address)->sa_family == AF_INET6) failure = set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (!failure) failure = result(bind(descriptor, any(address), (socklen_t)address->length));
    if (!failure) failure = result(listen(descriptor, backlog));
    if (failure) {
        close(descriptor);
        return failure;
    }
    return descriptor;
}

int weft_accept(int listener, struct weft_address *peer) {
    socklen_t length = sizeof peer->words;
    int descriptor = accept4(listener, peer ? any(peer) : NULL, peer ? &length : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return -errno;
    if (peer) peer->length = length;
    return descriptor;
}

int weft_connect(int descriptor, const struct weft_address *address) {
    return result(connect(descriptor, any(address), (socklen_t)address->length));
}

int weft_connect_result(int descriptor) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -errno;
    return -error;
}

int weft_local_address(int descriptor, struct weft_address *address) {
    memset(address, 0, sizeof *address);
    socklen_t length = sizeof address->words;
    int failure = result(getsockname(descriptor, any(address), &length));
    address->length = length;
    return failure;
}

int weft_peer_address(int descriptor, struct weft_address *address) {
    memset(address, 0, sizeof *address);
    socklen_t length = sizeof address->words;
    int failure = result(getpeername(descriptor, any(address), &length));
    address->length = length;
    return failure;
}

int64_t weft_peer_user(int descriptor) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    return (int64_t)credentials.uid;
}

// Not by read() and send(): those are points where a thread may be cancelled, which none of ours is, and cost two locked
// instructions a call.
ssize_t weft_read(int descriptor, void *bytes, size_t count) {
    for (;;) {
        ssize_t got = syscall(SYS_read, descriptor, bytes, count);
        if (got >= 0) return got;
        if (errno != EINTR) return -errno;
    }
}

ssize_t weft_peek(int descriptor, void *bytes, size_t count) {
    for (;;) {
        ssize_t got = recv(descriptor, bytes, count, MSG_PEEK);
        if (got >= 0) return got;
        if (errno != EINTR) return -errno;
    }
}

ssize_t weft_write(int descriptor, const void *bytes, size_t count) {
    for (;;) {
        ssize_t sent = syscall(SYS_sendto, descriptor, bytes, count, MSG_NOSIGNAL, NULL, 0);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

ssize_t weft_write_pieces(int descriptor, const void *pieces, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
    for (;;) {
        ssize_t sent = sendmsg(descriptor, &message, MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

int weft_reset_on_close(int descriptor) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    return result(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

int weft_finish_writing(int descriptor) { return result(shutdown(descriptor, SHUT_WR)); }

int weft_set_no_delay(int descriptor) { return set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1); }
int weft_set_send_buffer(int descriptor, int bytes) { return set_option(descriptor, SOL_SOCKET, SO_SNDBUF, bytes); }
int weft_set_receive_buffer(int descriptor, int bytes) { return set_option(descriptor, SOL_SOCKET, SO_RCVBUF, bytes); }

int weft_set_user_timeout(int descriptor, int milliseconds) {
    return set_option(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
}

int weft_set_keep_alive(int descriptor, int idle, int interval, int count) {
    int failure = set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (!failure) failure = set_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, idle);
    if (!failure) failure = set_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, interval);
    if (!failure) failure = set_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, count);
    return failure;
}

// MARK: Threads

int weft_core_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

int weft_pin_to_core(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void weft_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

uint8_t *weft_record_scratch(void) {
    static _Thread_local uint8_t scratch[WEFT_RECORD_BYTES];
    return scratch;
}

// MARK: Processes

char **weft_environment(void) { return environ; }

int weft_end_with_parent(int signal, int parent) {
    if (prctl(PR_SET_PDEATHSIG, signal) != 0) return -errno;
    // It may have ended before the call.
    return getppid() == parent ? 0 : -ESRCH;
}
