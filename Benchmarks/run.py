#!/usr/bin/env python3
"""Measures weft beside the proxies found on this machine: `make bench`.

  run.py [--quick] [--rounds N] [--works a,b] [--peers weft,nginx] [--growth] [--out FOLDER]

CPU time per request is the main figure: what the scheduler says the proxies' threads ran (both sidecars of a mesh path), by the
requests answered meanwhile. Rounds are interleaved, every window has fresh processes, figures are medians. README.md says how
to read them.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import time

import growth
import harness
import peers
import plot

CPUS = sorted(os.sched_getaffinity(0))
# Proxies have a core of their own if there are two.
PROXY, REST = ({CPUS[0]}, set(CPUS[1:])) if len(CPUS) > 1 else (None, None)
NOISE_MAX = 0.08
WINDOW = 256        # requests under way at once, at most; further connections wait their turn


class Work:
    def __init__(self, name, what, path="plain", body=128, connections=32, fresh=False, plot=None, x=None):
        self.name, self.what, self.path, self.body, self.connections, self.fresh = name, what, path, body, connections, fresh
        self.plot, self.x = plot, x


WORKS = [
    Work("plain", "one sidecar, 128 B, 32 connections"),
    Work("mesh", "two sidecars, mTLS, 128 B, 32 connections", path="mesh"),
    Work("plain-64k", "one sidecar, 64 KiB", body=64 << 10),
    Work("mesh-64k", "two sidecars, mTLS, 64 KiB", path="mesh", body=64 << 10),
    Work("plain-1m", "one sidecar, 1 MiB", body=1 << 20, connections=8),
    Work("fresh", "one sidecar, a connection per request", fresh=True),
]
WORKS += [Work(f"connections-{n}", f"one sidecar, 128 B, {n} connection{'s' * (n > 1)}, {min(n, WINDOW)} at a time", connections=n, plot="connections", x=n) for n in (1, 8, 64, 512, 4096)]
WORKS += [Work(f"body-{n}", f"one sidecar, body of {n} bytes", body=n, connections=8, plot="body", x=n) for n in (128, 1 << 10, 8 << 10, 64 << 10, 512 << 10)]


def tree(pid):
    """A process and all below it."""
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            try:
                with open(path) as file:
                    queue += map(int, file.read().split())
            except OSError:
                pass
    return found


def ran(programs):
    """Nanoseconds that the programs' threads ran."""
    total = 0
    for program in programs:
        for pid in tree(program.pid):
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                try:
                    with open(path) as file:
                        total += int(file.read().split()[0])
                except OSError:
                    pass
    return total


def busy():
    """Nanoseconds that all cores of ours were busy or stolen since the machine started."""
    total = 0
    with open("/proc/stat") as file:
        for line in file:
            words = line.split()
            if words[0][:3] == "cpu" and words[0] != "cpu" and int(words[0][3:]) in CPUS:
                total += sum(int(word) for place, word in enumerate(words[1:9]) if place not in (3, 4))
    return total * 1e9 / os.sysconf("SC_CLK_TCK")


def measure(work, peer, seconds, certs):
    """One window: microseconds of CPU per request, its noise, the load's report."""
    with harness.Backend(cpus=REST) as backend:
        programs, port = peers.start(peer, work.path, backend.port, certs, cpus=PROXY)
        load = None
        try:
            words = [harness.tool(), "run", str(port), "--connections", str(work.connections), "--window", str(min(work.connections, WINDOW)),
                     "--path", f"/{work.body}", "--seconds", str(seconds), "--warm", "0.7"] + (["--fresh"] if work.fresh else [])
            load = harness.Program(words, stdout=subprocess.PIPE, cpus=REST)
            lines = load.process.stdout
            if lines.readline().strip() != "warm":
                raise harness.Failure(f"the load failed: {load.output()}")
            ours = programs + [backend, load]
            before = ran(programs), ran(ours), busy(), time.monotonic()
            if lines.readline().strip() != "end":
                raise harness.Failure(f"the load failed: {load.output()}")
            after = ran(programs), ran(ours), busy(), time.monotonic()
            report = json.loads(lines.readline())
        finally:
            for program in ([load] if load else []) + list(reversed(programs)):
                program.stop()
    if report["errors"] or not report["requests"]:
        raise harness.Failure(f"{report['errors']} of {report['requests'] + report['errors']} requests failed")
    cpu, all_ours, all_busy, window = (b - a for a, b in zip(before, after))
    return {"cpu": cpu / report["requests"] / 1000, "noise": max(0.0, (all_busy - all_ours) / (window * 1e9 * len(CPUS))),
            "p99": report["p99"], "rate": report["requests"] / report["seconds"]}


