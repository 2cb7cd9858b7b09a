"""What no test would notice: small changes to the masks, the statistics and the attribution, one by one.

    python benchmarks/mutants.py --output docs/results/mutants.md        (the same as `make mutants`)

mutmut makes the changes and runs the tests of each (`[tool.mutmut]` in pyproject.toml). A change that no test notices
either is a hole in the tests, or changes nothing that anyone could tell: those are known by name and reason in
mutants_equivalent.toml. Ends with exit code 1 where one survives that is not among them.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from pages import command_line, machine_lines, publish, table

ROOT = Path(__file__).parents[1]
KNOWN = Path(__file__).with_name("mutants_equivalent.toml")

_HOW = """\
Each mutant is the code with one small change: another operator, constant, argument or text. Where a test fails the
mutant is killed, and where tests do not end it is noticed too; one that survives shows either a hole in the tests or a
change that makes no difference.

mutmut leaves alone what stands outside of functions, such as the constants of a module, and functions with decorators,
such as properties; what they compute with is therefore in functions without.
Run again by `make mutants`, which fails where a mutant survives that is not below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change: where, how it went, and the changed lines before and after, where they are known."""

    place: str
    module: str
    status: str
    was: str = ""
    becomes: str = ""

    @property
    def change(self) -> tuple[str, str, str]:
        return self.place, self.was, self.becomes


def parse_results(text: str) -> list[tuple[str, str]]:
    """Names and statuses, as `mutmut results --all true` prints them."""
    return re.findall(r"^\s+(\S+__mutmut_\d+): (.+)$", text, re.MULTILINE)


def parse_mutant(name: str, status: str, diff: str = "") -> Mutant:
    """A mutant by mutmut's name, such as `maskprof.stats.x_describe__mutmut_3`, and its diff."""
    module, _, function = name.rpartition("__mutmut_")[0].rpartition(".")
    function = function.removeprefix("x").removeprefix("_").strip("ǁ").replace("ǁ", ".")
    lines = [line for line in diff.splitlines() if not line.startswith(("+++", "---"))]
    was, becomes = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in ("-", "+")
    )
    return Mutant(
        place=f"{module}.{function}".removeprefix("maskprof."),
        module=module.removeprefix("maskprof."),
        status=status,
        was=was,
        becomes=becomes,
    )


def known_reasons(text: str) -> dict[tuple[str, str, str], str]:
    """The reason of each change that is known to make no difference."""
    return {
        (place, was, becomes): " ".join(group["reason"].split())
        for group in tomllib.loads(text)["group"]
        for place, was, becomes in group["mutants"]
    }


def unexplained(mutants: Sequence[Mutant], reasons: Mapping[tuple[str, str, str], str]) -> list[Mutant]:
    return [one for one in mutants if not _is_killed(one) and one.change not in reasons]


def page(mutants: Sequence[Mutant], reasons: Mapping[tuple[str, str, str], str], head: Sequence[str]) -> str:
    """The page: a table by module, then what survived, by reason."""
    parts = ["# What no test would notice", _HOW, "\n".join(head), "\n".join(_modules(mutants, reasons))]
    survivors = [one for one in mutants if not _is_killed(one)]
    for title, chosen in (
        ("Survivors without a reason", unexplained(mutants, reasons)),
        ("Survivors that make no difference", [one for one in survivors if one.change in reasons]),
    ):
        if not chosen:
            continue
        parts.append(f"## {title}")
        for reason in dict.fromkeys(reasons.get(one.change, "") for one in chosen):
            listed = [_line(one) for one in chosen if reasons.get(one.change, "") == reason]
            parts.append("\n".join([*([reason, ""] if reason else []), *listed]))
    return "\n\n".join(parts) + "\n"


def _modules(mutants: Sequence[Mutant], reasons: Mapping[tuple[str, str, str], str]) -> list[str]:
    rows = []
    modules = sorted({one.module for one in mutants})
    for name, own in (
        *((f"`{module}`", [one for one in mutants if one.module == module]) for module in modules),
        ("all", mutants),
    ):
        statuses = Counter(one.status for one in own)
        survived, holes = sum(not _is_killed(one) for one in own), len(unexplained(own, reasons))
        rows.append(
            (
                name,
                str(len(own)),
                str(statuses["killed"]),
                str(statuses["timeout"]),
                str(survived),
                str(survived - holes),
                f"{holes} to look at" if holes else "no hole",
            )
        )
    titles = ("module", "mutants", "killed", "endless", "survived", "make no difference", "verdict")
    return table(titles, rows)


def _is_killed(mutant: Mutant) -> bool:
    return mutant.status in ("killed", "timeout")


def _line(mutant: Mutant) -> str:
    status = "" if mutant.status == "survived" else f" ({mutant.status})"
    return f"- `{mutant.place}`{status}: `{mutant.was}` became `{mutant.becomes}`"


def _mutmut(*words: str, quiet: bool = True) -> str:
    """What a command of mutmut prints."""
    command = [sys.executable, "-W", "ignore", "-m", "mutmut", *words]
    # Its progress does not belong into the page.
    out = subprocess.PIPE if quiet else sys.stderr
    done = subprocess.run(command, cwd=ROOT, stdout=out, text=True, check=False)
    if done.returncode:
        sys.exit(f"mutmut {' '.join(words)} ended with exit code {done.returncode}")
    return done.stdout or ""


def _results() -> list[tuple[str, str]]:
    return parse_results(_mutmut("results", "--all", "true"))


def _collected() -> list[Mutant]:
    return [
        parse_mutant(name, status, "" if status == "killed" else _mutmut("show", name))
        for name, status in _results()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="also write the page to this file")
    parser.add_argument(
        "--only_page", action="store_true", help="of the run before, which is still in mutants/"
    )
    args = parser.parse_args()
    if not args.only_page:
        # What is left of a run before would count as done.
        shutil.rmtree(ROOT / "mutants", ignore_errors=True)
        _mutmut("run", quiet=False)
        # On a busy machine tests can take too long that would end.
        late = [name for name, status in _results() if status == "timeout"]
        if late:
            _mutmut("run", *late, quiet=False)
    mutants = _collected()
    reasons = known_reasons(KNOWN.read_text(encoding="utf-8"))
    head = [
        f"Made by `{command_line().removesuffix(' --only_page')}`.",
        "",
        *machine_lines(torch.device("cpu")),
        f"- mutmut: {version('mutmut')}",
    ]
    publish(page(mutants, reasons, head), args.output)
    gone = set(reasons) - {one.change for one in mutants}
    for place, was, becomes in sorted(gone):
        print(f"{KNOWN.name}: no longer survives: {place}: {was} became {becomes}", file=sys.stderr)
    if unexplained(mutants, reasons):
        sys.exit(1)


if __name__ == "__main__":
    main()
