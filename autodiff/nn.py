"""The package ``nn`` under the name ``autodiff.nn``: the same module."""

from typing import TYPE_CHECKING

from autodiff.naming import alias

if TYPE_CHECKING:
    from nn import *  # noqa: F403
else:
    alias(__name__, "nn")
