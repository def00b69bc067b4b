"""Renders a mail (.eml) or a page (.html) to a PNG with headless Chromium: `python hack/mailshot.py mail.eml out.png --width 360 --dark`.

Mails are made to be looked at; this is how. The page's own height decides the picture's. With `--samples FOLDER` it draws every mail of
`mailsamples`, at 360 and 700 pixels, light and dark, and tells of each whether it can be scrolled sideways, which a mail must never be.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from email import message_from_bytes, policy
from pathlib import Path

# Without the last four Chromium looks up hosts of its own at every start.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_TIMEOUT_S = 60
WIDTHS = (360, 700)
# What docs/images shows: which sample, how wide, dark or not.
PICTURES = {
    "crash-mail": ("crash", 700, False),
    "crash-mail-dark-phone": ("crash", 360, True),
    "resolved-mail": ("resolved", 700, False),
    "drift-mail": ("drift", 700, False),
    "drift-mail-dark-phone": ("drift", 360, True),
    "digest-mail": ("digest", 700, False),
    "digest-mail-dark-phone": ("digest", 360, True),
    "node-lost-mail-dark-phone": ("node-lost", 360, True),
    "silence-ended-mail": ("silence-ended", 700, False),
    "test-mail": ("test", 700, False),
}
MAX_HEIGHT_PX = 16000


def page_of(path: Path) -> str:
    """The HTML of a page, or the HTML part of a mail."""
    if path.suffix != ".eml":
        return path.read_text(encoding="utf-8")
    body = message_from_bytes(path.read_bytes(), policy=policy.default).get_body(("html", "plain"))
    if body is None:
        raise SystemExit(f"{path} has neither an HTML nor a text part")
    return str(body.get_content())


def shoot(page: str, target: Path, *, width: int, dark: bool, scale: float) -> None:
    """Writes the picture of a page `width` CSS pixels wide."""
    browser = _browser()
    with tempfile.TemporaryDirectory() as scratch:
        inner = Path(scratch, "mail.html")
        inner.write_text(page, encoding="utf-8")
        height = min(_measure(browser, scratch, inner, width, dark=dark)[1], MAX_HEIGHT_PX)
        shot = Path(scratch, "shot.png")
        frame = _frame(scratch, inner, width, height, report=False)
        _run(
            browser,
            scratch,
            frame,
            [f"--screenshot={shot}", f"--window-size={width},{height}", f"--force-device-scale-factor={scale}"],
            dark=dark,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shot, target)


def shoot_samples(folder: Path, only: str) -> int:
    """Draws the samples whose names contain `only` in four ways; the number of pictures that are wider than the screen."""
    from mailsamples import samples  # noqa: PLC0415 - needs the package installed, which a picture of an .eml does not

    too_wide = 0
    for name, mail in samples().items():
        if only not in name:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text(f"Subject: {mail.subject}\n\n{mail.text}", encoding="utf-8")
        for width in WIDTHS:
            overflow = overflow_px(mail.html, width)
            too_wide += overflow > 0
            print(
                f"{name} {width} px: {'fits' if overflow <= 0 else f'is {overflow} px too wide'}, {len(mail.html.encode())} B of HTML"
            )
            for dark in (False, True):
                target = folder / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                shoot(mail.html, target, width=width, dark=dark, scale=1.0)
    return too_wide


def shoot_docs(folder: Path, only: str) -> None:
    """Draws the pictures of the documentation, small."""
    from mailsamples import samples  # noqa: PLC0415 - as above
    from smallpng import shrink  # noqa: PLC0415 - as above

    mails = samples()
    for name, (sample, width, dark) in PICTURES.items():
        if only not in name:
            continue
        target = folder / f"{name}.png"
        shoot(mails[sample].html, target, width=width, dark=dark, scale=1.0)
        target.write_bytes(shrink(target.read_bytes()))
        print(f"{target}: {target.stat().st_size} B")


def overflow_px(page: str, width: int) -> int:
    """By how many pixels the page is wider than its screen."""
    with tempfile.TemporaryDirectory() as scratch:
        inner = Path(scratch, "mail.html")
        inner.write_text(page, encoding="utf-8")
        return _measure(_browser(), scratch, inner, width, dark=False)[0] - width


def _frame(scratch: str, inner: Path, width: int, height: int, *, report: bool) -> Path:
    """A page that holds the mail in a frame: Chromium lays no page out narrower than 500 pixels, but cuts the picture to the size asked for."""
    script = (
        "<script>document.querySelector('iframe').onload=e=>{let d=e.target.contentDocument.documentElement;"
        "document.title=d.scrollWidth+' '+d.scrollHeight}</script>"
        if report
        else ""
    )
    frame = Path(scratch, "frame.html")
    frame.write_text(
        "<!DOCTYPE html><meta name=color-scheme content='light dark'><body style='margin:0'>"
        f"<iframe src='{inner.name}' style='border:0;display:block;width:{width}px;height:{height}px'></iframe>{script}",
        encoding="utf-8",
    )
    return frame


def _measure(browser: str, scratch: str, inner: Path, width: int, *, dark: bool) -> tuple[int, int]:
    """Width and height that the page takes in a frame of this width."""
    frame = _frame(scratch, inner, width, 100, report=True)
    out = _run(browser, scratch, frame, ["--dump-dom", "--allow-file-access-from-files"], dark=dark)
    found = re.search(r"<title>(\d+) (\d+)</title>", out)
    if found is None:
        raise SystemExit("chromium did not tell the size of the page")
    return int(found[1]), int(found[2])


def _browser() -> str:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("chromium is missing; on Debian: apt-get install chromium")
    return browser


def _run(browser: str, scratch: str, page: Path, extra: list[str], *, dark: bool) -> str:
    theme = (
        ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]
        if dark
        else ["--blink-settings=preferredColorScheme=1"]
    )
    command = [browser, *_FLAGS, *theme, f"--user-data-dir={scratch}/profile", *extra, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise SystemExit(f"chromium ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("target", type=Path, nargs="?")
    parser.add_argument(
        "--samples", type=Path, metavar="FOLDER", help="draw every mail of mailsamples into this folder"
    )
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="draw the pictures of the documentation into this folder"
    )
    parser.add_argument("--only", default="", help="with --samples and --docs: only those whose name contains this")
    parser.add_argument("--width", type=int, default=700)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="device pixels for each CSS pixel")
    arguments = parser.parse_args()
    if arguments.samples is not None:
        return 1 if shoot_samples(arguments.samples, arguments.only) else 0
    if arguments.docs is not None:
        shoot_docs(arguments.docs, arguments.only)
        return 0
    if arguments.source is None or arguments.target is None:
        parser.error("give a mail and a picture, or --samples")
    shoot(
        page_of(arguments.source), arguments.target, width=arguments.width, dark=arguments.dark, scale=arguments.scale
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
