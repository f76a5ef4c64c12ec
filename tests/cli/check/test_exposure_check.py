"""Findings about forged addresses and the admin port.

Each row is a way to read the client's address, and requests that a stranger can have arrive there.
``check`` warns exactly if one of them makes the proxy take the address that the stranger wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli.check.exposure_check import exposure_findings
from nearbucket.config.settings import Settings
from nearbucket.policy.client_address import Trust
from nearbucket.regions.region_table import network_set
from tests.build import CDN, OUTSIDE, request
from tests.cli.conftest import SITE, write

if TYPE_CHECKING:
    from tests.cli.conftest import Run

FORGED, STRANGER, BALANCER, OWN_CDN = "3.5.140.1", OUTSIDE, "10.0.0.5", "198.51.100.77"
SECRET = {"header": "x-origin-verify", "values": ["right"]}


def settings(listen: str = "0.0.0.0", admin: str = "127.0.0.1", **trust: Any) -> Settings:
    return Settings.model_validate(
        {
            "sites": [SITE],
            "client_address": trust,
            "listen": {"host": listen},
            "admin": {"host": admin},
        }
    )


def direct(header: str) -> Any:
    """A stranger connects to the public port, with the header."""
    return request(peer=STRANGER, **{header: FORGED})


def by_balancer(header: str) -> Any:
    """A stranger connects to our load balancer, which appends to X-Forwarded-For."""
    value = f"{FORGED}, {STRANGER}" if header == "x_forwarded_for" else FORGED
    return request(peer=BALANCER, **{header: _with_port(header, value)})


def by_own_cdn(header: str) -> Any:
    """A stranger is a viewer of our CDN, which sends the secret and overwrites its own header."""
    value = f"{FORGED}, {STRANGER}" if header == "x_forwarded_for" else STRANGER
    fields = {header: _with_port(header, value), "x_origin_verify": "right"}
    return request(peer=OWN_CDN, **fields)


def by_other_distribution(header: str) -> Any:
    """A stranger's own distribution sends what the stranger wants, from an address of the CDN."""
    return request(peer=CDN, **{header: _with_port(header, FORGED)})


def _with_port(header: str, value: str) -> str:
    return f"{value}:40000" if header == "cloudfront_viewer_address" else value


ALL = "0.0.0.0/0"
HALVES = ["0.0.0.0/1", "128.0.0.0/1"]
XFF, VIEWER, REAL = "x-forwarded-for", "cloudfront-viewer-address", "x-real-ip"


