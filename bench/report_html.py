"""report_html.py - the bench's report: one self-contained page with a picture of time against
memory for every program. Left and down is better."""
import html
import math

import figures

COLOURS = ["#e4572e", "#4c78a8", "#54a24b", "#b279a2", "#eeca3b", "#72b7b2", "#9d755d", "#ff9da6", "#79706e",
           "#2f4b7c", "#a05195", "#7a8b00"]
WIDTH, HEIGHT, MARGIN = 300, 210, 34

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1280px; padding: 0 1em; color: #222; background: #fff; }
h2 { margin-top: 2em; } .note { color: #666; } .grid { display: flex; flex-wrap: wrap; gap: 14px; }
figure { margin: 0; border: 1px solid #ddd; border-radius: 6px; padding: 8px; } figcaption { font-weight: 600; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } td, th { padding: 2px 9px; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr:nth-child(even) td { background: #f6f6f6; } .best { font-weight: 700; }
.worse { color: #b3261e; } .key span { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin: 0 4px 0 14px; }
svg text { font: 11px system-ui, sans-serif; fill: #666; } .scroll { overflow-x: auto; }
@media (prefers-color-scheme: dark) { body { background: #17181a; color: #ddd; } figure { border-color: #444; }
tr:nth-child(even) td { background: #222326; } .worse { color: #ff8a80; } .note, svg text { color: #999; fill: #999; } }
"""


def axis(values):
    """The lower end and the length of a logarithmic axis that shows all values and is never so
    short that noise looks like a difference."""
    low, high = math.log(min(values)), math.log(max(values))
    middle, length = (low + high) / 2, max(high - low, math.log(1.25)) * 1.15
    return middle - length / 2, length


def scatter(points, colours, title, note):
    """points: {name: (time ratio, memory ratio, tooltip)}"""
    if not points:
        return ""
    left, across = axis([point[0] for point in points.values()] + [1])
    bottom, up = axis([point[1] for point in points.values()] + [1])

    def place(x, y):
        return (MARGIN + (math.log(x) - left) / across * (WIDTH - MARGIN - 8),
                HEIGHT - MARGIN - (math.log(y) - bottom) / up * (HEIGHT - MARGIN - 8))

    parts = [f'<figure><figcaption>{html.escape(title)}</figcaption><div class="note">{html.escape(note)}</div>'
             f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{html.escape(title)}">']
    one_x, one_y = place(1, 1)
    parts.append(f'<path d="M{one_x:.1f} 8V{HEIGHT - MARGIN}M{MARGIN} {one_y:.1f}H{WIDTH - 8}" stroke="#bbb" '
                 'stroke-dasharray="3 3" fill="none"/>')
    parts.append(f'<path d="M{MARGIN} 8V{HEIGHT - MARGIN}H{WIDTH - 8}" stroke="#999" fill="none"/>')
    low_x, high_x = math.exp(left), math.exp(left + across)
    low_y, high_y = math.exp(bottom), math.exp(bottom + up)
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - 20}">{low_x:.2f}</text>'
                 f'<text x="{WIDTH - 8}" y="{HEIGHT - 20}" text-anchor="end">{high_x:.2f}</text>'
                 f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">time, ratio to the best peer</text>'
                 f'<text x="{MARGIN - 4}" y="{HEIGHT - MARGIN}" text-anchor="end">{low_y:.2f}</text>'
                 f'<text x="{MARGIN - 4}" y="16" text-anchor="end">{high_y:.2f}</text>'
                 f'<text x="12" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 12 {HEIGHT / 2})">peak memory</text>')
    # HAKMEM comes last, so that nothing lies over it.
    for name in sorted(points, key=lambda name: name == "hakmem"):
        x, y = place(*points[name][:2])
        radius = 7 if name == "hakmem" else 4.5
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colours[name]}" fill-opacity=".85" stroke="#fff">'
                     f'<title>{html.escape(points[name][2])}</title></circle>')
    return "".join(parts) + "</svg></figure>"


def program_picture(name, program, peers, shown, colours):
    time = figures.Comparison(program["results"], "wall", peers)
    memory = figures.Comparison(program["results"], "peak_kib", peers)
    points = {}
    for other in shown:
        if time.ratio(other) and memory.ratio(other):
            seconds, mebibytes = figures.best(time.runs[other], "wall"), figures.best(memory.runs[other], "peak_kib") / 1024
            tooltip = (f"{other}: {seconds:.3f} s (spread {figures.spread(time.runs[other], 'wall'):.1%}), {mebibytes:.1f} MiB; "
                       f"{time.text(other)} × the time of {time.peer}, {memory.text(other)} × the memory of {memory.peer}")
            points[other] = (time.ratio(other), memory.ratio(other), tooltip)
    note = f"fastest {time.peer or '-'}, smallest {memory.peer or '-'}"
    return scatter(points, colours, name, note)


def cell(comparison, name, result):
    """One allocator's cell of a table."""
    text, value = comparison.text(name), comparison.ratio(name)
    style = "best" if name == comparison.peer else "worse" if text[0].isdigit() and value > 1.1 else ""
    title = result.get("failed", "not measured")
    if name in comparison.runs:
        low = figures.best(comparison.runs[name], comparison.measure)
        title = f"best {low:g}, lower quartile {figures.lower_quartile(comparison.runs[name], comparison.measure):g}"
    return f'<td class="{style}" title="{html.escape(title)}">{text}</td>'


def table(report, measure, against_floor=False):
    names = list(report["allocators"])
    rows = ["<tr><th>program</th>" + "".join(f"<th>{html.escape(name)}</th>" for name in names) + "</tr>"]
    for program_name, comparison in figures.comparisons(report, measure, against_floor).items():
        results = report["programs"][program_name]["results"]
        rows.append(f"<tr><td>{html.escape(program_name)}</td>"
                    + "".join(cell(comparison, name, results[name]) for name in names) + "</tr>")
    for kind in ["workload", "program"]:
        means = figures.summary(report, measure, kind, against_floor)
        if any(mean for mean, _ in means.values()):
            rows.append(f"<tr><th>geometric mean, {kind}s</th>"
                        + "".join(f"<th>{figures.mean_text(*means[name])}</th>" for name in names) + "</tr>")
    title = figures.MEASURES[measure].capitalize() + (f", ratio to the floor: {figures.FLOORS[measure]}" if against_floor else "")
    return f"<h2>{title}</h2><div class='scroll'><table>" + "".join(rows) + "</table></div>"


def page(report):
    peers = [name for name, allocator in report["allocators"].items() if allocator["is_peer"]]
    shown = [name for name in report["allocators"] if name != "bump"]
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(shown)}
    parts = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>HAKMEM bench</title>",
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body><h1>HAKMEM bench</h1>",
        f"<p class='note'>{html.escape(report['date'])}; {html.escape(report['machine'])}; best of {report['runs']} interleaved "
        "runs. Ratios are to the best peer of each program: the fastest for time, the smallest for memory. ~ means that the "
        "spread of the runs exceeds the difference. In the pictures left and down is better; point at a dot for its figures. "
        "The floor of time is a bump allocator that never frees, on memory that costs nothing; that of memory the most bytes "
        "that were live at once, and the files in the resident memory.</p>",
        "<p class='key'>" + "".join(f"<span style='background:{colours[name]}'></span>{html.escape(name)}" for name in shown) + "</p>",
        "<h2>All together</h2><div class='grid'>",
    ]
    for kind, title in [("workload", "our workloads"), ("program", "real programs")]:
        time, memory = ({name: mean for name, (mean, _) in figures.summary(report, measure, kind).items()}
                        for measure in ("wall", "peak_kib"))
        points = {name: (time[name], memory[name], f"{name}: time {time[name]:.2f}, memory {memory[name]:.2f}")
                  for name in shown if time[name] and memory[name]}
        parts.append(scatter(points, colours, title, "geometric means"))
    parts.append("</div><h2>Program by program</h2><div class='grid'>")
    parts += [program_picture(name, program, peers, shown, colours) for name, program in report["programs"].items()]
    parts.append("</div>")
    for measure in ["wall", "processor", "peak_kib", "end_kib", "faults", "switches"]:
        parts.append(table(report, measure))
        if measure in figures.FLOORS:
            parts.append(table(report, measure, against_floor=True))
    for name, rates in figures.rates(report).items():
        parts.append(f"<h2>Millions of calls of malloc and free per second, {html.escape(name)}</h2><p>"
                     + ", ".join(f"{html.escape(other)} {rate / 1e6:.1f}" for other, rate in rates.items()) + "</p>")
    return "".join(parts) + "</body></html>\n"
