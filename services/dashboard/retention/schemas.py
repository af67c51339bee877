"""The answers of the API about storage."""

from __future__ import annotations

from datetime import date

from pydantic import AwareDatetime, BaseModel, Field

from shared.contracts.retention_rules import DataKind


class KindView(BaseModel):
    """What is stored of one kind of data."""

    kind: DataKind
    objects: int
    size: int = Field(description="bytes")
    growth: float = Field(description="bytes per day on the last whole days, seven at most, before anything is removed")
    rule: str = Field(description="retention rule of this kind", examples=["30 days or 50 GB"])
    oldest: date | None = Field(description="oldest day (UTC); for files of frames, of their capture")


class StorageView(BaseModel):
    """What is stored, by kind."""

    at: AwareDatetime = Field(description="time of the inventory")
    kinds: list[KindView]
    size: int = Field(description="bytes of everything")
    growth: float = Field(description="bytes per day, before anything is removed")
    capacity: int | None = Field(description="bytes that fit into the storage; null: unknown")
    full_on: date | None = Field(
        description="the day on which it is full at this growth, with the rules; null: not in ten years, or unknown"
    )
    waiting: int = Field(description="removal orders that their services have not carried out yet")
