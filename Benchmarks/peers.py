"""Proxies on this machine, each as one sidecar or as two with mTLS between them."""
import os
import re
import shutil
import socket
import subprocess

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
OTHERS = {
    "nginx": ("nginx.conf", ["nginx", "-p", "{run}", "-c", "{config}"], ["nginx", "-v"]),
    "haproxy": ("haproxy.cfg", ["haproxy", "-db", "-f", "{config}"], ["haproxy", "-v"]),
    "envoy": ("envoy.yaml", ["envoy", "-c", "{config}", "--concurrency", "1", "--disable-hot-restart", "-l", "error"], ["envoy", "--version"]),
}


def found():
    """Names of the peers that can run here, and their versions; ours first, no proxy at all last."""
    versions = {"weft": _version([harness.WEFT, "version"])}
    for name, (_, _, version) in OTHERS.items():
        if shutil.which(version[0]):
            said = _version(version)
            if said:
                versions[name] = said
    versions["direct"] = "no proxy"
    return versions


def _version(words):
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    text = (done.stdout + done.stderr).strip()
    match = re.search(r"version:?\s+\S*?(\d+\.\d+\.\d+)", text) or re.search(r"(\d+\.\d+\.\d+)", text)
    return match[1] if match else "?"


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _other(name, certs, to, tls_in, tls_out, cpus):
    template, words, _ = OTHERS[name]
    run, listen = harness.folder(), _free_port()
    with open(os.path.join(HERE, "peers", template)) as file:
        text = file.read()
    for side, is_tls in (("in", tls_in), ("out", tls_out)):
        text = re.sub(rf"^#{side}-{'tls' if is_tls else 'plain'}", "", text, flags=re.M)
    for key, value in {"RUN": run, "LISTEN": listen, "NEXT": to, "CERTS": certs}.items():
        text = text.replace(f"@{key}@", str(value))
    config = os.path.join(run, template)
    with open(config, "w") as file:
        file.write(text)
    program = harness.Program([word.format(run=run, config=config) for word in words], where=run, cpus=cpus)

    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", listen)) == 0
    program.wait_for(listens, f"{name} never listened")
    return program, listen


def start(name, path, backend, certs, cpus=None, workers=1):
    """The programs of a path, `plain` or `mesh`, and the port that leads into it."""
    if name == "direct":
        return [], backend
    if path == "plain":
        if name == "weft":
            sidecar = harness.Sidecar({**harness.called(backend), "workers": workers}, cpus=cpus)
            return [sidecar], sidecar.inbound()
        program, port = _other(name, certs, backend, False, False, cpus)
        return [program], port
    if name == "weft":
        called = harness.Sidecar({**harness.called(backend, certs), "workers": workers}, cpus=cpus)
        caller = harness.Sidecar({**harness.calling(called.inbound(), certs), "workers": workers}, cpus=cpus)
        return [called, caller], caller.outbound()
    called, port = _other(name, certs, backend, True, False, cpus)
    caller, port = _other(name, certs, port, False, True, cpus)
    return [called, caller], port
