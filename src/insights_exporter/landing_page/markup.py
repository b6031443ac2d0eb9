"""HTML that is escaped unless it says that it is not."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

__all__ = ["Child", "Markup", "element", "fragment", "isolated_name"]

_VOID = frozenset(("meta", "link", "br", "hr"))
_MAX_NAME_LENGTH = 128
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already; only this module makes it."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
Attribute: TypeAlias = str | int | float | bool | None


def element(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element; ``class_`` and ``aria_label`` become ``class`` and ``aria-label``.

    A child that is no markup is escaped. An attribute that is None or False is left out.
    """
    said = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_escaped(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Markup(f"<{tag}{said}>")
    return Markup(f"<{tag}{said}>{fragment(*children)}</{tag}>")


def fragment(*children: Child) -> Markup:
    """Return children without an element around them."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str | int):
            parts.append(_escaped(str(child)))
        elif child is not None:
            parts.append(fragment(*child))
    return Markup("".join(parts))


def isolated_name(text: str, **attributes: Attribute) -> Markup:
    """Return a name that somebody chose: cut, on one line, unable to turn the direction of others."""
    single_line = " ".join(text.split()) or "(no name)"
    if len(single_line) > _MAX_NAME_LENGTH:
        return element(
            "bdi",
            single_line[:_MAX_NAME_LENGTH] + "…",
            **{**attributes, "title": single_line[: 4 * _MAX_NAME_LENGTH]},
        )
    return element("bdi", single_line, **attributes)


def _escaped(text: str) -> str:
    return html.escape(_CONTROL_CHARACTERS.sub("\ufffd", text), quote=True)
