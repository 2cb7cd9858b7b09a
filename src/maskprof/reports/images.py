"""Plots as files of their own, for papers and slides: SVG, and PNG without any library beside Pillow."""

from pathlib import Path
from typing import Literal

from maskprof.reports.charts.framed import framed
from maskprof.reports.charts.raster import png_bytes
from maskprof.reports.charts.shapes import Drawing
from maskprof.reports.charts.svg import svg_file
from maskprof.reports.plots.plot import Plot
from maskprof.results.outputs import write_output
from maskprof.results.store import prepare

Kind = Literal["svg", "png"]
# Twice the size of a page's: a column of a paper at 300 dots per inch.
PNG_SCALE = 3.0


def standing_alone(plot: Plot) -> Drawing:
    """The plot under its heading and legend."""
    entries = [(key.colour, key.label, key.mark, key.hollow) for key in plot.legend]
    return framed(plot.drawing, plot.heading, entries)


def image_bytes(plot: Plot, kind: Kind) -> bytes:
    """The plot as the bytes of a file, in light colours."""
    drawing = standing_alone(plot)
    return svg_file(drawing).encode() if kind == "svg" else png_bytes(drawing, scale=PNG_SCALE)


def write_images(plots: tuple[Plot, ...], folder: Path, kind: Kind) -> tuple[Path, ...]:
    """Write each plot to `folder/<name>.<kind>`, and return the files.

    Raises:
        ConfigError: a file cannot be written.
    """
    prepare(folder)
    paths = []
    for plot in plots:
        path = folder / f"{plot.name}.{kind}"
        write_output(path, image_bytes(plot, kind))
        paths.append(path)
    return tuple(paths)
