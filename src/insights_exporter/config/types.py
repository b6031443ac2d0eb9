"""Types of settings: pydantic's types with the parsing, the wording and the JSON Schema of exporter.yaml."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from yarl import URL

from insights_exporter.config.errors import quote, suggest
from insights_exporter.secrets import MASK, SecretSource

__all__ = [
    "GO_UNITS",
    "THREE_FORMS",
    "UNITS",
    "CoderUrl",
    "CurrencyCode",
    "Day",
    "Expected",
    "FamilyName",
    "HttpUrl",
    "NonNegativeSeconds",
    "OutputPath",
    "PositiveNumber",
    "PositiveSeconds",
    "ReadableFile",
    "SecretText",
    "SettingsSection",
    "ShellPattern",
    "Text",
    "WindowName",
    "api_base_url",
    "invalid",
    "parse_duration",
    "unique",
]

UNITS: Final[Mapping[str, float]] = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Units of exporter.yaml, in seconds."""

GO_UNITS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
"""Units of Go's ``time.ParseDuration``, the grammar of the web configuration file; it has no days."""

_PART: Final = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h|d)"
_DURATION: Final = re.compile(f"(?:{_PART})+")


def parse_duration(text: str, units: Mapping[str, float] = UNITS) -> float:
    """Return the seconds of a duration; raise ValueError for other texts and other units."""
    if not _DURATION.fullmatch(text):
        raise ValueError("not a duration")
    parts = re.findall(_PART, text)
    if any(unit not in units for _, unit in parts):
        raise ValueError("unknown unit")
    return float(sum(float(number) * units[unit] for number, unit in parts))


T = TypeVar("T")

WINDOW_PATTERN: Final = r"^(today|yesterday|[1-9][0-9]{0,2}d)$"
THREE_FORMS: Final = "x-three-forms"
"""Property of a secret in pydantic's JSON Schema; the published schema has the three forms instead."""

URL_EXPECTED: Final = "an http(s) URL"


@dataclass(frozen=True, slots=True)
class Expected:
    """Metadata of a type: the words after ``expected`` in an error message and in the documentation."""

    text: str


@dataclass(frozen=True, slots=True)
class SecretText:
    """Metadata of a secret, which the file holds as ``KEY_file``, ``KEY_env`` or ``KEY``.

    The model holds a SecretSource. Every dump shows the mask.
    """

    expected: str
    min_length: int = 1

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """Accept a SecretSource, which is a Protocol, or None."""

        def validate(value: Any) -> SecretSource | None:
            if value is None or callable(getattr(value, "read", None)):
                return value  # type: ignore[no-any-return]  # Every object with read() is a SecretSource.
            raise invalid(self.expected, "another value")

        return core_schema.no_info_plain_validator_function(
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: None if value is None else MASK
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of the literal form with a mark for ``schema.json_schema``."""
        return {"type": "string", "minLength": self.min_length, THREE_FORMS: True}


class SettingsSection(BaseModel):
    """Base of all sections of the settings: immutable, without unknown keys.

    Defaults are validated, too: a changed key can conflict with the default of another one.
    Errors never contain the input, which may hold a secret.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


def invalid(expected: str, found: str) -> PydanticCustomError:
    """Return an error that config.loading turns into a Problem with these texts."""
    return PydanticCustomError(
        "invalid_setting", "expected {expected}, got {found}", {"expected": expected, "found": found}
    )


def unique(values: tuple[T, ...]) -> tuple[T, ...]:
    """Return the values without duplicates, in their order."""
    return tuple(dict.fromkeys(values))


def _seconds(*, allow_zero: bool) -> tuple[Expected, BeforeValidator, WithJsonSchema]:
    expected = f"seconds {'>= 0' if allow_zero else '> 0'}, or a duration such as 5m or 1h30m"

    def parse(value: Any) -> Any:
        text = value.strip() if isinstance(value, str) else value
        try:
            seconds = float(text)
        except (TypeError, ValueError):
            try:
                seconds = parse_duration(text)
            except (TypeError, ValueError):
                raise invalid(expected, _describe(value)) from None
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not allow_zero):
            raise invalid(expected, _describe(value))
        return seconds

    number: dict[str, Any] = {"type": "number"} | ({"minimum": 0} if allow_zero else {"exclusiveMinimum": 0})
    duration = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]*)?(ms|s|m|h|d)?)+$"}
    return Expected(expected), BeforeValidator(parse), WithJsonSchema({"anyOf": [number, duration]})


_POSITIVE, _POSITIVE_PARSER, _POSITIVE_SCHEMA = _seconds(allow_zero=False)
_ZERO, _ZERO_PARSER, _ZERO_SCHEMA = _seconds(allow_zero=True)

