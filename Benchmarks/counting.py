"""What an exchange costs, counted and not timed: instructions, calls and system calls, which noise cannot blur.

A sidecar runs under valgrind's callgrind (or strace) while one client asks for the same thing over and over. What is counted
is one round after another that warmed everything up, so starting costs nothing and caches are full.
"""
import glob
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess

import harness
from callgrind import Profile

WARM = 300          # requests before counting begins
COUNTED = 2000      # requests that are counted

WRITES = ("write", "writev", "sendto", "sendmsg")
MALLOC = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}
RETAIN = re.compile(r"_?swift_(nonatomic_)?(retain|release|bridgeObjectRe(tain|lease)|unknownObjectRe(tain|lease)|allocObject|weak\w+|unowned\w+)(_n)?\b")
WITHIN = re.compile(r"_?swift_|.*swift::|_*(malloc|calloc|realloc)|\(below|operator new")


def missing():
    """Programs that counting needs and this machine lacks."""
    return [name for name in ("valgrind", "vgdb", "strace") if not shutil.which(name)]


class Cost:
    """Of one exchange in one sidecar, on the loop that carries the traffic."""

    def __init__(self, profile, requests):
        self.profile, self.requests = profile, requests
        self.instructions = profile.total / requests
        library = sum(value for (where, _), value in profile.own.items() if _is_tls(where))
        self.in_openssl = library / requests
        self.mallocs, self.openssl_mallocs = {}, 0
        for ((where, caller), (_, callee)), count in profile.calls.items():
            if callee.split("'")[0] not in MALLOC or caller.split("'")[0] in MALLOC or where.endswith("libc.so.6") and WITHIN.match(caller):
                continue
            if _is_tls(where):
                self.openssl_mallocs += count / requests
            else:
                self.mallocs[caller] = self.mallocs.get(caller, 0) + count / requests
        self.retains = {}
        for ((_, caller), (_, callee)), count in profile.calls.items():
            if RETAIN.match(callee) and not WITHIN.match(caller):
                name = f"{callee} by {caller}"
                self.retains[name] = self.retains.get(name, 0) + count / requests


def _is_tls(path):
    return os.path.basename(path).startswith(("libssl", "libcrypto"))


class Counted:
    """A sidecar under callgrind."""

    def __init__(self, config):
        self.where = harness.folder()
        self.parts = 0
        self.sidecar = harness.Sidecar(
            config, under=["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", "--max-threads=64",
                           f"--callgrind-out-file={self.where}/out"])

    def cut(self):
        """Counting begins anew; what was counted since the last cut, one profile per thread."""
        self.parts += 1
        done = subprocess.run(["vgdb", f"--pid={self.sidecar.pid}", "dump", "cut"], capture_output=True, text=True)
        files = sorted(glob.glob(f"{self.where}/out.{self.parts}-*")) or glob.glob(f"{self.where}/out.{self.parts}")
        if not files:
            raise harness.Failure(f"callgrind wrote nothing: {done.stdout}{done.stderr}{self.sidecar.output()[-2000:]}")
        return files


class StreamRounds:
    """As `harness.Rounds`: one caller that speaks HTTP/2, one stream at a time over one connection."""

    def __init__(self, at, rounds):
        self.at, self.rounds, self.stream, self.buffer = at, iter(rounds), 1, b""
        # GET, http, and the rest as literals that no table keeps.
        self.block = b"\x82\x86" + b"".join(
            b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
            for name, value in ((b":path", b"/128"), (b":authority", b"payment"), (b"accept", b"*/*"), (b"user-agent", b"counting"), (b"x-count", b"1")))

    def __enter__(self):
        self.socket = socket.create_connection(("127.0.0.1", self.at), timeout=harness.LIMIT)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        return self

    def __exit__(self, *_):
        self.socket.close()

    def frame(self):
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            piece = self.socket.recv(65536)
            if not piece:
                raise harness.Failure("the sidecar closed a connection of HTTP/2")
            self.buffer += piece
        length = 9 + int.from_bytes(self.buffer[:3], "big")
        head, payload, self.buffer = self.buffer[:9], self.buffer[9:length], self.buffer[length:]
        return head[3], head[4], int.from_bytes(head[5:9], "big"), payload

    def next(self):
        for _ in range(next(self.rounds)):
            self.socket.sendall(len(self.block).to_bytes(3, "big") + b"\x01\x05" + self.stream.to_bytes(4, "big") + self.block)
            body, ended = 0, False
            while not ended:
                kind, flags, stream, payload = self.frame()
                if kind in (3, 7):
                    raise harness.Failure(f"a stream was answered with frame {kind}: {payload}")
                if stream == self.stream and kind in (0, 1):
                    body += len(payload) if kind == 0 else 0
                    ended = flags & 1
            if body != 128:
                raise harness.Failure(f"a stream brought {body} bytes, not 128")
            self.stream += 2
            # What was used of the connection's window is given back.
            if self.stream % 400 == 1:
                self.socket.sendall(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + (200 * 128).to_bytes(4, "big"))


