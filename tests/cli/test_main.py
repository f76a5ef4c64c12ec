"""Every command: help, wrong use, errors and exit codes."""

from __future__ import annotations

import errno
import gc
import inspect
import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli import main as cli
from nearbucket.errors import ConfigError, OriginError, ProxyError, RangesError
from nearbucket.version import version_text
from tests.build import COMMAND, WEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "A proxy for downloads from S3 that redirects clients in AWS to"),
        ("serve", "Run the proxy. SIGTERM drains and stops it, SIGHUP reloads"),
        ("check", "Check the configuration, and whether its buckets are as it says."),
        ("explain", "Show the decision for one request, with every step that leads to"),
        ("lookup", "Print the AWS region of each address, or UNKNOWN, behind the"),
        ("ranges", "Fetch, show or compare AWS's list of IP prefixes."),
        ("ranges update", "Fetch the list now and keep it."),
        ("ranges show", "Show age, token, regions and counts of the list in use."),
        ("ranges diff", "Compare two lists: rows added and removed, and addresses by"),
        ("config", "Show the configuration or its schema, or compare two."),
        ("config schema", "Print the JSON Schema of the configuration."),
        ("config diff", "Show the settings that differ between A and B"),
        ("config show", "Print the effective configuration, with masked secrets."),
        ("demo", "Start a local S3 server, two buckets and the proxy; show commands"),
    ],
)
def test_every_command_says_what_it_does(nearbucket: Run, command: str, sentence: str) -> None:
    code, out, err = nearbucket(*command.split(), "--help")
    assert (code, err) == (0, "")
    out = re.sub(r"\x1b\[[0-9;]*m", "", out)  # Typer colours help on some build servers
    assert re.search(rf"^ Usage: .*{command} ", out, re.MULTILINE)
    assert sentence in out


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("", ["--version", "--install-completion", "--show-completion"]),
        ("serve", ["--config"]),
        ("check", ["--config", "--offline", "--sample", "--json"]),
        ("explain", ["--config", "--ip", "--host", "--method", "--header", "--json", "URL-PATH"]),
        ("lookup", ["--ranges", "--details", "--json", "[IP]"]),
        ("ranges update", ["--config", "--force"]),
        ("ranges show", ["--ranges", "--json"]),
        ("ranges diff", ["--json"]),
        ("config show", ["--config", "--json"]),
        ("demo", ["--stay", "--no-stay"]),
    ],
)
def test_the_promised_options_are_there(nearbucket: Run, command: str, options: list[str]) -> None:
    out = nearbucket(*command.split(), "--help").out
    assert [option for option in options if option not in out] == []
    assert "bool" not in out, "an option without a value has no type"
    options = [line for line in out.splitlines() if re.search(r"^[ │*]*--", line)]
    assert not re.search(r"<(str|path|int|float|list|\w+\|)", "\n".join(options))


def test_the_version_is_said(nearbucket: Run) -> None:
    assert nearbucket("--version") == (0, f"nearbucket {version_text()}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["nope"], id="unknown command"),
        pytest.param(["lookup", "--nope"], id="unknown option"),
        pytest.param(["explain", "/a"], id="missing option"),
        pytest.param(["explain", "--ip", WEST], id="missing argument"),
        pytest.param(["ranges", "diff", "one"], id="one list to compare"),
        pytest.param(["explain", "--ip", WEST, "--header", "X-No-Colon", "/a"], id="odd header"),
        pytest.param(["explain", "--ip", "junk", "/a"], id="not an address"),
    ],
)
def test_wrong_use_ends_with_2_and_nothing_on_standard_output(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("NEARBUCKET_CONFIG", config)
    code, out, err = nearbucket(*arguments)
    assert (code, out) == (2, "")
    assert err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--config a.yaml serve", "No such option: --config; options follow the command:"),
        ("-c a.yaml serve", "No such option: -c; options follow the command:"),
        ("serve -p 80", "-p; settings are in the configuration, or in NEARBUCKET_… variables"),
        ("config --json show", " config COMMAND …"),
        ("serve --port 80", "--port; settings are in the configuration, or in NEARBUCKET_… var"),
        ("--verison", "No such option: --verison (Possible options: --version)"),
        ("analyze --format pdf logs", "'--format': 'pdf' is not one of 'text', 'json', 'html'."),
        ("explain /a", "Missing option '--ip'. Example: nearbucket explain --ip 3.5.140.1 /"),
        ("explain --ip 8.8.8.8", "Missing argument 'URL-PATH'. Example: nearbucket explain --ip"),
        ("analyze", "Missing argument 'LOGS...'. Example: nearbucket analyze logs/"),
        ("ranges diff a", "Missing argument 'B'. Example: nearbucket ranges diff old.json new"),
        ("compile cloudfront", "Missing option '--output'. Example: nearbucket compile cloudfront"),
        ("init downloads", "(downloads). Example: nearbucket init --bucket downloads --region"),
        ("demo now", "(now). Example: nearbucket demo"),
    ],
)
def test_an_error_of_arguments_shows_what_to_write(
    nearbucket: Run, arguments: str, said: str
) -> None:
    code, out, err = nearbucket(*arguments.split())
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_help_is_folded_by_the_terminal_alone() -> None:
    def texts(command: Any) -> Iterator[str]:
        yield inspect.cleandoc(command.help)
        for each in getattr(command, "commands", {}).values():
            yield from texts(each)

    found = [text.split("\n\n")[1:] for text in texts(cli.command_line())]
    assert any(found)
    assert not [each for paragraphs in found for each in paragraphs if "\n" in each]


