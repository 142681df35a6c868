#!/usr/bin/env python3
"""Holds what an exchange may cost, by counting: see README.md beside this file.

  costs.py            counts and compares with recorded.json
  costs.py record     counts and writes recorded.json: after a change that is meant to cost more, or less
  costs.py growth     how cost grows with routes, services, endpoints, policies, connections, stages
  costs.py profile    the largest costs of each sidecar, by themselves and with all they call
"""
import json
import os
import platform
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "Benchmarks"))
import counting
import growth
import harness
from callgrind import top

RECORDED = os.path.join(HERE, "recorded.json")
TOLERANCE = 0.03
CALLS_MAX = 4.1         # system calls per exchange, waiting apart
WAITS_MAX = 2.1         # epoll_wait per exchange of a lone caller: one for the request, one for the answer
RUNS_MAX = 0.5          # runs of writes per exchange when 64 are under way: a turn's requests leave together, and its answers
NOTHING = 0.005         # per exchange: what happens once a second is not part of an exchange
AGAIN = "make record-costs"


def answer(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[:1]


def conditions():
    """All that decides how many instructions the same source takes."""
    avx = "avx2" if " avx2 " in open("/proc/cpuinfo").read() else "no avx2"
    return {
        "machine": f"{platform.machine()}, {avx}", "swift": answer("swift", "--version")[0].split(" (")[0],
        "libc": " ".join(platform.libc_ver()), "openssl": answer("openssl", "version")[0].split(" (")[0],
        "valgrind": answer("valgrind", "--version")[0], "request": "GET /128, 4 header fields", "response": "200, 3 header fields, 128 bytes",
        "stages": {"inbound": len(harness.INBOUND), "outbound": len(harness.OUTBOUND)},
    }


def plain_names(names):
    """As people write them, of mangled symbols."""
    tool = shutil.which("swift-demangle") or shutil.which("swift")
    words = [tool] + (["demangle"] if tool.endswith("/swift") else []) + ["--simplified", "--compact"]
    done = subprocess.run(words, input="\n".join(names), capture_output=True, text=True)
    return dict(zip(names, done.stdout.splitlines())) if done.returncode == 0 else {name: name for name in names}


def figure(cost, least=20):
    """Functions that take fewer than `least` instructions are left out."""
    own = {}
    for (_, name), value in cost.profile.own.items():
        name = name.split("'")[0]
        own[name] = own.get(name, 0) + value / cost.requests
    own = {name: round(value) for name, value in own.items() if value >= least}
    names = plain_names(list(own))
    functions = {}
    for name, value in own.items():
        functions[names[name]] = functions.get(names[name], 0) + value
    return {"instructions": round(cost.instructions), "in OpenSSL": round(cost.in_openssl), "functions": dict(sorted(functions.items(), key=lambda row: -row[1]))}


def count(backend, certs):
    costs, calls, runs = {}, {}, {}
    for names, configs, ports in counting.stream_topologies(backend, certs):
        costs.update(zip(names, counting.instructions(configs, ports, rounds=counting.StreamRounds)))
    for names, configs, ports in counting.topologies(backend, certs):
        costs.update(zip(names, counting.instructions(configs, ports)))
        calls.update(zip(names, counting.system_calls(configs, ports)))
        runs.update(zip(names, counting.runs_of_writes(configs, ports)))
    handshakes = {f"{kind} handshake": counting.handshakes(harness.called(backend, certs), certs, kind == "resumed") for kind in ("full", "resumed")}
    return costs, calls, runs, handshakes


def judge_mallocs(verdict, backend, certs):
    """At full speed, so it needs no other tool."""
    kinds = [(counting.topologies, {}), (counting.stream_topologies, {"rounds": counting.StreamRounds})]
    for (names, configs, ports), load in [(topology, load) for topologies, load in kinds for topology in topologies(backend, certs)]:
        for name, (in_openssl, others) in zip(names, counting.mallocs(configs, ports, **load)):
            note = f" (OpenSSL's own: {in_openssl:.2f})" if in_openssl >= NOTHING else ""
            verdict.hold(others < NOTHING, f"{name}: {others:.4f} mallocs per exchange at full speed, 0 wanted{note}")


class Verdict:
    def __init__(self):
        self.failures = 0

    def hold(self, condition, words):
        print(("  ok     " if condition else "error: ") + words)
        self.failures += not condition


def judge_objects(verdict, name, cost):
    for what, table in (("mallocs", cost.mallocs), ("retains and releases", cost.retains)):
        total = sum(table.values())
        verdict.hold(total < NOTHING, f"{name}: {total:.3f} {what} per exchange, 0 wanted")
        if total >= NOTHING:
            names = plain_names(list(table))
            for key, value in sorted(table.items(), key=lambda row: -row[1])[:10]:
                print(f"           {value:6.3f}  {names[key]}")


def judge_counts(verdict, name, cost, calls, runs):
    waits = calls.get("epoll_wait", 0) + calls.get("epoll_pwait", 0)
    others = sum(value for key, value in calls.items() if key not in ("epoll_wait", "epoll_pwait"))
    listed = ", ".join(f"{key} {value:.2f}" for key, value in sorted(calls.items(), key=lambda row: -row[1]) if value >= 0.01)
    verdict.hold(others <= CALLS_MAX, f"{name}: {others:.2f} system calls per exchange, at most {CALLS_MAX} wanted ({listed})")
    verdict.hold(waits <= WAITS_MAX, f"{name}: {waits:.2f} waits per exchange, at most {WAITS_MAX} wanted")
    verdict.hold(runs <= RUNS_MAX, f"{name}: {runs:.2f} runs of writes per exchange of 64 at once, at most {RUNS_MAX} wanted")
    if cost.in_openssl:
        print(f"  note   {name}: {cost.in_openssl:.0f} instructions and {cost.openssl_mallocs:.1f} mallocs per exchange are OpenSSL's own")


def judge_instructions(verdict, name, now, recorded):
    for key in ("instructions", "in OpenSSL"):
        old, new = recorded[key], now[key]
        if old == new == 0:
            continue
        share = (new - old) / old if old else 1
        good = abs(share) <= TOLERANCE
        verdict.hold(good, f"{name}: {new} {key} per exchange, {old} recorded ({share:+.1%}, at most {TOLERANCE:.0%} wanted)")
        if good:
            continue
        before, after = recorded["functions"], now["functions"]
        changed = sorted(((after.get(f, 0) - before.get(f, 0), f) for f in before.keys() | after.keys()), key=lambda row: -abs(row[0]))
        print("           what changed most (old, new, function):")
        for _, function in changed[:10]:
            print(f"           {before.get(function, 0):6} {after.get(function, 0):6}  {function[:120]}")
        print(f"           if it is meant to be so: {AGAIN}")


def check(record=False):
    verdict = Verdict()
    missing = counting.missing()
    with harness.Backend() as backend:
        certs = harness.certificates()
        judge_mallocs(verdict, backend.port, certs)
        if missing:
            print(f"SKIPPED: instructions, retains and system calls were not counted, for want of {', '.join(missing)}")
            return verdict
        costs, calls, runs, handshakes = count(backend.port, certs)
    for name, cost in costs.items():
        judge_objects(verdict, name, cost)
        if name in calls:
            judge_counts(verdict, name, cost, calls[name], runs[name])
    figures = {name: figure(cost) for name, cost in costs.items()} | {name: figure(cost, least=10_000) for name, cost in handshakes.items()}
    if record:
        with open(RECORDED, "w") as file:
            json.dump({"conditions": conditions(), "figures": figures}, file, indent=1, ensure_ascii=False)
            file.write("\n")
        print("recorded: " + ", ".join(f"{name} {value['instructions']}" for name, value in figures.items()))
        return verdict
    with open(RECORDED) as file:
        recorded = json.load(file)
    here = conditions()
    differing = [key for key in here if here[key] != recorded["conditions"].get(key)]
    if differing:
        print("SKIPPED: instructions were recorded under other conditions, so they are shown and not judged")
        for key in differing:
            print(f"           {key}: recorded {recorded['conditions'].get(key)}, here {here[key]}")
        for name, value in figures.items():
            print(f"  note   {name}: {value['instructions']} instructions per exchange, {recorded['figures'].get(name, {}).get('instructions', 'none')} recorded there")
        print(f"           to record here: {AGAIN}")
    else:
        for name, value in figures.items():
            judge_instructions(verdict, name, value, recorded["figures"][name])
    return verdict


def check_growth(lengths):
    verdict = Verdict()
    for series in growth.all_series(lengths):
        rows = series.measure()
        print(f"  {series.name}: " + ", ".join(f"{size} → {cost:.0f}" for size, cost in rows))
        (small, first), (large, last) = rows[0], rows[-1]
        if series.per_step:
            step = (last - first) / (large - small)
            verdict.hold(step <= series.per_step, f"{series.name}: {step:.1f} instructions for each, at most {series.per_step} wanted ({series.reason})")
        else:
            verdict.hold(last <= first * series.factor, f"{series.name}: {last / first:.3f} times as many instructions at {large} as at {small}, at most {series.factor} wanted")
    return verdict


def profile():
    with harness.Backend() as backend:
        for names, configs, ports in counting.topologies(backend.port, harness.certificates()):
            for name, cost in zip(names, counting.instructions(configs, ports)):
                for title, inclusive in (("by themselves", False), ("with all they call", True)):
                    print(f"{name}: {cost.instructions:.0f} instructions per exchange; largest {title}")
                    rows = top(cost.profile, 15 if not inclusive else 40, cost.requests, inclusive)
                    written = plain_names([name for _, name in rows])
                    for value, function in rows:
                        print(f"  {value:8.0f} {value / cost.instructions:5.1%}  {written[function][:120]}")


def main():
    action = sys.argv[1] if len(sys.argv) > 1 else "check"
    if action not in ("check", "record") and counting.missing():
        print(f"SKIPPED: what exchanges cost was not counted, for want of {', '.join(counting.missing())}")
        return 0
    if not os.access(harness.WEFT, os.X_OK):
        print(f"error: no binary at {harness.WEFT}: make build")
        return 1
    try:
        if action == "profile":
            profile()
            return 0
        if action in ("growth", "growth-full"):
            verdict = check_growth("full" if action.endswith("full") else "short")
        elif action in ("check", "record"):
            verdict = check(record=action == "record")
        else:
            print(__doc__)
            return 2
    except harness.Failure as failure:
        print(f"error: {failure}")
        return 1
    print(f"costs: {'all held' if verdict.failures == 0 else f'{verdict.failures} not held'}")
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())
