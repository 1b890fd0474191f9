"""Series: what is known of one metric of one cohort in one tick, as sums that can be added up.

A mean is never stored. `Point` keeps the sums and the histogram from which every estimate, interval and detector
is computed (weights are inverse inclusion probabilities), so ticks, cohorts and late data merge by addition.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

MAX_BINS = 64
Cohort = tuple[tuple[str, str], ...]


def cohort_text(cohort: Cohort) -> str:
    """The canonical string, as series are stored: "k=v,k2=v2" with keys sorted, "" for all traffic.

    >>> cohort_text((("prompt_version", "v2"), ("model", "m")))
    'model=m,prompt_version=v2'
    """
    return ",".join(f"{key}={value}" for key, value in sorted(cohort))


def cohort_parse(text: str) -> Cohort:
    """The inverse of `cohort_text`. A comma inside a value belongs to the value when no `=` follows it."""
    pairs: list[tuple[str, str]] = []
    for piece in text.split(",") if text else []:
        key, equals, value = piece.partition("=")
        if equals:
            pairs.append((key, value))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{piece}")
    return tuple(pairs)


class SeriesKey(msgspec.Struct, frozen=True, order=True):
    """Which series: `cohort` is sorted (dimension, value) pairs, `()` for all traffic."""

    project: str
    metric: str
    cohort: Cohort = ()

    def parent(self) -> "SeriesKey | None":
        """The series of all traffic, or None for that series itself."""
        return SeriesKey(self.project, self.metric) if self.cohort else None


def cohort_of(values: "dict[str, str]") -> Cohort:
    """The canonical cohort of a dictionary of dimension values."""
    return tuple(sorted(values.items()))


class Axis(msgspec.Struct, frozen=True):
    """The fixed histogram of a metric: `bins` equal bins over (low, high] and one open bin on each side.

    `log=True` makes the bins equal in ln(x); drift is then looked for on the log scale (latency, cost, length).
    A bin is (edge, next edge], so `x <= edge` is exact at every edge.
    Raises ValueError for more than 64 bins in all, an empty range, or a log axis that touches zero.
    """

    low: float
    high: float
    bins: int
    log: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bins <= MAX_BINS - 2:
            raise ValueError(f"an axis has 1..{MAX_BINS - 2} bins between its ends, not {self.bins}")
        if not self.low < self.high:
            raise ValueError(f"the axis is empty: low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a log axis needs low > 0, not {self.low}")

    @property
    def size(self) -> int:
        """Number of bins, the two open ones included."""
        return self.bins + 2

    @property
    def edges(self) -> tuple[float, ...]:
        """The `bins + 1` edges, in the metric's own unit."""
        return _edges(self)

    @property
    def centres(self) -> tuple[float, ...]:
        """One representative per bin on the detection scale (ln x for a log axis)."""
        return _centres(self)

    def locate(self, x: float) -> int:
        """The bin that holds `x`."""
        return bisect_left(_edges(self), x)

    @property
    def whole(self) -> bool:
        """Does each bin hold one whole number? Then the histogram is the values themselves."""
        halves = self.bins == self.high - self.low and (self.low - 0.5).is_integer()
        return not self.log and (halves or (self.low, self.high, self.bins) == (0.0, 1.0, 1))

    @property
    def scale(self) -> tuple[float, float]:
        """Between which ends the values lie; the upper is infinite on a log axis, which is for amounts.

        >>> TEN.scale, UNIT.scale, DOLLARS.scale
        ((0.0, 10.0), (0.0, 1.0), (0.0, inf))
        """
        if self.log:
            return 0.0, math.inf
        inset = 0.5 if self.whole and self.bins > 1 else 0.0
        return self.low + inset, self.high - inset

    @property
    def text(self) -> str:
        """The axis as one stored string, read back by `axis_of`: low, high, bins, and 1 for a log axis: `0.0|1.0|50|0`."""
        return f"{self.low!r}|{self.high!r}|{self.bins}|{int(self.log)}"


@lru_cache(maxsize=512)
def axis_of(text: str) -> Axis:
    """The axis that `Axis.text` wrote. Raises ValueError when the text is something else."""
    parts = text.split("|")
    if len(parts) != 4 or parts[3] not in ("0", "1"):
        raise ValueError(f"{text!r} is not an axis; expected low|high|bins|log")
    return Axis(float(parts[0]), float(parts[1]), int(parts[2]), log=parts[3] == "1")


@lru_cache(maxsize=512)
def _edges(axis: Axis) -> tuple[float, ...]:
    low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
    inner = [low + (high - low) * i / axis.bins for i in range(axis.bins + 1)]
    edges = [math.exp(e) for e in inner] if axis.log else inner
    return (axis.low, *edges[1:-1], axis.high)


@lru_cache(maxsize=512)
def _centres(axis: Axis) -> tuple[float, ...]:
    low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
    step = (high - low) / axis.bins
    return tuple(low + step * (i - 0.5) for i in range(axis.bins + 2))


# The axes of the common kinds of metric. Whole-number scores get one bin each, so nothing is lost.
BINARY = Axis(0.0, 1.0, 1)
UNIT = Axis(0.0, 1.0, 50)
TEN = Axis(-0.5, 10.5, 11)
FIVE = Axis(-0.5, 5.5, 6)
MILLISECONDS = Axis(1.0, 3.6e6, 62, log=True)
DOLLARS = Axis(1e-6, 100.0, 62, log=True)
COUNT = Axis(0.5, 1e6, 62, log=True)


