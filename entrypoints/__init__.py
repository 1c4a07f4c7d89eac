"""Where Portico is entered: settings, wiring, the command line, HTTP."""

from typing import Final

VERSION: Final = "0.1.0"
