"""Draws the panels of a dashboard from the answers of a Prometheus, each at its place in Grafana's grid."""
import json, math, re, urllib.parse, urllib.request

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

# Pixels of a grid unit, and Grafana's dark colours.
WIDTH, HEIGHT, DPI = 50, 27, 100
GROUND, PANEL, EDGE, TEXT, FAINT = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8e9c"
LINES = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a"]
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
SUFFIX = {"Bps": "B/s", "bytes": "B", "pps": " p/s", "cps": " c/s", "ops": " ops/s", "s": " s"}
LENGTH = 120  # seconds


class Server:
    def __init__(self, url):
        self.url = url

    def ask(self, kind, expression, **more):
        query = urllib.parse.urlencode({"query": filled_in(expression), **more})
        with urllib.request.urlopen(f"{self.url}/api/v1/{kind}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]


def filled_in(expression):
    """The query with `All` chosen for each variable."""
    return re.sub(r"\$[a-z]+(?=\")", ".*", expression.replace("$__rate_interval", "10s"))


def shown(value, unit):
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{SUFFIX.get(unit, '').strip()}"
    return f"{value:.3g}{' B/s' if unit == 'Bps' else ' B' if unit == 'bytes' else SUFFIX.get(unit, '')}"


def legend(target, labels):
    text = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda label: labels.get(label[1], ""), target.get("legendFormat", ""))
    return text or ", ".join(value for name, value in labels.items() if name != "__name__")


class Canvas:
    """A picture with places in Grafana's grid of 24 columns."""

    def __init__(self, rows):
        self.rows = rows
        self.figure = pyplot.figure(figsize=(24 * WIDTH / DPI, rows * HEIGHT / DPI), dpi=DPI, facecolor=GROUND)

    def axes(self, place, left=0, right=0, top=0, bottom=0):
        """Axes inside a place, without margins in pixels."""
        width, height = 24 * WIDTH, self.rows * HEIGHT
        x, y, w, h = place["x"] * WIDTH + left, place["y"] * HEIGHT + top, place["w"] * WIDTH - left - right, place["h"] * HEIGHT - top - bottom
        axes = self.figure.add_axes([x / width, 1 - (y + h) / height, w / width, h / height])
        axes.set_facecolor(PANEL)
        axes.tick_params(colors=FAINT, labelsize=7, length=0)
        for edge in axes.spines.values():
            edge.set_visible(False)
        return axes

    def frame(self, place, title):
        axes = self.axes(place, 3, 3, 3, 3)
        axes.set_xticks([])
        axes.set_yticks([])
        for edge in axes.spines.values():
            edge.set(visible=True, color=EDGE)
        height = place["h"] * HEIGHT - 6
        axes.text(8 / (place["w"] * WIDTH), 1 - 11 / height, title, color=TEXT, fontsize=8.5, weight="bold", va="center", clip_on=True)


def nothing(axes):
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, "No data", color=FAINT, fontsize=9, ha="center", va="center", transform=axes.transAxes)


def ranges(server, panel, end):
    for target in panel["targets"]:
        for series in server.ask("query_range", target["expr"], start=end - LENGTH, end=end, step=1):
            points = [(float(time) - end, float(value)) for time, value in series["values"]]
            # No export within a window has no quantile: a gap.
            if points := [(time, value) for time, value in points if math.isfinite(value)]:
                yield legend(target, series["metric"]), points


def timeseries(canvas, server, panel, end):
    found = sorted(ranges(server, panel, end), key=lambda series: -max(value for _, value in series[1]))
    unit = panel["fieldConfig"]["defaults"].get("unit")
    place = panel["gridPos"]
    # Lines of the legend that fit below a plot of at least half the panel.
    lines = min(len(found), max(1, (place["h"] * HEIGHT // 2 - 40) // 12))
    axes = canvas.axes(place, 62, 12, 28, 26 + 12 * lines)
    if not found:
        return nothing(axes)
    for number, (_, points) in enumerate(found):
        axes.plot(*zip(*points), color=LINES[number % len(LINES)], linewidth=1.1)
    axes.set_xlim(-LENGTH, 0)
    high = max(value for _, points in found for _, value in points)
    axes.set_ylim(0 if panel["fieldConfig"]["defaults"].get("min") == 0 else None, high * 1.1 or 1)
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, unit))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} s")
    axes.grid(color=EDGE, linewidth=0.5)
    below = canvas.axes(place | {"y": place["y"] + place["h"] - (12 * lines + 8) / HEIGHT, "h": (12 * lines + 4) / HEIGHT}, 10, 10)
    below.set_xticks([])
    below.set_yticks([])
    for number, (name, points) in enumerate(found[:lines]):
        y, colour = 1 - (number + 0.5) / lines, LINES[number % len(LINES)]
        more = f"   and {len(found) - lines} more" if number == lines - 1 and len(found) > lines else ""
        below.plot([0.005, 0.02], [y, y], color=colour, linewidth=2)
        below.text(0.027, y, (name or "value")[:70] + more, color=TEXT, fontsize=7, va="center", clip_on=True)
        values = [value for _, value in points]
        text = f"last {shown(values[-1], unit)}"
        if place["w"] >= 12:
            text = f"mean {shown(sum(values) / len(values), unit)}   max {shown(max(values), unit)}   {text}"
        below.text(0.995, y, text, color=FAINT, fontsize=7, va="center", ha="right")
    below.set(xlim=(0, 1), ylim=(0, 1))


