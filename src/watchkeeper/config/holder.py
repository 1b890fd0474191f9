"""The configuration in use, replaced whole or not at all."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchkeeper.config.load import Loaded, load
from watchkeeper.config.managed import check, merged
from watchkeeper.config.models import Config
from watchkeeper.config.problems import ConfigError, Problem
from watchkeeper.model.managed import Managed


@dataclass(frozen=True)
class Rejected:
    """A configuration that was offered and refused while an older one keeps running."""

    time_ns: int
    problems: tuple[Problem, ...]


class ConfigHolder:
    """`current` is always a complete, valid configuration. Readers take it once and keep it for their unit of work.

    `managed` are the entries made from signals, merged with the files' configuration (`written`) at every change."""

    def __init__(self, config: Config, path: Path | None = None, warnings: tuple[Problem, ...] = ()) -> None:
        self.current = config
        self.path = path
        self.warnings = warnings
        self.rejected: Rejected | None = None
        self.generation = 1
        self.written = Loaded(config, warnings)
        self.managed: tuple[Managed, ...] = ()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Config], None]] = []

    @classmethod
    def from_path(cls, path: Path | None, env: Mapping[str, str] | None = None) -> "ConfigHolder":
        """Load a file or folder (None: everything at its default). Raises `ConfigError`."""
        if path is None:
            return cls(Config())
        loaded = load(path, env)
        return cls(loaded.config, path, loaded.warnings)

    def on_change(self, listener: Callable[[Config], None]) -> None:
        """Call `listener` with every configuration that replaces the current one. A listener that raises
        `ConfigError` rejects it, and those called before it are called again with the old one."""
        self._listeners.append(listener)

    def follow(self, use: Callable[[Config], None]) -> None:
        """Have `use` take the current configuration, and every later one as a listener does."""
        use(self.current)
        self.on_change(use)

    def reload(self, now_ns: int, env: Mapping[str, str] | None = None) -> bool:
        """Read the files again. True when they are in use now; False when refused, see `rejected`."""
        if self.path is None:
            return False
        try:
            loaded = load(self.path, env)
            self.replace(loaded)
        except ConfigError as error:
            self.rejected = Rejected(now_ns, error.problems)
            return False
        self.rejected = None
        return True

    def manage(self, entries: Sequence[Managed]) -> None:
        """Use these entries beside the files. One that does not fit is left out and becomes a warning."""
        before = self.managed
        self.managed = tuple(entries)
        try:
            self.replace(self.written)
        except ConfigError:
            self.managed = before
            raise

    def would_manage(self, entry: Managed) -> None:
        """Raises `ConfigError` saying why `entry` could not be used now."""
        check(self.written, self.managed, entry)

    def replace(self, written: Loaded) -> None:
        """Use another configuration; raises `ConfigError` when a listener refuses it, leaving the old one in use."""
        loaded = merged(written, self.managed)
        with self._lock:
            old, told = self.current, []
            try:
                for listener in self._listeners:
                    told.append(listener)
                    listener(loaded.config)
            except ConfigError:
                for listener in told:
                    listener(old)
                raise
            self.written = written
            self.current = loaded.config
            self.warnings = loaded.warnings
            self.generation += 1
