"""Live progress on stderr while a run measures.

No thread draws in the background: it would compete with the very code that is being timed. The bar is drawn
only between samples, in `advance` and `stage`.
"""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from maskprof.counted_nouns import count
from maskprof.reports.consoles import stderr_console

_REFRESH_S = 0.1


class ProgressDisplay:
    """Configurations, samples and time left; a line per stage where stderr is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console if console is not None else stderr_console()
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._stage = ""
        self._drawn_s = 0.0

    def start(self, total_samples: int, configurations: int) -> None:
        """Begin: `total_samples` calls of `advance` are to come."""
        if not self._console.is_terminal:
            self._line(f"{count(configurations, 'configuration')}, {count(total_samples, 'sample')}")
            return
        self.stop()
        self._progress = Progress(
            # What changes its width stands last, so that the bar does not jump.
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            TextColumn(
                "{task.fields[configuration]}",
                style="dim",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(
            "starting", total=total_samples, configuration=count(configurations, "configuration")
        )
        self._progress.start()
        self._draw(now=True)

    def advance(self, configuration_name: str, stage: str) -> None:
        """One more sample of this configuration is done."""
        if self._progress is None:
            self._announce(stage)
            return
        changed = stage != self._stage
        self._stage = stage
        self._progress.update(self._task, advance=1, description=stage, configuration=configuration_name)
        self._draw(now=changed)

    def stage(self, text: str) -> None:
        """What is going on now, such as loading or tracing; counts no sample."""
        if self._progress is None:
            self._announce(text)
            return
        self._stage = text
        self._progress.update(self._task, description=text, configuration="")
        self._draw(now=True)

    def stop(self) -> None:
        """Clear the bar away; stopping twice does no harm."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _draw(self, *, now: bool) -> None:
        # Drawing costs about a millisecond, which is not spent more often than eyes can follow.
        if self._progress is not None and (now or time.monotonic() - self._drawn_s >= _REFRESH_S):
            self._progress.refresh()
            self._drawn_s = time.monotonic()

    def _announce(self, stage: str) -> None:
        if stage != self._stage:
            self._stage = stage
            self._line(stage)

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
