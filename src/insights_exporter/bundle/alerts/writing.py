"""The files that a site installs, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from insights_exporter.bundle.alerts import alertmanager, renderers, rule_groups
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.runbook import render_runbooks

__all__ = ["GENERATOR_COMMAND", "alert_files"]

GENERATOR_COMMAND: Final = "python -m tools.alerts"

_HEADER: Final = "Written by `{generator}`; change the code or its options, and not this file."


def alert_files(options: InstallOptions, *, generator: str = GENERATOR_COMMAND) -> Mapping[str, str]:
    """Return the text of each file by its path within the folder of alerts.

    ``generator`` is what the first line of each says that it was written by.
    """
    all_groups = rule_groups(options)
    documents = {
        "prometheus/recording-rules.yml": renderers.recording_rule_file(all_groups),
        "prometheus/alerting-rules.yml": renderers.alerting_rule_file(all_groups, options),
        "kubernetes/prometheusrule.yaml": renderers.prometheus_rule_manifest(all_groups, options),
        "grafana/coder-insights.yaml": renderers.grafana_rule_file(all_groups, options),
        "alertmanager.yml": alertmanager.alertmanager_config(),
    }
    header = _HEADER.format(generator=generator)
    rendered = {path: f"# {header}\n{_to_yaml(document)}" for path, document in documents.items()}
    runbooks_by_alert = render_runbooks(all_groups, options)
    return rendered | {
        f"runbooks/{name}.md": f"<!-- {header} -->\n\n{text}" for name, text in runbooks_by_alert.items()
    }


class _BlockDumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a query can be read, and lists below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _represent_text)


def _to_yaml(document: Any) -> str:
    text: str = yaml.dump(document, Dumper=_BlockDumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text
