"""The command line: `watchbell run` and what people ask beside it."""
