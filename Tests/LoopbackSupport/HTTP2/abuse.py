#!/usr/bin/env python3
"""Hostile HTTP/2 callers (Python's standard library alone). Each is to be stopped, at a bounded price, while others are served.

  python3 abuse.py HOST:PORT PATH LONG_PATH PID

PATH answers shortly, LONG_PATH with 1 MiB. One line per probe, `ok NAME` or `FAILED NAME: why`; then `passed N of N`, and how much
the process PID has grown. Exits with 1 if anything failed.
"""
import socket, struct, sys, time

HOST, PORT = sys.argv[1].rsplit(":", 1)
PATH, LONG, PID = sys.argv[2].encode(), sys.argv[3].encode(), int(sys.argv[4])
GROWTH_MAX = 32 << 20
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, UPDATE, CONTINUATION = range(10)
PROTOCOL, FLOW, FRAME_SIZE, REFUSED, COMPRESSION, CALM = 1, 3, 6, 7, 9, 11


def frame(kind, stream=0, payload=b"", flags=0):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits, pattern=0):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([pattern | value])
    out, value = [pattern | limit], value - limit
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + [value])


def literal(name, value, indexing=False):
    return (b"\x40" if indexing else b"\x00") + integer(len(name), 7) + name + integer(len(value), 7) + value


def request(path=PATH, method=b"GET", extra=b"", authority=b"a"):
    return b"".join([literal(b":method", method), literal(b":scheme", b"http"), literal(b":authority", authority), literal(b":path", path), extra])


