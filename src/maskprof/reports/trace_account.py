"""What became of everything in the file: nothing is left out of a figure without a line here."""

from maskprof.reports import units
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column, Table
from maskprof.results.trace_summary import TraceSummary


def account_table(summary: TraceSummary) -> Table:
    """Events kept, linked, lost; of the rare kinds those that occurred."""
    account = summary.account
    share = units.percent(account.unclassified_pct / 100)
    rows: list[tuple[str, int, str]] = [("events with a duration", account.events_kept, "")]
    if account.device_events:
        rows += [
            ("device events", account.device_events, "kernels, copies, memsets"),
            ("  with their launch", account.linked, ""),
            ("  queued before the trace began", account.unlinked_before_window, "in no range"),
            ("  without a launch otherwise", account.unlinked_other, "in no range"),
            ("  replayed from graphs", account.from_graphs, "they share their launch"),
            ("  ids of several launch calls", account.repeated_ids, "told apart by process, time"),
            ("kernels in no category", account.unclassified_count, f"{share} of kernel time"),
        ]
    rows += [
        ("Python frames", account.python_frames, "with a duration too, not needed"),
        ("events without a duration", account.events_other, "arrows, counters, names"),
        ("events lost to damage", account.events_lost, ""),
        ("begins or ends without the other", account.unpaired, ""),
        ("durations below zero", account.negative_durations, "taken as 0"),
        ("bytes after the trace's end", account.ignored_bytes, "not read"),
    ]
    always = {"events with a duration", "device events", "  with their launch"}
    rows = [row for row in rows if row[1] or row[0] in always]
    notes = [visible(note[:1].upper() + note[1:]) for note in account.notes]
    notes = [note if note.endswith((".", "!", "?")) else f"{note}." for note in notes]
    if account.truncated:
        notes.insert(0, "The file ends before the trace does: how much is missing cannot be known.")
    columns = [
        Column(key="what", title="kind", cells=tuple(name for name, _, _ in rows), justify="left"),
        Column(key="count", title="count", cells=tuple(str(value) for _, value, _ in rows)),
    ]
    if any(remark for _, _, remark in rows):
        cells = tuple(remark for _, _, remark in rows)
        columns.append(Column(key="remark", title="", cells=cells, justify="left", rank=1, role="side"))
    return Table(title="Account of the file", columns=tuple(columns), notes=tuple(notes))
