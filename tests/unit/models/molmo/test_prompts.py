import numpy as np
import pytest
import torch

from maskprof.models.molmo import MolmoConfig
from maskprof.models.molmo.images import MolmoImageProcessor
from maskprof.models.molmo.prompts import assemble, batched, bos_token_id, chat_text, image_token_ids

CONFIG = MolmoConfig(vocab_size=100)
START, END, PATCH, COLUMN = 100, 101, 102, 103


def prepared(width=93, height=61, **changes):
    processor = MolmoImageProcessor(**{"image_size": (56, 56), "margins": (2, 0), "max_crops": 2, **changes})
    return processor(np.zeros((height, width, 3), np.uint8))


def test_the_words_around_a_question():
    assert chat_text("Describe this image.") == " User: Describe this image. Assistant:"
    assert chat_text("What?", style="vqa2") == " User: vqa2: What? Assistant:"


def test_the_tokens_of_a_picture():
    image = prepared()
    assert image.local_grid == (2, 3)
    assert image_token_ids(image, CONFIG).tolist() == [
        *(START, PATCH, PATCH, COLUMN, PATCH, PATCH, COLUMN, END),
        *(START, PATCH, PATCH, PATCH, COLUMN, PATCH, PATCH, PATCH, COLUMN, END),
    ]


def test_a_picture_goes_in_front_and_its_places_count_from_the_beginning():
    row = assemble([7, 8, 9], CONFIG, prepared(), bos_id=3)
    ids, index = row["input_ids"], row["image_input_idx"]
    assert ids[0] == 3
    assert ids[-3:].tolist() == [7, 8, 9]
    kept = index[index >= 0]
    assert (ids[kept] == PATCH).all()
    assert sorted(kept.tolist()) == (ids == PATCH).nonzero().flatten().tolist()
    assert index[0].tolist() == [2, 3, 5, 6]
    # The second crop's first column is better seen in the first crop's last.
    assert (index[index < 0] == -100).all()


def test_text_alone():
    assert assemble([7, 8], CONFIG).keys() == {"input_ids"}
    assert assemble([7, 8], CONFIG)["input_ids"].tolist() == [7, 8]
    assert assemble(torch.tensor([7]), CONFIG, bos_id=3)["input_ids"].tolist() == [3, 7]


def test_the_true_number_of_tokens():
    config = MolmoConfig(vocab_size=50280)
    for (width, height), valid, length in (
        ((336, 336), 288, 326),
        ((640, 480), 704, 750),
        ((200, 900), 576, 638),
        ((1000, 300), 576, 614),
    ):
        row = assemble(range(9), config, MolmoImageProcessor()(np.zeros((height, width, 3), np.uint8)), 50279)
        assert len(row["input_ids"]) == length
        assert int((row["input_ids"] == config.image_token_id).sum()) == valid


def test_a_batch_is_padded_with_minus_one_at_the_end():
    long, short = (
        assemble([7] * 5, CONFIG, prepared(), 3),
        assemble([7], CONFIG, prepared(30, 37, max_crops=1), 3),
    )
    batch = batched([long, short, assemble([7], CONFIG)])
    for name, rows in batch.items():
        for row, source in zip(rows, (long, short), strict=False):
            size = len(source[name])
            assert torch.equal(row[:size], source[name])
            assert (row[size:] == -1).all()
        assert (rows[2][1:] == -1).all()


@pytest.mark.parametrize(("bos", "eos", "expected"), [(1, 2, 1), (None, 2, 2), (None, None, None)])
def test_the_first_token_is_the_end_of_text_where_there_is_no_other(bos, eos, expected):
    class Tokenizer:
        bos_token_id = bos
        eos_token_id = eos

    assert bos_token_id(Tokenizer()) == expected
