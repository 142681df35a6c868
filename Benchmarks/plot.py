"""A line chart as SVG, both axes logarithmic or only the lower one: a few lines instead of a library."""
import math
from html import escape

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 110, 50, 56
# Told apart also without colour vision (Okabe and Ito, 2008).
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000"]


def _short(value):
    for size, unit in ((1 << 20, "Mi"), (1 << 10, "Ki")):
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value:g}" if value < 10_000 else f"{value / 1000:g}k"


def _ticks(low, high, logarithmic):
    if logarithmic:
        steps = [step * 10 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for step in (1, 2, 5)]
        return [step for step in steps if low <= step <= high]
    step = 10 ** math.floor(math.log10(high / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if high / (step * factor) <= 6)
    return [step * n for n in range(int(high / step) + 1)]


def svg(title, below, beside, series, logarithmic=False):
    """`series`: name → [(x, y)]. x is drawn logarithmically, y from zero unless `logarithmic`."""
    points = [point for line in series.values() for point in line]
    xs, ys = sorted({x for x, _ in points}), [y for _, y in points]
    low, high = (min(ys) * 0.8, max(ys) * 1.25) if logarithmic else (0, max(ys) * 1.08)
    x_low, x_span = math.log(xs[0]), math.log(xs[-1] / xs[0]) or 1

    def x_at(x):
        return LEFT + (math.log(x) - x_low) / x_span * (WIDTH - LEFT - RIGHT)

    def y_at(y):
        share = math.log(y / low) / math.log(high / low) if logarithmic else y / high
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           f'<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{escape(title)}</text>']
    for y in _ticks(low, high, logarithmic):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_at(y):.1f}" y2="{y_at(y):.1f}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y_at(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in xs:
        out.append(f'<line x1="{x_at(x):.1f}" x2="{x_at(x):.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 5}" stroke="#888"/>')
        out.append(f'<text x="{x_at(x):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{_short(x)}</text>')
    out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}" stroke="#888"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(below)}</text>')
    out.append(f'<text transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{escape(beside)}</text>')
    # Names stand at the lines' ends, moved apart where they would cover one another.
    places, last = {}, TOP - 14
    for name in sorted(series, key=lambda name: y_at(series[name][-1][1])):
        last = max(y_at(series[name][-1][1]) + 4, last + 14)
        places[name] = last
    for number, (name, line) in enumerate(series.items()):
        colour, width = COLOURS[number % len(COLOURS)], 3 if number == 0 else 1.8
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        out += [f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="{width + 0.6}" fill="{colour}"><title>{escape(name)}: {x:g}, {y:.1f}</title></circle>' for x, y in line]
        out.append(f'<text x="{x_at(line[-1][0]) + 9:.1f}" y="{places[name]:.1f}" fill="{colour}" font-weight="bold">{escape(name)}</text>')
    return "\n".join(out + ["</svg>", ""])
