"""A made report: a team's downloads in two weeks, with the figures of a plausible bill.

Nothing is computed from logs. ``hostile_report`` has, in each place that comes from a log, text
that a terminal, a browser or a spreadsheet would obey.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from random import Random

from nearbucket.analysis.answers import (
    AgentTraffic,
    BillEstimate,
    Counts,
    DayTraffic,
    FileTraffic,
    FolderTraffic,
    NamedTraffic,
    NetworkTraffic,
    NextRegion,
    Recommendation,
    RecommendedLine,
    RegionTraffic,
    Report,
    Scope,
    SizeTraffic,
    WhatIf,
)
from nearbucket.analysis.reading.sources import DamagedFile
from nearbucket.config.prices import MONTH_DAYS

TB = 1024**4
GB = 1024**3
DAYS = 14
YAML = """\
sites:
  - hosts: ["downloads.example.com"]
    origin: {bucket: downloads-us-east-1, region: us-east-1}
    targets:
      us-east-1: {bucket: downloads-us-east-1}
      us-west-2: {bucket: downloads-us-west-2}
      eu-west-1: {bucket: downloads-eu-west-1}
    redirect:
      mode: shadow
      paths: ["dcos/*", "*.qcow2", "blobs/*", "nightly/*", "*.rpm"]
      exclude: ["*.sha256"]
      min_size: 16MiB
