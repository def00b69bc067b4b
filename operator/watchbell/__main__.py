"""`python -m watchbell`."""

import sys

from watchbell.cli.main import main

sys.exit(main())
