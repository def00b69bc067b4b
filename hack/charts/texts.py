"""Puts a made part between two marks of a page that is otherwise written by hand."""


def between(page: str, what: str, made: str) -> str:
    """The page with ``made`` between its marks for ``what``. Raises ValueError when it has none."""
    begin, end = f"<!-- {what}: made by `make generate` -->", f"<!-- end of {what} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page must hold the lines {begin} and {end}")
    return f"{before}{begin}\n{made}{end}{after}"
