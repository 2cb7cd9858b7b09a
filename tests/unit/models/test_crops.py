"""Crops of a picture, through the image processors of real families."""

import warnings
from types import SimpleNamespace

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskprof.errors import ConfigError
from maskprof.models.crops import crops_set, most_square, tiles_of

PICTURE = Image.new("RGB", (336, 336), (0, 0, 255))


def image_processor(name, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(transformers, name)(**settings)


def processed(images, crops):
    with crops_set(SimpleNamespace(image_processor=images), "tiny", PICTURE, crops) as picture:
        return images(images=[[picture]], return_tensors="pt")


@given(st.integers(1, 500))
def test_a_grid_has_exactly_so_many_cells(count):
    rows, columns = most_square(count)
    assert rows * columns == count
    assert rows <= columns


def test_tiles_are_the_picture_row_by_row():
    picture = Image.new("RGB", (4, 2))
    for x in range(4):
        picture.putpixel((x, 1), (x, 0, 0))
    tiles = list(tiles_of(picture, (2, 4), (1, 1)))
    assert [tile.getpixel((0, 0))[0] for tile in tiles] == [0, 0, 0, 0, 0, 1, 2, 3]
    assert list(tiles_of(picture, (0, 0), (1, 1))) == []


@pytest.mark.parametrize("crops", [2, 4, 6, 9])
def test_crops_come_beside_the_whole(crops):
    for name in ("GotOcr2ImageProcessor", "Idefics3ImageProcessor", "LlavaOnevisionImageProcessor"):
        images = image_processor(name)
        before = dict(vars(images))
        shape = processed(images, crops)["pixel_values"].shape
        assert crops + 1 in shape[:2], name
        assert vars(images) == before


@pytest.mark.parametrize("crops", [1, 2, 6, 12])
def test_a_limit_of_pixels_is_that_of_so_many_crops(crops):
    for name in ("Qwen2VLImageProcessor", "Glm4vImageProcessor"):
        images = image_processor(name)
        before = dict(vars(images))
        time, height, width = processed(images, crops)["image_grid_thw"][0].tolist()
        assert time * height * width // 4 == 144 * crops
        assert vars(images) == before
    _, _, height, width = processed(image_processor("PixtralImageProcessor"), crops)["pixel_values"].shape
    assert height * width == crops * 336 * 336


def test_molmo_2_is_given_its_most_crops():
    images = SimpleNamespace(max_crops=8, size={"height": 378, "width": 378})
    with crops_set(SimpleNamespace(image_processor=images), "tiny", PICTURE, 6) as picture:
        assert (images.max_crops, picture.size) == (6, (3 * 378, 2 * 378))
    assert images.max_crops == 8


def test_it_is_restored_after_an_exception():
    images = image_processor("Qwen2VLImageProcessor")
    before = dict(vars(images))

    def fail_inside():
        with crops_set(SimpleNamespace(image_processor=images), "tiny", PICTURE, 12):
            assert vars(images) != before
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_inside()
    assert vars(images) == before


@pytest.mark.parametrize("name", ["CLIPImageProcessor", "SiglipImageProcessor", "Gemma3ImageProcessor"])
def test_processors_of_one_size_have_no_such_knob(name):
    with pytest.raises(ConfigError, match=r"--num_crops: the image processor of tiny \(.*\) has neither"):
        processed(image_processor(name), 4)


def test_the_grids_that_there_are_are_told():
    images = image_processor(
        "LlavaNextImageProcessor",
        image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        crop_size={"height": 336, "width": 336},
        size={"shortest_edge": 336},
    )
    assert processed(images, 4)["pixel_values"].shape[1] == 5
    with pytest.raises(ConfigError, match="tiny cuts a picture into one of 2, 3, 4 crops, not into 6"):
        processed(images, 6)
