#!/usr/bin/env python3
"""A service of gRPC and its caller, of grpcio (Debian: python3-grpcio), for a mesh to stand between.

  grpc_peer.py serve FILE           serves until it is stopped; writes its port to FILE
  grpc_peer.py call HOST:PORT       calls everything through the mesh: `ok NAME` or `FAILED NAME: why`, then `passed N of N`
  grpc_peer.py expect HOST:PORT CODE    one call, whose status shall be CODE
  grpc_peer.py retried HOST:PORT    a call that fails twice with UNAVAILABLE before it is answered
"""
import os, sys, threading, time
from concurrent import futures
import grpc

SERVICE = "weft.test.Echo"


class Server:
    def __init__(self):
        self.cancelled = []
        self.failures = 0
        self.lock = threading.Lock()

    def unary(self, request, context):
        for key, value in context.invocation_metadata():
            if key == "x-reflect":
                context.set_trailing_metadata((("x-reflected", value),))
            if key == "x-secret-bin":
                context.set_trailing_metadata((("x-secret-bin", value),))
        return request

    def server_stream(self, request, context):
        for index in range(int(request)):
            yield b"%d" % index

    def client_stream(self, requests, context):
        count = size = 0
        for request in requests:
            count, size = count + 1, size + len(request)
        return b"%d %d" % (count, size)

    def both(self, requests, context):
        for request in requests:
            yield request

    def fail(self, request, context):
        context.abort(list(grpc.StatusCode)[int(request)], "as you wish: 100 % ü")

    def fail_late(self, request, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "late")

    def remaining(self, request, context):
        return b"%f" % (context.time_remaining() or -1)

    def sleep(self, request, context):
        done = threading.Event()
        context.add_callback(done.set)
        done.wait(20)
        with self.lock:
            self.cancelled.append((request, time.monotonic()))
        return b"awake"

    def was_cancelled(self, request, context):
        with self.lock:
            return next((b"%f" % at for name, at in self.cancelled if name == request), b"")

    def flaky(self, request, context):
        with self.lock:
            self.failures += 1
            if self.failures % 3:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return b"%d" % self.failures

    def flaky_trailers(self, request, context):
        """A head of its own, and then a failure in trailers."""
        with self.lock:
            self.failures += 1
            bad = self.failures % 3
        context.send_initial_metadata((("x-head", "1"),))
        if bad:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return b"%d" % self.failures

    def handlers(self):
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return {
            "Unary": unary(self.unary), "ServerStream": stream(self.server_stream), "ClientStream": grpc.stream_unary_rpc_method_handler(self.client_stream),
            "Both": grpc.stream_stream_rpc_method_handler(self.both), "Fail": unary(self.fail), "FailLate": stream(self.fail_late),
            "Remaining": unary(self.remaining), "Sleep": unary(self.sleep), "WasCancelled": unary(self.was_cancelled), "Flaky": unary(self.flaky),
            "FlakyTrailers": unary(self.flaky_trailers),
        }


def serve(path):
    server = grpc.server(futures.ThreadPoolExecutor(32))
    service = Server()
    health = {"Check": grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, service.handlers()), grpc.method_handlers_generic_handler("grpc.health.v1.Health", health)))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with open(path + ".new", "w") as file:
        file.write(str(port))
    os.rename(path + ".new", path)
    server.wait_for_termination()


