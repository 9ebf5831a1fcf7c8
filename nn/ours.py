"""Imported first: ``nn`` needs this project's ``autodiff``, and a stranger's may be found before it."""

import autodiff

if not hasattr(autodiff, "registry"):
    raise ImportError(
        f"nn: the package autodiff at {autodiff.__file__} is another project's, found before gradproof's:"
        " pip uninstall autodiff"
    )
