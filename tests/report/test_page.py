import builtins
import json
import re
from html.parser import HTMLParser

import pytest

from carbjax import ConfigError
from carbjax._report import write_report
from carbjax._report.page import render
from carbjax._report.reading import read_evaluation

from . import made_up

VOID = {"meta", "link", "wbr", "img", "br", "hr", "input", "col"}


class Outline(HTMLParser):
    """Elements with their attributes, and whether all were closed in order."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_up.write(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(folder):
    return render(read_evaluation(folder))


def page_of(folder, **changes) -> str:
    """The page when evaluation.json says something else."""
    path = made_up.write(folder) / "evaluation.json"
    path.write_text(json.dumps(made_up.about() | changes))
    return render(read_evaluation(folder))


def test_elements_close_and_ids_are_unique(page):
    ids = [attrs["id"] for _, attrs in Outline(page).elements if "id" in attrs]
    assert len(ids) == len(set(ids)) > 8


def test_links_lead_to_places_of_the_page_alone(page):
    elements = Outline(page).elements
    ids = {attrs.get("id") for _, attrs in elements}
    for tag, attrs in elements:
        for name in ("href", "src", "action", "srcset", "data", "poster"):
            address = attrs.get(name)
            assert address is None or address == "data:," or address[1:] in ids, (
                tag,
                attrs,
            )
    assert not re.search(r"https?:|url\(|@import|\beval\b", page)


def test_headers_say_what_they_head(page):
    heads = [attrs for tag, attrs in Outline(page).elements if tag == "th"]
    assert heads and all(h.get("scope") in {"row", "col", "colgroup"} for h in heads)
    sorted_by = [h["data-key"] for h in heads if "aria-sort" in h]
    assert sorted_by == ["relative"]


def test_figures_can_be_heard(page):
    pictures = [attrs for tag, attrs in Outline(page).elements if tag == "svg"]
    named = [a for a in pictures if a.get("role") == "img" and len(a["aria-label"]) > 10]
    assert len(named) > 30
    inside_hidden = [a for a in pictures if a.get("role") != "img"]
    # Axes lie in a hidden block, keys are hidden themselves.
    assert all(a.get("aria-hidden") == "true" or "height" in a for a in inside_hidden)


def test_what_strangers_wrote_is_text(page):
    assert page.count("<script") == 1
    assert "<img" not in page and made_up.EVIL not in page
    assert page.count("&lt;script&gt;") > 10


def test_names_that_no_page_can_hold(tmp_path):
    bad = "null\x00 turned\u202e lone\ud800 isolate\u2069 <b>"
    text = page_of(tmp_path, flags=[bad], methods=[{"name": bad}])
    text.encode("utf-8")
    assert not set("\x00\u202e\u2069\ud800") & set(text)
    assert "turned� lone� isolate� &lt;b&gt;" in text


def test_the_verdict_names_methods_with_their_numbers(page):
    text = re.sub("<[^>]+>", "", page.split('class="verdict"')[1].split("</p>")[0])
    assert "shapley gives the Shapley value itself." in text
    assert "streaming comes nearest" in text and "1.2% (95% interval" in text
    assert "the interval of retimed overlaps" in text
    assert "exponentially for shapley" in text
    assert "raises_always was refused" in text


def test_every_refusal_stands_with_its_reason(page):
    section = page.split('id="refused"')[1].split("</section>")[0]
    assert "raises_<wbr>always" in section
    assert "it raises ValueError" in section and "it never comes so near" in section


def test_unknown_numbers_are_called_so(page):
    assert "unknown" in page and "not judged" in page and "not reached" in page
    assert not re.search(r">\s*(nan|None|inf|NaN)\s*<", page)


def test_numbers_unknown_by_name_are_shown(page):
    for text in ("odd quantity", "padding g", "compile s", "load 2"):
        assert text in page, text


def test_what_was_not_evaluated_is_said(tmp_path):
    folder = made_up.write(tmp_path, [made_up.row("fairness", "only", "relative", 0.5)])
    for name in ("curves.parquet", "scaling.parquet", "examples.json"):
        (folder / name).unlink()
    text = render(read_evaluation(folder))
    for criterion in ("Axioms", "Scalability", "Sample efficiency", "Incentives"):
        assert f'class="missing">{criterion} w' in text, criterion
    Outline(text)


def test_files_left_out_are_said(tmp_path):
    folder = made_up.write(tmp_path)
    for name in ("curves.parquet", "scaling.parquet", "examples.json"):
        (folder / name).unlink()
    text = render(read_evaluation(folder))
    for name in ("curves.parquet", "scaling.parquet", "examples.json"):
        assert f"the folder has no {name}" in text


def test_a_method_refused_on_one_workload_keeps_its_numbers(tmp_path):
    refusal = {"workload": 3, "status": "refused", "reason": "too odd"}
    numbers = made_up.rows() + [made_up.row("fairness", "tokens", "", None, **refusal)]
    text = render(read_evaluation(made_up.write(tmp_path, numbers)))
    assert 'aria-label="tokens: median distance 41%' in text and "too odd" in text


def test_estimators_are_no_methods_of_the_summary(tmp_path):
    extra = made_up.row("sample_efficiency", "sampled (pairs)", "N_eps", 9.0, group="5%")
    text = render(read_evaluation(made_up.write(tmp_path, [*made_up.rows(), extra])))
    summary = text.split('id="summary-table"')[1].split("</table>")[0]
    assert "(pairs)" not in summary and "sampled (pairs)" in text


def test_folders_of_who_evaluated_stay_at_home(tmp_path):
    text = page_of(tmp_path, methods=[{"name": "mine", "source": "/home/ann/mine.py"}])
    assert "mine.py" in text and "/home/ann" not in text


def test_the_same_results_make_the_same_page(folder, page):
    assert render(read_evaluation(folder)) == page


def test_text_and_lines_stand_out_from_the_paper(page):
    for theme in _themes(page):
        for name in ("ink", "quiet", "link", "good", "bad"):
            for paper in ("paper", "box"):
                assert _contrast(theme[name], theme[paper]) >= 4.5, (name, paper)
        for name in ("c0", "c1", "c2", "c3"):
            assert _contrast(theme[name], theme["paper"]) >= 3, name


def test_without_jinja_the_way_out_is_told(folder, monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **extra):
        if name == "jinja2":
            raise ImportError(name)
        return real(name, *args, **extra)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r'pip install "carbjax\[report\]"'):
        write_report(folder)


def _themes(page: str) -> list[dict[str, str]]:
    """Colours in light, in dark and on paper."""
    blocks = re.findall(r":root \{(.*?)\}", page, re.S)
    assert len(blocks) == 3
    return [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in blocks]


def _contrast(a: str, b: str) -> float:
    """The ratio of WCAG 2.2."""
    bright, dim = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
