"""Results as one works with them in a notebook or at a prompt: they show themselves, plot, and become data frames.

`maskprof.load_result`, `maskprof.analyze` and `maskprof.diff` give the values of `maskprof.results` with three
methods more. The values themselves stay free of all that shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from maskprof.analysis import analyze as analysis
from maskprof.analysis import trace_diff
from maskprof.errors import ConfigError, ResultError
from maskprof.reports.cost_tables import closure_table
from maskprof.reports.diff_tables import diff_subject, diff_tables, unchanged
from maskprof.reports.findings import findings, warnings
from maskprof.reports.fragment import fragment, picture
from maskprof.reports.frames import (
    DIFF_TABLES,
    RUN_TABLES,
    TRACE_TABLES,
    Row,
    diff_rows,
    run_rows,
    trace_rows,
)
from maskprof.reports.headline import headline, subject
from maskprof.reports.images import image_bytes
from maskprof.reports.page import Run, plots_of
from maskprof.reports.plots.plot import Plot
from maskprof.reports.plots.traces import diff_plots, trace_plots
from maskprof.reports.tables import latency_table
from maskprof.reports.trace_tables import DEFAULT_TOP, block_tables, other_tables, time_tables
from maskprof.reports.trace_tables import subject as trace_subject
from maskprof.results.outputs import write_output
from maskprof.results.schema import RunResult
from maskprof.results.store import ResultStore
from maskprof.results.trace_comparison import TraceDiff
from maskprof.results.trace_summary import DevicePeaks, TraceSummary
from maskprof.traces.columns import Trace
from maskprof.traces.reader import read_trace

if TYPE_CHECKING:
    import pandas as pd

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot that a notebook shows and that can be saved."""

    plot: Plot

    def save(self, path: str | PathLike[str]) -> None:
        """Write the plot as `.svg` or `.png`, by the name's ending.

        Raises:
            ConfigError: the name ends in neither, or the file cannot be written.
        """
        target = Path(path)
        kind = target.suffix.lower()
        if kind == ".svg":
            write_output(target, image_bytes(self.plot, "svg"))
        elif kind == ".png":
            write_output(target, image_bytes(self.plot, "png"))
        else:
            raise ConfigError(f"{target} ends in neither .svg nor .png, the two that a plot can be saved as")

    def _repr_html_(self) -> str:
        return picture(self.plot)


class LoadedResult(RunResult):
    """A run's result that shows its latency, plots, and becomes data frames."""

    __slots__ = ()

    def to_pandas(self, table: str = "summary") -> "pd.DataFrame":
        """One of the tables `summary`, `samples`, `blocks`, `skipping`, `fits`, `knob_fits`, `failures`.

        Units are in the columns' names; `..._low95` and `..._high95` are the ends of 95 % intervals.

        Raises:
            ConfigError: there is no such table.
            ResultError: pandas is not installed.
        """
        return _frame(run_rows(self, _known(table, RUN_TABLES, "table")))

    def plot(self, name: str | None = None) -> Picture:
        """The plot of this name; without one, prefill latency against depth.

        Raises:
            ConfigError: there is no such plot; the sentence lists those that there are.
        """
        return _plot(plots_of([Run(name="", result=self)]), name)

    def _repr_html_(self) -> str:
        plots = [plot for plot in plots_of([Run(name="", result=self)]) if plot.name.startswith("latency-")]
        tables = [table for table in (latency_table(self), closure_table(self)) if table is not None]
        sentences = (headline(self), *warnings(self), *findings(self))
        return fragment(subject(self), sentences, plots[:2], tables)


