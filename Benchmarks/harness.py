"""Starts what a measurement needs: backend, load, sidecars and peers, each on ports of the kernel's choice; ends all of it."""
import atexit
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEFT = os.environ.get("WEFT_BINARY") or os.path.join(ROOT, ".build", "release", "weft")
LIMIT = 60          # seconds until whatever is waited for must have happened

_running = []
_folders = []


class Failure(Exception):
    pass


@atexit.register
def finish():
    for program in reversed(_running[:]):
        program.stop()
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)
    _folders.clear()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
_hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


def folder():
    path = tempfile.mkdtemp(prefix="weft-bench-")
    _folders.append(path)
    return path


def built(name, source, *options):
    """A C program of Benchmarks/load, compiled if its source is newer."""
    source = os.path.join(ROOT, "Benchmarks", "load", source)
    binary = os.path.join(ROOT, ".build", name)
    if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
        compiler = shutil.which("clang") or shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            raise Failure("no C compiler: the Swift toolchain's clang was expected in PATH")
        os.makedirs(os.path.dirname(binary), exist_ok=True)
        subprocess.run([compiler, "-O2", *options, "-o", binary, source], check=True)
    return binary


def tool():
    """The load generator and backend."""
    return built("load", "load.c")


class Program:
    """A process, and all its children, that end with us."""

    def __init__(self, words, where=None, cpus=None, **more):
        self.log = os.path.join(where or folder(), f"log.{len(_running)}")
        self.words = words
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                words, stderr=log, stdout=more.pop("stdout", log), text=True, start_new_session=True,
                preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None, **more)
        self.pid = self.process.pid
        _running.append(self)

    def wait_for(self, test, what):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            answer = test()
            if answer:
                return answer
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise Failure(f"{what}: {' '.join(self.words)}\n{self.output()[-3000:]}")

    def output(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def stop(self):
        if self in _running:
            _running.remove(self)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Backend(Program):
    def __init__(self, cpus=None):
        super().__init__([tool(), "serve"], stdout=subprocess.PIPE, cpus=cpus)
        self.port = int(self.process.stdout.readline())


class Rounds(Program):
    """A load whose rounds run one after the other, on the same connections."""

    def __init__(self, port, rounds, **options):
        words = [f"--{name}={value}".split("=", 1) for name, value in options.items()]
        # One round more than is run: the connections stay open until we end the load, so that closing them is in no round.
        super().__init__(
            [tool(), "run", str(port), "--rounds", ",".join(map(str, [*rounds, 0]))] + sum(words, []), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def next(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failure(f"the load broke off: {self.output()}")
        report = json.loads(line)
        if report["errors"]:
            raise Failure(f"{report['errors']} requests failed, {report['requests']} did not")
        return report


class Sidecar(Program):
    """`under`: words of a tool to run it with, such as valgrind's."""

    def __init__(self, config, under=(), cpus=None, env=None):
        where = folder()
        self.config = os.path.join(where, "sidecar.json")
        with open(self.config, "w") as file:
            json.dump({"state": os.path.join(where, "state"), **config}, file)
        super().__init__([*under, WEFT, "sidecar", "--config", self.config], where=where, cpus=cpus,
                         env={**os.environ, **(env or {})})
        self.ready = self.wait_for(lambda: re.search(r"^READY .*\n", self.output(), re.M), "the sidecar never became ready")[0]

    def inbound(self):
        return int(re.search(r"inbound=[\d.]+:(\d+)", self.ready)[1])

    def outbound(self):
        return int(re.search(r"outbound\.payment=\S*:(\d+)", self.ready)[1])


def certificates():
    """A folder with a root, `order` and `payment`: PEM files, by the openssl command."""
    where = folder()

    def run(*words):
        done = subprocess.run(["openssl", *words], cwd=where, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"openssl {' '.join(words)}: {done.stderr}")

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
        "-subj", "/CN=bench", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext", "subjectAltName=URI:spiffe://bench.internal")
    for name in ("order", "payment"):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/")
        with open(os.path.join(where, f"{name}.ext"), "w") as file:
            file.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
                       f"subjectAltName=critical,URI:spiffe://bench.internal/ns/default/sa/{name},DNS:bench.internal\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.pem",
            "-extfile", f"{name}.ext")
        os.chmod(os.path.join(where, f"{name}.key"), 0o600)
        # Certificate and key in one file: HAProxy wants them so.
        with open(os.path.join(where, f"{name}.both.pem"), "w") as both:
            for part in (f"{name}.pem", f"{name}.key"):
                with open(os.path.join(where, part)) as file:
                    both.write(file.read())
    return where


# Every standard stage, on both sides of a call.
INBOUND = ["tls", "stats", "authz", "ratelimit", {"filter": "timeout", "name": "request-timeout"}, "retry", "breaker",
           {"filter": "timeout", "name": "attempt-timeout"}, "router"]
OUTBOUND = ["stats", {"filter": "ratelimit", "config": {"rules": [{"key": "total", "rate": "1000000000/s", "burst": 1000000000}]}},
            {"filter": "timeout", "name": "request-timeout"}, "retry", "breaker", {"filter": "timeout", "name": "attempt-timeout"}, "router", "tls"]


def _resources(direction, stages, *more, mtls):
    return [{"kind": "Mesh", "name": "bench", "trustDomain": "bench.internal", "mtls": mtls},
            {"kind": "Service", "name": "order", "ports": [{"port": 1, "protocol": "http"}]},
            {"kind": "Chain", "name": direction, "direction": direction, "stages": stages}, *more]


def called(backend, certs=None, stages=INBOUND, policies=0):
    """payment's sidecar: who may call, how often, and nothing below /admin."""
    config = {
        "service": {"name": "payment"}, "inbound": {"address": "127.0.0.1:0"}, "application": f"127.0.0.1:{backend}",
        "resources": _resources(
            "inbound", stages, {"kind": "Service", "name": "payment", "ports": [{"port": 2, "protocol": "http"}]},
            {"kind": "AccessPolicy", "name": "no-admin", "target": {"service": "payment"}, "action": "deny",
             "rules": [{"to": [{"paths": [{"prefix": "/admin"}]}]}]},
            {"kind": "AccessPolicy", "name": "callers", "target": {"service": "payment"}, "action": "allow",
             "rules": [{"from": [{"service": f"other-{n}"}]} for n in range(policies)] + [{"from": [{"service": "order"}] if certs else []}]},
            {"kind": "RateLimit", "name": "payment", "target": {"service": "payment"},
             "rules": [{"key": "source", "rate": "1000000000/s", "burst": 1000000000}, {"key": "total", "rate": "1000000000/s", "burst": 1000000000}]},
            *({"kind": "Service", "name": f"other-{n}", "ports": [{"port": 3, "protocol": "http"}]} for n in range(policies)),
            mtls="strict" if certs else "permissive")}
    if certs:
        config["tls"] = {"certificate": f"{certs}/payment.pem", "key": f"{certs}/payment.key", "bundle": f"{certs}/ca.pem"}
    else:
        config["inbound"]["plaintext"] = True
    return config


def calling(port, certs=None, stages=OUTBOUND, rules=None, endpoints=1, services=0):
    """order's sidecar: one local port, which leads to payment."""
    def workload(number):
        return {"kind": "Workload", "name": f"payment-{number}", "service": "payment", "address": f"127.0.{number // 250}.{number % 250 + 1}",
                **({} if certs else {"sidecar": False})}
    config = {
        "service": {"name": "order"}, "outbound": [{"service": "payment", "address": "127.0.0.1:0"}],
        "resources": _resources(
            "outbound", stages, *({"kind": "Service", "name": f"other-{n}", "ports": [{"port": 3, "protocol": "http"}]} for n in range(services)),
            {"kind": "Service", "name": "payment", "ports": [{"port": port, "protocol": "http"}],
             "settings": {"attempt-timeout": {"after": "5s"}, "breaker": {"maxRequests": 4096, "consecutiveFailures": 5}}},
            {"kind": "Route", "name": "payment", "service": "payment", "rules": rules or [{"name": "all", "backends": [{"weight": 1}]}]},
            *map(workload, range(endpoints)), mtls="strict" if certs else "permissive")}
    if certs:
        config["tls"] = {"certificate": f"{certs}/order.pem", "key": f"{certs}/order.key", "bundle": f"{certs}/ca.pem"}
    return config
