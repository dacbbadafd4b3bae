"""Entry point of `python -m utils`."""

import sys

from utils.commands.main import main

sys.exit(main())
