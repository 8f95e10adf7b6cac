"""JUnit XML in the form xunit2: one test case for the run and one per gate."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from certlip.report.base import Document, ReportFormat, Run, Sample, field
from certlip.report.cases import Outcome, cases
from certlip.report.numbers import finite
from certlip.report.plain import line


class JunitFormat(ReportFormat):
    """A gate that is not met is a failure; what is undecided is an error, so never green."""

    name = "junit"
    suffix = ".junit.xml"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        del samples, compare
        found = cases(document)
        failures = sum(case.outcome is Outcome.NOT_MET for case in found)
        met = sum(case.outcome is Outcome.MET for case in found)
        counts = {
            "tests": str(len(found)),
            "failures": str(failures),
            "errors": str(len(found) - failures - met),
        }
        root = ElementTree.Element("testsuites", {"name": "certlip", **counts})
        model = line(field(document, "model.path"))
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            {
                "name": f"certlip certify {model}",
                **counts,
                "skipped": "0",
                "time": f"{finite(field(document, 'seconds')) or 0.0:.3f}",
            },
        )
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in _properties(document).items():
            ElementTree.SubElement(properties, "property", {"name": name, "value": line(value)})
        for case in found:
            attributes = {"name": case.name, "classname": f"certlip.{model}", "time": "0.000"}
            element = ElementTree.SubElement(suite, "testcase", attributes)
            if case.outcome is not Outcome.MET:
                kind = "failure" if case.outcome is Outcome.NOT_MET else "error"
                said = {"type": case.outcome.value, "message": f"{case.name}: {case.message}"}
                ElementTree.SubElement(element, kind, said).text = said["message"]
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _properties(document: Document) -> dict[str, object]:
    return {
        "certlip": field(document, "certlip"),
        "model.sha256": field(document, "model.sha256"),
        "data.name": field(document, "data.name"),
        "data.sha256": field(document, "data.sha256"),
        "data.n": field(document, "data.n"),
        "lipschitz_upper": field(document, "lipschitz_upper"),
        **{f"counts.{line(name)}": count for name, count in field(document, "counts").items()},
        "exit_code": field(document, "exit_code"),
    }
