"""The picture that a vision-language model looks at."""

import warnings
from typing import TYPE_CHECKING

from maskprof.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

NO_IMAGE = "none"
_DEFAULT_SIZE = (336, 336)
_DEFAULT_COLOUR = (0, 0, 255)


def open_picture(image: str | None) -> "Image.Image | None":
    """The picture that `--image` means, in RGB: None is a plain blue one of 336x336, "none" is no picture.

    Raises:
        ConfigError: the file is not there or is no picture.
    """
    from PIL import Image  # noqa: PLC0415  text-only runs need no Pillow

    if image == NO_IMAGE:
        return None
    if image is None:
        return Image.new("RGB", _DEFAULT_SIZE, _DEFAULT_COLOUR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on palettes and size: any picture will do here
            with Image.open(image) as picture:
                return picture.convert("RGB")
    except FileNotFoundError as error:
        raise ConfigError(f"--image: {image!r} does not exist") from error
    # Pillow's decoders raise whatever the damaged file leads them to.
    except Exception as error:
        raise ConfigError(f"--image: {image!r} is no picture that can be read: {error}") from error