PositiveSeconds = Annotated[float, _POSITIVE, _POSITIVE_PARSER, _POSITIVE_SCHEMA]
NonNegativeSeconds = Annotated[float, _ZERO, _ZERO_PARSER, _ZERO_SCHEMA]


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return quote(str(value))


def _text(expected: str) -> Callable[[str], str]:
    def validate(value: str) -> str:
        if not value.strip():
            raise invalid(expected, "nothing")
        return value

    return validate


Text = Annotated[str, Expected("a text"), AfterValidator(_text("a text")), Field(min_length=1)]
ShellPattern = Annotated[
    str, Expected("a shell pattern"), AfterValidator(_text("a shell pattern")), Field(min_length=1)
]

PositiveNumber = Annotated[float, Expected("a number above 0"), Field(gt=0, allow_inf_nan=False)]
CurrencyCode = Annotated[str, Expected("a currency code such as EUR"), Field(pattern=r"^[A-Z]{3}$")]

_WINDOW_EXPECTED: Final = '"today", "yesterday" or days such as "7d"'


def _parse_window_name(value: str) -> str:
    if not re.fullmatch(WINDOW_PATTERN, value.strip()):
        raise invalid(_WINDOW_EXPECTED, quote(value))
    return value.strip()


WindowName = Annotated[
    str,
    Expected(_WINDOW_EXPECTED),
    AfterValidator(_parse_window_name),
    WithJsonSchema({"type": "string", "pattern": WINDOW_PATTERN}),
]

_DAY_EXPECTED: Final = "a date such as 2026-01-01"


def _parse_day(value: Any) -> Any:
    """Return an ISO date; pydantic alone would accept a Unix timestamp, too."""
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value.strip())
    except ValueError:
        raise invalid(_DAY_EXPECTED, quote(value)) from None


Day = Annotated[date, Expected(_DAY_EXPECTED), BeforeValidator(_parse_day)]


def _check_family_name(name: str, info: ValidationInfo) -> str:
    """Refuse names of families that the validation context does not list; accept all without a context."""
    known = (info.context or {}).get("family_names")
    if known is not None and name not in known:
        raise invalid("the full name of a metric family", quote(name) + suggest(name, known))
    return name


FamilyName = Annotated[str, Expected("the full name of a metric family"), AfterValidator(_check_family_name)]

_FILE_EXPECTED: Final = "the path of a readable file"


def _parse_path(value: Any) -> Any:
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise invalid("a path", quote(value.strip()))
    return value


def _check_readable(path: Path, info: ValidationInfo) -> Path:
    """Refuse unreadable files while a configuration is loaded."""
    if info.context is None:
        return path
    try:
        path.open("rb").close()
    except OSError as error:
        raise invalid(_FILE_EXPECTED, f"{path}: {error.strerror}") from None
    return path


OutputPath = Annotated[Path, Expected("a path"), BeforeValidator(_parse_path)]
ReadableFile = Annotated[
    Path, Expected(_FILE_EXPECTED), BeforeValidator(_parse_path), AfterValidator(_check_readable)
]


def _parse_http_url(value: str) -> str:
    """Return a URL of http or https without user and password, which logs and pages would show."""
    text = value.strip()
    try:
        url = URL(text)
        valid = url.scheme in {"http", "https"} and bool(url.host) and url.port is not None
    except ValueError:
        url, valid = URL(), False
    if not valid:
        # A text with "@" may hold a password: the message does not repeat it.
        raise invalid(URL_EXPECTED, "another text" if "@" in text else quote(text))
    if url.user is not None or url.password is not None:
        raise invalid(f"{URL_EXPECTED} without user and password", "a URL with a user or password")
    return text


def _parse_coder_url(value: str) -> str:
    api_base_url(value)
    return value.strip()


def api_base_url(text: str) -> URL:
    """Return the base URL of a deployment's API.

    The deployment's URL may have a path prefix. Raise PydanticCustomError, a ValueError, for unusable URLs.
    """
    url = URL(_parse_http_url(text))
    if url.query_string or url.fragment or text.rstrip().endswith("?"):
        raise invalid(URL_EXPECTED, "a URL with a query or fragment")
    path = url.path.rstrip("/")
    return url.with_path(path.removesuffix("/api/v2") + "/api/v2")


_URL_SCHEMA: Final = WithJsonSchema({"type": "string", "pattern": r"^\s*https?://[^@]+$"})

HttpUrl = Annotated[
    str, Expected(f"{URL_EXPECTED} without user and password"), AfterValidator(_parse_http_url), _URL_SCHEMA
]
CoderUrl = Annotated[str, Expected(URL_EXPECTED), AfterValidator(_parse_coder_url), _URL_SCHEMA]
