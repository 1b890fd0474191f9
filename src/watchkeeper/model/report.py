"""A report as data: sections of sentences and tables, rendered as Markdown, HTML or a page."""

import msgspec


class Grid(msgspec.Struct, frozen=True):
    """A table of text cells."""

    columns: list[str]
    rows: list[list[str]]


class Part(msgspec.Struct, frozen=True):
    """One section: `says` are paragraphs; `none` is what stands there instead of an empty table."""

    title: str
    says: list[str] = []
    grid: Grid | None = None
    none: str = ""


class Report(msgspec.Struct, frozen=True):
    """The whole of it. Times in ns; `headline` are the few sentences a message consists of."""

    title: str
    project: str
    since_ns: int
    until_ns: int
    made_ns: int
    headline: list[str]
    parts: list[Part]
