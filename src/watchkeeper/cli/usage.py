"""The command line's parser: what cannot be understood is said in a sentence, with what was probably meant."""

import argparse
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from watchkeeper.cli.errors import BAD_INPUT
from watchkeeper.config.problems import did_you_mean, shown

_TYPE = re.compile(r"(?s)(.+: )invalid (int|float) value: (.+)")
_TAKES = {"int": "a whole number", "float": "a number"}


class Parser(argparse.ArgumentParser):
    """Every command of one is another: argparse makes them of the same class."""

    def error(self, message: str) -> NoReturn:
        """Leave with what is wrong; the whole usage, of twenty lines for some commands, would hide it."""
        said = message.removeprefix("argument ").replace(
            "the following arguments are required:", "also needed:"
        )
        if wrong := _TYPE.fullmatch(said):
            said = f"{wrong[1]}takes {_TAKES[wrong[2]]}, not {wrong[3]}"
        self.exit(BAD_INPUT, f"{self.prog}: {said}\n  '{self.prog} --help' shows what there is\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = action.choices
        if choices is not None and value not in choices:
            names = [str(c) for c in choices]
            raise argparse.ArgumentError(
                action, f"there is no {shown(value)}; {did_you_mean(str(value), names)}"
            )

    # argparse's own is declared once for each kind of namespace.
    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse does, but an option that is not there is named before what it was meant for is missed, and what is too much is
        said by the command that was given it."""
        given = None if args is None else list(args)
        command = given is not None and self._subparsers is None
        if given is not None and command:
            known = list(self._option_string_actions)
            for one in given:
                if one == "--":
                    break
                name = one.partition("=")[0]
                # To argparse, what holds a space is no option: a statement may begin with a comment.
                stranger = one.startswith("--") and " " not in one
                if stranger and not any(option.startswith(name) for option in known):
                    guess = did_you_mean(name, known).partition("allowed:")[0].strip()
                    self.error(f"there is no option {shown(name)}" + (f"; {guess}" if guess else ""))
        found, more = super().parse_known_args(given, namespace)
        if command and more:
            self.error(f"more than it takes: {' '.join(map(shown, more[:5]))}; quote what is one argument")
        return found, more
