"""Terminal output as an SVG picture for the docs, with nothing to load from the network.

tmux capture-pane -e -p | python scripts/terminal_picture.py docs/pictures/run.svg --width 80 --title "maskprof run"
"""

import argparse
import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text


def main() -> int:
    """Read ANSI text from stdin, write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--width", type=int, default=80)
    parser.add_argument("--title", default="")
    args = parser.parse_args()
    console = Console(record=True, width=args.width, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(sys.stdin.read().rstrip("\n")), soft_wrap=True)
    # The format's own fonts come from a public server; whoever looks has a monospaced one.
    bare_format = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title=args.title, code_format=bare_format)
    args.output.write_text(svg.replace("Fira Code, monospace", "monospace"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
