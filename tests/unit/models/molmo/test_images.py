import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from maskprof.errors import ModelError
from maskprof.models.molmo.images import DROPPED, MolmoImageProcessor, resize_and_pad

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])


def blank(width, height):
    return np.zeros((height, width, 3), dtype=np.uint8)


# As stated for the released models: (width, height), tiling, tokens of the magnified picture.
KNOWN = [
    ((336, 336), (1, 1), (12, 12)),
    ((640, 480), (2, 3), (20, 28)),
    ((200, 900), (4, 1), (36, 12)),
    ((1000, 300), (1, 4), (12, 36)),
    ((1, 1), (1, 1), (12, 12)),
    ((5000, 3000), (3, 4), (28, 36)),
]


@pytest.mark.parametrize(("size", "tiling", "grid"), KNOWN)
def test_known_tilings(size, tiling, grid):
    made = MolmoImageProcessor()(blank(*size))
    crops = 1 + tiling[0] * tiling[1]
    assert (made.tiling, made.global_grid, made.local_grid) == (tiling, (12, 12), grid)
    assert made.images.shape == (crops, 576, 588)
    assert made.image_masks.shape == (crops, 576)
    assert made.slots.shape == (crops, 144)


@settings(deadline=None, max_examples=25)
@given(width=st.integers(1, 400), height=st.integers(1, 400), crops=st.integers(1, 6))
def test_each_token_has_one_feature(width, height, crops):
    processor = MolmoImageProcessor(image_size=(56, 56), margins=(1, 1), max_crops=crops)
    made = processor(blank(width, height))
    rows, columns = made.tiling
    assert rows * columns <= crops
    kept = made.slots[made.slots >= 0]
    tokens = 4 + made.local_grid[0] * made.local_grid[1]
    assert sorted(kept.tolist()) == list(range(tokens))
    assert ((made.slots >= 0) | (made.slots == DROPPED)).all()
    assert made.slots[0].tolist() == [0, 1, 2, 3]
    assert torch.isfinite(made.images).all()
    # One crop too early: the last row is the global crop's.
    assert (made.image_masks[-1] == -1).all()
    assert ((made.image_masks[:-1] >= 0) & (made.image_masks[:-1] <= 1)).all()


def test_tokens_of_neighbouring_crops_lie_side_by_side():
    made = MolmoImageProcessor()(blank(1000, 300))
    local = made.slots[1:].view(4, 12, 12) - 144
    width = made.local_grid[1]
    # The first crop keeps its left margin, inner ones drop two columns on each side, the last its left ones.
    assert local[0, 3, :10].tolist() == list(range(3 * width, 3 * width + 10))
    assert (local[0, :, 10:] < 0).all()
    assert local[1, 3, 2:10].tolist() == list(range(3 * width + 10, 3 * width + 18))
    assert (local[1, :, :2] < 0).all()
    assert local[3, 3, 2:].tolist() == list(range(3 * width + 26, 3 * width + 36))


def test_a_picture_is_cut_into_overlapping_crops():
    pixels = np.random.default_rng(0).integers(0, 256, size=(112, 168, 3), dtype=np.uint8)
    processor = MolmoImageProcessor(image_size=(56, 56), margins=(1, 1), max_crops=40)
    # 28 pixels of each crop are its own: at 3 x 5 crops nothing is resized.
    made = processor(pixels, tiling=(3, 5))
    scaled = (pixels / 255 - MEAN) / STD
    for row in range(3):
        for column in range(5):
            crop = scaled[28 * row : 28 * row + 56, 28 * column : 28 * column + 56]
            patches = [
                crop[14 * r : 14 * r + 14, 14 * c : 14 * c + 14].reshape(-1)
                for r in range(4)
                for c in range(4)
            ]
            actual = made.images[1 + row * 5 + column]
            np.testing.assert_allclose(actual.numpy(), np.stack(patches), atol=1e-5)


def test_lengths_are_truncated_products_of_float32():
    picture, real = resize_and_pad(torch.ones(3, 480, 640), (336, 336))
    assert int(real.any(dim=1).sum()) == 251
    assert real.any(dim=0).all()
    top = (336 - 251) // 2
    assert not real[:top].any()
    assert real[top : top + 251].all()
    black, white = (0 - MEAN) / STD, (1 - MEAN) / STD
    np.testing.assert_allclose(picture[:, 0, 0].numpy(), black, rtol=1e-5)
    np.testing.assert_allclose(picture[:, 168, 0].numpy(), white, rtol=1e-5)


def test_pictures_of_any_mode():
    colour = MolmoImageProcessor()(Image.new("RGBA", (40, 30), (9, 8, 7, 255)))
    assert torch.equal(colour.images, MolmoImageProcessor()(np.full((30, 40, 3), [9, 8, 7], np.uint8)).images)
    grey = MolmoImageProcessor()(Image.new("L", (40, 30), 9))
    assert torch.equal(grey.images, MolmoImageProcessor()(np.full((30, 40, 3), 9, np.uint8)).images)


@pytest.mark.parametrize(
    "bad",
    [np.zeros((3, 4)), np.zeros((3, 4, 3)), np.zeros((0, 4, 3), np.uint8), np.zeros((3, 4, 4), np.uint8)],
)
def test_what_is_no_picture_is_refused(bad):
    with pytest.raises(
        ModelError, match=r"a picture is an array of shape \(height, width, 3\) of uint8, got"
    ):
        MolmoImageProcessor()(bad)


PICTURES = {"blue_336": (336, 336), "gradient_640x480": (640, 480)}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", PICTURES)
def test_the_published_processor_s_outputs(shared_data, name):
    import json

    from maskprof.models.molmo import MolmoConfig
    from maskprof.models.molmo.prompts import assemble, chat_text

    folder = shared_data / "molmo" / "preprocessing"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    about, expected = summary["images"][name], load_file(folder / "expected.safetensors")
    width, height = PICTURES[name]
    if name == "blue_336":
        pixels = np.broadcast_to(np.array([0, 0, 255], np.uint8), (336, 336, 3))
    else:
        y, x = np.mgrid[:height, :width]
        pixels = np.stack((x * 255 // 639, y * 255 // 479, (x + y) * 255 // 1118), axis=-1).astype(np.uint8)
    assert chat_text(summary["prompt"]) == summary["formatted"]
    made = assemble(
        summary["text_tokens"], MolmoConfig(vocab_size=50280), MolmoImageProcessor()(pixels), summary["bos"]
    )
    for key in ("input_ids", "image_input_idx"):
        assert torch.equal(made[key], expected[f"{name}.{key}"].long())
    images = made["images"]
    for actual, key in (
        (made["image_masks"], "image_masks"),
        (images.mean((1, 2)), "crop_mean"),
        (images.mean(-1), "patch_mean"),
        (images.amin((1, 2)), "crop_min"),
        (images.amax((1, 2)), "crop_max"),
        (images[:, about["sample_patches"]][..., about["sample_dims"]], "samples"),
    ):
        torch.testing.assert_close(actual.double(), expected[f"{name}.{key}"].double(), atol=1e-5, rtol=0)
