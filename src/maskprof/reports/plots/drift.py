"""Samples in the order of time, so that a machine that drifts or stumbles shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.charts.shapes import MARKS, Boxes, Dots, Drawing, Segments
from maskprof.reports.charts.xy import Axis, Mark, Series, XYPlot, draw_xy
from maskprof.reports.layout import Table
from maskprof.reports.plots.labels import short_names
from maskprof.reports.plots.plot import Key, Plot, figures
from maskprof.results.schema import RunResult, Sample, Statistics

# A sample farther off than this many times the distance of most is drawn at the edge, or the others would be a line.
_EDGE, _MOST = 1.6, 0.97
_LEAST_EDGE_PCT = 5.0
_THIRDS = 3
SPARK_WIDTH, SPARK_HEIGHT = 150.0, 30.0

_Time = Callable[[Sample], float | None]
PHASES: tuple[tuple[str, str, _Time], ...] = (
    ("prefill", "Prefill", lambda sample: sample.prefill_ms),
    ("decode_per_token", "Decode per token", lambda sample: sample.decode_per_token_ms),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One configuration's samples of one phase in the order of time, in ms."""

    name: str
    label: str
    values_ms: tuple[float, ...]
    statistics: Statistics | None
    drift: float | None


def drift_plots(result: RunResult) -> tuple[Plot, ...]:
    """Per phase: every sample's distance from its configuration's median over the time since the run began."""
    names = short_names(result)
    plots = []
    for phase, label, time_of in PHASES:
        off = _deviations(result, time_of)
        if len(off) < 2:  # noqa: PLR2004 - one sample has no course
            continue
        edge = _edge([pct for _, pct in off])
        beyond = sum(abs(pct) > edge for _, pct in off)
        rounds: dict[int, list[tuple[Sample, float]]] = {}
        for sample, pct in off:
            rounds.setdefault(sample.round, []).append((sample, pct))
        middles = tuple(
            Mark(
                x=median(sample.started_s for sample, _ in members),
                y=max(-edge, min(edge, median(pct for _, pct in members))),
                text=f"round {number}: median {median(pct for _, pct in members):+.1f} %",
            )
            for number, members in sorted(rounds.items())
        )
        dots = tuple(
            Mark(
                x=sample.started_s,
                y=max(-edge, min(edge, pct)),
                text=_sample_text(sample, pct, time_of, names),
                key=sample.configuration,
            )
            for sample, pct in off
        )
        unit, factor = ("s", 1.0) if off[-1][0].started_s < 300 else ("min", 60.0)  # noqa: PLR2004 - five minutes
        series = [
            Series(
                label="samples", marks=_scaled(dots, factor), colour="s0", joined=False, small=True, place=0
            )
        ]
        legend = [Key(colour="s0", label="one sample", place=0, mark="circle")]
        if len(rounds) > 1 and len(rounds) < len(off):
            marks = _scaled(middles, factor)
            series.append(Series(label="", marks=marks, colour="s1", joined=True, place=1))
            legend.append(Key(colour="s1", label="median of a round", place=1, mark=MARKS[1]))
        note = f"; {count(beyond, 'sample')} beyond stand at the edge" if beyond else ""
        drawing = draw_xy(
            XYPlot(
                title=f"{label}: samples over time, distance from their configuration's median{note}",
                x=Axis(title=f"{unit} since the run began"),
                y=Axis(title=f"off the median, %{note}"),
                series=tuple(series),
            )
        )
        name = f"samples-{phase.replace('_', '-')}"
        table = course_table(label, courses(result, phase))
        plots.append(Plot(name=name, heading=label, drawing=drawing, table=table, legend=tuple(legend)))
    return tuple(plots)


def courses(result: RunResult, phase: str) -> tuple[Course, ...]:
    """Every configuration's samples of a phase; those without are left out."""
    names = short_names(result)
    time_of = next(time_of for name, _, time_of in PHASES if name == phase)
    statistics = {s.configuration.name: getattr(s, phase) for s in result.summary}
    found = []
    for configuration in result.configurations:
        own = [s for s in result.samples if s.configuration == configuration.name and not s.reference]
        values = [v for s in sorted(own, key=lambda s: s.started_s) if (v := time_of(s)) is not None]
        if values:
            found.append(
                Course(
                    name=configuration.name,
                    label=names[configuration.name],
                    values_ms=tuple(values),
                    statistics=statistics.get(configuration.name),
                    drift=drift(values),
                )
            )
    return tuple(found)


