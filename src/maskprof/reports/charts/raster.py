"""A drawing as a PNG picture, drawn with Pillow, which every installation has."""

import math
from functools import lru_cache
from io import BytesIO
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from maskprof.reports import units
from maskprof.reports.charts.palette import Theme, colours
from maskprof.reports.charts.shapes import Boxes, Dots, Drawing, Line, Point, Segments, Words

# Pillow draws without smoothing; what is drawn this much larger and then reduced is smooth.
_OVERSAMPLING = 3
_DASH, _GAP = 5.0, 4.0
# The first that the system has; plain sans-serif faces with the characters of European languages.
_FACES = (
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "Arial.ttf",
    "Helvetica.ttc",
    "NotoSans-Regular.ttf",
)
_BOLD_FACES = (
    "DejaVuSans-Bold.ttf",
    "LiberationSans-Bold.ttf",
    "Arial Bold.ttf",
    "Helvetica.ttc",
    "NotoSans-Bold.ttf",
)
# DejaVu runs wider than the faces that text widths are estimated for.
_WIDE_FACE_SHRINKS = 0.92

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def png_bytes(drawing: Drawing, *, theme: Theme = "light", scale: float = 2.0) -> bytes:
    """The drawing as the bytes of a PNG file, `scale` pixels to each of its own."""
    size = math.ceil(drawing.width * scale), math.ceil(drawing.height * scale)
    named = colours(theme)
    image = Image.new("RGB", (size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING), named["ground"])
    pen = _Pen(ImageDraw.Draw(image), named, scale * _OVERSAMPLING)
    for shape in drawing.shapes:
        match shape:
            case Line():
                pen.line(shape)
            case Segments():
                for ends in shape.ends:
                    pen.stroke(ends, shape.stroke, shape.width)
            case Boxes():
                pen.boxes(shape)
            case Dots():
                pen.dots(shape)
            case Words():
                pen.words(shape)
    buffer = BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


class _Pen:
    def __init__(self, draw: ImageDraw.ImageDraw, named: dict[str, str], scale: float) -> None:
        self.draw, self.named, self.scale = draw, named, scale

    def at(self, point: Point) -> Point:
        return point[0] * self.scale, point[1] * self.scale

    def stroke(self, points: tuple[Point, ...], colour: str, width: float) -> None:
        pixels = max(1, round(width * self.scale))
        self.draw.line(
            [self.at(point) for point in points], fill=self.named[colour], width=pixels, joint="curve"
        )

    def line(self, line: Line) -> None:
        for piece in _dashes(line.points) if line.dashed else [line.points]:
            self.stroke(piece, line.stroke, line.width)

    def boxes(self, boxes: Boxes) -> None:
        for x, y, width, height in boxes.boxes:
            corners = [self.at((x, y)), self.at((x + width, y + height))]
            if boxes.hollow:
                self.draw.rectangle(corners, outline=self.named[boxes.fill], width=round(self.scale))
            elif width > 0 and height > 0:
                self.draw.rectangle(corners, fill=self.named[boxes.fill])

    def dots(self, dots: Dots) -> None:
        ground, colour = self.named["ground"], self.named[dots.fill]
        inside = ground if dots.hollow else _mixed(colour, ground) if dots.faint else colour
        width = round(1.6 * self.scale) if dots.hollow else 0
        for center in dots.centers:
            self.dot(dots, center, inside, colour, width)

    def dot(self, dots: Dots, center: Point, inside: str, outline: str, width: int) -> None:
        (x, y), r = center, dots.radius
        match dots.mark:
            case "circle":
                box = [self.at((x - r, y - r)), self.at((x + r, y + r))]
                self.draw.ellipse(box, fill=inside, outline=outline if width else None, width=width)
                return
            case "square":
                r *= 0.88
                corners = [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
            case "diamond":
                r *= 1.2
                corners = [(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
            case "triangle":
                r *= 1.15
                corners = [(x, y - r), (x + r, y + 0.8 * r), (x - r, y + 0.8 * r)]
        pixels = [self.at(corner) for corner in corners]
        self.draw.polygon(pixels, fill=inside, outline=outline if width else None, width=max(1, width))

    def words(self, words: Words) -> None:
        font, complete = _font(round(words.size * self.scale), words.bold)
        text = words.text if complete else units.to_ascii(words.text).encode("ascii", "replace").decode()
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[words.anchor]
        self.draw.text(
            self.at((words.x, words.y)), text, fill=self.named[words.fill], font=font, anchor=anchor
        )


@lru_cache(maxsize=64)
def _font(size: int, bold: bool) -> tuple[_Font, bool]:
    """A font of this size, and whether it has more than Pillow's own, which lacks most beyond ASCII."""
    for face in _BOLD_FACES if bold else _FACES:
        shrink = _WIDE_FACE_SHRINKS if face.startswith("DejaVu") else 1.0
        try:
            return ImageFont.truetype(face, round(size * shrink)), True
        except OSError:
            continue
    return ImageFont.load_default(size), False


def _dashes(points: tuple[Point, ...]) -> list[tuple[Point, Point]]:
    pieces: list[tuple[Point, Point]] = []
    done, drawing = 0.0, True
    for start, end in pairwise(points):
        length, place = math.dist(start, end), 0.0
        while place < length:
            step = min((_DASH if drawing else _GAP) - done, length - place)
            if drawing:
                pieces.append(
                    (_between(start, end, place / length), _between(start, end, (place + step) / length))
                )
            place, done = place + step, done + step
            if done >= (_DASH if drawing else _GAP) - 1e-9:
                done, drawing = 0.0, not drawing
    return pieces


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _mixed(colour: str, ground: str) -> str:
    """55 % of a colour on the ground."""
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(ground[1:]), strict=True)
    return "#" + "".join(f"{round(0.55 * top + 0.45 * below):02x}" for top, below in pairs)