class Client:
    def __init__(self, target):
        self.channel = grpc.insecure_channel(target)

    def path(self, name):
        return f"/{SERVICE}/{name}"

    def unary(self, name, request, **options):
        return self.channel.unary_unary(self.path(name))(request, timeout=options.pop("timeout", 10), **options)

    def code(self, name, request, **options):
        try:
            self.unary(name, request, **options)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    # Every check returns nothing, or what is wrong.

    def check_unary(self):
        for size in (0, 1, 1000, 100_000, 3_000_000):
            if self.unary("Unary", b"x" * size) != b"x" * size:
                return f"{size} bytes came back otherwise"

    def check_metadata(self):
        answer, call = self.channel.unary_unary(self.path("Unary")).with_call(b"a", timeout=10, metadata=(("x-reflect", "word"),))
        trailers = dict(call.trailing_metadata())
        if trailers.get("x-reflected") != "word":
            return f"{trailers}"
        answer, call = self.channel.unary_unary(self.path("Unary")).with_call(b"a", timeout=10, metadata=(("x-secret-bin", b"\x00\xff\x0d\x0a"),))
        trailers = dict(call.trailing_metadata())
        return None if trailers.get("x-secret-bin") == b"\x00\xff\x0d\x0a" else f"{trailers}"

    def check_server_stream(self):
        got = list(self.channel.unary_stream(self.path("ServerStream"))(b"5000", timeout=20))
        return None if got == [b"%d" % index for index in range(5000)] else f"{len(got)} messages"

    def check_client_stream(self):
        got = self.channel.stream_unary(self.path("ClientStream"))((b"y" * 1000 for _ in range(2000)), timeout=20)
        return None if got == b"2000 2000000" else f"{got}"

    def check_both(self):
        """One at a time: each message has to come back before the next one goes."""
        turn = threading.Semaphore(1)

        def questions():
            for index in range(200):
                turn.acquire()
                yield b"%d" % index

        count = 0
        for answer in self.channel.stream_stream(self.path("Both"))(questions(), timeout=20):
            if answer != b"%d" % count:
                return f"{answer} at {count}"
            count += 1
            turn.release()
        return None if count == 200 else f"{count} answers"

    def check_parallel(self):
        calls = [self.channel.unary_unary(self.path("Unary")).future(b"%d" % index, timeout=20) for index in range(300)]
        wrong = sum(call.result() != b"%d" % index for index, call in enumerate(calls))
        return f"{wrong} mixed up" if wrong else None

    def check_statuses(self):
        for index, code in enumerate(grpc.StatusCode):
            if code == grpc.StatusCode.OK:
                continue
            try:
                self.unary("Fail", b"%d" % index)
                return f"{code} came as success"
            except grpc.RpcError as error:
                if error.code() != code or error.details() != "as you wish: 100 % ü":
                    return f"{code} came as {error.code()}, {error.details()}"

    def check_late_failure(self):
        got = []
        try:
            for message in self.channel.unary_stream(self.path("FailLate"))(b"", timeout=10):
                got.append(message)
        except grpc.RpcError as error:
            return None if got == [b"first"] and error.code() == grpc.StatusCode.DATA_LOSS else f"{got} {error.code()}"
        return "came as success"

    def check_deadline_travels(self):
        left = float(self.unary("Remaining", b"", timeout=5))
        return None if 0 < left < 5.5 else f"{left} s of 5"

    def check_deadline_bites(self):
        begin = time.monotonic()
        code = self.code("Sleep", b"deadline", timeout=0.5)
        elapsed = time.monotonic() - begin
        return None if code == grpc.StatusCode.DEADLINE_EXCEEDED and elapsed < 5 else f"{code} after {elapsed:.1f} s"

    def check_cancellation(self):
        call = self.channel.unary_unary(self.path("Sleep")).future(b"cancel", timeout=15)
        time.sleep(0.3)
        call.cancel()
        begin = time.monotonic()
        while time.monotonic() - begin < 5:
            at = self.unary("WasCancelled", b"cancel")
            if at:
                late = float(at) - begin
                return None if late < 1 else f"heard of it after {late:.1f} s"
            time.sleep(0.05)
        return "the service never heard of it"

    def check_unknown_method(self):
        code = self.code("Nothing", b"")
        return None if code == grpc.StatusCode.UNIMPLEMENTED else f"{code}"

    def check_health(self):
        got = self.channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
        return None if got == b"\x08\x01" else f"{got}"


def call(target):
    client = Client(target)
    checks = [name for name in dir(Client) if name.startswith("check_")]
    failures = 0
    for name in checks:
        try:
            why = getattr(client, name)()
        except Exception as error:
            why = f"{type(error).__name__} {error}".replace("\n", " ")[:300]
        failures += why is not None
        print(f"ok {name[6:]}" if why is None else f"FAILED {name[6:]}: {why}", flush=True)
    print(f"passed {len(checks) - failures} of {len(checks)}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", path]: serve(path)
        case ["call", target]: call(target)
        case ["expect", target, code]:
            got = Client(target).code("Unary", b"a")
            print(got.name)
            sys.exit(0 if got.name == code else 1)
        case ["retried", target, *names]:
            for name in names or ["Flaky", "FlakyTrailers"]:
                print(name, Client(target).code(name, b"").name)
        case _: sys.exit(__doc__)
