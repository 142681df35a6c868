"""Reads what callgrind wrote: instructions of each function itself, inclusive of what it calls, and who calls whom how often."""
import re
from collections import defaultdict

NAME = re.compile(r"\((\d+)\)(?: (.*))?")


class Profile:
    """One dump. `own` and `calls` are keyed by (object file, function)."""

    def __init__(self, path):
        self.total = 0
        self.own = defaultdict(int)
        self.inclusive = defaultdict(int)       # of calls from elsewhere: recursion is not counted twice at depth one
        self.calls = defaultdict(int)           # (caller, callee) -> times
        names = {"ob": {}, "fn": {}}
        where = {"ob": "?", "cob": None, "fn": None, "cfn": None}

        def named(key, text):
            table = names[key[-2:]]
            number, name = NAME.fullmatch(text).groups()
            if name is not None:
                table[number] = name
            return table.get(number, "?")

        pending = 0
        with open(path, errors="replace") as lines:
            for line in lines:
                head, _, rest = line.rstrip("\n").partition("=")
                if head == "ob":
                    where["ob"] = named(head, rest)
                elif head == "cob":
                    where["cob"] = named(head, rest)
                elif head == "fn":
                    where["fn"] = (where["ob"], named(head, rest))
                elif head == "cfn":
                    where["cfn"] = (where["cob"] or where["ob"], named(head, rest))
                    where["cob"] = None
                elif head == "calls":
                    self.calls[where["fn"], where["cfn"]] += int(rest.split()[0])
                    pending = 1
                elif line[:1] in "+-*0123456789" and line.strip():
                    words = line.split()
                    cost = int(words[1]) if len(words) > 1 else 0
                    if pending:
                        if where["fn"] != where["cfn"]:
                            self.inclusive[where["cfn"]] += cost
                        pending = 0
                    else:
                        self.own[where["fn"]] += cost
                elif line.startswith(("summary:", "totals:")) and not self.total:
                    self.total = int(line.split()[1])

    def times(self, wanted):
        """How often functions whose name `wanted` accepts are called, as {(caller, callee): times}."""
        return {pair: count for pair, count in self.calls.items() if wanted(pair[1][1])}


def top(profile, count, requests, inclusive=False):
    table = profile.inclusive if inclusive else profile.own
    rows = sorted(table.items(), key=lambda row: -row[1])[:count]
    return [(value / requests, name) for (_, name), value in rows]
