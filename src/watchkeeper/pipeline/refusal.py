"""How a flow says that it cannot do what somebody asked for."""


class Refused(Exception):
    """What was asked for is not possible: `str(error)` says why, `hint` what is; `missing`: what it is about does not exist."""

    def __init__(self, error: str, hint: str = "", *, missing: bool = False) -> None:
        super().__init__(error)
        self.hint, self.missing = hint, missing
