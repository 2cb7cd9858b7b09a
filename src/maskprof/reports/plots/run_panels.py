"""Which lines of several runs share a plot.

Ways of skipping tell plots apart, and so does a knob that one of the runs varies itself, such as the length of the
prompt. A knob that only differs from run to run does not: it is said beside the run's name, and the runs are laid over
each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from maskprof.config.knobs import KNOBS, Knobs, varying_knobs
from maskprof.reports.plots.labels import knob_words, short_names
from maskprof.reports.plots.latency import Line
from maskprof.reports.tables import Group, full_summaries, group_of
from maskprof.results.schema import RunResult

Named = tuple[str, RunResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What a plot is of (empty where there is one), and a line for each run that has it."""

    label: str
    lines: tuple[Line, ...]


def run_panels(runs: Sequence[Named]) -> tuple[Panel, ...]:
    """A line per run in each. A run that leaves a knob alone which another one varies is in all of that one's plots."""
    groups = [list(dict.fromkeys(group_of(summary) for summary in result.summary)) for _, result in runs]
    several = len({variant for own in groups for variant, _ in own}) > 1
    varied = {knob for own in groups for knob in varying_knobs(knobs for _, knobs in own)}
    varying = tuple(knob for knob in KNOBS if knob in varied)

    def panel_of(group: Group) -> Group:
        variant, knobs = group
        return variant if several else "", Knobs(**{knob: knobs.value(knob) for knob in varying})

    keys = dict.fromkeys(panel_of(group) for own in groups for group in own)
    shown = [key for key in keys if not any(_takes(key, other) for other in keys if other != key)]
    labels = {key: _words(key, several=several, varying=varying) if len(shown) > 1 else "" for key in shown}
    differing = tuple(
        knob for knob in varying_knobs(knobs for own in groups for _, knobs in own) if knob not in varied
    )
    panels = []
    for key in shown:
        lines = []
        for place, (name, result) in enumerate(runs):
            group = _best([(panel_of(group), group) for group in groups[place]], key)
            if group is not None:
                aside = knob_words(group[1], [knob for knob in differing if group[1].value(knob) is not None])
                lines.append(_line(name, result, group, aside=aside, place=place))
        panels.append(Panel(label=labels[key], lines=tuple(lines)))
    return tuple(panels)


def _takes(key: Group, other: Group) -> bool:
    """Whether what is of `key` has a place in `other`: it leaves alone what that one sets, and is else the same."""
    return key[0] == other[0] and all(
        mine is None or mine == theirs
        for mine, theirs in zip(key[1].to_dict().values(), other[1].to_dict().values(), strict=True)
    )


def _best(own: Sequence[tuple[Group, Group]], key: Group) -> Group | None:
    exact = next((group for panel, group in own if panel == key), None)
    return exact or next((group for panel, group in own if _takes(panel, key)), None)


def _words(key: Group, *, several: bool, varying: Sequence[str]) -> str:
    variant, knobs = key
    return " · ".join(
        [variant] * several + knob_words(knobs, [k for k in varying if knobs.value(k) is not None])
    )


def _line(name: str, result: RunResult, group: Group, *, aside: Sequence[str], place: int) -> Line:
    members = [summary for summary in result.summary if group_of(summary) == group]
    members.sort(key=lambda summary: summary.configuration.num_active_blocks)
    return Line(
        label=" · ".join((name, *aside)),
        summaries=tuple(members),
        full=full_summaries(result).get(group),
        names={key: f"{name}, {short}" for key, short in short_names(result).items()},
        place=place,
    )
