"""Dashboards as configuration: sections of widgets over series or SQL."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.config.base import Line, MetricName, Name, Project, Strict

Title = Annotated[Line, StringConstraints(max_length=200)]
Sql = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
Kind = Literal["timeseries", "number", "distribution", "scatter", "table"]
Ranges = Literal["1h", "6h", "24h", "3d", "7d", "14d", "30d", "90d"]
# What a widget of each kind can be made from: any one of these sets of keys.
SOURCES: dict[str, tuple[frozenset[str], ...]] = {
    "timeseries": (frozenset({"metric"}), frozenset({"sql"})),
    "number": (frozenset({"metric"}), frozenset({"sql"})),
    "distribution": (frozenset({"metric"}), frozenset({"sql"})),
    "scatter": (frozenset({"x", "y"}), frozenset({"sql"})),
    "table": (frozenset({"sql"}),),
}


class Widget(Strict):
    """One figure, chart or table. `{since}` and `{until}` in `sql` become the page's time range."""

    type: Kind
    title: Title | None = None
    metric: MetricName | None = Field(None, description="A series: a scorer or a figure of the traces.")
    cohort: dict[Name, str] = Field({}, description="Only this cohort of the metric, e.g. scenario: support.")
    x: MetricName | None = Field(None, description="scatter: the metric across.")
    y: MetricName | None = Field(None, description="scatter: the metric upwards.")
    sql: Sql | None = Field(None, description="A read-only statement, as `watchkeeper sql` takes it.")
    unit: Literal["share", "ms", "money", "count"] | None = Field(None, description="How values are written.")

    @model_validator(mode="after")
    def _has_one_source(self) -> "Widget":
        given = frozenset(k for k in ("metric", "x", "y", "sql") if getattr(self, k) is not None)
        allowed = SOURCES[self.type]
        if given not in allowed:
            words = " or ".join(" and ".join(sorted(a)) for a in allowed)
            raise PydanticCustomError(
                "widget", "{type} needs {keys}, and nothing else", {"type": self.type, "keys": words}
            )
        if self.cohort and "sql" in given:
            raise PydanticCustomError("widget", "cohort is for metrics; write it into the statement")
        return self

    def heading(self) -> str:
        """Its title, or what it shows."""
        return self.title or self.metric or (f"{self.y} over {self.x}" if self.x else "Query")


class Section(Strict):
    """Widgets under one heading."""

    title: Title
    widgets: tuple[Widget, ...] = Field(min_length=1, max_length=24)


class Dashboard(Strict):
    """One page of your own, at /dashboards/NAME."""

    name: Name
    title: Title | None = None
    project: Project = "default"
    range: Ranges = Field("7d", description="The time range when the address names none.")
    sections: tuple[Section, ...] = Field(min_length=1, max_length=12)

    def at(self, place: str) -> Widget | None:
        """The widget at "section.widget", counted from 0; None when there is none."""
        first, _, second = place.partition(".")
        if not (first.isdigit() and second.isdigit() and len(place) < 8):
            return None
        widgets = self.sections[int(first)].widgets if int(first) < len(self.sections) else ()
        return widgets[int(second)] if int(second) < len(widgets) else None


def filled(sql: str, since: str, until: str) -> str:
    """The statement with the page's time range, given as SQL literals, in place of `{since}` and `{until}`."""
    return sql.replace("{since}", since).replace("{until}", until)
