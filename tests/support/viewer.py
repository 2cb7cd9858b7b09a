"""What Catapult's trace viewer made of a trace, asked of the page that shows it."""

from collections import Counter
from typing import Any, NamedTuple

from playwright.sync_api import Frame, Page

VIEWER_REMARKS = (
    # About a control of the viewer that Chromium will draw otherwise one day.
    r"The keyword 'slider-vertical' specified to an 'appearance' property",
    # It advises flags for a Chrome of 2020.
    r"Trace Viewer is running with WebComponentsV0 polyfill",
)
"""What the viewer says on every trace, for `OfflinePage.expect`."""

_SHOWN = "document.documentElement.dataset.shown === 'yes'"
_ASK = """() => {
  const model = document.querySelector('#trace-viewer').model;
  const found = { slices: [], counters: [], warnings: model.importWarnings.map((warning) => warning.type) };
  const walk = (slices, parent) => {
    for (const slice of slices) {
      found.slices.push([slice.title, slice.category, parent, slice.didNotFinish]);
      walk(slice.subSlices, slice.title);
    }
  };
  for (const process of model.getAllProcesses()) {
    for (const counter of Object.values(process.counters))
      for (const series of counter.series)
        found.counters.push([counter.name, series.name, series.samples.map((sample) => sample.value)]);
    for (const thread of Object.values(process.threads)) walk(thread.sliceGroup.topLevelSlices, null);
  }
  return found;
}"""


class Imported(NamedTuple):
    """A trace as Catapult's importer understood it.

    Attributes:
        slices: how often each name came, by (name, category).
        parents: the names that each name was found directly inside; None at the top.
        unfinished: names of slices without an end.
        counters: (counter, series) to its values in time.
        warnings: kinds of the importer's warnings.
    """

    slices: Counter[tuple[str, str]]
    parents: dict[str, set[str | None]]
    unfinished: list[str]
    counters: dict[tuple[str, str], list[int]]
    warnings: list[str]


def imported(page: Page | Frame) -> Imported:
    """Wait until the trace is shown, and ask."""
    page.wait_for_function(_SHOWN)
    found: dict[str, Any] = page.evaluate(_ASK)
    parents: dict[str, set[str | None]] = {}
    for title, _, parent, _ in found["slices"]:
        parents.setdefault(title, set()).add(parent)
    return Imported(
        slices=Counter((title, category) for title, category, _, _ in found["slices"]),
        parents=parents,
        unfinished=[title for title, _, _, unfinished in found["slices"] if unfinished],
        counters={(name, series): values for name, series, values in found["counters"]},
        warnings=found["warnings"],
    )
