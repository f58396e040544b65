"""Number formats a model can be loaded in; imports nothing, because the command line lists them in its help."""

from typing import Literal

DTypeName = Literal["float32", "bfloat16", "float16", "auto"]
"""`auto` is the format the checkpoint was saved in."""
