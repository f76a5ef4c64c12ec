"""Truths about the commands: what each prints, for people and for programs, and its exit code."""

from __future__ import annotations

import io
import ipaddress
import itertools
import json
import os
import random
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from proxy import __version__, cli
from proxy.decide.model import ConfigError, OriginError, ProxyError, RangesError
from tests.build import OUTSIDE, WEST, ranges_document
from tests.e2e.running import free_port
from tests.realranges import document, real_document, real_path, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config" / "nearbucket.example.yaml"
TITLE = "\x1b]0;owned\x07"
"""Sets a terminal's title; click strips colours from pipes by itself, but not this."""

SITE = {
    "origin": {"bucket": "downloads", "region": "us-east-1"},
    "targets": {"us-east-1": {"bucket": "downloads"}, "us-west-2": {"bucket": "west-downloads"}},
}
EAST_URL = "https://downloads.s3.us-east-1.amazonaws.com"
WEST_URL = "https://west-downloads.s3.us-west-2.amazonaws.com"


class Outcome(NamedTuple):
    """What a command did."""

    code: int | str | None
    out: str
    err: str


if TYPE_CHECKING:
    Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("NEARBUCKET_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def nearbucket(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command as its entry does, with arguments and bytes on standard input."""

    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["nearbucket", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Outcome(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def listed(tmp_path: Path) -> str:
    """The path of a list with documentation addresses."""
    path = tmp_path / "list.json"
    path.write_bytes(ranges_document())
    return str(path)


def write(path: Path, **sections: Any) -> str:
    """A configuration file; returns its path."""
    path.write_text(yaml.safe_dump({"sites": [SITE], **sections}), encoding="utf-8")
    return str(path)


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write(tmp_path / "good.yaml")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "Send every download to the bucket nearest to it."),
        ("serve", "Run the proxy. SIGTERM drains it, SIGHUP reloads the configuration."),
        ("check", "Say whether the configuration is valid."),
        ("explain", "Show the decision for one request, and every step that led to it."),
        ("lookup", "Say which AWS region each address is in: IP, TAB, region or UNKNOWN."),
        ("ranges", "AWS's list of prefixes: fetch, show, compare."),
        ("ranges update", "Fetch the list now and keep it."),
        ("ranges show", "Show age, token and counts of the list in use."),
        ("ranges diff", "Compare two lists: rows that came and went, addresses by region."),
        ("config", "The configuration: its schema, and what is in effect."),
        ("config schema", "Print the JSON Schema of the configuration."),
        ("config show", "Print the effective configuration, secrets masked."),
        ("demo", "Try it on this machine: a real local S3 server, two buckets, the proxy"),
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
        ("serve", ["--config"]),
        ("check", ["--config", "--offline", "--json"]),
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


def test_the_version_is_said(nearbucket: Run) -> None:
    assert nearbucket("--version") == (0, f"nearbucket {__version__}\n", "")


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
    ("error", "code", "text"),
    [
        (ConfigError("a.yaml: listen.port: no"), 2, "nearbucket: a.yaml: listen.port: no\n"),
        (RangesError("list.json: not a list"), 2, "nearbucket: list.json: not a list\n"),
        (OriginError(503, "bucket x: refused"), 3, "nearbucket: bucket x: refused\n"),
        (ConnectionRefusedError("refused"), 3, "nearbucket: refused\n"),
        (TimeoutError("slow"), 3, "nearbucket: slow\n"),
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

    monkeypatch.setattr(cli, "app", fail)
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
        "nearbucket: gone.yaml: No such file or directory; give an existing file with --config\n"
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


# lookup


class Found(NamedTuple):
    """What a list says about an address."""

    region: str
    prefix: str
    services: list[str]
    groups: list[str]


class Oracle:
    """The longest prefix by one dictionary a length, straight from AWS's document."""

    def __init__(self, body: bytes) -> None:
        top = json.loads(body)
        self._levels: dict[tuple[int, int], dict[int, list[dict[str, str]]]] = {}
        for each in top["prefixes"] + top["ipv6_prefixes"]:
            network = ipaddress.ip_network(each.get("ip_prefix") or each["ipv6_prefix"])
            level = self._levels.setdefault((network.version, network.prefixlen), defaultdict(list))
            level[int(network.network_address)].append({**each, "prefix": str(network)})

    def asks(self, address: Address) -> Found:
        bits = address.max_prefixlen
        rows: list[list[dict[str, str]]] = []
        for length in range(bits, -1, -1):
            start = int(address) >> bits - length << bits - length
            rows.append(self._levels.get((address.version, length), {}).get(start, []))
        holding = [each for each in rows if each]
        counted = [each for each in ([r for r in rows if r["service"] == "EC2"] for rows in holding)
                   if each]  # fmt: skip
        regions = {each["region"] for each in counted[0]} if counted else {"GLOBAL"}
        known = len(regions) == 1 and regions != {"GLOBAL"}
        return Found(
            regions.pop() if known else "UNKNOWN",
            holding[0][0]["prefix"] if holding else "-",
            sorted({each["service"] for level in holding for each in level}),
            sorted({each["network_border_group"] for each in holding[0]}) if holding else [],
        )

    def near(self, count: int, chance: random.Random) -> Iterator[Address]:
        """Addresses in, at the edges of and just beside listed prefixes."""
        places = [(*level, start) for level, starts in self._levels.items() for start in starts]
        for version, length, start in chance.choices(places, k=count):
            bits = 32 if version == 4 else 128
            size = 1 << bits - length
            offset = chance.choice([0, size - 1, -1, size, chance.randrange(size)])
            kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
            yield kind((start + offset) % (1 << bits))


@pytest.fixture(scope="module")
def asked() -> dict[str, Found]:
    """20,000 addresses as written, and what the published list says about each."""
    chance, oracle = random.Random(20260729), Oracle(real_document())  # noqa: S311 - a seed repeats
    found: dict[str, Found] = {}
    near = oracle.near(40_000, chance)
    anywhere = (ipaddress.IPv4Address(chance.getrandbits(32)) for _ in itertools.count())
    addresses: Iterable[Address] = itertools.chain(itertools.islice(near, 14_000), anywhere)
    for number, address in enumerate(addresses):
        mapped = address.version == 4 and number % 20 == 0
        found[f"::ffff:{address}" if mapped else str(address)] = oracle.asks(address)
        if len(found) == 20_000:
            break
    assert len({each.region for each in found.values()}) > 30
    return found


def lines_of(outcome: Outcome) -> list[str]:
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out.splitlines()


def stdin_of(asked: Mapping[str, Found]) -> bytes:
    return "".join(f"{address}\n" for address in asked).encode()


def test_lookup_of_20000_addresses_agrees_with_the_oracle(
    nearbucket: Run, asked: dict[str, Found]
) -> None:
    done = nearbucket("lookup", "--ranges", str(real_path()), stdin=stdin_of(asked))
    assert lines_of(done) == [f"{ip}\t{found.region}" for ip, found in asked.items()]


def test_lookup_details_of_20000_addresses_agree_with_the_oracle(
    nearbucket: Run, asked: dict[str, Found]
) -> None:
    done = nearbucket("lookup", "--details", "--ranges", str(real_path()), stdin=stdin_of(asked))
    assert lines_of(done) == [
        "\t".join((ip, found.region, found.prefix, ",".join(found.services) or "-",
                   ",".join(found.groups) or "-"))
        for ip, found in asked.items()
    ]  # fmt: skip


@pytest.mark.parametrize("details", [False, True], ids=["short", "details"])
def test_lookup_json_of_20000_addresses_agrees_with_the_oracle(
    nearbucket: Run,
    asked: dict[str, Found],
    details: bool,  # noqa: FBT001 - a parameter of a table
) -> None:
    more = ["--details"] if details else []
    done = nearbucket("lookup", "--json", *more, "--ranges", str(real_path()),
                      stdin=stdin_of(asked))  # fmt: skip
    assert [json.loads(line) for line in lines_of(done)] == [
        {"ip": ip, "region": found.region}
        | ({"prefix": found.prefix, "services": found.services, "border_groups": found.groups}
           if details else {})
        for ip, found in asked.items()
    ]  # fmt: skip


def test_lookup_takes_addresses_as_arguments_and_leaves_standard_input_alone(
    nearbucket: Run, listed: str
) -> None:
    done = nearbucket("lookup", "--ranges", listed, WEST, OUTSIDE, "2001:db8:1::7",
                      stdin=b"192.0.2.7\n")  # fmt: skip
    assert done == (
        0,
        "198.51.100.7\tus-west-2\n203.0.113.250\tUNKNOWN\n2001:db8:1::7\tus-east-1\n",
        "",
    )


@pytest.mark.parametrize(
    ("address", "shown"),
    [("junk", "junk"), ("é", "é"), ("a\tb", "a?b"), (TITLE, "?]0;owned?"), ("192.0.2.0/24",) * 2],
    ids=ascii,
)
def test_lookup_of_what_is_no_address_says_so_and_goes_on_with_the_next(
    nearbucket: Run, listed: str, address: str, shown: str
) -> None:
    for arguments, stdin in (((address, WEST), b""), ((), f"{address}\n{WEST}\n".encode())):
        assert nearbucket("lookup", "--ranges", listed, *arguments, stdin=stdin) == (
            1,
            f"{shown}\tUNKNOWN\n198.51.100.7\tus-west-2\n",
            f"nearbucket: {shown} is not an IP address\n",
        )


@pytest.mark.parametrize(
    ("stdin", "out"),
    [
        pytest.param(b"192.0.2.7\r\n", "192.0.2.7\tus-east-1\n", id="other line ends"),
        pytest.param(b"\n  \n 192.0.2.7 \n\n", "192.0.2.7\tus-east-1\n", id="empty lines, spaces"),
        pytest.param(b"192.0.2.7", "192.0.2.7\tus-east-1\n", id="no last line end"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_lookup_reads_one_address_a_line(
    nearbucket: Run, listed: str, stdin: bytes, out: str
) -> None:
    assert nearbucket("lookup", "--ranges", listed, stdin=stdin) == (0, out, "")


def test_lookup_of_bytes_that_are_no_text_goes_on_with_the_next_line(
    nearbucket: Run, listed: str
) -> None:
    code, out, _ = nearbucket("lookup", "--ranges", listed, stdin=b"\xff\xfe\n192.0.2.7\n")
    assert code == 1
    assert out.splitlines()[1:] == ["192.0.2.7\tus-east-1"]


def test_lookup_counts_the_services_and_overrides_it_is_told(
    nearbucket: Run, listed: str, tmp_path: Path
) -> None:
    service = "CLOUDFRONT_ORIGIN_FACING"
    path = write(tmp_path / "o.yaml", regions={"overrides": {"10.0.0.0/8": "eu-west-1"}})
    done = nearbucket("lookup", "--ranges", listed, "--service", service, "--config", path,
                      "10.1.2.3", WEST)  # fmt: skip
    assert done.out == "10.1.2.3\teu-west-1\n198.51.100.7\tUNKNOWN\n"


@pytest.mark.parametrize("command", ["lookup 192.0.2.7", "ranges show"])
def test_without_a_list_the_way_to_one_is_said(nearbucket: Run, command: str) -> None:
    assert nearbucket(*command.split()) == (
        2, "", "nearbucket: no list yet: run `nearbucket ranges update`, or give --ranges FILE\n"
    )  # fmt: skip


def test_the_environment_alone_says_where_the_list_is(
    nearbucket: Run, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARBUCKET_REGIONS__SOURCE", listed)
    assert nearbucket("lookup", WEST).out == "198.51.100.7\tus-west-2\n"


# explain


STEPS = f"""\
request\tGET /a.tar.gz\t
site\t*\t
key\ta.tar.gz\t
client\t198.51.100.7\tthe socket's peer
region\tus-west-2\t198.51.100.0/24
target\tyes\t
path\tchosen\t
opt-out\tno\t
credentials\tno\t
percent\t62.21 of 100\tredirected when below
mode\ton\t
decision\tredirect: 301 to {WEST_URL}/a.tar.gz\t
reason\tin-region\tThe client is in a region that has a target bucket, and no rule stands against \
it.
"""


def test_explain_shows_every_step_one_a_line(nearbucket: Run, config: str, listed: str) -> None:
    done = nearbucket("explain", "--config", config, "--ranges", listed, "--ip", WEST, "/a.tar.gz")
    assert done == (0, STEPS, "")


def test_explain_as_json_says_the_same(nearbucket: Run, config: str, listed: str) -> None:
    done = nearbucket("explain", "--json", "--config", config, "--ranges", listed, "--ip", WEST,
                      "/a.tar.gz")  # fmt: skip
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
        pytest.param(["--method", "POST", "/a.tar.gz"], "method", id="method"),
        pytest.param(["--host", "a b,c", "/a.tar.gz"], "host", id="host"),
        pytest.param(["/a.txt"], "path", id="path"),
        pytest.param(["a.tar.gz"], "path-invalid", id="no slash"),
    ],
)  # fmt: skip
def test_explain_takes_every_part_of_a_request(
    nearbucket: Run, config: str, listed: str, arguments: list[str], reason: str
) -> None:
    done = nearbucket("explain", "--json", "--config", config, "--ranges", listed, "--ip", WEST,
                      *arguments)  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["reason"] == reason


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


def test_explain_without_a_list_says_so_beside_the_answer(nearbucket: Run, config: str) -> None:
    code, out, err = nearbucket("explain", "--config", config, "--ip", WEST, "/a.tar.gz")
    assert code == 0
    assert "region\tUNKNOWN\tno prefix\n" in out
    assert "reason\toutside-aws\t" in out
    assert "nearbucket ranges update" in err


# check


VALID = f"""\
configuration: valid
site *: origin {EAST_URL}
site *: clients in us-east-1 go to {EAST_URL}
site *: clients in us-west-2 go to {WEST_URL}
"""


def test_check_of_a_good_file_says_where_clients_go(nearbucket: Run, config: str) -> None:
    assert nearbucket("check", "--offline", "--config", config) == (0, VALID, "")


def test_check_as_json_is_for_programs(nearbucket: Run, config: str) -> None:
    done = nearbucket("check", "--offline", "--json", "--config", config)
    assert json.loads(done.out) == {
        "valid": True, "sites": {"*": {"us-east-1": EAST_URL, "us-west-2": WEST_URL}}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param("sites: [", "bad.yaml: not valid YAML: ", id="not YAML"),
        pytest.param("- a", "bad.yaml: expected sections such as sites: at the top level",
                     id="a list"),
        pytest.param("lisen: {}", "bad.yaml: lisen: unknown key",
                     id="unknown section"),
        pytest.param("listen: {prot: 1}", "bad.yaml: listen.prot: unknown key",
                     id="unknown key"),
        pytest.param("listen: {port: 70000}", "bad.yaml: listen.port: ", id="port"),
        pytest.param("limits: {idle_timeout: soon}", "bad.yaml: limits.idle_timeout: ",
                     id="duration"),
        pytest.param("listen: {}", "bad.yaml: sites: ", id="no site"),
        pytest.param("listen: {port: 1}\nlisten: {port: 2}", "key 'listen' is given twice",
                     id="twice"),
        pytest.param("sites: [{origin: {bucket: downloads, region: us-east-1}, "
                     "redirect: {status: 200}}]", "bad.yaml: sites.0.redirect.status: ",
                     id="inside a site"),
        pytest.param("client_address: {origin_secret: {values: [s3cr3t]}}",
                     "bad.yaml: client_address.origin_secret.values: secrets do not stand in",
                     id="a secret"),
    ],
)  # fmt: skip
def test_check_of_a_bad_file_ends_with_2_and_names_file_and_key(
    nearbucket: Run, tmp_path: Path, text: str, finding: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    code, out, err = nearbucket("check", "--offline", "--config", "bad.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("nearbucket: bad.yaml: ")
    assert finding in err
    assert "s3cr3t" not in err


def test_check_names_the_variable_that_is_wrong(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARBUCKET_LISTEN__PORT", "many")
    code, out, err = nearbucket("check", "--offline", "--config", config)
    assert (code, out) == (2, "")
    assert err.startswith("nearbucket: NEARBUCKET_LISTEN__PORT: listen.port: ")


def test_check_that_would_ask_buckets_is_refused_not_faked(nearbucket: Run, config: str) -> None:
    code, out, err = nearbucket("check", "--config", config)
    assert (code, out) == (2, "")
    assert "--offline" in err


def test_the_configuration_is_found_by_variable_and_in_the_working_folder(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "nearbucket.yaml", listen={"port": 1111})
    other = write(tmp_path / "other.yaml", listen={"port": 2222})
    assert "port: 1111\n" in nearbucket("config", "show").out
    monkeypatch.setenv("NEARBUCKET_CONFIG", other)
    assert "port: 2222\n" in nearbucket("config", "show").out
    third = write(tmp_path / "third.yaml", listen={"port": 3333})
    assert "port: 3333\n" in nearbucket("config", "show", "--config", third).out


# config


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["yaml", "json"])
def test_config_show_masks_every_secret(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: list[str]
) -> None:
    (tmp_path / "secret").write_text("from-a-file\n", encoding="utf-8")
    monkeypatch.setenv("ORIGIN_VERIFY", "from-the-environment")
    secret = {"values": ["env:ORIGIN_VERIFY", f"file:{tmp_path / 'secret'}"]}
    path = write(tmp_path / "s.yaml", client_address={"from": "x-real-ip", "origin_secret": secret})
    code, out, err = nearbucket("config", "show", *form, "--config", path)
    assert (code, err) == (0, "")
    assert "from-a-file" not in out
    assert "from-the-environment" not in out
    shown = json.loads(out) if form else yaml.safe_load(out)
    assert shown["client_address"]["origin_secret"] == {
        "header": "x-origin-verify",
        "values": ["********", "********"],
    }


def test_config_show_can_be_used_as_a_configuration_again(
    nearbucket: Run, config: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEARBUCKET_LISTEN__PORT", "1234")
    shown = nearbucket("config", "show", "--config", config).out
    monkeypatch.delenv("NEARBUCKET_LISTEN__PORT")
    (tmp_path / "again.yaml").write_text(shown, encoding="utf-8")
    assert "port: 1234\n" in shown
    assert nearbucket("config", "show", "--config", "again.yaml").out == shown


KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    "integer": int, "number": (int, float),
}  # fmt: skip


def findings(schema: Any, value: Any, root: Any, place: str = "") -> list[str]:
    """What a JSON Schema of the words used here has against a value."""
    if "$ref" in schema:
        return findings(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root, place)
    if "anyOf" in schema:
        tried = [findings(each, value, root, place) for each in schema["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        return [f"{place}: {value!r} is no {schema['type']}"]
    if value not in schema.get("enum", [schema.get("const", value)]):
        return [f"{place}: {value!r} is not offered"]
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return [f"{place}: {value!r} has another form"]
    if isinstance(value, list):
        return [each for number, item in enumerate(value)
                for each in findings(schema["items"], item, root, f"{place}.{number}")]  # fmt: skip
    if not isinstance(value, dict):
        return []
    found = [f"{place}.{key} is missing" for key in schema.get("required", []) if key not in value]
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key, item in value.items():
        rule = known.get(key, others)
        inside = f"{place}.{key}"
        found += findings(rule, item, root, inside) if rule else [f"{inside} is unknown"]
    return found


@pytest.fixture
def schema(nearbucket: Run) -> Any:
    done = nearbucket("config", "schema")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_the_schema_accepts_the_commented_example_whole(schema: Any) -> None:
    example = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    assert set(schema["properties"]) == set(example)
    assert findings(schema, example, schema) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        pytest.param({"lisen": {}}, ".lisen is unknown", id="section"),
        pytest.param({"listen": {"prot": 1}}, ".listen.prot is unknown", id="key"),
        pytest.param({"listen": {"host": 1}}, ".listen.host: 1 is no string", id="type"),
        pytest.param({"log": {"access": "xml"}}, ".log.access: 'xml' is not offered", id="word"),
        pytest.param({"sites": [{}]}, ".sites.0.origin is missing", id="required"),
    ],
)
def test_the_schema_refuses_what_the_product_refuses(
    schema: Any, change: dict[str, Any], finding: str
) -> None:
    assert finding in findings(schema, {"sites": [SITE], **change}, schema)


def test_the_commented_example_is_a_valid_configuration(
    nearbucket: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORIGIN_VERIFY", "x")
    assert nearbucket("check", "--offline", "--config", str(EXAMPLE)).code == 0


# ranges


FACTS = {
    "token": 1700000000,
    "created": "2026-01-01-00-00-00",
    "rows": 7,
    "rows_skipped": 0,
    "regions": 3,
    "services": 2,
    "ipv4_addresses": 736,
    "ipv6_addresses": 2**80,
}


def test_ranges_show_counts_the_list(nearbucket: Run, listed: str) -> None:
    lines = lines_of(nearbucket("ranges", "show", "--ranges", listed))
    as_json = json.loads(nearbucket("ranges", "show", "--json", "--ranges", listed).out)
    assert as_json.pop("age_days") > 0
    assert as_json == FACTS
    facts = dict(line.split("\t") for line in lines)
    assert float(facts.pop("age_days")) > 0
    assert facts == {name: str(value) for name, value in FACTS.items()}


BEFORE = document(row("192.0.2.0/24"), row("198.51.100.0/24", "us-west-2"), syncToken="1")
AFTER = document(
    row("192.0.2.0/24"), row("198.51.100.0/24", "us-east-1"), row("203.0.113.0/25", "GLOBAL"),
    v6=[row("2001:db8::/64", "us-east-1")], syncToken="2",
)  # fmt: skip


DIFFERENCE = """\
token\t1\t2
removed\t198.51.100.0/24\tus-west-2\tEC2
added\t198.51.100.0/24\tus-east-1\tEC2
added\t203.0.113.0/25\tGLOBAL\tEC2
added\t2001:db8::/64\tus-east-1\tEC2
us-east-1\t0\t256\t0\t18446744073709551616
us-west-2\t256\t0\t0\t0
GLOBAL\t0\t128\t0\t0
"""


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "before.json").write_bytes(BEFORE)
    (tmp_path / "after.json").write_bytes(AFTER)
    return "before.json", "after.json"


def test_ranges_diff_shows_rows_and_regions_that_changed(
    nearbucket: Run, two: tuple[str, str]
) -> None:
    assert nearbucket("ranges", "diff", *two) == (0, DIFFERENCE, "")


def test_ranges_diff_as_json_says_the_same(nearbucket: Run, two: tuple[str, str]) -> None:
    def change(what: str, prefix: str, region: str | None) -> dict[str, str | None]:
        return {"change": what, "prefix": prefix, "region": region, "service": "EC2"}

    def sizes(region: str | None, *counts: int) -> dict[str, Any]:
        names = ("v4_before", "v4_after", "v6_before", "v6_after")
        return {"region": region, **dict(zip(names, counts, strict=True))}

    assert json.loads(nearbucket("ranges", "diff", "--json", *two).out) == {
        "old_token": 1,
        "new_token": 2,
        "rows": [
            change("removed", "198.51.100.0/24", "us-west-2"),
            change("added", "198.51.100.0/24", "us-east-1"),
            change("added", "203.0.113.0/25", None),
            change("added", "2001:db8::/64", "us-east-1"),
        ],
        "regions": [
            sizes("us-east-1", 0, 256, 0, 2**64),
            sizes("us-west-2", 256, 0, 0, 0),
            sizes(None, 0, 128, 0, 0),
        ],
    }


def test_ranges_diff_of_a_list_with_itself_finds_nothing(
    nearbucket: Run, two: tuple[str, str]
) -> None:
    assert nearbucket("ranges", "diff", two[0], two[0]) == (0, "token\t1\t1\nno differences\n", "")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        pytest.param(None, "bad.json: No such file or directory", id="missing"),
        pytest.param(b"{", "bad.json: ", id="not JSON"),
        pytest.param(b"{}", "bad.json: ", id="not a list"),
        pytest.param(b"\xff\x00", "bad.json: ", id="not text"),
    ],
)
def test_a_list_that_cannot_be_used_ends_with_2_and_names_the_file(
    nearbucket: Run, two: tuple[str, str], tmp_path: Path, content: bytes | None, finding: str
) -> None:
    if content is not None:
        (tmp_path / "bad.json").write_bytes(content)
    for command in (["diff", two[0], "bad.json"], ["show", "--ranges", "bad.json"]):
        code, out, err = nearbucket("ranges", *command)
        assert (code, out) == (2, "")
        assert err.startswith(f"nearbucket: {finding}")


class Source:
    """A file that ``ranges update`` fetches, and the configuration that says so."""

    def __init__(self, folder: Path) -> None:
        self.path, self.cache = folder / "source.json", folder / "kept" / "list.json"
        self._times = itertools.count(1)
        regions = {"source": str(self.path), "cache": str(self.cache)}
        self.config = write(folder / "ranges.yaml", regions=regions)

    def put(self, body: bytes) -> None:
        self.path.write_bytes(body)
        os.utime(self.path, ns=(now := next(self._times) * 10**9, now))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def a_list(token: int, *prefixes: str) -> bytes:
    rows = [row(prefix) for prefix in prefixes or ("192.0.2.0/24", "198.51.100.0/24")]
    return document(*rows, syncToken=str(token))


def test_ranges_update_fetches_then_confirms(nearbucket: Run, source: Source) -> None:
    source.put(a_list(5))
    update = ["ranges", "update", "--config", source.config]
    code, out, _ = nearbucket(*update)
    assert (code, out) == (0, f"updated: token 5, kept in {source.cache}\n")
    code, out, _ = nearbucket(*update)
    assert (code, out) == (0, f"unchanged: token 5, kept in {source.cache}\n")
    source.put(a_list(6))
    code, out, _ = nearbucket(*update)
    assert (code, out) == (0, f"updated: token 6, kept in {source.cache}\n")
    assert source.cache.read_bytes() == a_list(6)


@pytest.mark.parametrize(
    ("offered", "word"),
    [
        pytest.param(a_list(4), "older: its token 4 is older than 5, in use", id="older"),
        pytest.param(a_list(6, "192.0.2.0/24"), "shrunk: list 6 covers 50 % fewer IPv4 addresses",
                     id="shrunk"),
        pytest.param(b"{}", "invalid: ", id="invalid"),
    ],
)  # fmt: skip
def test_ranges_update_refuses_a_worse_list_with_1_and_keeps_the_good_one(
    nearbucket: Run, source: Source, offered: bytes, word: str
) -> None:
    source.put(a_list(5))
    update = ["ranges", "update", "--config", source.config]
    assert nearbucket(*update).code == 0
    source.put(offered)
    code, out, err = nearbucket(*update)
    assert (code, out) == (1, "")
    assert err.startswith(f"nearbucket: {word}")
    assert str(source.path) in err
    assert source.cache.read_bytes() == a_list(5)


@pytest.mark.parametrize("offered", [a_list(4), a_list(6, "192.0.2.0/24")], ids=["older", "shrunk"])
def test_ranges_update_force_takes_what_was_refused(
    nearbucket: Run, source: Source, offered: bytes
) -> None:
    source.put(a_list(5))
    nearbucket("ranges", "update", "--config", source.config)
    source.put(offered)
    assert nearbucket("ranges", "update", "--force", "--config", source.config).code == 0
    assert source.cache.read_bytes() == offered


def test_ranges_update_ends_with_3_when_the_source_cannot_be_reached(
    nearbucket: Run, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = ["ranges", "update", "--config", source.config]
    code, out, err = nearbucket(*update)
    assert (code, out) == (3, "")
    assert err.startswith("nearbucket: failed: regions.source: ")
    assert str(source.path) in err
    url = f"http://127.0.0.1:{free_port()}/ip-ranges.json"
    monkeypatch.setenv("NEARBUCKET_REGIONS__SOURCE", url)
    code, out, err = nearbucket(*update)
    assert (code, out) == (3, "")
    assert err.startswith("nearbucket: failed: regions.source: ")
    assert url in err


def test_what_was_fetched_is_what_the_other_commands_use(
    nearbucket: Run, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(ranges_document())
    nearbucket("ranges", "update", "--config", source.config)
    source.path.unlink()
    monkeypatch.setenv("NEARBUCKET_CONFIG", source.config)
    assert nearbucket("lookup", WEST).out == "198.51.100.7\tus-west-2\n"
    assert json.loads(nearbucket("ranges", "show", "--json").out)["token"] == 1700000000
    explained = nearbucket("explain", "--ip", WEST, "/a.tar.gz")
    assert "region\tus-west-2\t198.51.100.0/24\n" in explained.out


# what a terminal must not be told


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["lookup", TITLE], id="lookup"),
        pytest.param(["lookup", "--details", TITLE], id="lookup --details"),
        pytest.param(["lookup", "--json", TITLE], id="lookup --json"),
        pytest.param(["lookup", "--service", TITLE, WEST], id="lookup --service"),
        pytest.param(["explain", "--ip", WEST, f"/{TITLE}"], id="path"),
        pytest.param(["explain", "--ip", TITLE, "/a"], id="address"),
        pytest.param(["explain", "--ip", WEST, "--host", TITLE, "/a"], id="host"),
        pytest.param(["explain", "--ip", WEST, "--method", TITLE, "/a"], id="method"),
        pytest.param(["explain", "--ip", WEST, "--header", TITLE, "/a"], id="header"),
        pytest.param(["explain", "--json", "--ip", TITLE, f"/{TITLE}"], id="explain --json"),
        pytest.param([TITLE], id="command"),
        pytest.param(["lookup", f"--{TITLE}"], id="option"),
        pytest.param(["check", "--offline", "--config", TITLE], id="--config"),
        pytest.param(["ranges", "show", "--ranges", TITLE], id="--ranges"),
        pytest.param(["ranges", "diff", TITLE, TITLE], id="ranges diff"),
    ],
)
def test_terminal_escapes_in_an_argument_do_not_reach_the_output(
    nearbucket: Run, source: Source, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    source.put(ranges_document())
    monkeypatch.setenv("NEARBUCKET_CONFIG", source.config)
    _, out, err = nearbucket(*arguments)
    assert out + err
    assert {"\x1b", "\x07"}.isdisjoint(out + err), ascii(out + err)
