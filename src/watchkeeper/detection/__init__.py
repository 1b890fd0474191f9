"""Detectors: frozen rules that turn points into evidence. A new one is one file and one line in `DETECTORS`."""

from watchkeeper.detection.cloud import CloudDetector
from watchkeeper.detection.panel import PanelDetector
from watchkeeper.detection.rates import RateDetector
from watchkeeper.detection.slo import BurnRateDetector
from watchkeeper.detection.threshold import ThresholdDetector

DETECTORS: dict[str, type] = {
    "drift": PanelDetector,
    "rate": RateDetector,
    "threshold": ThresholdDetector,
    "burn_rate": BurnRateDetector,
    "embedding": CloudDetector,
}
