"""``explain``: every step, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nearbucket.policy.engine import NOT_CHECKED
from tests.build import OUTSIDE, WEST
from tests.cli.conftest import BUILT_IN_DATE, MIRROR, SITE, WEST_URL, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


STEPS = f"""\
request\tGET /a.tar.gz\t
site\t*\t
key\ta.tar.gz\t
client\t198.51.100.7\tas given
region\tus-west-2\t198.51.100.0/24
target\tyes\t
path\tmatches\t
mutable\tno\t
opt-out\tno\t
credentials\tno\t
head\tno\t
percent\t62.21 of 100\thash of client and path; redirected if below redirect.percent
mode\ton\t
copy\tnot checked\t{NOT_CHECKED.detail}
decision\tredirect: 301 to {WEST_URL}/a.tar.gz\t
reason\tin-region\tThe client's region has a target bucket, and no rule prevents a redirect.
"""


def test_explain_shows_every_step_one_a_line(nearbucket: Run, config: str, listed: str) -> None:
    done = nearbucket("explain", "--config", config, "--ranges", listed, "--ip", WEST, "/a.tar.gz")
    assert done == (0, STEPS, "")


def test_explain_as_json_says_the_same(nearbucket: Run, config: str, listed: str) -> None:
    done = nearbucket(
        "explain", "--json", "--config", config, "--ranges", listed, "--ip", WEST, "/a.tar.gz"
    )
    names = ("name", "value", "detail")
    assert json.loads(done.out) == {
        "reason": "in-region",
        "steps": [dict(zip(names, line.split("\t"), strict=True)) for line in STEPS.splitlines()],
    }


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["/a.tar.gz?redirect=no"], "opt-out", id="query"),
        pytest.param(["--header", "X-No-Redirect: 1", "/a.tar.gz"], "opt-out", id="header"),
        pytest.param(["--header", "A: b:c", "--header", "Cookie:x", "/a.tar.gz"], "credentials",
                     id="two headers"),
        pytest.param(["--header", "Cookie: \udcff", "/a.tar.gz"], "credentials",
                     id="a header that is not UTF-8"),
        pytest.param(["--host", "\udcff", "/a.tar.gz"], "in-region", id="a host that is not UTF-8"),
        pytest.param(["--method", "POST", "/a.tar.gz"], "method", id="method"),
        pytest.param(["--host", "a b,c", "/a.tar.gz"], "host", id="host"),
        pytest.param(["/a.txt"], "path", id="path"),
    ],
)  # fmt: skip
def test_explain_takes_every_part_of_a_request(
    nearbucket: Run, config: str, listed: str, arguments: list[str], reason: str
) -> None:
    done = nearbucket(
        "explain", "--json", "--config", config, "--ranges", listed, "--ip", WEST, *arguments
    )
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["reason"] == reason


def test_a_path_without_its_slash_is_an_error_that_says_so(
    nearbucket: Run, config: str, listed: str
) -> None:
    done = nearbucket("explain", "--config", config, "--ranges", listed, "--ip", WEST, "a.tar.gz")
    assert done.code == 2
    assert "'a.tar.gz' is not a URL path; it must begin with /" in done.err


def test_explain_takes_the_address_for_the_client_behind_any_proxy(
    nearbucket: Run, listed: str, tmp_path: Path
) -> None:
    trust = {"from": "x-forwarded-for", "trusted_proxies": ["loopback"]}
    path = write(tmp_path / "t.yaml", client_address=trust)
    more = ["explain", "--json", "--config", path, "--ranges", listed, "/a.tar.gz"]
    direct = nearbucket(*more, "--ip", WEST)
    behind = nearbucket(*more, "--ip", "127.0.0.1", "--header", f"X-Forwarded-For: {OUTSIDE}")
    assert json.loads(direct.out)["reason"] == "in-region"
    assert json.loads(behind.out)["reason"] == "outside-aws"


def test_explain_without_a_list_says_so_beside_the_answer(nearbucket: Run, tmp_path: Path) -> None:
    config = write(tmp_path / "t.yaml", regions=MIRROR)
    code, out, err = nearbucket("explain", "--config", config, "--ip", WEST, "/a.tar.gz")
    assert code == 0
    assert "region\tUNKNOWN\tno prefix\n" in out
    assert "reason\toutside-aws\t" in out
    assert "nearbucket ranges update" in err


def test_explain_says_in_its_steps_that_the_list_is_the_built_in_one(
    nearbucket: Run, config: str
) -> None:
    code, out, err = nearbucket("explain", "--config", config, "--ip", "3.5.140.1", "/a.tar.gz")
    assert code == 0
    said = f"(by the built-in list of {BUILT_IN_DATE})\n"
    assert said in next(line for line in out.splitlines(keepends=True) if "region\t" in line)
    assert f"the list of prefixes is the built-in one of {BUILT_IN_DATE}; `nearbucket ranges" in err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        pytest.param(["/a.tar.gz"], "one.example\tthe first of 3 hosts; --host names another",
                     id="nothing names one"),
        pytest.param(["--host", "two.example", "/a.tar.gz"], None, id="--host"),
        pytest.param(["--header", "host: two.example", "/a.tar.gz"], None, id="--header"),
        pytest.param(["https://two.example/a.tar.gz"], None, id="a whole URL"),
    ],
)  # fmt: skip
def test_explain_says_which_host_it_takes_if_there_are_several_sites(
    nearbucket: Run, listed: str, tmp_path: Path, arguments: list[str], shown: str | None
) -> None:
    one = {**SITE, "hosts": ["one.example", "www.one.example"]}
    path = write(tmp_path / "t.yaml", sites=[one, {**SITE, "hosts": ["two.example"]}])
    done = nearbucket("explain", "--config", path, "--ranges", listed, "--ip", WEST, *arguments)
    steps = dict(line.split("\t", 1) for line in done.out.splitlines())
    assert steps.get("host") == shown
    assert steps["site"] == ("one.example\t" if shown else "two.example\t")


def test_explain_says_that_the_location_of_a_client_is_signed(
    nearbucket: Run, listed: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "t.yaml", sites=[{**SITE, "redirect": {"presign": "15m"}}])
    for ip, decision in (
        (WEST, f"redirect: 301 to {WEST_URL}/a.tar.gz (for clients signed, valid for 15 minutes)"),
        (OUTSIDE, "stream: the object, streamed from the origin"),
    ):
        done = nearbucket("explain", "--config", path, "--ranges", listed, "--ip", ip, "/a.tar.gz")
        assert f"\ndecision\t{decision}\t\n" in done.out


def test_explain_does_not_speak_of_checks_on_which_the_decision_does_not_depend(
    nearbucket: Run, config: str, listed: str
) -> None:
    for ip, path, copy in (
        (OUTSIDE, "/a.tar.gz", "not needed\tthe rules above decide"),
        (WEST, "/a.txt", "not needed\tthe rules above decide"),
        (WEST, "/a.tar.gz", f"not checked\t{NOT_CHECKED.detail}"),
    ):
        done = nearbucket("explain", "--config", config, "--ranges", listed, "--ip", ip, path)
        assert f"copy\t{copy}" in done.out.splitlines()


@pytest.mark.parametrize("option", ["--config", "--ranges"])
def test_explain_refuses_a_file_beside_a_running_server(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    live = ["explain", "--live", "127.0.0.1:1", "--ip", WEST, "/a.tar.gz"]
    code, out, err = nearbucket(*live, option, config)
    assert (code, out) == (2, "")
    assert err.startswith(f"nearbucket: --live and {option}: a running server explains by its own ")
    monkeypatch.setenv("NEARBUCKET_CONFIG", config)
    assert nearbucket(*live).code == 3  # the variable is for all commands; nothing listens there
