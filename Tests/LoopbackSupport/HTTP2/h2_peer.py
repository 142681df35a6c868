#!/usr/bin/env python3
"""A caller that is strict about what it is sent: hyper-h2 (Debian: python3-h2), and httpx if it is there.

  h2_peer.py HOST:PORT SHORT LONG COUNT

SHORT answers shortly, LONG with 1 MiB, COUNT with the number of bytes it was sent. `ok NAME` or `FAILED NAME: why`, then `passed N of N`.
"""
import socket, sys
import h2.config, h2.connection, h2.events, h2.settings

HOST, PORT = sys.argv[1].rsplit(":", 1)
SHORT, LONG, COUNT = sys.argv[2:5]


class Caller:
    def __init__(self, window=None):
        self.socket = socket.create_connection((HOST, int(PORT)))
        self.socket.settimeout(20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        if window:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.answers = {}
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, path, method="GET", body=None, extra=(), trailers=None):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", method), (":scheme", "http"), (":authority", "payment"), (":path", path), *extra], end_stream=body is None)
        self.answers[stream] = {"status": None, "headers": {}, "body": b"", "trailers": None, "interim": [], "done": False, "reset": None}
        self.flush()
        if body is not None:
            self.upload(stream, body, trailers)
        return stream

    def upload(self, stream, body, trailers):
        sent = 0
        while sent < len(body):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body) - sent)
            if room == 0:
                self.read()
                continue
            self.h2.send_data(stream, body[sent:sent + room], end_stream=sent + room == len(body) and not trailers)
            sent += room
            self.flush()
        if trailers:
            self.h2.send_headers(stream, trailers, end_stream=True)
            self.flush()

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the other side closed")
        for event in self.h2.receive_data(data):
            answer = self.answers.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ResponseReceived):
                answer["headers"] = dict(event.headers)
                answer["status"] = answer["headers"].pop(":status")
            elif isinstance(event, h2.events.InformationalResponseReceived):
                answer["interim"].append(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                answer["body"] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.TrailersReceived):
                answer["trailers"] = dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                answer["done"] = True
            elif isinstance(event, h2.events.StreamReset):
                answer["reset"], answer["done"] = event.error_code, True
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise EOFError(f"GOAWAY {event.error_code}")
        self.flush()

    def wait(self, *streams):
        while not all(self.answers[stream]["done"] for stream in streams):
            self.read()
        return [self.answers[stream] for stream in streams]


def one():
    (answer,) = (lambda c: c.wait(c.ask(SHORT)))(Caller())
    return None if answer["status"] == "200" and answer["body"] else f"{answer}"


def head():
    (answer,) = (lambda c: c.wait(c.ask(LONG, "HEAD")))(Caller())
    return None if answer["status"] == "200" and answer["body"] == b"" else f"{answer['status']} {len(answer['body'])}"


def many():
    caller = Caller()
    streams = [caller.ask(SHORT if index % 3 else LONG) for index in range(60)]
    sizes = [len(answer["body"]) for answer in caller.wait(*streams)]
    wrong = [size for index, size in enumerate(sizes) if (size == 1 << 20) == bool(index % 3)]
    return f"{wrong}" if wrong else None


def narrow():
    """A window of 100 bytes for an answer of 1 MiB."""
    caller = Caller(window=100)
    (answer,) = caller.wait(caller.ask(LONG))
    return None if len(answer["body"]) == 1 << 20 else f"{len(answer['body'])} bytes"


def upload():
    caller = Caller()
    (answer,) = caller.wait(caller.ask(COUNT, "POST", b"x" * 2_000_000))
    return None if answer["body"].strip() == b"2000000" else f"{answer['body'][:50]}"


def sized_upload():
    caller = Caller()
    (answer,) = caller.wait(caller.ask(COUNT, "POST", b"x" * 100_000, [("content-length", "100000")]))
    return None if answer["body"].strip() == b"100000" else f"{answer['body'][:50]}"


def trailers():
    caller = Caller()
    (answer,) = caller.wait(caller.ask(COUNT, "POST", b"x" * 1000, [("te", "trailers")], [("x-checksum", "abc")]))
    return None if answer["body"].strip() == b"1000" else f"{answer['body'][:50]}"


def cancelled():
    """What is given up does not disturb what goes on."""
    caller = Caller()
    streams = [caller.ask(LONG) for _ in range(20)]
    for stream in streams[::2]:
        caller.h2.reset_stream(stream, 8)
    caller.flush()
    sizes = {len(answer["body"]) for answer in caller.wait(*streams[1::2])}
    return None if sizes == {1 << 20} else f"{sizes}"


def refused():
    caller = Caller()
    caller.h2.config.validate_outbound_headers = False
    caller.h2.config.normalize_outbound_headers = False
    (answer,) = caller.wait(caller.ask(SHORT, extra=[("connection", "close")]))
    return None if answer["reset"] == 1 else f"{answer}"


def with_httpx():
    try:
        import httpx
    except ImportError:
        print("SKIPPED: httpx is not installed")
        return None
    with httpx.Client(http1=False, http2=True, timeout=20) as client:
        for _ in range(20):
            answer = client.get(f"http://{HOST}:{PORT}{SHORT}")
            if answer.status_code != 200 or answer.http_version != "HTTP/2":
                return f"{answer.status_code} by {answer.http_version}"
        answer = client.post(f"http://{HOST}:{PORT}{COUNT}", content=b"y" * 500_000)
        return None if answer.text.strip() == "500000" else answer.text


CHECKS = [one, head, many, narrow, upload, sized_upload, trailers, cancelled, refused, with_httpx]
failures = 0
for check in CHECKS:
    try:
        why = check()
    except Exception as error:
        why = f"{type(error).__name__} {error}"
    failures += why is not None
    print(f"ok {check.__name__}" if why is None else f"FAILED {check.__name__}: {why}", flush=True)
print(f"passed {len(CHECKS) - failures} of {len(CHECKS)}")
sys.exit(1 if failures else 0)