def stream_topologies(backend, certs):
    """As `topologies`, for callers that speak HTTP/2: to HTTP/1, and over one connection between two sidecars."""
    return [
        (["stream inbound"], [lambda _: harness.called(backend)], [called_port]),
        (["stream called", "stream caller"], [lambda _: harness.called(backend, certs), lambda at: harness.calling(at, certs)], [called_port, calling_port]),
    ]


def instructions(configs, port, warm=WARM, counted=COUNTED, rounds=harness.Rounds, **load):
    """Costs of an exchange in each of the sidecars, `configs(None)`, `configs(port of the last one)` and so on, the called one first.

    `port(sidecar)` is where the load goes. All run under callgrind at once.
    """
    sidecars, at = [], None
    try:
        for config in configs:
            sidecars.append(Counted(config(at)))
            at = port[len(sidecars) - 1](sidecars[-1].sidecar)
        with rounds(at, [warm, counted], **load) as rounds:
            rounds.next()
            for sidecar in sidecars:
                start = [Cost(Profile(path), 1) for path in sidecar.cut()]
                if not any(cost.mallocs for cost in start) or not any(cost.retains for cost in start):
                    raise harness.Failure("no malloc or no retain was seen while a sidecar started, so none would be seen later: is the binary stripped?")
            rounds.next()
            costs = []
            for sidecar in sidecars:
                profiles = [Profile(path) for path in sidecar.cut()]
                costs.append(Cost(max(profiles, key=lambda profile: profile.total), counted))
            return costs
    finally:
        for sidecar in reversed(sidecars):
            sidecar.sidecar.stop()


