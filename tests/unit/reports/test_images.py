from io import BytesIO
from xml.etree import ElementTree as ET

from PIL import Image

from maskprof.reports.images import image_bytes, write_images
from maskprof.reports.page import Run, plots_of
from tests.support.results import make_configuration, make_result

PLOTS = plots_of([Run(name="", result=make_result())])


def test_the_main_plots_of_a_run():
    assert [plot.name for plot in PLOTS] == [
        *("latency-prefill", "latency-decode-per-token", "latency-total", "latency-vision"),
        *("blocks-host-prefill", "blocks-host-decode"),
        *("skip-prefill", "skip-decode", "turn-prefill", "turn-decode"),
        *("samples-prefill", "samples-decode-per-token"),
    ]


def test_of_several_runs_the_plots_that_have_them_all():
    other = make_result([make_configuration(8), make_configuration(16)])
    names = [
        plot.name for plot in plots_of([Run(name="a", result=make_result()), Run(name="b", result=other)])
    ]
    assert names[0] == "compare-prefill"
    assert all(name.startswith("compare-") for name in names)


def test_an_svg_file(golden):
    golden("latency_prefill.svg", image_bytes(PLOTS[0], "svg").decode().replace("><", ">\n<"))


def test_every_plot_is_one_file_of_each_kind(tmp_path):
    for kind, plots in (("svg", PLOTS), ("png", PLOTS[::5])):
        paths = write_images(plots, tmp_path / kind, kind)
        assert [path.name for path in paths] == [f"{plot.name}.{kind}" for plot in plots]
        assert sorted(paths) == sorted((tmp_path / kind).iterdir())


def test_svg_files_are_whole_and_use_nothing_from_elsewhere():
    for plot in PLOTS:
        root = ET.fromstring(image_bytes(plot, "svg"))
        assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
            "svg",
            "title",
            "rect",
            "g",
            "path",
            "text",
        }
        assert not any(
            "href" in attribute or attribute == "class" for e in root.iter() for attribute in e.attrib
        )
        assert root.find("{*}g/{*}text").text == plot.heading


def test_png_files_have_the_proportions_of_the_drawing():
    image = Image.open(BytesIO(image_bytes(PLOTS[0], "png")))
    assert image.size == (1260, (280 + 28) * 3)