class AnalyzedTrace(TraceSummary):
    """What was found in a trace; it shows itself, plots, and becomes data frames."""

    __slots__ = ()

    def to_pandas(self, table: str | None = None) -> "pd.DataFrame":
        """One of the tables `kernels`, `categories`, `operators`, `ranges`, `blocks`, `block_work`, `roofline`.

        Without a name the kernels, or the operators of a trace without a device.

        Raises:
            ConfigError: there is no such table.
            ResultError: pandas is not installed.
        """
        chosen = table or ("kernels" if self.whole.kernels else "operators")
        return _frame(trace_rows(self, _known(chosen, TRACE_TABLES, "table")))

    def plot(self, name: str | None = None) -> Picture:
        """The plot of this name; without one, kernels by category, or the first that there is.

        Raises:
            ConfigError: there is no such plot; the sentence lists those that there are.
        """
        return _plot(trace_plots(self), name)

    def _repr_html_(self) -> str:
        plots = trace_plots(self)
        tables = (*time_tables(self), *block_tables(self), *other_tables(self))
        sentences = (*self.headline, self.no_blocks) if self.no_blocks else self.headline
        return fragment(trace_subject(self), sentences, plots[:2], tables)


class ComparedTraces(TraceDiff):
    """Two traces side by side; it shows itself, plots, and becomes data frames."""

    __slots__ = ()

    def to_pandas(self, table: str = "operators") -> "pd.DataFrame":
        """One of the tables `phases`, `blocks`, `block_work`, `ranges`, `categories`, `operators`, `kernels`.

        Raises:
            ConfigError: there is no such table.
            ResultError: pandas is not installed.
        """
        return _frame(diff_rows(self, _known(table, DIFF_TABLES, "table")))

    def plot(self, name: str | None = None) -> Picture:
        """The plot of this name; without one, the first that there is.

        Raises:
            ConfigError: there is no such plot; the sentence lists those that there are.
        """
        return _plot(diff_plots(self), name)

    def _repr_html_(self) -> str:
        plots = diff_plots(self)
        sentences = tuple(filter(None, (*self.headline, unchanged(self), *self.notes)))
        return fragment(
            "   ".join(diff_subject(self)), sentences, plots[:2], diff_tables(self, top=DEFAULT_TOP)
        )


def load_result(output_dir: str | PathLike[str]) -> LoadedResult:
    """The result of a run, from the folder that was its `--output_dir`.

    Raises:
        ResultError: there is no result in it, or one that cannot be read.
    """
    return _as(LoadedResult, ResultStore(Path(output_dir)).load())


def analyze(
    trace: Trace | str | PathLike[str], *, within: str | None = None, peaks: DevicePeaks | None = None
) -> AnalyzedTrace:
    """All that is found in a trace, read before or given by its path; see `maskprof.analysis.analyze`.

    Raises:
        TraceError: the file is no trace, or no range has the name `within`.
    """
    read = trace if isinstance(trace, Trace) else read_trace(trace)
    return _as(AnalyzedTrace, analysis.analyze(read, within=within, peaks=peaks))


def diff(
    a: TraceSummary | Trace | str | PathLike[str], b: TraceSummary | Trace | str | PathLike[str]
) -> ComparedTraces:
    """Two traces side by side, analyzed before, read before, or given by their paths.

    Raises:
        TraceError: a file is no trace.
    """
    first, second = (side if isinstance(side, TraceSummary) else analyze(side) for side in (a, b))
    return _as(ComparedTraces, trace_diff.diff(first, second))


def _as(kind: type[_Value], value: Any) -> _Value:
    """A value as the kind that has methods; fields are shared, not copied."""
    return kind(**{field.name: getattr(value, field.name) for field in fields(value)})


def _known(name: str, among: Sequence[str], what: str) -> str:
    if name not in among:
        raise ConfigError(f"there is no {what} {name!r}; there are {', '.join(among)}")
    return name


def _plot(plots: Sequence[Plot], name: str | None) -> Picture:
    if not plots:
        raise ConfigError("there is nothing to plot: no figure was measured")
    by_name = {plot.name: plot for plot in plots}
    return Picture(plots[0] if name is None else by_name[_known(name, tuple(by_name), "plot")])


def _frame(rows: Sequence[Row]) -> "pd.DataFrame":
    try:
        import pandas as pd  # noqa: PLC0415 - optional, and takes a second
    except ImportError:
        raise ResultError(
            "to_pandas needs pandas, which is not installed: pip install 'maskprof[frames]' brings it"
        ) from None
    return pd.DataFrame(list(rows))