def disturb(seconds, certs):
    """p99 without and with a new config twice a second, and how many requests were lost: one sidecar under full load."""
    rows = []
    with harness.Backend(cpus=REST) as backend:
        sidecar = harness.Sidecar(harness.called(backend.port), cpus=PROXY)
        port = sidecar.inbound()
        # A reload keeps its port only if the file names it.
        config = {"state": os.path.join(os.path.dirname(sidecar.config), "state"), **harness.called(backend.port)}
        config["inbound"]["address"] = f"127.0.0.1:{port}"
        sidecar.stop()
        texts = []
        for after in ("10s", "11s"):
            config["resources"][0]["settings"] = {"request-timeout": {"after": after}}
            texts.append(json.dumps(config))
        with open(sidecar.config, "w") as file:
            file.write(texts[0])
        sidecar = harness.Program([harness.WEFT, "sidecar", "--config", sidecar.config], cpus=PROXY)
        sidecar.wait_for(lambda: "READY" in sidecar.output(), "the sidecar never became ready")
        path = sidecar.words[-1]
        for swaps in (False, True) * 3:
            words = [harness.tool(), "run", str(port), "--connections", "32", "--window", "32", "--seconds", str(seconds), "--warm", "0.5"]
            load = harness.Program(words, stdout=subprocess.PIPE, cpus=REST)
            load.process.stdout.readline()
            end, number = time.monotonic() + seconds, 0
            while time.monotonic() < end - 0.1:
                if swaps:
                    number += 1
                    with open(path, "w") as file:
                        file.write(texts[number % 2])
                    os.kill(sidecar.pid, 1)
                time.sleep(0.5)
            load.process.stdout.readline()
            rows.append((swaps, json.loads(load.process.stdout.readline()), number))
            load.stop()
        sidecar.stop()
    quiet = statistics.median(report["p99"] for swaps, report, _ in rows if not swaps)
    swapped = statistics.median(report["p99"] for swaps, report, _ in rows if swaps)
    lost = sum(report["errors"] for _, report, _ in rows)
    count = sum(number for _, _, number in rows)
    return f"{count} configs swapped under full load: {lost} requests lost; p99 {quiet:.0f} µs without, {swapped:.0f} µs with ({swapped / quiet - 1:+.0%})"


def workers(seconds, certs):
    """Requests per second of two workers by those of one."""
    if len(CPUS) < 4:
        return f"SKIPPED: two workers beside one need 4 cores, here are {len(CPUS)}"
    rates = {1: [], 2: []}
    for _ in range(3):
        for count in rates:
            with harness.Backend(cpus=set(CPUS[3:4])) as backend:
                programs, port = peers.start("weft", "plain", backend.port, certs, cpus=set(CPUS[:count]), workers=count)
                load = harness.Program([harness.tool(), "run", str(port), "--connections", "64", "--window", "64", "--seconds", str(seconds),
                                        "--warm", "0.5"], stdout=subprocess.PIPE, cpus={CPUS[2]})
                load.process.stdout.readline()
                load.process.stdout.readline()
                report = json.loads(load.process.stdout.readline())
                rates[count].append(report["requests"] / report["seconds"])
                load.stop()
                programs[0].stop()
    one, two = (statistics.median(rates[count]) for count in (1, 2))
    return f"two workers: {two:.0f} requests per second, one: {one:.0f} ({two / one:.2f} ×)"