@pytest.mark.parametrize(
    ("arguments", "hints"),
    [
        ("serve new.yaml", 1),
        ("check new.yaml", 1),
        ("sync new.yaml", 1),
        ("explain --ip 8.8.8.8 /a new.yaml", 1),
        ("ranges show new.yaml", 1),
        ("ranges update new.yaml", 1),
        ("config show new.yaml", 1),
        ("compile cloudfront --output out new.yaml", 1),
        ("config schema new.yaml", 0),
        ("config diff a.yaml b.yaml new.yaml", 0),
    ],
)
def test_a_configuration_without_its_option_is_answered_with_the_option(
    nearbucket: Run, arguments: str, hints: int
) -> None:
    code, out, err = nearbucket(*arguments.split())
    assert (code, out) == (2, "")
    assert "new.yaml" in err
    assert err.count("--config") == hints


def test_an_empty_variable_names_no_configuration_file(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARBUCKET_CONFIG", "")
    sites = "[{origin: {bucket: from-variables, region: us-east-1}}]"
    monkeypatch.setenv("NEARBUCKET_SITES", sites)
    assert "bucket: from-variables" in nearbucket("config", "show").out


@pytest.mark.parametrize("command", ["", "serve", "ranges", "ranges diff", "compile cloudfront"])
def test_h_is_short_for_help(nearbucket: Run, command: str) -> None:
    assert nearbucket(*command.split(), "-h") == nearbucket(*command.split(), "--help")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("a.yaml: listen.port: no"), 2, "nearbucket: a.yaml: listen.port: no\n"),
        (RangesError("list.json: not a list"), 2, "nearbucket: list.json: not a list\n"),
        (OriginError(503, "bucket x: refused"), 3, "nearbucket: bucket x: refused\n"),
        (ConnectionRefusedError("refused"), 3, "nearbucket: refused\n"),
        (TimeoutError("slow"), 3, "nearbucket: slow\n"),
        (OSError(errno.ENOSPC, "No space left"), 3, "nearbucket: No space left\n"),
        (PermissionError(errno.EACCES, "Denied", "a/b"), 3, "nearbucket: a/b: Denied\n"),
        (ProxyError("no worker"), 1, "nearbucket: no worker\n"),
        (ConfigError("a: one\nb: two"), 2, "nearbucket: a: one\nnearbucket: b: two\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_a_line_a_finding_and_an_exit_code_that_says_whose_it_is(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, text: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "command_line", lambda *_: fail)
    assert nearbucket() == (code, "", text)


@pytest.mark.parametrize(
    "command",
    ["serve", "check --offline", "explain --ip 192.0.2.7 /a", "lookup 192.0.2.7", "ranges update",
     "ranges show", "config show"],
)  # fmt: skip
def test_a_missing_configuration_file_ends_with_2_and_is_named(
    nearbucket: Run, command: str
) -> None:
    code, out, err = nearbucket(*command.split(), "--config", "gone.yaml")
    assert (code, out) == (2, "")
    assert err == (
        "nearbucket: gone.yaml: No such file or directory; name another file "
        "(`nearbucket init` writes one)\n"
    )


@pytest.mark.parametrize("command", ["serve", "check --offline", "config show"])
def test_a_configuration_at_another_url_is_answered_with_what_is_read(
    nearbucket: Run, command: str
) -> None:
    url = "https://someone:s3cr3t@config.example/nearbucket.yaml"
    code, out, err = nearbucket(*command.split(), "--config", url)
    assert (code, out) == (2, "")
    assert err == (
        "nearbucket: https://********@config.example/nearbucket.yaml: is a URL; write the path of "
        "a file, or s3://BUCKET/KEY\n"
    )


@pytest.mark.parametrize("command", ["serve", "check --offline", "config show"])
def test_without_any_configuration_the_ways_to_give_one_are_said(
    nearbucket: Run, command: str
) -> None:
    code, out, err = nearbucket(*command.split())
    assert (code, out) == (2, "")
    assert "nearbucket.yaml" in err
    assert "--config" in err
    assert "NEARBUCKET_CONFIG" in err


@pytest.mark.parametrize("command", ["serve", "check", "sync --dry-run"])
@pytest.mark.parametrize(
    "setting",
    [
        "HTTPS_PROXY=http://proxy.example:3128",
        "AWS_ENDPOINT_URL=http://minio.example:9000",
        "AWS_USE_FIPS_ENDPOINT=true",
        "AWS_USE_DUALSTACK_ENDPOINT=true",
    ],
)
def test_a_variable_that_names_another_way_to_s3_ends_every_command_that_uses_buckets(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch, command: str, setting: str
) -> None:
    variable, _, value = setting.partition("=")
    monkeypatch.setenv(variable, value)
    code, out, err = nearbucket(*command.split(), "--config", config)
    assert (code, out) == (2, "")
    assert err.startswith(f"nearbucket: {variable}: ")
    assert "nset it, or" in err


@pytest.mark.parametrize(
    ("plain", "shown"),
    [("", "\x1b[31m\x1b[1mnearbucket:\x1b[0m \x1b[1mbad.yaml:1\x1b[0m: lisen: is not a key here"),
     ("1", "nearbucket: bad.yaml:1: lisen: is not a key here")],
    ids=["colour", "NO_COLOR"],
)  # fmt: skip
def test_a_terminal_shows_the_place_of_an_error_in_bold_unless_told_not_to(
    tmp_path: Path, plain: str, shown: str
) -> None:
    (tmp_path / "bad.yaml").write_text("lisen: {}\n", encoding="utf-8")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": plain}
    command = [*COMMAND, "check", "--offline", "--config", "bad.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stderr=theirs, check=False)
    text = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert shown in text


def test_an_interrupt_while_the_command_line_is_loaded_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for start in (["-m", "nearbucket"], ["-c", "from nearbucket.__main__ import run; run()"]):
        done = subprocess.run(
            [sys.executable, *start, "--version"], env=environment, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_an_interrupt_while_modules_are_loaded_is_no_traceback(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_word: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupted)
    cli.command_line.cache_clear()
    try:
        assert nearbucket("sync") == (130, "", "")
    finally:
        cli.command_line.cache_clear()
        gc.enable()


@pytest.mark.parametrize(
    "command",
    [
        ["config", "show"],
        ["explain", "--ip", "192.0.2.7", "/a"],
        ["sync"],
        ["ranges", "show"],
        ["config", "diff", "bad.yaml", "bad.yaml"],
        ["check", "--offline"],
    ],
    ids=" ".join,
)
def test_an_error_of_any_command_with_json_is_json_too(
    nearbucket: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    (tmp_path / "bad.yaml").write_text("sites: [", encoding="utf-8")
    monkeypatch.setenv("NEARBUCKET_CONFIG", "bad.yaml")
    plain, done = nearbucket(*command), nearbucket(*command, "--json")
    errors = [line.removeprefix("nearbucket: ") for line in plain.err.splitlines()]
    assert json.loads(done.out) == {"errors": errors}
    assert "is not closed" in errors[0]
    assert (done.code, plain.code, plain.out) == (2, 2, "")


@pytest.mark.parametrize(("pid", "code"), [(1, 128 + signal.SIGTERM), (2, -signal.SIGTERM)])
def test_sigterm_ends_the_first_process_of_a_container_while_it_imports(
    pid: int, code: int
) -> None:
    script = (
        f"import os, signal, time; own = os.getpid(); os.getpid = lambda: {pid}\n"
        "import nearbucket.cli\n"
        "os.kill(own, signal.SIGTERM); time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=50, check=False)
    assert done.returncode == code
