"""How the cost of an exchange grows with what a mesh has many of: instructions, counted."""
import counting
import harness


class Series:
    """Costs over sizes. Held to a `factor` between the first and the last, or, where growth is meant, to so many `per_step`."""

    def __init__(self, name, sizes, config, port=counting.calling_port, warm=None, factor=1.05, per_step=None, reason="", load=None):
        self.name, self.sizes, self.config, self.port = name, sizes, config, port
        self.warm, self.factor, self.per_step, self.reason = warm, factor, per_step, reason
        self.load = load or (lambda size: {})

    def measure(self):
        rows = []
        with harness.Backend() as backend:
            for size in self.sizes:
                warm = self.warm(size) if self.warm else counting.WARM
                cost, = counting.instructions([lambda _: self.config(backend.port, size)], [self.port], warm=warm, counted=1000, **self.load(size))
                rows.append((size, cost.instructions))
        return rows


def _rules(count, path):
    return [{"name": f"r{n}", "matches": [{"path": path(n)}], "backends": [{"weight": 1}]} for n in range(count - 1)] + [
        {"name": "last", "matches": [{"path": {"prefix": "/shop/cart"}}], "backends": [{"weight": 1}]}]


def _stages(count):
    limit = {"rules": [{"key": "total", "rate": "1000000000/s", "burst": 1000000000}]}
    return ["stats"] + [{"filter": "ratelimit", "name": f"limit-{n}", "config": limit} for n in range(count - 2)] + ["router"]


def all_series(lengths):
    full = lengths == "full"
    many = 10_000
    path = {"path": "/shop/cart/items/128"}
    return [
        Series("routes of a service, exact paths, the last one matching", [1, 100, many] if full else [1, many],
               lambda port, n: harness.calling(port, rules=_rules(n, lambda i: {"exact": f"/shop/page-{i}"})), load=lambda n: path),
        Series("routes of a service, prefixes, the last one matching", [1, 100, many] if full else [1, many],
               lambda port, n: harness.calling(port, rules=_rules(n, lambda i: {"prefix": f"/shop/section-{i}"})), load=lambda n: path),
        Series("services that can be called", [1, 100, 4000] if full else [1, 1000],
               lambda port, n: harness.calling(port, services=n - 1)),
        Series("endpoints of a service", [1, 2, 30, 1000] if full else [2, 300],
               lambda port, n: harness.calling(port, endpoints=n), warm=lambda n: counting.WARM + 12 * n),
        Series("callers that policies allow", [1, 16, 250], lambda port, n: harness.called(port, policies=n - 1), port=counting.called_port),
        Series("connections of callers", [1, 100, 10_000] if full else [1, 1000],
               lambda port, n: harness.called(port), port=counting.called_port, warm=lambda n: counting.WARM + n,
               load=lambda n: {"connections": n}),
        Series("stages of a chain", [2, 8, 32, 64] if full else [2, 64],
               lambda port, n: harness.calling(port, stages=_stages(n)), per_step=420,
               reason="each stage is called; here each takes a token from a bucket of its own"),
    ]