def handshakes(config, certs, resumed, warm=20, counted=200):
    """The cost of one request over a new mTLS connection to a sidecar; signatures and their keys vary, so over many."""
    sidecar = Counted(config)
    context = ssl.create_default_context(cafile=f"{certs}/ca.pem")
    context.check_hostname = False
    context.load_cert_chain(f"{certs}/order.both.pem")
    session = None

    def call():
        nonlocal session
        with socket.create_connection(("127.0.0.1", at), timeout=harness.LIMIT) as raw, context.wrap_socket(raw, session=session) as connection:
            if connection.session_reused != (session is not None):
                raise harness.Failure("a session was not resumed, or one was that should not be")
            connection.sendall(b"GET /128 HTTP/1.1\r\nhost: payment\r\nconnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise harness.Failure(f"answered {answer[:200]}")
            session = connection.session if resumed else None
    try:
        at = called_port(sidecar.sidecar)
        for _ in range(warm):
            call()
        sidecar.cut()
        for _ in range(counted):
            call()
        return Cost(max(map(Profile, sidecar.cut()), key=lambda profile: profile.total), counted)
    finally:
        sidecar.sidecar.stop()


def system_calls(configs, port, counted=COUNTED, **load):
    """System calls per exchange in each of the sidecars, by name: the difference of two runs, one three times as long."""
    totals = []
    for requests in (counted, 3 * counted):
        sidecars, at, tables = [], None, []
        try:
            for number, config in enumerate(configs):
                log = os.path.join(harness.folder(), "calls")
                sidecar = harness.Sidecar(config(at), under=["strace", "-f", "-c", "-o", log])
                sidecars.append((sidecar, log))
                at = port[number](sidecar)
            with harness.Rounds(at, [requests], **load) as rounds:
                rounds.next()
        finally:
            for sidecar, log in reversed(sidecars):
                children(sidecar.pid)
                sidecar.process.wait(harness.LIMIT)
                sidecar.stop()
        for _, log in sidecars:
            with open(log) as lines:
                tables.append({words[-1]: int(words[3]) for words in map(str.split, lines) if len(words) >= 5 and words[3].isdigit() and words[-1] != "total"})
        totals.append(tables)
    return [{name: (long.get(name, 0) - short.get(name, 0)) / (2 * counted) for name in long} for short, long in zip(*totals)]


def runs_of_writes(configs, port, counted=COUNTED, connections=64):
    """How often per exchange each of the sidecars begins to write while `connections` requests are under way at once.

    Writes that follow one another wake the process at the other end once; a write between two reads may wake it every time."""
    sidecars, at = [], None
    try:
        for number, config in enumerate(configs):
            log = os.path.join(harness.folder(), "calls")
            sidecar = harness.Sidecar(config(at), under=["strace", "-f", "-e", "trace=read,epoll_wait," + ",".join(WRITES), "-o", log])
            sidecars.append((sidecar, log))
            at = port[number](sidecar)
        with harness.Rounds(at, [WARM, counted], connections=connections, window=connections) as rounds:
            rounds.next()
            starts = [os.path.getsize(log) for _, log in sidecars]
            rounds.next()
            return [_runs(log, start) / counted for (_, log), start in zip(sidecars, starts)]
    finally:
        for sidecar, _ in reversed(sidecars):
            children(sidecar.pid)
            sidecar.stop()


def _runs(log, start):
    """In what strace wrote from `start` on: runs of writes of the thread that made most calls."""
    threads = {}
    with open(log, errors="replace") as lines:
        lines.seek(start)
        for thread, name in re.findall(r"^(\d+) +(?:<\.\.\. )?(\w+)", lines.read(), re.M):
            threads.setdefault(thread, []).append(name in WRITES)
    calls = max(threads.values(), key=len)
    return sum(now and not before for before, now in zip([False, *calls], calls))


def mallocs(configs, port, counted=10 * COUNTED, rounds=harness.Rounds, **load):
    """Calls of malloc and its kin per exchange in each of the sidecars, at full speed: (those of OpenSSL, all others)."""
    library = harness.built("mallocs.so", "mallocs.c", "-shared", "-fPIC")
    sidecars, at = [], None
    try:
        for number, config in enumerate(configs):
            file = os.path.join(harness.folder(), "mallocs")
            sidecar = harness.Sidecar(config(at), env={"LD_PRELOAD": library, "WEFT_MALLOCS": file})
            sidecars.append((sidecar, file))
            at = port[number](sidecar)

        def read():
            tables = []
            for _, file in sidecars:
                with open(file, "rb") as counts:
                    tables.append(struct.unpack("QQ", counts.read(16)))
            return tables
        with rounds(at, [WARM, counted], **load) as rounds:
            rounds.next()
            before = read()
            if any(others == 0 for _, others in before):
                raise harness.Failure("not one malloc was seen while sidecars started, so none would be seen later: is the binary linked against a libc of its own?")
            rounds.next()
            return [tuple((b - a) / counted for a, b in zip(*pair)) for pair in zip(before, read())]
    finally:
        for sidecar, _ in reversed(sidecars):
            sidecar.stop()


def children(pid):
    """Ends what `pid` (strace) runs, so that it writes its table."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        for child in file.read().split():
            os.kill(int(child), 15)


def called_port(sidecar):
    return sidecar.inbound()


def calling_port(sidecar):
    return sidecar.outbound()


def topologies(backend, certs):
    """What is counted: names of the sidecars, their configs, where the traffic goes."""
    return [
        (["inbound"], [lambda _: harness.called(backend)], [called_port]),
        (["outbound"], [lambda _: harness.calling(backend)], [calling_port]),
        (["mtls called", "mtls caller"], [lambda _: harness.called(backend, certs), lambda at: harness.calling(at, certs)], [called_port, calling_port]),
    ]
