"""AWS's list prices (``list_prices.yaml``, dated), and a file of the user's own over them."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from nearbucket.config.aws_endpoints import known_regions, unknown_region
from nearbucket.config.json_schema.messages import message
from nearbucket.config.value_types import NOT_BOOLEAN, Section, nearest
from nearbucket.config.yaml_text.yaml_document import read_yaml
from nearbucket.config.yaml_text.yaml_errors import Fault
from nearbucket.errors import ConfigError
from nearbucket.pricing.geographies import GEOGRAPHIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GB_PER_TB = 1024.0
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time, where it was built

_Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False), NOT_BOOLEAN]
_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False), NOT_BOOLEAN]


class CdnPrices(Section):
    """CloudFront's prices."""

    free_gb: _Dollars
    """GB that are free each month."""
    free_requests: _Dollars
    """Requests that are free each month."""
    tiers_tb: tuple[_Amount, ...]
    """Sizes of all tiers but the last."""
    per_gb: dict[str, tuple[_Dollars, ...]]
    """By geography: the price of one GB in each tier."""
    per_10000_requests: dict[str, _Dollars]
    """By geography: the price of 10,000 HTTPS requests."""
    plans: dict[str, dict[int, _Dollars]]
    """Flat-rate plans: the price of a month by TB."""
    plan_requests: dict[str, _Amount]
    """Requests of a month that each plan includes."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name, prices in (
            ("per_gb", self.per_gb),
            ("per_10000_requests", self.per_10000_requests),
        ):
            if set(prices) != set(GEOGRAPHIES):
                raise ValueError(f"{name} needs exactly these keys: {', '.join(GEOGRAPHIES)}")
        for geography, steps in self.per_gb.items():
            if len(steps) != len(self.tiers_tb) + 1:
                raise ValueError(f"per_gb.{geography} needs {len(self.tiers_tb) + 1} prices")
        if set(self.plan_requests) != set(self.plans):
            raise ValueError(f"plan_requests needs exactly these keys: {', '.join(self.plans)}")
        return self


class S3Prices(Section):
    """S3's prices."""

    per_1000_puts: _Dollars
    """PUT, COPY and LIST; the target's account pays them."""
    per_1000_gets: _Dollars
    """GET; the bucket's owner pays it."""
    storage_per_gb: _Dollars
    """One month."""
    transfer_per_gb: dict[str, _Dollars]
    """To another region, by the beginning of the bucket's region."""
    transfer_between: dict[str, _Dollars]
    """The same between two regions, in both directions."""


class PriceList(Section):
    """All prices that do not depend on the user."""

    date: str
    """Month of the prices."""
    cloudfront: CdnPrices
    """The CDN."""
    s3: S3Prices
    """The buckets."""


def price_list(overrides: Path | None = None) -> PriceList:
    """The list prices, with those of a file in their place.

    Args:
        overrides: YAML file of the form of ``list_prices.yaml``; it may leave out any key.

    Raises:
        ConfigError: The file cannot be read, or is not of that form.
    """
    if overrides is None:
        return _built_in()
    try:
        own = read_yaml(overrides.read_text("utf-8-sig")).data
        found = PriceList.model_validate(_merged(_list_prices(), own or {}))
    except Fault as fault:
        place = f"{overrides}:{fault.line or 1}"
        raise ConfigError(message(place, fault.key, fault.text)) from None
    except ValidationError as error:
        raise ConfigError(f"{overrides}: {_first(error)}") from None
    except OSError as error:
        raise ConfigError(f"{overrides}: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{overrides}: not a price file: {error}") from None
    if wrong := next(_wrong_regions(found.s3), None):
        raise ConfigError(f"{overrides}: s3.{wrong}")
    return found


@lru_cache(maxsize=1)
def _built_in() -> PriceList:
    return PriceList.model_validate(_list_prices())


def _list_prices() -> dict[str, Any]:
    text = files("nearbucket").joinpath("pricing/list_prices.yaml").read_text("utf-8")
    prices: dict[str, Any] = yaml.load(text, _LOADER)  # noqa: S506  # it is a safe one
    return prices


def _merged(under: object, over: object) -> object:
    """Mappings merged key by key; of anything else, ``over``."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    names = {str(key): key for key in under}  # a file's own are text
    own = {names.get(key, key): value for key, value in over.items()}
    return {**under, **{key: _merged(under.get(key), value) for key, value in own.items()}}


def _wrong_regions(prices: S3Prices) -> Iterator[str]:
    """Errors in prices of transfer whose keys are no regions: they would have no effect.

    A server of one's own may have any name, unless it is like that of an AWS region.
    """
    known = known_regions()
    for pair in prices.transfer_between:
        names = pair.split(" ")
        if len(names) != 2:  # noqa: PLR2004
            yield f"transfer_between: {pair!r} is not two regions, such as us-east-1 us-east-2"
        for name in names:
            if name not in known and (known.isdisjoint(names) or nearest(name, known)):
                yield f"transfer_between: {name!r} {unknown_region(name)}"
    for start in prices.transfer_per_gb:
        if not any(name.startswith(start) for name in known):
            yield (
                f"transfer_per_gb: no AWS region begins with {start!r}; write one such as "
                "eu-west-1, or the beginning of several such as eu-"
            )


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    place = ".".join(map(str, found["loc"]))
    if found["type"] == "extra_forbidden":
        section: Any = _list_prices()
        for name in found["loc"][:-1]:
            section = section[name]
        return f"{place}: is not a key here; there are {', '.join(section)}"
    return f"{place}: {found['msg'].removeprefix('Value error, ')}"