def stat(canvas, server, panel, end):
    defaults, values = panel["fieldConfig"]["defaults"], [points[-1][1] for _, points in ranges(server, panel, end)]
    colour = NAMED.get(defaults.get("color", {}).get("fixedColor"), NAMED["green"])
    text = defaults.get("noValue", "No data")
    if values:
        text = shown(values[0], defaults.get("unit"))
        for step in defaults.get("thresholds", {}).get("steps", []):
            if step["value"] is None or values[0] >= step["value"]:
                colour = NAMED.get(step["color"], colour)
    axes = canvas.axes(panel["gridPos"], 8, 8, 28, 8)
    nothing(axes)
    axes.texts[0].set(text=text, color=colour, fontsize=20, weight="bold")


def state_timeline(canvas, server, panel, end):
    found = sorted(ranges(server, panel, end))
    axes = canvas.axes(panel["gridPos"], 190, 12, 28, 22)
    if not found:
        return nothing(axes)
    names = {0.0: "red", 1.0: "green"}
    for number, (name, points) in enumerate(found):
        for time, value in points:
            axes.broken_barh([(time, 1.05)], (len(found) - number - 0.9, 0.8), color=NAMED[names.get(value, "orange")])
        axes.text(-LENGTH - 1, len(found) - number - 0.5, name[:34], color=TEXT, fontsize=7, ha="right", va="center")
    axes.set(xlim=(-LENGTH, 0), ylim=(0, len(found)), yticks=[])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} s")


def merged(server, panel, end):
    """Rows as after Grafana's transformations merge, filterFieldsByName and organize, and the columns."""
    organize = next(t["options"] for t in panel["transformations"] if t["id"] == "organize")
    columns = sorted(organize["indexByName"], key=organize["indexByName"].get)
    rows = []
    for target in panel["targets"]:
        field = "Value" if len(panel["targets"]) == 1 else f"Value #{target['refId']}"
        for series in server.ask("query", target["expr"], time=end):
            labels = {name: value for name, value in series["metric"].items() if name in columns}
            row = next((r for r in rows if field not in r and all(r.get(k, v) == v for k, v in labels.items())), None)
            if row is None:
                rows.append(row := {})
            row.update(labels, **{field: float(series["value"][1])})
    rows.sort(key=lambda row: [str(row.get(column, "")) for column in columns if not column.startswith("Value")])
    return rows, [(column, organize["renameByName"].get(column, column)) for column in columns]


def table(canvas, server, panel, end):
    rows, columns = merged(server, panel, end)
    place = panel["gridPos"]
    axes = canvas.axes(place, 10, 10, 28, 8)
    if not rows:
        return nothing(axes)
    units = {o["matcher"]["options"]: p["value"] for o in panel["fieldConfig"]["overrides"] for p in o["properties"] if p["id"] == "unit"}
    height = place["h"] * HEIGHT - 36
    # As many rows as fit, as in Grafana, which scrolls the rest.
    fit = max(1, height // 17 - 1)
    fit -= len(rows) > fit
    axes.set(xlim=(0, 1), ylim=(height, 0), xticks=[], yticks=[])
    texts = [[title for _, title in columns]]
    for row in rows[:fit]:
        cell = lambda name, title: shown(row[name], units.get(title)) if isinstance(row.get(name), float) else row.get(name, "")
        texts.append([cell(name, title) for name, title in columns])
    # Columns as wide as their longest text.
    widths = [max(len(line[number]) for line in texts) + 2 for number in range(len(columns))]
    for number, line in enumerate(texts):
        for column, text in enumerate(line):
            left = sum(widths[:column]) / sum(widths)
            axes.text(left, 17 * number + 8, text, color=FAINT if number == 0 else TEXT, fontsize=7.5, va="center", clip_on=True)
        axes.axhline(17 * (number + 1), color=EDGE, linewidth=0.5)
    if len(rows) > fit:
        axes.text(0, 17 * (fit + 1) + 9, f"{len(rows) - fit} more rows", color=FAINT, fontsize=7, va="center")


KINDS = {"timeseries": timeseries, "stat": stat, "state-timeline": state_timeline, "table": table}


def draw(file, picture, url, end):
    """Draws the dashboard at a time."""
    dashboard, server = json.loads(file.read_text()), Server(url)
    canvas = Canvas(max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"]))
    for panel in dashboard["panels"]:
        canvas.frame(panel["gridPos"], panel["title"])
        if panel["type"] != "row":
            KINDS[panel["type"]](canvas, server, panel, end)
    canvas.figure.savefig(picture, facecolor=GROUND, metadata={"Software": None})
    pyplot.close(canvas.figure)
