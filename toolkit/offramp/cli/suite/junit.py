"""Results as JUnit XML: a suite for each test and board, a case for each check, as CI servers read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from offramp.cli.suite.outcome import Outcome

# What XML 1.0 cannot hold.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def junit(outcomes: Sequence[Outcome]) -> bytes:
    root = ElementTree.Element("testsuites", name="offramp")
    for outcome in outcomes:
        root.append(suite(outcome))
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(child.get(key, "0")) for child in root)))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def suite(outcome: Outcome) -> ElementTree.Element:
    name = f"{outcome.case}.{outcome.board}"
    found = ElementTree.Element("testsuite", name=name, time=f"{outcome.seconds:.3f}")
    if outcome.record is not None:
        properties = ElementTree.SubElement(found, "properties")
        for key, value in {**outcome.record.run.figures, **outcome.record.run.tools}.items():
            ElementTree.SubElement(properties, "property", name=key, value=clean(str(value)))
    for check in outcome.checks:
        case = ElementTree.SubElement(found, "testcase", classname=name, name=check.name)
        if check.failure:
            ElementTree.SubElement(case, "failure", message=clean(check.failure))
    if outcome.error is not None:
        case = ElementTree.SubElement(found, "testcase", classname=name, name="run")
        error = ElementTree.SubElement(case, "error", message=clean(outcome.error.message))
        error.text = clean(outcome.error.hint)
    found.set("tests", str(len(found.findall("testcase"))))
    found.set("failures", str(len(found.findall("testcase/failure"))))
    found.set("errors", str(len(found.findall("testcase/error"))))
    return found


def clean(text: str) -> str:
    return _CONTROL.sub("?", text)
