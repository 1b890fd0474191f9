"""What a gate can test: a Python function, a command, an HTTP endpoint, a prompt with a model, or stored outputs.

Standard library only, so that `pip install watchkeeper` is enough in an application's CI.
"""

from watchkeeper.testing.targets.answers import Answer, Case, TargetError, Transient
from watchkeeper.testing.targets.functions import load_function
from watchkeeper.testing.targets.prompt import Model
from watchkeeper.testing.targets.running import How, run

__all__ = ["Answer", "Case", "How", "Model", "TargetError", "Transient", "load_function", "run"]
