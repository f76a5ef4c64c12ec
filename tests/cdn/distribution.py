"""The settings of a distribution, by the names that CloudFront has for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import yaml
from pydantic import ConfigDict, TypeAdapter
from yarl import URL

if TYPE_CHECKING:
    from pathlib import Path

DAY, YEAR = 86_400.0, 31_536_000.0
STRICT = ConfigDict(extra="forbid")
"""Where a file is read, an unknown key is an error."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long a behaviour keeps responses, and what the cache key has beside host and path.

    Attributes:
        minimum: Minimum TTL in seconds; above 0 it overrides ``no-store``.
        default: TTL of a response that does not say how long it may be kept.
        maximum: Maximum TTL; with 0 caching is disabled.
        query: Whether the query string is part of the key.
        headers: Header fields that are part of the key.
        cookies: Whether cookies are part of the key.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    minimum: float = 0.0
    default: float = DAY
    maximum: float = YEAR
    query: bool = False
    headers: tuple[str, ...] = ()
    cookies: bool = False

    @property
    def disabled(self) -> bool:
        """Whether nothing but errors is ever kept, and no request waits for another."""
        return self.maximum <= 0


@dataclass(frozen=True, slots=True)
class OriginRequestPolicy:
    """What of a viewer's request is sent to the origin, beside what is part of the cache key.

    Attributes:
        headers: Names of header fields; ``*`` are all but Host, whose own name has to be there.
        query: Whether the query string is sent.
        cookies: Whether cookies are sent.
        viewer_address: Whether CloudFront-Viewer-Address is added.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    headers: tuple[str, ...] = ()
    query: bool = False
    cookies: bool = False
    viewer_address: bool = False


@dataclass(frozen=True, slots=True)
class CustomOrigin:
    """Where a behaviour gets its objects.

    Attributes:
        url: Its address; a path, as that of a bucket, is put before each viewer's path.
        headers: Custom header fields, such as a secret; a viewer's of the same names are replaced.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    url: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to requests of a path pattern; each behaviour has one origin.

    Attributes:
        origin: Name of the origin.
        pattern: Path pattern: ``*`` is any number of characters, ``?`` is one, and case counts.
        cache: Its cache policy.
        request: Its origin request policy.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    origin: str
    pattern: str = "*"
    cache: CachePolicy = CachePolicy()
    request: OriginRequestPolicy = OriginRequestPolicy()

    def matches(self, path: str) -> bool:
        """Whether the pattern matches a path in normal form; a first ``/`` may be left out."""
        pattern = self.pattern
        if not pattern.startswith(("/", "*")):
            pattern = f"/{pattern}"
        wild = {"*": ".*", "?": "."}
        expression = "".join(wild.get(each, re.escape(each)) for each in pattern)
        return bool(re.fullmatch(expression, path, re.DOTALL))


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution.

    Attributes:
        origins: By name.
        behaviours: In order of precedence; the last one is the default behaviour.
        errors: Error caching minimum TTL by status; 10 s for others. They are the distribution's,
            not a behaviour's.
        block: Size of the blocks to which a range that is not in the cache is widened; 0: never.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    origins: dict[str, CustomOrigin]
    behaviours: tuple[Behaviour, ...]
    errors: dict[int, float] = field(default_factory=dict)
    block: int = 1 << 16

    def behaviour(self, target: str) -> Behaviour:
        """The behaviour of a request target: that of the first pattern that matches its path."""
        path = normal_path(target)
        return next(
            (each for each in self.behaviours[:-1] if each.matches(path)), self.behaviours[-1]
        )


def distributions(file: Path) -> dict[int, Distribution]:
    """The distributions of a YAML file, by port; an unknown key is an error."""
    read = TypeAdapter(dict[int, Distribution]).validate_python
    return read(yaml.safe_load(file.read_text(encoding="utf-8")))


def normal_path(target: str) -> str:
    """The path of a request target in RFC 3986's normal form, by which behaviours are chosen."""
    return URL("http://viewer" + target.partition("?")[0]).raw_path


CACHING_DISABLED = CachePolicy(0, 0, 0)
"""The managed policy CachingDisabled."""
CACHING_OPTIMIZED = CachePolicy(1, DAY, YEAR)
"""The managed policy CachingOptimized: its minimum TTL is a second."""
ALL_VIEWER_AND_CLOUDFRONT = OriginRequestPolicy(
    ("*", "Host"), query=True, cookies=True, viewer_address=True
)
"""The managed policy AllViewerAndCloudFrontHeaders-2022-06."""
