"""The package ``optim`` under the name ``autodiff.optim``: the same module."""

from typing import TYPE_CHECKING

from autodiff.naming import alias

if TYPE_CHECKING:
    from optim import *  # noqa: F403
else:
    alias(__name__, "optim")