def table(results, names):
    """Rows of text: CPU per request, by ours in brackets, p99 beside it."""
    head = ["work"] + names + ["noise"]
    rows = [head]
    for work, cells in results.items():
        ours = cells.get("weft", {}).get("cpu")
        row = [work]
        for name in names:
            cell = cells.get(name)
            if not cell:
                row.append("-")
            elif name == "weft":
                row.append(f"{cell['cpu']:.1f}")
            elif name == "direct":
                row.append(f"{cell['rate'] / 1000:.0f}k/s")
            else:
                row.append(f"{cell['cpu']:.1f} ({ours / cell['cpu']:.2f})" if ours else f"{cell['cpu']:.1f}")
        noise = max(cell["noise"] for cell in cells.values())
        rows.append(row + [f"{noise:.0%}" + ("!" if noise > NOISE_MAX else "")])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))) for row in rows)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=2)
    arguments.add_argument("--quick", action="store_true", help="one short round of plain and mesh")
    arguments.add_argument("--works")
    arguments.add_argument("--peers")
    arguments.add_argument("--growth", action="store_true", help="count how cost grows with routes, endpoints and more (minutes)")
    arguments.add_argument("--out", default=os.path.join(harness.ROOT, ".build", "bench"))
    options = arguments.parse_args()
    works = [work for work in WORKS if not options.works or work.name in options.works.split(",")]
    if options.quick:
        options.rounds, options.seconds, works = 1, 1, [work for work in works if work.name in ("plain", "mesh")]
    os.makedirs(options.out, exist_ok=True)
    known = peers.found()
    names = [name for name in known if not options.peers or name in options.peers.split(",")]
    print("measured: " + ", ".join(f"{name} {known[name]}" for name in names))
    absent = [name for name in peers.OTHERS if name not in known]
    if absent:
        print(f"not found, so left out: {', '.join(absent)}")
    certs = harness.certificates()
    samples = {work.name: {name: [] for name in names} for work in works}
    for number in range(options.rounds):
        for work in works:
            for name in names:
                try:
                    sample = measure(work, name, options.seconds, certs)
                    if sample["noise"] > NOISE_MAX:     # once more, the cleaner one counts
                        sample = min(sample, measure(work, name, options.seconds, certs), key=lambda sample: sample["noise"])
                    samples[work.name][name].append(sample)
                except harness.Failure as failure:
                    print(f"{work.name} {name}: left out: {failure}", file=sys.stderr)
            print(f"round {number + 1} of {options.rounds}: {work.name}", file=sys.stderr)
    results = {
        work: {name: {key: statistics.median(sample[key] for sample in list_) for key in list_[0]} for name, list_ in cells.items() if list_}
        for work, cells in samples.items()}
    text = ["CPU per request in µs, user and kernel, medians of " + f"{options.rounds} rounds; in brackets weft by it, below 1 is less; direct: requests per second without a proxy.",
            "noise: largest share of the cores lost to others; with ! differences below 20 % mean nothing.", "", table({w: c for w, c in results.items() if c}, names), ""]
    text += [f"  {work.name}: {work.what}" for work in works]
    for axis, below in (("connections", f"connections of callers, up to {WINDOW} with a request under way"), ("body", "bytes of body")):
        chosen = [work for work in works if work.plot == axis]
        series = {name: [(work.x, results[work.name][name]["cpu"]) for work in chosen if name in results[work.name]] for name in names if name != "direct"}
        series = {name: line for name, line in series.items() if len(line) > 1}
        if series:
            path = os.path.join(options.out, f"{axis}.svg")
            with open(path, "w") as file:
                file.write(plot.svg(f"CPU per request against {axis}", below, "µs per request", series, logarithmic=axis == "body"))
            text.append(f"plot: {path}")
    if not options.works and not options.quick and "weft" in names:
        text += ["", disturb(2 * options.seconds, certs), workers(options.seconds, certs)]
    if options.growth:
        text += ["", "Instructions per exchange, counted (see growth.py):"]
        for series in growth.all_series("full"):
            rows = series.measure()
            text.append(f"  {series.name}: " + ", ".join(f"{size} → {cost:.0f}" for size, cost in rows))
            path = os.path.join(options.out, "growth-" + "-".join(series.name.split()[:3]) + ".svg")
            with open(path, "w") as file:
                file.write(plot.svg(f"Cost against {series.name}", series.name, "instructions per exchange", {"weft": rows}))
    print("\n".join(text))
    with open(os.path.join(options.out, "table.txt"), "w") as file:
        file.write("\n".join(text) + "\n")
    with open(os.path.join(options.out, "results.json"), "w") as file:
        json.dump({"versions": known, "results": results, "samples": samples}, file, indent=1)


if __name__ == "__main__":
    try:
        main()
    except harness.Failure as failure:
        sys.exit(f"error: {failure}")
