"""Every page of the web surface. The server collects the routes of these modules."""

from types import ModuleType
from typing import Final

from watchkeeper.web import files
from watchkeeper.web.pages import charts, overview, quality, trace, traces

MODULES: Final[tuple[ModuleType, ...]] = (files, charts, overview, traces, trace, quality)
