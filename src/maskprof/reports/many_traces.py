"""More traces than anybody reads in full: a line each, with what bounds it."""

import os
from collections.abc import Sequence
from pathlib import PurePath
from shlex import quote

from maskprof.counted_nouns import count
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Table
from maskprof.reports.trace_columns import count_column, name_columns, time_column
from maskprof.results.trace_summary import TraceSummary
from maskprof.terminal_cells import cut_end

# Of so many each is shown in full.
MOST_IN_FULL = 8


def lines_table(summaries: Sequence[TraceSummary]) -> Table:
    """A row per trace: its name within the folder that holds all, span, device busy, kernels, first finding."""
    paths = [summary.facts.path for summary in summaries]
    folder = common_folder(paths)
    devices = [summary.whole.device for summary in summaries]
    names = [os.path.relpath(path, folder) if folder else path for path in paths]
    columns = [
        *name_columns("path", "\ntrace", names, least=16),
        time_column("span", "span", [summary.facts.span_us for summary in summaries], rank=2),
    ]
    if any(devices):
        columns += [
            time_column("busy", "device\nbusy", [d.busy_us if d else None for d in devices], rank=1),
            count_column("kernels", "\nkernels", [d.kernel_count if d else None for d in devices], rank=3),
        ]
    found = [summary.headline[0] if summary.headline else "" for summary in summaries]
    columns += name_columns("finding", "\nfirst of its findings", found, shorten=_ends_cut, least=16)
    where = f" in {visible(folder)}" if folder else ""
    return Table(title=f"{count(len(summaries), 'trace')}{where}", columns=tuple(columns))


def how_to_see_one(summaries: Sequence[TraceSummary]) -> str:
    """What to type for one of them in full."""
    return f"One in full: maskprof analyze {quote(summaries[0].facts.path)}"


def common_folder(paths: Sequence[str]) -> str:
    """The innermost folder that holds all of them; empty where there is none that is worth a name."""
    try:
        folder = os.path.commonpath([os.fspath(PurePath(path).parent) for path in paths])
    except ValueError:  # some from the root, some from here
        return ""
    return "" if folder in ("", os.sep) else folder


def _ends_cut(texts: Sequence[str], width: int) -> tuple[str, ...]:
    return tuple(cut_end(text, width) for text in texts)
