"""The pages of docs/: links, commands and flags are real, and lists are whole."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from plaudit.cli.main import app
from plaudit.data import read
from plaudit.data.check import KINDS
from plaudit.data.readers import READERS
from plaudit.evaluation.metrics import METRICS
from plaudit.evaluation.plots import OF_PAIRS
from plaudit.statistics.aggregation import MODELS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
CHECKED = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
CODE = re.compile(r"^```.*?^```|`[^`]+`|^(?:    [^\n]*\n?)+", re.M | re.S)


def flags():
    """The flags of each verb, as its own parser knows them."""
    everywhere = {"--help", "-h", "--version"}
    found = {}
    for verb in app.resolved_commands():
        if verb.isalpha():
            arguments = app[verb].assemble_argument_collection()
            found[verb] = everywhere | {name for one in arguments for name in one.names}
    return found


FLAGS = flags()


def commands(text):
    """Each `plaudit VERB …` of a page's code, as words."""
    for code in CODE.findall(text):
        joined = re.sub(r"\\?\n(?=\s*--)", " ", code) if code.startswith("`") else code
        for found in re.finditer(r"(?<![\w./-])plaudit ([a-z]+)\b([^\n`|;&#]*)", joined):
            yield found[1], found[2]


def anchors(path):
    """The anchors that GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def section(page, name):
    """The text under a heading, up to the next one of its rank."""
    text = (DOCS / page).read_text()
    return re.search(rf"^(#+) {re.escape(name)}\n(.*?)(?=^\1 |\Z)", text, re.M | re.S)[2]


@pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.name)
def test_commands_and_flags_are_real(page):
    for verb, rest in commands(page.read_text()):
        assert verb in FLAGS, f"{page.name}: plaudit {verb}"
        try:
            words = shlex.split(rest)
        except ValueError:
            words = rest.split()
        used = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        unknown = [flag for flag in used if flag not in FLAGS[verb]]
        assert not unknown, f"{page.name}: plaudit {verb}{rest}: no flag {unknown}"


@pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.name)
def test_a_flag_named_alone_belongs_to_some_verb(page):
    known = set().union(*FLAGS.values(), {"--strict", "--no-deps"})
    text = re.sub(r"^[^\n]*\b(?:pip|ruff|mypy)\b[^\n]*$", "", page.read_text(), flags=re.M)
    for flag in re.findall(r"`(--[a-z][a-z-]*)", text):
        assert flag in known, f"{page.name}: {flag}"


@pytest.mark.parametrize("page", CHECKED, ids=lambda page: page.name)
def test_links_between_pages_hold(page):
    text = CODE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(path), f"{page.name}: {target}"


def test_the_index_names_every_page():
    index = (DOCS / "README.md").read_text()
    missing = [page.name for page in PAGES if page.name != "README.md" and page.name not in index]
    assert not missing


def test_the_reference_is_what_the_docstrings_say():
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "reference.md").read_text() == module.page(), "run python docs/reference.py"


@pytest.mark.parametrize("name", READERS)
def test_every_format_has_a_sample_row_that_is_read_as_it(name, tmp_path):
    block = re.search(r"```json\n(.*?)```", section("formats.md", name), re.S)[1]
    (tmp_path / "rows.jsonl").write_text(block)
    reading = read(str(tmp_path / "rows.jsonl"))
    slates = list(reading)
    assert (reading.format, reading.bad) == (name, 0)
    assert len(slates) == 1
    assert all(json.loads(line) for line in block.splitlines())


@pytest.mark.parametrize(
    ("page", "names"),
    [("check.md", KINDS), ("report.md", METRICS), ("exports.md", MODELS)],
)
def test_lists_are_whole_and_name_nothing_else(page, names):
    cells = re.findall(r"^\| ([^|]+?) \|", (DOCS / page).read_text(), re.M)
    cells = {cell.strip("`") for cell in cells}
    assert set(names) <= cells, set(names) - cells
    if page == "check.md":
        rows = re.findall(r"^\| ([^|]+?) \|", section(page, "Findings"), re.M)
        assert set(rows) - {"finding", "---"} == set(KINDS)


def test_every_plot_is_explained():
    text = section("report.md", "Plots on the page")
    titles = re.findall(r'Figure\(\s*"([^"]+)"', (ROOT / "plaudit/evaluation/plots.py").read_text())
    assert len(titles) > len(OF_PAIRS)
    assert not [title for title in titles if title not in text]


def test_the_checks_can_fail():
    assert list(commands("run `plaudit bake x` or\n\n    plaudit score M D --fast\n")) == [
        ("bake", " x"),
        ("score", " M D --fast"),
    ]
    assert "--fast" not in FLAGS["score"]
    assert "--pairs" in FLAGS["score"]