@pytest.mark.parametrize(
    ("trust", "listen", "arrive", "warned"),
    [
        pytest.param({"from": XFF, "trusted_proxies": [ALL]}, "0.0.0.0", [direct],
                     "trusted_proxies", id="everything is a proxy"),
        pytest.param({"from": XFF, "trusted_proxies": HALVES}, "0.0.0.0", [direct],
                     "trusted_proxies", id="in two halves"),
        pytest.param({"from": XFF, "trusted_proxies": [ALL]}, "10.0.0.9", [by_balancer],
                     "trusted_proxies", id="everything, behind a balancer"),
        pytest.param({"from": XFF, "trusted_proxies": [ALL], "origin_secret": SECRET}, "0.0.0.0",
                     [direct, by_own_cdn], "trusted_proxies", id="everything, with a secret"),
        pytest.param({"from": REAL, "trusted_proxies": ["::/0", ALL]}, "0.0.0.0", [direct],
                     "trusted_proxies", id="everything sends X-Real-IP"),
        pytest.param({"from": VIEWER, "trusted_proxies": [ALL], "origin_secret": SECRET},
                     "0.0.0.0", [direct, by_balancer, by_own_cdn], None,
                     id="one address, with a secret"),
        pytest.param({"from": XFF, "trusted_proxies": ["private", "loopback"]}, "0.0.0.0",
                     [direct, by_balancer], None, id="networks"),
        pytest.param({"from": REAL, "trusted_proxies": ["private"]}, "0.0.0.0", [direct], None,
                     id="networks, X-Real-IP"),
        pytest.param({"from": XFF, "trusted_hops": 1}, "0.0.0.0", [direct], "trusted_hops",
                     id="a hop on a public listener"),
        pytest.param({"from": XFF, "trusted_hops": 1}, "::", [direct], "trusted_hops",
                     id="a hop on all addresses"),
        pytest.param({"from": XFF, "trusted_hops": 1}, "10.0.0.9", [by_balancer], None,
                     id="a hop on a private listener"),
        pytest.param({"from": XFF, "trusted_hops": 1}, "127.0.0.1", [by_balancer], None,
                     id="a hop on loopback"),
        pytest.param({"from": XFF, "trusted_hops": 2}, "10.0.0.9", [by_balancer], "trusted_hops",
                     id="two hops, and a way past the first"),
        pytest.param({"from": XFF, "trusted_hops": 1, "origin_secret": SECRET}, "0.0.0.0",
                     [direct, by_own_cdn], None, id="a hop and a secret"),
        pytest.param({"from": XFF, "trusted_proxies": ["cloudfront"]}, "0.0.0.0",
                     [by_other_distribution], "trusted_proxies", id="all distributions"),
        pytest.param({"from": XFF, "trusted_proxies": ["cloudfront"], "origin_secret": SECRET},
                     "0.0.0.0", [direct, by_other_distribution], None,
                     id="all distributions, with a secret"),
        pytest.param({"from": VIEWER, "trusted_proxies": ["private"]}, "0.0.0.0",
                     [direct, by_balancer], "from", id="a balancer passes the CDN's header on"),
        pytest.param({"from": VIEWER, "trusted_proxies": ["private"], "origin_secret": SECRET},
                     "0.0.0.0", [direct, by_balancer, by_own_cdn], None, id="the template"),
        pytest.param({}, "0.0.0.0", [direct, by_balancer], None, id="no header"),
    ],
)  # fmt: skip
def test_a_warning_is_given_exactly_if_a_client_can_write_its_address(
    trust: dict[str, Any], listen: str, arrive: list[Any], warned: str | None
) -> None:
    used = settings(listen, **trust)
    compiled = Trust.build(used.client_address, network_set(["203.0.113.128/26"]))
    header = {"peer": XFF}.get(used.client_address.source, used.client_address.source)
    field = header.replace("-", "_")
    found = {compiled.client(stranger(field)).address for stranger in arrive}
    assert (FORGED in found) == (warned is not None)
    places = [(each.level, each.place) for each in exposure_findings(used)]
    assert places == ([("warning", f"client_address.{warned}")] if warned else [])


@pytest.mark.parametrize(
    ("host", "level"),
    [
        pytest.param("127.0.0.1", None, id="loopback"),
        pytest.param("::1", None, id="loopback, IPv6"),
        pytest.param("localhost", None, id="its name"),
        pytest.param("10.0.0.9", None, id="private"),
        pytest.param("fd00::9", None, id="private, IPv6"),
        pytest.param("100.64.0.9", None, id="shared: of pods in EKS"),
        pytest.param("0.0.0.0", "note", id="all addresses"),
        pytest.param("::", "note", id="all addresses, IPv6"),
        pytest.param("8.8.8.8", "warning", id="public"),
        pytest.param("2600:9000::1", "warning", id="public, IPv6"),
        pytest.param("admin.example.com", "warning", id="a name"),
    ],
)
def test_an_admin_port_in_public_is_a_warning_and_on_all_addresses_a_note(
    host: str, level: str | None
) -> None:
    found = [
        (each.level, each.place, each.about) for each in exposure_findings(settings("::", host))
    ]
    assert found == ([(level, "admin.host", "admin")] if level else [])


def test_check_says_so_offline_too(nearbucket: Run, tmp_path: Any) -> None:
    trust = {"from": "x-forwarded-for", "trusted_proxies": [ALL]}
    config = write(tmp_path / "t.yaml", client_address=trust, admin={"host": "8.8.8.8"})
    code, out, _ = nearbucket("check", "--offline", "--config", config)
    assert code == 0
    said = "0.0.0.0/0 trusts addresses that are not your proxies, so clients can write any address "
    assert f"warning: client_address.trusted_proxies: {said}into x-forwarded-for; name " in out
    assert "warning: admin.host: the admin port has no authentication and shows the conf" in out
