"""The command ``napari-hwsi doctor``: what is here, what is missing, how to get it."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import command
from .terminal import print_json


def add(commands: Any) -> None:
    """Describe the command."""
    doctor = command(commands, "doctor", run, "what is installed, what is missing and how to get it")
    doctor.add_argument("--profile", default="pocket", help="also what this profile needs, such as release")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from ..doctor import examine

    findings = examine(options.profile)
    if options.json:
        print_json([vars(finding) for finding in findings])
    else:
        mark = {"ok": "ok     ", "missing": "MISSING", "optional": "note   "}
        for finding in findings:
            remedy = f"\n{'':9}→ {finding.remedy}" if finding.remedy else ""
            print(f"{mark[finding.state]}  {finding.subject}: {finding.detail}{remedy}")
    return int(any(finding.state == "missing" for finding in findings))
