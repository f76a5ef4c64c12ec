"""Folders of one bucket on a real server, used as buckets that a warm-up reads."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearbucket.replicas.warm_up import WarmUp, WarmUpProgress
from tests.build import settings
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearbucket.config.settings import Settings
    from nearbucket.replicas.object_version import CatalogBatch
    from tests.conftest import LocalS3

_NUMBERS = itertools.count()

BUCKET = "warm"


@dataclass
class World:
    """Folders of one bucket on a real server, used as buckets, and what a run sends.

    Attributes:
        name: The folders' own folder.
        sent: Batches that the run sent.
    """

    s3: LocalS3
    client: Any
    name: str = field(default_factory=lambda: f"test-{next(_NUMBERS)}")
    sent: list[CatalogBatch] = field(default_factory=list)

    def entry(self, folder: str = "origin", **more: Any) -> dict[str, Any]:
        """Configuration of a folder."""
        values = {"prefix": f"{self.name}/{folder}", **more}
        return self.s3.entry(BUCKET, **values).model_dump(exclude_unset=True)

    async def fill(self, folder: str, keys: Iterable[str]) -> None:
        objects = {f"{self.name}/{folder}/{key}": key.encode() for key in keys}
        await store(self.s3.server, BUCKET, objects)

    def site(
        self, *targets: str, origin: dict[str, Any] | None = None, **redirect: Any
    ) -> dict[str, Any]:
        names = ("us-west-2", "eu-west-1", "us-east-2")
        return {
            "hosts": [f"h{next(_NUMBERS)}"],
            "origin": origin or self.entry(),
            "targets": {
                region: self.entry(target) for region, target in zip(names, targets, strict=False)
            },
            "redirect": {"scheme": "http", "verify": "match", **redirect},
        }

    def settings(self, *sites: dict[str, Any], entries: int = 200_000) -> Settings:
        return settings(site=sites[0], more=sites[1:], catalog={"entries": entries})

    async def run(self, *sites: dict[str, Any], entries: int = 200_000) -> WarmUpProgress:
        run = WarmUp(self.settings(*sites, entries=entries), self.sent.append)
        await run.run()
        return run.progress

    def keys(self, folder: str) -> list[str]:
        """The keys that were sent of a folder."""
        place = self.s3.entry(BUCKET, prefix=f"{self.name}/{folder}").object_base_url
        return [held[0] for sent in self.sent if sent.base_url == place for held in sent.objects]
