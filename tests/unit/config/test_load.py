"""A TOML file and overrides to one RunConfig."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.config.load import load_config
from maskprof.config.schema import FIELD_NAMES, RunConfig
from maskprof.errors import ConfigError


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "run.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_nothing_is_the_default():
    assert load_config({}, None) == RunConfig()


def test_a_file_of_every_kind_of_value(toml):
    path = toml("""
        model_path = "gpt2"
        num-samples = 7
        num_active_blocks = [4, 8]
        fractions = [0.5, 1]
        skip_mode = "remove"
        trace = false
        closure_samples = 3
    """)
    assert load_config({}, path) == RunConfig(
        model_path="gpt2",
        num_samples=7,
        num_active_blocks=(4, 8),
        fractions=(0.5, 1.0),
        skip_mode=("remove",),
        trace=False,
        closure_samples=3,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[0, 5]", ((0, 5),)),
        ("[[0, 5]]", ((0, 5),)),
        ("[[0, 5], [1]]", ((0, 5), (1,))),
        ("3", ((3,),)),
        ("[]", ()),
    ],
)
def test_explicit_masks_are_one_list_or_several(toml, text, expected):
    assert load_config({}, toml(f"active_block_indices = {text}")).active_block_indices == expected


def test_the_command_line_wins(toml):
    path = toml("num_samples = 7\nseed = 1\nnum_active_blocks = [4]")
    config = load_config({"num_samples": 9, "num_active_blocks": [1, 2]}, path)
    assert (config.num_samples, config.seed, config.num_active_blocks) == (9, 1, (1, 2))


@given(
    settings=st.fixed_dictionaries(
        {},
        optional={
            "num_samples": st.integers(1, 10**6),
            "prompt": st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
            "fractions": st.lists(st.floats(0.01, 1), max_size=4),
            "active_block_indices": st.lists(
                st.lists(st.integers(0, 99), min_size=1, unique=True), max_size=3
            ),
            "resume": st.booleans(),
        },
    )
)
def test_overrides_arrive_as_they_are(settings):
    config = load_config(settings, None)
    for name, value in settings.items():
        found = getattr(config, name)
        if name == "active_block_indices":
            found = [list(indices) for indices in found]
        assert (list(found) if isinstance(found, tuple) else found) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_sample = 3", "{path}: 'num_sample' is not a setting; did you mean num_samples?"),
        ("num-sampels = 3", "{path}: 'num-sampels' is not a setting; did you mean num_samples?"),
        ("num_samples = 'many'", "{path}: num_samples: needs a whole number, got 'many'"),
        ("num_samples = 2.5", "{path}: num_samples: needs a whole number, got 2.5"),
        ("num_samples = true", "{path}: num_samples: needs a whole number, got true"),
        ("num-samples = [3]", "{path}: num-samples: needs a whole number, got [3]"),
        ("trace = 1", "{path}: trace: needs true or false, got 1"),
        ("model_path = 3", "{path}: model_path: needs a text, got 3"),
        ("fractions = ['half']", "{path}: fractions: needs a number, got 'half'"),
        ("fractions = [true]", "{path}: fractions: needs a number, got true"),
        ("skip_mode = [1]", "{path}: skip_mode: needs a text, got 1"),
        ("num_active_blocks = [[4]]", "{path}: num_active_blocks: needs a whole number, got [4]"),
        ("active_block_indices = [[0], 1]", "{path}: active_block_indices: needs a whole number, got [0]"),
        ("active_block_indices = ['0']", "{path}: active_block_indices: needs a whole number, got '0'"),
        ("trace_dir = 2020-01-01", "{path}: trace_dir: needs a text, got datetime.date(2020, 1, 1)"),
        (
            "seed = 1\nnum_samples = 1\nnum-samples = 2",
            "{path}: num-samples: given twice, with underscores and",
        ),
        ("num_samples = 0", "{path}: --num_samples: needs a whole number of at least 1, got 0"),
        ("strategy = 'every'", "{path}: --strategy: 'every' is not one of "),
        ("a = 1\nb = ", "--config: {path} is not valid TOML: Invalid value (at line 2, the end)"),
        ("a = 1\n= 2\nb = 3", "--config: {path} is not valid TOML: Invalid statement (at line 2, column 1)"),
        (b"prompt = '\xff'", "--config: {path} is not UTF-8 text (byte 10), so it is no TOML"),
    ],
)
def test_bad_files(toml, text, message):
    path = toml(text)
    with pytest.raises(ConfigError) as caught:
        load_config({}, path)
    assert str(caught.value).startswith(message.format(path=path))
    assert "\n" not in str(caught.value)


def test_a_key_that_resembles_nothing_lists_the_settings(toml):
    with pytest.raises(
        ConfigError, match="'xyzzy' is not a setting; the settings are model_path, "
    ) as caught:
        load_config({}, toml("xyzzy = 1"))
    assert all(name in str(caught.value) for name in FIELD_NAMES)


def test_a_table_is_no_setting(toml):
    with pytest.raises(ConfigError, match="'run' is not a setting"):
        load_config({}, toml("[run]\nseed = 1"))


def test_missing_file(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(ConfigError) as caught:
        load_config({}, path)
    assert str(caught.value) == f"--config: there is no file {path}"


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match=f"--config: {tmp_path} cannot be read: Is a directory"):
        load_config({}, str(tmp_path))


def test_bad_overrides_name_the_flag():
    with pytest.raises(ConfigError, match="--num_samples: needs a whole number, got 'x'"):
        load_config({"num_samples": "x"}, None)
    with pytest.raises(ConfigError, match="'num_sample' is not a setting; did you mean num_samples"):
        load_config({"num_sample": 1}, None)


def test_a_bad_value_in_the_file_is_reported_even_if_a_flag_replaces_it(toml):
    path = toml("num_samples = 0")
    with pytest.raises(ConfigError, match=r"run\.toml: --num_samples"):
        load_config({"num_samples": 5}, path)
