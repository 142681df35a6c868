// What Swift cannot say about Linux: epoll's packed struct, variadic calls, unions of addresses, standard streams.
//
// Every function that can fail returns -errno, as the kernel does, so that no caller reads errno after something else
// has overwritten it.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

/// stdout and stderr, which are mutable globals to Swift 6.
static inline FILE *weft_stdout(void) { return stdout; }
static inline FILE *weft_stderr(void) { return stderr; }

// MARK: Clocks and chance

/// CLOCK_MONOTONIC in nanoseconds.
int64_t weft_monotonic_nanoseconds(void);
/// CLOCK_REALTIME in nanoseconds since 1970.
int64_t weft_realtime_nanoseconds(void);
/// Fills `bytes` from the kernel; 0 or -errno.
int weft_random_bytes(void *bytes, size_t count);

// MARK: Readiness

/// One event: epoll_event without its packing.
struct weft_event {
    uint64_t data;
    uint32_t readiness;
    uint32_t reserved;
};

enum { WEFT_EVENTS_PER_WAIT = 256 };

int weft_epoll_create(void);
/// Registers `descriptor` once and for good: IN, OUT and RDHUP, edge-triggered.
int weft_epoll_add(int epoll, int descriptor, uint64_t data);
int weft_epoll_remove(int epoll, int descriptor);
/// Waits up to `milliseconds` (-1: for ever). The number of events, or -errno; a signal counts as no event.
int weft_epoll_wait(int epoll, struct weft_event *events, int capacity, int milliseconds);

/// A non-blocking eventfd.
int weft_eventfd(void);
int weft_eventfd_signal(int descriptor);
/// Takes the count; 0 if nobody signalled.
uint64_t weft_eventfd_take(int descriptor);

// MARK: Signals

/// Blocks these signals in the calling thread and in every thread it will start; 0 or -errno.
int weft_signals_block(const int *signals, int count);
/// A non-blocking signalfd for signals that are blocked.
int weft_signalfd(const int *signals, int count);
/// The next signal's number, or -errno (-EAGAIN: none).
int weft_signalfd_take(int descriptor);
/// A write to a closed pipe becomes EPIPE.
void weft_ignore_broken_pipes(void);

// MARK: Sockets

/// An address of any family we serve, as the kernel wants it: a struct sockaddr in the first `length` bytes of `words`.
struct weft_address {
    uint64_t words[14];
    uint64_t length;
};

/// AF_INET, AF_INET6 or AF_UNIX.
int weft_address_family(const struct weft_address *address);
/// Numeric text and a port; 0 or -EINVAL.
int weft_address_ipv4(struct weft_address *address, const char *text, uint16_t port);
int weft_address_ipv6(struct weft_address *address, const char *text, uint16_t port);
/// A path of at most 107 bytes; 0 or -ENAMETOOLONG.
int weft_address_local(struct weft_address *address, const char *path);
/// The numeric host of an IP address into `text` (at least 46 bytes); 0 or -EINVAL.
int weft_address_host(const struct weft_address *address, char *text, int capacity);
/// In host order; 0 for a unix socket.
uint16_t weft_address_port(const struct weft_address *address);
void weft_address_set_port(struct weft_address *address, uint16_t port);

/// A non-blocking stream socket, closed on exec.
int weft_socket(int family);
/// A listening socket on `address`; with `shared_port`, several sockets share it and the kernel spreads connections.
int weft_listen(const struct weft_address *address, int backlog, int shared_port, unsigned mode);
/// The next connection, non-blocking, or -errno. `peer` may be NULL.
int weft_accept(int listener, struct weft_address *peer);
/// 0 if connected at once (unix sockets), -EINPROGRESS if the answer comes as writability, else -errno.
int weft_connect(int descriptor, const struct weft_address *address);
/// The result of a connect that was in progress: 0 or -errno.
int weft_connect_result(int descriptor);
int weft_local_address(int descriptor, struct weft_address *address);
int weft_peer_address(int descriptor, struct weft_address *address);
/// The user id of the process at the other end of a unix socket, or -errno.
int64_t weft_peer_user(int descriptor);

ssize_t weft_read(int descriptor, void *bytes, size_t count);
/// Looks at what a read would return and leaves it there.
ssize_t weft_peek(int descriptor, void *bytes, size_t count);
/// Never raises SIGPIPE.
ssize_t weft_write(int descriptor, const void *bytes, size_t count);
/// `pieces`: pairs of an address and a count, as struct iovec has them.
ssize_t weft_write_pieces(int descriptor, const void *pieces, int count);
/// Ends our sending direction; the peer reads end of stream.
int weft_finish_writing(int descriptor);
/// Closing will reset the connection; on a unix socket, where there is no reset, it stays a close.
int weft_reset_on_close(int descriptor);

int weft_set_no_delay(int descriptor);
int weft_set_send_buffer(int descriptor, int bytes);
int weft_set_receive_buffer(int descriptor, int bytes);
/// How long sent bytes may stay unacknowledged before the connection is dead.
int weft_set_user_timeout(int descriptor, int milliseconds);
/// Probes an idle peer after `idle` seconds, every `interval` seconds, `count` times.
int weft_set_keep_alive(int descriptor, int idle, int interval, int count);

// MARK: Threads

/// Cores this process may run on, at least 1.
int weft_core_count(void);
/// Binds the calling thread to one core; 0 or -errno.
int weft_pin_to_core(int core);
void weft_name_thread(const char *name);

/// 16 KiB of scratch that belongs to the calling thread: one TLS record's worth of bytes gathered from pieces.
uint8_t *weft_record_scratch(void);
enum { WEFT_RECORD_BYTES = 16384 };

// MARK: Processes

/// The environment, which is a mutable global to Swift 6.
char **weft_environment(void);
/// Has the kernel send `signal` to this process when its parent ends; -ESRCH if `parent` is not the parent (any more).
int weft_end_with_parent(int signal, int parent);
