"""Documentation that cannot drift: pages, links and commands are held to the product."""

from __future__ import annotations

import ast
import os
import re
import runpy
import shlex
import subprocess
import sys
from fnmatch import translate
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml

from nearbucket.cli.main import app
from nearbucket.config.json_schema.schema import json_schema, schema_at
from nearbucket.config.settings import Settings
from nearbucket.config.sites import Site
from nearbucket.policy.model import Reason, Request
from nearbucket.regions.ip_ranges_source import read_ranges_file
from nearbucket.regions.region_table import build_table
from nearbucket.supervisor.snapshot import engine_of, snapshot_of
from nearbucket.telemetry.log_format import W3C_FIELDS
from nearbucket.telemetry.metric_definitions import METRICS
from tests.command_server import Begun
from tests.log_lines import LogRecord
from tests.test_imports import FILES, SOURCE, floor_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*.md")),
    ROOT / "bench" / "README.md",
]
ENDLESS = re.compile(r"nearbucket (serve|demo)\b.*")
REGISTRIES = ("python" + "hosted", "pypi" + ".org", "deb.deb" + "ian.org", "registry.npm" + "js")


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def _sh_lines() -> list[str]:
    lines = "".join(_blocks(README, "sh")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _commands() -> list[str]:
    return [line for line in _sh_lines() if re.search(r"(^|[\s|])nearbucket ", line)]


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text("utf-8")))
    return [link for link in found if "://" not in link]


def _anchor(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _without_code(page.read_text("utf-8")), re.MULTILINE)
    return {_anchor(heading) for heading in headings}


@cache
def _text_files() -> list[tuple[Path, str]]:
    """Every file that belongs to the project, as .gitignore has it."""
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    patterns = [line.rstrip("/") for line in lines if line and not line.startswith("#")]
    ignored = re.compile("|".join(map(translate, patterns)))
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name != ".git" and not ignored.match(name)]
        paths = [Path(folder, name) for name in names if not ignored.match(name)]
        found += [(path, path.read_bytes().decode("utf-8", "replace")) for path in paths]
    return found


def _page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_generated_pages_are_current(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = ROOT / "docs" / "generate.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--check"])
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0, capsys.readouterr().err


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in _links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link}: no such file"
        assert ROOT in target.parents, f"{link} leads out of the project"
        assert not anchor or anchor in _anchors(target), f"{link}: no such heading"


def test_each_test_that_the_threat_model_names_exists() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
    files = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tests = {name for text in files for name in re.findall(r"def (test_\w+)\(", text)}
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    assert named <= tests, named - tests


def _code(page: Path) -> set[str]:
    """What a page has between backticks, blocks left out; without a value behind a name."""
    texts = re.findall(r"`([^`\n]+)`", _without_code(page.read_text("utf-8")))
    return {text.partition(": ")[0] for text in texts}