class Point(msgspec.Struct, frozen=True, gc=False):
    """The mergeable sums of one series in one tick [start_ns, end_ns). w = 1 / inclusion probability.

    `n` scores; `sw` = sum of w; `sw2` = sum of w squared; `swx` = sum of w x; `swx2` = sum of w x²;
    `sw2x` = sum of w² x; `sw2x2` = sum of w² x²; the histograms hold the sums of w and of w² per bin.
    n = 0 says that the tick was looked at and held nothing: missing data, not zero.
    `version` says what made the values (scorer version and judge model, price table, embedding): points of different
    versions are two series. "" where nothing makes them, or the point is older than this field.
    """

    key: SeriesKey
    start_ns: int
    end_ns: int
    axis: Axis
    n: int = 0
    sw: float = 0.0
    sw2: float = 0.0
    swx: float = 0.0
    swx2: float = 0.0
    sw2x: float = 0.0
    sw2x2: float = 0.0
    hist_w: tuple[float, ...] = ()
    hist_w2: tuple[float, ...] = ()
    version: str = ""

    @property
    def n_eff(self) -> float:
        """Kish's effective sample size, (sum w)² / sum w²; 0 when there is nothing."""
        return self.sw * self.sw / self.sw2 if self.sw2 > 0 else 0.0


def remade(before: str, after: str) -> bool:
    """Were the values of two points made by different versions? An unknown version is no different one.

    >>> remade("1 gpt-5", "2 gpt-5"), remade("", "2 gpt-5")
    (True, False)
    """
    return bool(before) and bool(after) and before != after


class Estimate(msgspec.Struct, frozen=True):
    """A value that never travels without its interval and sample size. `level` is the interval's coverage."""

    value: float
    low: float
    high: float
    n: int
    n_eff: float
    level: float = 0.95


class Insufficient(msgspec.Struct, frozen=True, tag=True):
    """There is not enough data to say. Not zero, not OK; `reason` says what is missing, for people."""

    reason: str
    n: int = 0
    n_eff: float = 0.0


def empty(key: SeriesKey, start_ns: int, end_ns: int, axis: Axis) -> Point:
    """A tick that was looked at and held no score."""
    zeros = (0.0,) * axis.size
    return Point(key, start_ns, end_ns, axis, hist_w=zeros, hist_w2=zeros)


def gather(
    key: SeriesKey, start_ns: int, end_ns: int, axis: Axis, scores: Iterable[tuple[float, float]]
) -> Point:
    """The point of (value, inclusion probability) pairs.

    Raises ValueError for a probability outside (0, 1] or a value that is not finite: a score that failed is not a
    value, and a trace that could not have been chosen cannot be weighted.
    """
    sums = [0.0] * 6
    hist_w, hist_w2 = [0.0] * axis.size, [0.0] * axis.size
    n = 0
    for x, p in scores:
        if not 0.0 < p <= 1.0:
            raise ValueError(f"inclusion probability {p} of {key.metric} is not in (0, 1]")
        if not math.isfinite(x):
            raise ValueError(f"a score of {key.metric} is {x}; leave failed scores out instead")
        w = 1.0 / p
        w2 = w * w
        for i, add in enumerate((w, w2, w * x, w * x * x, w2 * x, w2 * x * x)):
            sums[i] += add
        at = axis.locate(x)
        hist_w[at] += w
        hist_w2[at] += w2
        n += 1
    return Point(key, start_ns, end_ns, axis, n, *sums, hist_w=tuple(hist_w), hist_w2=tuple(hist_w2))


def merge(points: Sequence[Point]) -> Point:
    """All points as one: of several ticks, or of several cohorts (the cohort kept is what they have in common).

    Associative and commutative up to rounding. Several versions are named together; who compares keeps them apart
    before. Raises ValueError for no points, for points of different metrics,
    or with different axes: their histograms cannot be added.
    """
    if not points:
        raise ValueError("merge needs at least one point; use empty() for a tick without scores")
    first = points[0]
    if len(points) == 1:
        return first
    for p in points:
        if p.axis != first.axis:
            raise ValueError(f"{p.key.metric} was collected with another axis: {p.axis} and {first.axis}")
        if (p.key.project, p.key.metric) != (first.key.project, first.key.metric):
            raise ValueError(f"{p.key.metric} and {first.key.metric} are different metrics")
    common = set(first.key.cohort).intersection(*(p.key.cohort for p in points))
    return Point(
        SeriesKey(first.key.project, first.key.metric, tuple(sorted(common))),
        min(p.start_ns for p in points),
        max(p.end_ns for p in points),
        first.axis,
        sum(p.n for p in points),
        math.fsum(p.sw for p in points),
        math.fsum(p.sw2 for p in points),
        math.fsum(p.swx for p in points),
        math.fsum(p.swx2 for p in points),
        math.fsum(p.sw2x for p in points),
        math.fsum(p.sw2x2 for p in points),
        tuple(math.fsum(c) for c in zip(*(p.hist_w for p in points), strict=True)),
        tuple(math.fsum(c) for c in zip(*(p.hist_w2 for p in points), strict=True)),
        " + ".join(sorted({p.version for p in points if p.version})),
    )