"""

REGIONS = {
    "us-east-1": (71_200, 12.1, 42_300, 4_310),
    "us-west-2": (52_800, 9.4, 30_100, 2_920),
    "UNKNOWN": (48_100, 7.1, 20_050, 11_240),
    "eu-west-1": (12_900, 2.6, 7_900, 610),
    "ap-southeast-1": (1_420, 1.8, 1_400, 3),
    "ap-south-1": (310, 0.12, 150, 28),
    "AMAZON-NO-REGION": (900, 0.08, 300, 41),
    "NO-ADDRESS": (1_370, 0.05, 200, 0),
}
WEEK = (1.0, 1.07, 1.1, 1.02, 0.95, 0.42, 0.5, 1.0, 1.08, 1.06, 1.04, 0.92, 0.43, 0.4)
HOSTILE = (
    "<script>document.title='obeyed'</script>",
    "\x1b[2J\x1b]0;obeyed\x07",
    "=cmd|' /C calc'!A0",
    "\u202egpj.exe",
    '"><img src=x onerror="document.title=\'obeyed\'">',
    "</script><script>document.title='obeyed'</script>",
    "{{charts}} [bold]obeyed[/bold] \u2028 \ud800 \x00",
    "A" * 8192,
)


FLAT_RATE = (
    "On a flat-rate plan (Premium, 75 TB: $1,450) the same change saves only the step to a smaller "
    "plan: $450."
)
NOTES = (
    FLAT_RATE,
    "Clients behind a NAT gateway without an S3 gateway endpoint pay NAT for S3 as for the CDN.",
)


def _regions() -> tuple[RegionTraffic, ...]:
    return tuple(
        RegionTraffic(name, requests, int(size * TB), downloads, addresses)
        for name, (requests, size, downloads, addresses) in REGIONS.items()
    )


def _days() -> tuple[DayTraffic, ...]:
    days = []
    for number, weight in enumerate(WEEK):
        parts = {
            name: int(size * TB * weight / sum(WEEK)) for name, (_, size, _, _) in REGIONS.items()
        }
        parts["ap-southeast-1"] = int(1.8 * TB) if number == 6 else 0
        requests = int(13_500 * weight)
        days.append(DayTraffic(date(2026, 11, number + 1), requests, sum(parts.values()), parts))
    return tuple(days)


def _files(random: Random) -> tuple[FileTraffic, ...]:
    shapes = ("dcos/releases/v{}.{}/dcos-{:04}.tar.xz", "images/v{}.{}/node-{:04}.qcow2")
    found = []
    for rank in range(19):
        key = shapes[rank % 3 == 1].format(random.randint(1, 3), random.randint(0, 5), rank)
        size = int(2.98 * TB / (1 + rank * 0.6))
        requests = int(4_819 / (1 + rank * 0.4))
        aws = int(size * random.uniform(0.68, 0.95))
        found.append(FileTraffic(key, size, requests, requests // 4, 1_400_000_000, aws))
    blob = "blobs/sha256/16/" + "16a47d7b9013ebb4" * 4
    return (*found, FileTraffic(blob, int(0.1 * TB), 1_231, 523, None, int(0.08 * TB)))


AGENTS = (
    ("curl/8.5.0", 5.2, 31_000), ("aws-cli/2.17.1 Python/3.11.9 Linux/6.1", 4.9, 21_000),
    ("Wget/1.21.3", 4.1, 19_800), ("python-requests/2.32.3", 3.9, 30_500),
    ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0", 3.1,
     22_900),
    ("Go-http-client/2.0", 2.8, 14_020), ("containerd/1.7.22", 2.4, 9_001),
    ("Java-http-client/21.0.4", 1.2, 4_100), ("dnf/4.14.0", 1.1, 8_113), ("-", 0.4, 1_203),
)  # fmt: skip


def _agents() -> tuple[AgentTraffic, ...]:
    return tuple(AgentTraffic(name, int(size * TB), n, 0, 0) for name, size, n in AGENTS)


def _networks() -> tuple[NetworkTraffic, ...]:
    rows = (
        ("198.51.100.0/24", "ap-southeast-1", 1.8, 1_400, 3, "demo/set-0000.bin"),
        ("192.0.2.0/24", "us-east-1", 1.31, 9_200, 61, "dcos/releases/v1.0/dcos-0000.tar.xz"),
        ("203.0.113.0/24", "us-west-2", 0.92, 4_410, 44, "images/v3.2/node-0001.qcow2"),
        ("2001:db8:1200::/56", "us-west-2", 0.44, 2_020, 12, "images/v3.2/node-0001.qcow2"),
    )
    return tuple(
        NetworkTraffic(name, region, int(size * TB), requests, addresses, key)
        for name, region, size, requests, addresses, key in rows
    )


def _sizes() -> tuple[SizeTraffic, ...]:
    requests = (4, 12, 2.5, 10, 7.6, 8.4, 8, 15.8, 9.8, 20, 1.9)
    bytes_ = (0.0001, 0.001, 0.001, 0.01, 0.03, 0.1, 0.5, 3, 7, 57.4, 31.9)
    lower = (512, 1024, 4096, 16_384, 65_536, 2**20, 2**22, 2**24, 2**26, 2**28, 2**30)
    known = tuple(
        SizeTraffic(low, int(n * 1890), int(part * 0.33 * TB), int(n * 40))
        for low, n, part in zip(lower, requests, bytes_, strict=True)
    )
    return (*known, SizeTraffic(None, 1_450, int(0.01 * TB), 200))


def _folders() -> tuple[FolderTraffic, ...]:
    rows = (
        ("dcos", ".tar.xz", 14.1, 0.71, 40_000, 300), ("images", ".qcow2", 10.2, 0.92, 11_000, 120),
        ("nightly", ".tar.gz", 2.6, 0.83, 30_000, 980), ("demo", ".bin", 1.9, 0.97, 1_600, 12),
        ("blobs", "", 1.6, 0.84, 9_800, 700), ("archive", ".tar.xz", 0.9, 0.55, 9_100, 8_950),
        ("repo", ".rpm", 0.8, 0.81, 21_000, 2_400), ("installer", ".zip", 0.7, 0.02, 6_500, 40),
        ("", ".json", 0.001, 0.6, 44_000, 30), ("dcos", ".tar.xz.sha256", 0.0004, 0.7, 16_000, 300),
    )  # fmt: skip
    return tuple(
        FolderTraffic(folder, suffix, int(size * TB), int(size * part * TB), requests, objects)
        for folder, suffix, size, part, requests, objects in rows
    )


WHY = (
    ("dcos/*", "pattern", True, 21.6, 300, 1_485, "on 14 of 14 days, 4,100 addresses in AWS"),
    ("*.qcow2", "pattern", True, 20.4, 120, 1_352, "on 14 of 14 days, 1,200 addresses in AWS"),
    ("blobs/*", "pattern", True, 2.9, 700, 371, "on 14 of 14 days, 520 addresses in AWS"),
    ("nightly/*", "pattern", True, 3.6, 980, 297, "new objects every day are copied too"),
    ("*.rpm", "pattern", True, 1.2, 2_400, 131, "on 14 of 14 days, 900 addresses in AWS"),
    ("us-east-1", "region", True, 24.9, 4_400, 1_870, "the origin's region: no copies needed"),
    ("us-west-2", "region", True, 19.3, 4_400, 1_420, "on 14 of 14 days"),
    ("eu-west-1", "region", True, 5.5, 4_300, 346, "on 14 of 14 days"),
    ("*.sha256", "exclude", True, 0.0004, 300, 0.4, "small: a request to S3 costs more"),
    ("demo/*", "pattern", False, 3.9, 12, 210, "1.8 TB came on one day from one network"),
    ("archive/*", "pattern", False, 1.1, 8_950, -61, "asked for once: copies cost more"),
    ("ap-south-1", "region", False, 0.2, 90, -4, "less than the copies cost"),
)  # fmt: skip


def _recommendation() -> Recommendation:
    why = tuple(
        RecommendedLine(name, chosen, tb * TB, objects, usd, words, kind)
        for name, kind, chosen, tb, objects, usd, words in WHY
    )
    return Recommendation(
        paths=("dcos/*", "*.qcow2", "blobs/*", "nightly/*", "*.rpm"),
        exclude=("*.sha256",),
        min_size=16 * 1024**2,
        regions=("us-east-1", "us-west-2", "eu-west-1"),
        redirects_month=146_830,
        bytes_month=49.7 * TB,
        costs_usd_month=47.2,
        saving_usd_month=3_636.0,
        low=3_127.0,
        high=4_000.0,
        why=why,
        yaml=YAML,
        gb_month={"north-america": 45_300.0, "europe": 5_592.8},
    )


def made_report() -> Report:
    """The report."""
    regions = _regions()
    counts = Counts(
        requests=sum(each.requests for each in regions),
        bytes=sum(each.bytes for each in regions),
        downloads=sum(each.downloads for each in regions),
        aborted=2_310,
        regions=regions,
        top_files=_files(Random(16)),  # noqa: S311  # made values
        user_agents=_agents(),
        networks=_networks(),
        days=_days(),
        sizes=_sizes(),
        hosts=(
            NamedTraffic("downloads.example.com", 170_000, 30 * TB),
            NamedTraffic("downloads.example.io", 19_000, int(3.2 * TB)),
        ),
        results=(
            NamedTraffic("Hit 200", 120_000, 22 * TB),
            NamedTraffic("Miss 200", 30_000, 8 * TB),
            NamedTraffic("Hit 206", 21_000, 3 * TB),
            NamedTraffic("Hit 304", 16_000, 5 * 1024**2),
            NamedTraffic("Error 404", 2_000, 1024**2),
        ),
        folders=_folders(),
    )
    return Report(
        scope=Scope(
            files=42,
            lines=counts.requests,
            left_out={"more or fewer fields than #Fields": 3, "status 000": 12},
            first=datetime(2026, 11, 1, 0, 0, 4, tzinfo=UTC),
            last=datetime(2026, 11, 14, 23, 59, 51, tzinfo=UTC),
            days=float(DAYS),
            damaged=(DamagedFile("E2.2026-11-09-07.abc.gz", "ends early", 641),),
            prices_of="2026-11",
            kinds=("json", "w3c"),
            overlapping_kinds=("json", "w3c"),
        ),
        counts=counts,
        bill=BillEstimate(
            "pay as you go, price class all",
            counts.bytes / DAYS * MONTH_DAYS,
            5_317.0,
            scaled=False,
            gb_month={"north-america": 60_000.0, "europe": 13_932.8},
            requests_month=410_400.0,
        ),
        what_if=WhatIf(
            "*.tar.*z*, any size, us-east-1 and us-west-2",
            108_200,
            27.2 * TB,
            80.1,
            1_759,
            {"north-america": 27_852.8},
        ),
        next_regions=(
            NextRegion("eu-west-1", 8_100, 4.1 * TB, 9.2, 241.0),
            NextRegion("ap-southeast-1", 1_100, 3.9 * TB, 31.0, 203.0),
            NextRegion("ap-south-1", 90, 0.2 * TB, 16.0, -4.2),
        ),
        recommendation=_recommendation(),
        notes=NOTES,
    )


def hostile_report() -> Report:
    """The same, with hostile text in each place that comes from a log."""
    report = made_report()
    counts, many = report.counts, HOSTILE
    files = zip(counts.top_files, many * 3, strict=False)
    folders = zip(counts.folders, many * 3, strict=False)
    return replace(
        report,
        scope=replace(
            report.scope,
            damaged=tuple(DamagedFile(text, text, 1) for text in many),
            left_out=dict.fromkeys(many, 1),
        ),
        counts=replace(
            counts,
            top_files=tuple(replace(each, key=text) for each, text in files),
            user_agents=tuple(AgentTraffic(text, GB, 10, 0, 0) for text in many),
            networks=tuple(replace(counts.networks[0], top_key=text) for text in many),
            hosts=tuple(NamedTraffic(text, 1, 1) for text in many),
            results=tuple(NamedTraffic(text, 1, 1) for text in many),
            folders=tuple(replace(each, folder=text, suffix=text) for each, text in folders),
        ),
        recommendation=replace(
            _recommendation(),
            why=tuple(
                RecommendedLine(text, chosen, GB, 1, 1.0, text)
                for text in many
                for chosen in (True, False)
            ),
            yaml=YAML + "".join(f"# {text!r}\n" for text in many),
        ),
        notes=many,
    )
