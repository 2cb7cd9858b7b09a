"""What `maskprof models --check` found, as a table, as JSON, and as the page of the documentation."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maskprof.counted_nouns import count
from maskprof.version import __version__

if TYPE_CHECKING:
    from maskprof.conformance import Verdict

NOT_CHECKED = ("refused", "unavailable")
WAYS = ("left padding", "generate", "static cache", "beam search")

_PAGE = """\
# Models

<!-- Written by the command below: run it again instead of editing. -->

What `{command}` found with {versions}:

{summary}

Every architecture of transformers' tables of causal language models and of image-text-to-text models is built
with {blocks} blocks and random weights, without a download, and run under {masks} masks: all on, first half, last half,
middle, first and last, only one, all but one, every other. Checkpoints of other sizes have the same structure.

- **bit-exact**: the logits of a forward, and of prefill and single-token steps with a cache, equal bit for bit those
  of the same model with the blocks taken out of its list and its config (`--skip_mode remove`).
- **within bound**: transformers cannot run the model without these blocks, for instance when no attention is left to
  count tokens by. The cached steps equal the forward without a cache under the same mask up to 1e-4 of the
  largest logit, or 5 times what the untouched model itself differs by.
- **refused**: masks under which a block would lack what it reuses. They raise `MaskError`, which names the block that
  would have to stay on.
- **left padding, generate, static cache, beam search**: so many masks gave bit for bit what the model without the
  blocks gives, with a batch of two texts of which one is padded on the left, in `generate()` with a dynamic cache,
  with a static cache, and with two beams. {per_way} masks are tried; "-" is for what the untouched model cannot do,
  and for what cannot be compared since there is no model without the blocks.

| architecture | task | blocks | outcome | bit-exact | within bound | refused | {ways} |
|---|---|---|---|--:|--:|--:|{alignment}|
{checked}

{notes}## Not supported, or not checked here

"refused" ones have no stack of blocks that decodes text token by token; "unavailable" ones need a package that was
not there.

| architecture | task | outcome | reason |
|---|---|---|---|
{others}
"""


def summary(verdicts: Sequence["Verdict"]) -> str:
    """All verdicts in one sentence."""
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    masks = [
        f"{count(sum(verdict.bit_exact for verdict in verdicts), 'mask')} bit-exact",
        f"{sum(verdict.within_bound for verdict in verdicts)} within bound",
        f"{sum(verdict.masks_refused for verdict in verdicts)} refused",
    ]
    rest = [
        f"{outcomes[name]} {words}"
        for name, words in (
            ("inexact", "inexact"),
            ("refused", "not supported"),
            ("unavailable", "not available here"),
        )
        if outcomes[name] or name == "inexact"
    ]
    return (
        f"{outcomes['exact']} of {count(len(verdicts), 'architecture')} exact ({', '.join(masks)}), "
        f"{', '.join(rest)}."
    )


def print_verdicts(verdicts: Sequence["Verdict"], console: Console) -> None:
    """A table that fits 80 columns, the reasons below it, and the summary."""
    twice = _twice(verdicts)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("architecture", "blocks", "outcome"):
        table.add_column(heading, no_wrap=True)
    for heading in ("bit", "near", "no"):
        table.add_column(heading, justify="right")
    for verdict in verdicts:
        # Of the others there is nothing to tell but the reason.
        if verdict.outcome not in NOT_CHECKED:
            counts = (verdict.bit_exact, verdict.within_bound, verdict.masks_refused)
            shown = map(str, counts) if verdict.outcome == "exact" else ("", "", "")
            style = "bold red" if verdict.outcome == "inexact" else ""
            table.add_row(escape(_name(verdict, twice)), verdict.path, verdict.outcome, *shown, style=style)
    if table.rows:
        console.print(table)
        console.print("[dim]masks: bit = equal bit for bit, near = equal within a bound, no = refused[/]\n")
    with_reason = [verdict for verdict in verdicts if verdict.reason]
    for verdict in with_reason:
        words = {"refused": "not supported, ", "unavailable": "not checked, "}.get(verdict.outcome, "")
        console.print(f"{_name(verdict, twice)}: {words}{verdict.reason}", markup=False)
    console.print(f"{chr(10) if with_reason else ''}{summary(verdicts)}", markup=False)


def as_json(verdict: "Verdict") -> dict[str, Any]:
    """One verdict, flat but for the masks per way."""
    return {
        "model_type": verdict.architecture.model_type,
        "task": verdict.architecture.task,
        "class_name": verdict.architecture.class_name,
        "outcome": verdict.outcome,
        "path": verdict.path,
        "bit_exact": verdict.bit_exact,
        "within_bound": verdict.within_bound,
        "masks_refused": verdict.masks_refused,
        "ways": dict(verdict.ways),
        "reason": verdict.reason,
    }


def as_markdown(
    verdicts: Sequence["Verdict"], command: str, *, blocks: int, masks: int, masks_per_way: int
) -> str:
    """The page for the documentation; numbers are those of `maskprof.conformance`."""
    checked = [verdict for verdict in verdicts if verdict.outcome not in NOT_CHECKED]
    others = [verdict for verdict in verdicts if verdict.outcome in NOT_CHECKED]
    versions = f"maskprof {__version__}, transformers {version('transformers')}, torch {version('torch')}"
    notes = "".join(f"- `{one.architecture.model_type}`: {one.reason}.\n" for one in checked if one.reason)
    return _PAGE.format(
        command=command,
        versions=f"{versions} and Python {python_version()}",
        summary=summary(verdicts),
        blocks=blocks,
        masks=masks,
        per_way=masks_per_way,
        ways=" | ".join(WAYS),
        alignment="|".join(["--:"] * len(WAYS)),
        checked="\n".join(map(_checked_row, checked)),
        notes=f"{notes}\n" if notes else "",
        others="\n".join(map(_other_row, others)),
    )


def _checked_row(verdict: "Verdict") -> str:
    counts = (verdict.bit_exact, verdict.within_bound, verdict.masks_refused)
    ways = (verdict.ways.get(name) or "-" for name in WAYS)
    one = verdict.architecture
    cells = (f"`{one.model_type}`", one.task, f"`{verdict.path}`", verdict.outcome, *counts, *ways)
    return f"| {' | '.join(map(str, cells))} |"


def _other_row(verdict: "Verdict") -> str:
    one = verdict.architecture
    return f"| `{one.model_type}` | {one.task} | {verdict.outcome} | {verdict.reason.replace('|', '/')} |"


def _twice(verdicts: Sequence["Verdict"]) -> set[str]:
    found = Counter(verdict.architecture.model_type for verdict in verdicts)
    return {model_type for model_type, times in found.items() if times > 1}


def _name(verdict: "Verdict", twice: set[str]) -> str:
    """The model type; of two entries with one type, the one for images is marked."""
    name, task = verdict.architecture.model_type, verdict.architecture.task
    return f"{name} [image]" if name in twice and task != "causal-lm" else name
