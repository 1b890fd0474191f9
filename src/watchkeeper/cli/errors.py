"""How a command says that it cannot go on."""

OK, JUDGED_BAD, BAD_INPUT, NOT_ENOUGH = 0, 1, 2, 3


class CliError(Exception):
    """What was wrong and what to do, for standard error; `code` is the exit status."""

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code
