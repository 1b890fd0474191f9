"""Detectors: frozen rules that turn points into evidence; one file each, listed in `DETECTORS`."""

from watchkeeper.detection.panel import PanelDetector

DETECTORS: dict[str, type] = {"drift": PanelDetector}