class Peer:
    def __init__(self, settings=b"", receive=None):
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.connect((HOST, int(PORT)))
        self.socket.settimeout(5)
        self.buffer = b""
        self.next = 1
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, payload=settings))

    def send(self, data):
        """False once the other side has closed."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def read(self):
        """The next frame; None at the end, or when nothing comes."""
        try:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
                piece = self.socket.recv(65536)
                if not piece:
                    return None
                self.buffer += piece
        except OSError:
            return None
        length = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
        payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
        return kind, flags, stream, payload

    def open(self, block=None, end=True):
        stream, self.next = self.next, self.next + 2
        self.send(frame(HEADERS, stream, block if block is not None else request(), 4 | (1 if end else 0)))
        return stream

    def verdict(self):
        """The code that the connection ended with; -1: without one; None: it did not end."""
        self.socket.settimeout(3)
        while True:
            got = self.read()
            if got is None:
                self.socket.settimeout(0.2)
                try:
                    return None if self.socket.recv(1) else -1
                except socket.timeout:
                    return None
                except OSError:
                    return -1
            if got[0] == GOAWAY:
                return int.from_bytes(got[3][4:8], "big")

    def outcome(self, stream):
        """What became of a stream: ("status", bytes of the head), ("reset", code), ("goaway", code) or None."""
        while True:
            got = self.read()
            if got is None:
                return None
            kind, flags, number, payload = got
            if kind == GOAWAY:
                return "goaway", int.from_bytes(payload[4:8], "big")
            if number == stream and kind == HEADERS:
                return "status", payload
            if number == stream and kind == RST:
                return "reset", int.from_bytes(payload, "big")

    def close(self):
        self.socket.close()


def ended(peer, *codes):
    code = peer.verdict()
    peer.close()
    return None if code in codes else f"ended with {code}, not one of {codes}"


def flood(make, *codes, count=20000, warm=None):
    """Sends what `make` gives for ever, reading nothing, until the other side closes."""
    peer = Peer()
    if warm:
        warm(peer)
    batch = []
    for index in range(count):
        batch.append(make(peer, index))
        if len(batch) == 100:
            if not peer.send(b"".join(batch)):
                break
            batch = []
    return ended(peer, *codes)


def ok_status(peer, stream):
    got = peer.outcome(stream)
    return got is not None and got[0] == "status"


def rapid_reset(peer, index):
    stream = 1 + 2 * index
    return frame(HEADERS, stream, request(), 5) + frame(RST, stream, struct.pack(">I", 8))


def provoked_reset(peer, index):
    stream = 1 + 2 * index
    return frame(HEADERS, stream, request(method=b"POST"), 4) + frame(UPDATE, stream, struct.pack(">I", 0x7FFFFFFF))


def open_block(peer):
    peer.send(frame(HEADERS, 1, request(), 0))


def opened_body(peer):
    peer.open(request(method=b"POST"), end=False)


def setting(identifier, value):
    return struct.pack(">HI", identifier, value)


def hpack_bomb():
    peer = Peer()
    big = literal(b"x-bomb", b"y" * 4000, indexing=True)
    for _ in range(50):
        stream = peer.open(request(extra=big + b"\xbe" * 12000) if peer.next == 1 else request(extra=b"\xbe" * 12000))
        got = peer.outcome(stream)
        if got is None or got[0] == "goaway":
            peer.close()
            return None if got else "no answer"
    peer.close()


def cookie_crumbs():
    peer = Peer()
    stream = peer.open(request(extra=literal(b"cookie", b"a=b") * 1000))
    got = peer.outcome(stream)
    peer.close()
    return None if got and got[0] in ("status", "reset", "goaway") else f"{got}"


def block_fault(block, code):
    peer = Peer()
    peer.open(block)
    return ended(peer, code)


def withheld_windows():
    """A hundred long answers that nobody makes room for, on ten connections."""
    peers = [Peer(setting(4, 0)) for _ in range(10)]
    for peer in peers:
        for _ in range(100):
            peer.open(request(LONG))
    time.sleep(1.5)
    return bounded(peers)


def small_windows():
    peers = [Peer(setting(4, 1)) for _ in range(10)]
    for peer in peers:
        for _ in range(50):
            peer.open(request(LONG))
    for _ in range(20):
        for peer in peers:
            peer.send(b"".join(frame(UPDATE, 1 + 2 * index, struct.pack(">I", 1)) for index in range(50)))
        time.sleep(0.05)
    return bounded(peers)


def slow_reader():
    """All the room there is, and nothing is read."""
    peers = [Peer(setting(4, 0x7FFFFFFF), receive=4096) for _ in range(10)]
    for peer in peers:
        peer.send(frame(UPDATE, 0, struct.pack(">I", 0x7FFFFFFF - 65535)))
        for _ in range(100):
            peer.open(request(LONG))
    time.sleep(1.5)
    return bounded(peers)


def bounded(peers):
    grown = resident() - START
    for peer in peers:
        peer.close()
    return None if grown <= GROWTH_MAX else f"{grown >> 20} MiB more than at the start"


def too_many_streams():
    peer = Peer(setting(4, 0))
    streams = [peer.open(request(LONG)) for _ in range(200)]
    got = peer.outcome(streams[-1])
    first = peer  # those within the bound live on
    first.close()
    return None if got == ("reset", REFUSED) else f"{got}"


def overflow(stream):
    peer = Peer()
    number = peer.open(request(method=b"POST"), end=False)
    target = number if stream else 0
    peer.send(frame(UPDATE, target, struct.pack(">I", 0x7FFFFFFF)) * 2)
    if stream:
        got = peer.outcome(number)
        peer.close()
        return None if got == ("reset", FLOW) else f"{got}"
    return ended(peer, FLOW)


def data_over_window():
    """A megabyte at once, whatever the windows say, to a stream that is never finished."""
    peer = Peer()
    number = peer.open(request(method=b"POST"), end=False)
    sent = peer.send(frame(DATA, number, b"x" * 16384) * 400)
    got = peer.outcome(number) if sent else ("goaway", FLOW)
    peer.close()
    return None if got is None or got[0] in ("reset", "goaway", "status") else f"{got}"


BAD_FIELDS = [
    literal(b"x-a", b"b\r\nx-c: d"), literal(b"x-a", b"b\nx-c: d"), literal(b"x-a", b"b\x00"), literal(b"x\r\na", b"b"), literal(b"X-A", b"b"), literal(b"x a", b"b"),
    literal(b"", b"b"), literal(b"x-a", b" b"), literal(b"x-a", b"b\t"), literal(b"transfer-encoding", b"chunked"), literal(b"connection", b"close"),
    literal(b"keep-alive", b"1"), literal(b"proxy-connection", b"close"), literal(b"upgrade", b"h2c"), literal(b"te", b"gzip"), literal(b":path", b"/other"),
    literal(b":status", b"200"), literal(b":unknown", b"x"), literal(b"x-a", b"b") + literal(b":method", b"PUT"), literal(b"host", b"other"), literal(b"content-length", b"5"),
    literal(b"content-length", b"+0"), literal(b"content-length", b"0") + literal(b"content-length", b"1"),
]
BAD_HEADS = [
    literal(b":method", b"GET") + literal(b":scheme", b"http") + literal(b":authority", b"a"), literal(b":method", b"GET") + literal(b":path", b"/") + literal(b":authority", b"a"),
    literal(b":scheme", b"http") + literal(b":path", b"/") + literal(b":authority", b"a"), request(path=b""), request(path=b"/a b"), request(path=b"/\r\n"), request(path=b"a"), request(method=b"GE T"),
    request(method=b"GET\r\n"), request(authority=b"a\r\nb"), request(authority=b""), request(authority=b"a@b"), request(path=b"/../a"), request(path=b"/%00"),
]


def smuggling():
    for block in [request(extra=bad) for bad in BAD_FIELDS] + BAD_HEADS:
        peer = Peer()
        number = peer.open(block)
        got = peer.outcome(number)
        peer.close()
        if got == ("reset", PROTOCOL) or got and got[0] == "goaway" and got[1] == PROTOCOL:
            continue
        # The static table's 400 as it is, or a literal on :status.
        if got and got[0] == "status" and (got[1][:1] in (b"\x8c", b"\x8d") or got[1][:5].find(b"4") > 0 or got[1][0] in (0x08, 0x48)):
            continue
        return f"{block!r}: {got}"


def healthy():
    peer = Peer()
    good = ok_status(peer, peer.open())
    peer.close()
    return good


def resident():
    with open(f"/proc/{PID}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))


PROBES = [
    ("rapid reset", lambda: flood(rapid_reset, CALM)),
    ("provoked resets", lambda: flood(provoked_reset, CALM)),
    ("continuation flood", lambda: flood(lambda p, i: frame(CONTINUATION, 1, literal(b"x-a", b"b" * 1000)), CALM, warm=open_block)),
    ("empty continuations", lambda: flood(lambda p, i: frame(CONTINUATION, 1), CALM, warm=open_block)),
    ("settings flood", lambda: flood(lambda p, i: frame(SETTINGS), CALM)),
    ("ping flood", lambda: flood(lambda p, i: frame(PING, 0, b"12345678"), CALM)),
    ("empty data", lambda: flood(lambda p, i: frame(DATA, 1), CALM, warm=opened_body)),
    ("priority flood", lambda: flood(lambda p, i: frame(PRIORITY, 1, struct.pack(">IB", 0, 1)), CALM)),
    ("unknown frames", lambda: flood(lambda p, i: frame(0x42, 0, b"?"), CALM)),
    ("window updates", lambda: flood(lambda p, i: frame(UPDATE, 0, struct.pack(">I", 1)), CALM)),
    ("hpack bomb", hpack_bomb),
    ("cookie crumbs", cookie_crumbs),
    ("table of 4 GiB", lambda: block_fault(integer((1 << 32) - 1, 5, 0x20) + request(), COMPRESSION)),
    ("endless integer", lambda: block_fault(b"\xff" + b"\x80" * 40 + b"\x00", COMPRESSION)),
    ("withheld windows", withheld_windows),
    ("windows of one byte", small_windows),
    ("slow readers", slow_reader),
    ("too many streams", too_many_streams),
    ("overflow of a stream's window", lambda: overflow(True)),
    ("overflow of the connection's window", lambda: overflow(False)),
    ("a window of 2^31", lambda: ended(Peer(setting(4, 1 << 31)), FLOW)),
    ("data over the window", data_over_window),
    ("a frame too large", lambda: flood(lambda p, i: frame(DATA, 1, b"x" * 20000), FRAME_SIZE, count=200, warm=opened_body)),
    ("smuggled fields", smuggling),
]

healthy()
START = resident()
failures = 0
for name, probe in PROBES:
    why = probe()
    if why is None and not healthy():
        why = "a healthy caller is not served afterwards"
    print(f"ok {name}" if why is None else f"FAILED {name}: {why}", flush=True)
    failures += why is not None
grown = resident() - START
print(f"passed {len(PROBES) - failures} of {len(PROBES)}; {grown / (1 << 20):.1f} MiB more than at the start")
sys.exit(1 if failures or grown > GROWTH_MAX else 0)
