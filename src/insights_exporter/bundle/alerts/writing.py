"""The files that a site installs, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from insights_exporter.bundle.alerts import alertmanager, forms, groups
from insights_exporter.bundle.alerts.runbook import runbooks
from insights_exporter.bundle.alerts.site import Site

__all__ = ["GENERATOR", "files"]

GENERATOR: Final = "python -m insights_exporter.bundle.alerts"

_NOTE: Final = "Written by `{generator}`; change the code or its options, and not this file."


def files(site: Site, *, generator: str = GENERATOR) -> Mapping[str, str]:
    """Return the text of each file by its path within the folder of alerts.

    ``generator`` is what the first line of each says that it was written by.
    """
    made = groups(site)
    documents = {
        "prometheus/recording-rules.yml": forms.recording(made),
        "prometheus/alerting-rules.yml": forms.alerting(made, site),
        "kubernetes/prometheusrule.yaml": forms.manifest(made, site),
        "grafana/coder-insights.yaml": forms.grafana(made, site),
        "alertmanager.yml": alertmanager.config(),
    }
    note = _NOTE.format(generator=generator)
    written = {path: f"# {note}\n{_yaml(document)}" for path, document in documents.items()}
    pages = runbooks(made, site)
    return written | {f"runbooks/{name}.md": f"<!-- {note} -->\n\n{text}" for name, text in pages.items()}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a query can be read, and lists below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - readers are people.
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(document: Any) -> str:
    written: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return written
