"""Pages of the documentation that are made from the code when the site is built (a hook of mkdocs)."""

import io
import os
from contextlib import redirect_stdout
from typing import Any

from maskprof.cli.main import COMMANDS, main

_COMMANDS_PAGE = "reference/commands.md"


def on_files(files: Any, config: Any) -> Any:
    """Add the page of all commands and their flags."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - so that the page can be made without mkdocs

    files.append(File.generated(config, _COMMANDS_PAGE, content=commands_page()))
    return files


def commands_page() -> str:
    """What each command says with `--help`, one section each."""
    # argparse breaks its lines at the terminal's width.
    os.environ["COLUMNS"] = "100"
    start = (
        "# Commands\n\nEvery flag is spelled with underscores; hyphens work too. "
        "Exit codes: 0 done, 1 some configurations failed, 2 bad flag or bad input, 130 interrupted."
    )
    sections = [start]
    for words in ([], *([name] for name in COMMANDS)):
        text = io.StringIO()
        with redirect_stdout(text):
            main([*words, "--help"])
        title = " ".join(["maskprof", *words])
        sections.append(f"## {title}\n\n```text\n{text.getvalue().strip()}\n```")
    return "\n\n".join(sections) + "\n"