def drift(values: Sequence[float]) -> float | None:
    """The last third's median over the first third's, minus one; None below six values."""
    third = len(values) // _THIRDS
    if third < 2 or median(values[:third]) <= 0:  # noqa: PLR2004 - a median of one is no median
        return None
    return median(values[-third:]) / median(values[:third]) - 1


def course_table(label: str, found: Sequence[Course]) -> Table:
    """Per configuration: spread and drift of its samples."""
    decimals = units.decimals_for([value for course in found for value in course.values_ms])

    def cells(figure: Callable[[Course], float | None]) -> list[str]:
        return [units.fixed(figure(course), decimals) for course in found]

    return figures(
        f"{label}: samples of every configuration, ms",
        [
            ("configuration", [course.label for course in found]),
            ("samples", [str(len(course.values_ms)) for course in found]),
            ("least", cells(lambda course: min(course.values_ms))),
            ("median", cells(lambda course: median(course.values_ms))),
            ("P95", cells(lambda course: course.statistics.p95 if course.statistics else None)),
            ("most", cells(lambda course: max(course.values_ms))),
            ("drift", [units.MISSING if c.drift is None else _signed(c.drift) for c in found]),
        ],
    )


def draw_spark(course: Course) -> Drawing:
    """The samples of one configuration from the first to the last, with the median and its interval."""
    values = course.values_ms
    low, high = min(values), max(values)
    reach = high - low or abs(high) or 1.0

    def y(value: float) -> float:
        return SPARK_HEIGHT - 4 - (value - low) / reach * (SPARK_HEIGHT - 8)

    step = (SPARK_WIDTH - 8) / max(1, len(values) - 1)
    middle, shapes = median(values), list[Boxes | Segments | Dots]()
    if course.statistics is not None and course.statistics.median_ci95 is not None:
        lower, upper = course.statistics.median_ci95
        shapes.append(Boxes(boxes=((0, y(upper), SPARK_WIDTH, max(1.0, y(lower) - y(upper))),), fill="h0"))
    shapes.append(Segments(ends=(((0, y(middle)), (SPARK_WIDTH, y(middle))),), stroke="muted"))
    centers = tuple((4 + place * step, y(value)) for place, value in enumerate(values))
    shapes.append(Dots(centers=centers, fill="s0", radius=1.9))
    reach_words = f"{units.duration_ms(low)} to {units.duration_ms(high)}"
    title = f"{course.label}: {len(values)} samples in the order of time, {reach_words}"
    return Drawing(width=SPARK_WIDTH, height=SPARK_HEIGHT, title=title, shapes=tuple(shapes))


def _deviations(result: RunResult, time_of: _Time) -> list[tuple[Sample, float]]:
    """(sample, percent off its configuration's median) in the order of time."""
    own: dict[str, list[tuple[Sample, float]]] = {}
    for sample in result.samples:
        value = time_of(sample)
        if not sample.reference and value is not None:
            own.setdefault(sample.configuration, []).append((sample, value))
    found = []
    for members in own.values():
        middle = median(value for _, value in members)
        found += [(sample, 100 * (value / middle - 1)) for sample, value in members if middle > 0]
    return sorted(found, key=lambda entry: entry[0].started_s)


def _edge(deviations: Sequence[float]) -> float:
    distances = sorted(map(abs, deviations))
    usual = distances[int(_MOST * (len(distances) - 1))]
    return min(distances[-1], max(_LEAST_EDGE_PCT, _EDGE * usual)) or 1.0


def _signed(share: float) -> str:
    return f"{'+' if share > 0 else ''}{units.percent(share)}"


def _scaled(marks: tuple[Mark, ...], factor: float) -> tuple[Mark, ...]:
    return tuple(Mark(x=mark.x / factor, y=mark.y, text=mark.text, key=mark.key) for mark in marks)


def _sample_text(sample: Sample, pct: float, time_of: _Time, names: Mapping[str, str]) -> str:
    value = units.duration_ms(time_of(sample))
    return f"{names.get(sample.configuration, sample.configuration)}, sample {sample.sample_id}\n{value} ({pct:+.1f} %)"
