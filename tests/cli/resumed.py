"""Certifications that are stopped, and all that a run wrote."""

from __future__ import annotations

import json
import re

from certlip.certification import Certifier

TIMES = ("seconds", "throughput", "throughput_reason", "timed")
N = 600
BATCH = 256


def content(folder):
    """All that a run wrote, without its times."""
    files = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    document = json.loads(files.pop("report.json"))
    files["report.json"] = {k: v for k, v in document.items() if k not in TIMES}
    page = files.pop("report.html").decode()
    shown = r"Throughput</dt>.*?</div>|<tr><th scope=\"row\">Time</th>.*?</tr>"
    page, times = re.subn(shown, "", page, flags=re.DOTALL)
    assert times == 2
    files["report.html"] = page
    return files


def interrupted(monkeypatch, at, error=KeyboardInterrupt):
    """Certification raises when it comes to batch `at`."""
    original, seen = Certifier.__call__, []

    def call(self, *args, **options):
        if len(seen) == at:
            raise error
        seen.append(args)
        return original(self, *args, **options)

    monkeypatch.setattr(Certifier, "__call__", call)
