"""A page in a headless browser: what it logs, loads and measures, and how it looks."""

import html
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--hide-scrollbars", "--enable-logging=stderr"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
MEASURE = """<!DOCTYPE html><meta charset="utf-8"><style>body {{ margin: 0 }}</style>
<iframe width="{width}" height="3000" style="border: 0" srcdoc="{page}"></iframe><pre></pre><script>
const violations = [];
addEventListener("load", () => {{
  const view = document.querySelector("iframe").contentWindow, page = view.document;
  const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg")
    && e.getBoundingClientRect().right > {width} + 0.5).map(e => e.tagName + "." + e.className);
  const images = [...page.images].map(i => [i.naturalWidth, i.naturalHeight]);
  document.querySelector("pre").textContent = JSON.stringify({{
    width: page.documentElement.scrollWidth, wide, images,
    loaded: view.performance.getEntriesByType("resource").map(e => e.name),
    text: page.body.innerText.length, height: page.documentElement.scrollHeight}});
}});
</script>"""


def browser():
    """The path of a browser; without one the test is skipped."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    return pytest.skip(f"no browser on PATH: {', '.join(NAMES)}")


def measured(text, width, folder):
    """Of a page of that width: scroll width, what reaches over its side, pictures and what was loaded."""
    path = Path(folder, "measure.html")
    path.write_text(MEASURE.format(width=width, page=html.escape(text)), "utf-8")
    said = _run(folder, "--dump-dom", path.as_uri())
    return json.loads(html.unescape(said.rpartition("<pre>")[2].partition("</pre>")[0]))


def screenshot(path, width, height, folder, *, dark=False):
    """The pixels (height, width, 3) of a page."""
    from PIL import Image

    target = Path(folder, f"{width}-{'dark' if dark else 'light'}.png")
    colours = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    size = f"--window-size={width},{height}"
    _run(folder, colours, size, f"--screenshot={target}", Path(path).as_uri())
    with Image.open(target) as image:
        return np.asarray(image.convert("RGB"))


def _run(folder, *arguments):
    """What the browser prints; a line in its console is an error."""
    command = [browser(), *FLAGS, f"--user-data-dir={folder}/profile", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
    return done.stdout
