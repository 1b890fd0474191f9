"""The splits of a dataset."""

from typing import Final, Literal, get_args

# golden: a sample of what users ask, refreshed; calibration: labelled, for judges, never gated on; regression: failures
# that must not return; holdout: kept from everybody who tunes.
Split = Literal["golden", "calibration", "regression", "holdout"]
SPLITS: Final[tuple[str, ...]] = get_args(Split)
# The dataset that every replay makes anew, and the split of its cases.
REPLAYS: Final = "replay"
AnySplit = Split | Literal["replay"]
ANY_SPLIT: Final = (*SPLITS, REPLAYS)