DESCRIBED = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The pages that describe the present."""


@pytest.mark.parametrize("page", DESCRIBED, ids=_page_id)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    for name in _code(page):
        keys = re.sub(r"\[\]", ".0", name).replace("<region>", "us-east-1").split(".")
        if len(keys) == 1 or not re.fullmatch(r"[a-z_]+(\.[a-z_0-9-]+)+", ".".join(keys)):
            continue
        if keys[0] in Site.model_fields:
            keys = ["sites", "0", *keys]
        if keys[0] in json_schema()["properties"]:
            path = tuple(int(key) if key.isdigit() else key for key in keys)
            assert schema_at(path) is not None, f"{name}: no such setting"


@pytest.mark.parametrize("page", DESCRIBED, ids=_page_id)
def test_every_metric_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"\bnearbucket_[a-z_]+", page.read_text("utf-8")))
    assert named <= {metric.name for metric in METRICS}


@pytest.mark.parametrize("page", DESCRIBED, ids=_page_id)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    folders = [page.parent, ROOT, SOURCE, ROOT / "tests", ROOT / "deploy"]
    for name in _code(page):
        if re.fullmatch(
            r"[\w.-]+(/[\w.-]+)*\.(py|md|tf|sh|lua)|(proxy|tests|bench)/[\w./-]+", name
        ):
            assert any((folder / name).exists() for folder in folders), f"{name}: no such file"


def test_every_name_of_code_in_the_architecture_exists() -> None:
    words = {word for path in SOURCE.rglob("*.py") for word in re.findall(r"\w+", path.read_text())}
    named = _code(ROOT / "docs" / "architecture.md")
    found = [re.fullmatch(r"(_?[A-Z]\w+)(?:\.(?!md)(\w+))?|_[a-z]\w+", name) for name in named]
    names = {word for each in found if each for word in re.findall(r"\w+", each[0])}
    assert len(names) > 10
    assert not names - words


CITATION = re.compile(r"([\w./-]*\w\.md\b)(?:`*, \"([^\"]+)\")?")
"""A page, and perhaps the heading of a section in it."""


def test_what_code_cites_is_a_page_and_a_section_of_it() -> None:
    for path, text in _text_files():
        if path.suffix == ".py" and ".md" in text and ROOT / "tests" not in path.parents:
            for name, heading in CITATION.findall(re.sub(r"\s+(?:# )?", " ", text)):
                cited = f"{path.relative_to(ROOT)}: {name} {heading}"
                page = next((page for page in PAGES if page.match(name)), None)
                assert page is not None, f"{cited}: no such page"
                assert not heading or _anchor(heading) in _anchors(page), f"{cited}: no section"


def test_the_readme_shows_commands_to_run() -> None:
    assert len(_commands()) > 5


def test_the_command_that_the_readme_shows_is_installed() -> None:
    command = [str(Path(sys.executable).with_name("nearbucket")), "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout


@pytest.mark.parametrize("line", _commands())
@pytest.mark.usefixtures("commands")
def test_a_command_of_the_readme_runs(line: str, tmp_path: Path) -> None:
    assert not re.search(r"[|&;<>*`]", line), "not run by a shell"
    words = shlex.split(ENDLESS.sub(r"nearbucket \1 --help", line))
    at = words.index("nearbucket")
    variables = dict(word.split("=", 1) for word in words[:at])
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith("NEARBUCKET_")
    }
    done = Begun(*words[at + 1 :], env={**clean, "HOME": str(tmp_path), **variables}).end()
    assert done.code == 0, done.err
    assert done.out


@pytest.mark.parametrize("block", _blocks(README, "yaml"))
def test_the_configuration_of_the_readme_is_valid(block: str) -> None:
    assert Settings.model_validate(yaml.safe_load(block)).sites


def test_the_configuration_of_the_readme_believes_a_curl_on_the_same_machine() -> None:
    (block,) = _blocks(README, "yaml")
    trust = engine_of(snapshot_of(Settings.model_validate(yaml.safe_load(block)), None)).trust
    asked = {b"x-forwarded-for": b"198.51.100.7"}
    for peer, client in (("127.0.0.1", "198.51.100.7"), ("203.0.113.9", "203.0.113.9")):
        assert trust.client(Request("GET", "/", asked, peer)).address == client


def test_the_trial_page_creates_each_bucket_that_its_configuration_has() -> None:
    block = next(block for block in _blocks(OPERATIONS, "yaml") if block.startswith("# trial.yaml"))
    sites = Settings.model_validate(yaml.safe_load(block)).sites
    origins = re.search(r'FILL_BUCKETS="([\w -]+)"', OPERATIONS)
    targets = re.search(r"^for bucket in ([\w -]+); do$", OPERATIONS, re.MULTILINE)
    assert origins is not None
    assert targets is not None
    assert origins[1].split() == [site.origin.bucket for site in sites]
    named = [target.bucket for site in sites for target in site.targets.values()]
    assert sorted(targets[1].split()) == sorted(named)


@pytest.mark.parametrize(
    ("address", "region"),
    [("192.0.2.10", "us-east-1"), ("198.51.100.7", "us-west-2"), ("203.0.113.5", "eu-west-1"),
     ("8.8.8.8", None)],
)  # fmt: skip
def test_a_client_of_the_trial_page_is_in_the_region_that_it_names(
    address: str, region: str | None
) -> None:
    page = " ".join(OPERATIONS.split())
    assert re.search(rf"{address}(?: is)? in {region}" if region else f"such as {address}", page)
    listed = read_ranges_file(ROOT / "config" / "ip-ranges.sample.json")
    assert build_table(listed, ("AMAZON", "EC2"), {}).region(address) == region


@pytest.mark.parametrize(
    "block", _blocks((ROOT / "docs" / "request-handling.md").read_text("utf-8"), "yaml")
)
def test_a_client_address_of_the_handbook_is_valid(block: str) -> None:
    site = {"origin": {"bucket": "downloads", "region": "us-east-1"}}
    assert Settings.model_validate({"sites": [site], **yaml.safe_load(block)}).client_address


def test_every_make_target_of_a_page_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    texts = [page.read_text("utf-8") for page in DESCRIBED]
    named = {each for text in texts for each in re.findall(r"(?m)(?:`|^)make ([a-z-]+)", text)}
    assert {"demo", "test", "check", "bench", "mutants"} <= named <= set(targets)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_heading(reason: Reason) -> None:
    assert reason.value in _anchors(ROOT / "docs" / "request-handling.md")


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_every_metric_is_described(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "metrics.md").read_text("utf-8")


ANALYZE = (ROOT / "docs" / "analyze.md").read_text("utf-8")
ANALYZE_OPTIONS = [
    option
    for parameter in typer.main.get_command(app()).commands["analyze"].params  # type: ignore[attr-defined]
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("--")
]


@pytest.mark.parametrize("option", ANALYZE_OPTIONS)
def test_every_option_of_analyze_is_described(option: str) -> None:
    assert re.search(rf"`{option}[ `]", ANALYZE)


def test_the_description_of_analyze_has_no_other_options() -> None:
    rows = "\n".join(re.findall(r"^\| (`--.*)", ANALYZE, re.MULTILINE))
    assert set(re.findall(r"`(--[\w-]+)", rows)) == set(ANALYZE_OPTIONS)


@pytest.mark.parametrize("field", [*LogRecord._fields, *W3C_FIELDS.split()])
def test_every_field_of_the_access_log_is_described(field: str) -> None:
    assert f"`{field}`" in OPERATIONS


def test_the_alerts_described_are_the_alerts_there_are() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert re.findall(r"^### (Nearbucket\w+)$", OPERATIONS, re.MULTILINE) == names


def test_no_file_names_a_package_registry() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {registry}"
        for path, text in _text_files()
        for registry in REGISTRIES
        if registry in text
    ]
    assert not named


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
MOST_FILES = 8
"""Files that a reader has to open at most to follow a list of steps through the code."""


@pytest.mark.parametrize(
    "chapter",
    sorted(SOURCE.rglob("__init__.py")),
    ids=lambda file: str(file.parent.relative_to(SOURCE)),
)
def test_the_opening_of_a_folder_lists_its_files_and_no_others(chapter: Path) -> None:
    text = ast.get_docstring(ast.parse(chapter.read_text("utf-8"))) or ""
    listed = re.findall(r"^\* ``([\w/.]+)``: \S", text, re.MULTILINE)
    modules = [file.name for file in chapter.parent.glob("*.py") if file != chapter]
    folders = [f"{file.parent.name}/" for file in chapter.parent.glob("*/__init__.py")]
    assert sorted(listed) == sorted(modules + folders)


def test_the_page_shows_the_floors_that_imports_are_held_to() -> None:
    rows = re.findall(r"^\| (\d+) \| `([\w.]+)/?` \| \S", ARCHITECTURE, re.MULTILINE)
    shown = {name.removesuffix(".py"): int(floor) for floor, name in rows}
    tops = {name.partition(".")[0] for name in FILES} - {"__main__", "__init__"}
    floors = sorted({floor_of(name) for name in tops})
    assert shown == {name: 1 + floors.index(floor_of(name)) for name in tops}


@pytest.mark.parametrize(
    "steps",
    re.findall(r"(?:^\d+\. .*\n(?:^   .*\n)*)+", ARCHITECTURE, re.MULTILINE),
    ids=lambda steps: re.sub(r"\W+", "-", steps.partition(":")[0][:40]),
)
def test_each_step_of_a_walk_is_in_one_of_at_most_eight_files(steps: str) -> None:
    files = re.findall(r"^\d+\. `([\w/.-]+)`", steps, re.MULTILINE)
    assert len(files) == len(re.findall(r"^\d+\. ", steps, re.MULTILINE))
    assert len(set(files)) <= MOST_FILES
