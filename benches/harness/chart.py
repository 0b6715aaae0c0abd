"""A picture with bars, as SVG: one group a program, one bar a test."""

COLOURS = ["#2563eb", "#93c5fd", "#64748b"]
LEFT, WIDTH, BAR, GAP = 170, 720, 16, 14


def write(path, title, groups):
    """`groups`: pairs of a name and a dict from test to value; the longest bar fills the width."""
    groups = [(name, bars) for name, bars in groups if bars]
    most = max(value for _, bars in groups for value in bars.values())
    tests = list(dict.fromkeys(test for _, bars in groups for test in bars))
    scale, y, body = (WIDTH - LEFT - 70) / most, 64, []
    for position, test in enumerate(tests):
        x = LEFT + 110 * position
        body.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{COLOURS[position]}"/>'
                    f'<text x="{x + 18}" y="45">{test}</text>')
    for name, bars in groups:
        body.append(f'<text x="{LEFT - 10}" y="{y + BAR * len(bars) / 2 + 5}" text-anchor="end">{name}</text>')
        for test, value in bars.items():
            length = max(value * scale, 1)
            body.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" '
                        f'fill="{COLOURS[tests.index(test)]}"/>'
                        f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{value:.2f}</text>')
            y += BAR
        y += GAP
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
                   f'font-family="sans-serif" font-size="13" fill="#334155">'
                   f'<rect width="100%" height="100%" fill="#ffffff"/>'
                   f'<text x="10" y="20" font-size="15" font-weight="bold">{title}</text>\n'
                   + "\n".join(body) + "\n</svg>\n")
