"""What is there for speed, derived from :mod:`autodiff.core`, which never imports it; it installs itself."""

from autodiff.fast import codegen as codegen
