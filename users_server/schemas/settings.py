"""
How settings are written in config.json: the kinds of settings, and sections that load into frozen dataclasses.

Rule: whatever is wrong with a value, the field's message is ``expected``, one phrase that completes "expected …". So a
mistake reads the same whether the type, the range or the form is wrong.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, ClassVar, TypedDict, TypeVar, Unpack

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from users_server.core.messages import JSON

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

Conflict = tuple[str, str, str]
"""A key of the section, the phrase that completes "expected …", and what to do."""

S = TypeVar("S", bound="type[Section]")


class About(TypedDict, total=False):
    """
    What may be said about a setting beside its description.

    ``example`` is what the example configuration shows instead of the default, ``instance`` what the hints show.
    ``explain`` may say what to do about one particular wrong value. ``is_secret`` keeps the value out of all that is
    printed.
    """

    example: JSON
    instance: JSON
    explain: Callable[[JSON], str | None]
    is_secret: bool
    required: bool
    data_key: str


class Setting(fields.Field[Any]):
    """What all kinds share."""

    def __init__(self, expected: str, description: str, about: About, **options: Any) -> None:
        self.expected = expected
        self.description = description
        self.is_secret = about.get("is_secret", False)
        self.explain = about.get("explain")
        self._example = about.get("example")
        self._instance = about.get("instance")
        metadata: dict[str, Any] = {"description": description, **options.pop("metadata", {})}
        super().__init__(
            required=about.get("required", False), data_key=about.get("data_key"), metadata=metadata, **options
        )

    @property
    def default(self) -> JSON:
        """The default as JSON has it; :obj:`None` for a setting that must be given."""
        return self.metadata.get("default")

    @property
    def example(self) -> JSON:
        return self.default if self._example is None else self._example

    @property
    def instance(self) -> JSON:
        """A value that would be right."""
        return self.example if self._instance is None else self._instance

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        return ValidationError(self.expected)


class Whole(Setting, fields.Integer):
    def __init__(self, description: str, minimum: int, maximum: int, **about: Unpack[About]) -> None:
        expected = f"a whole number from {minimum} to {maximum}"
        limits = validate.Range(minimum, maximum, error=expected)
        super().__init__(expected, description, about, strict=True, validate=limits)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Number(Setting, fields.Float):
    """A number; ``above`` is a bound that is itself not allowed."""

    def __init__(
        self, description: str, maximum: float, *, minimum: float = 0, above: bool = False, **about: Unpack[About]
    ) -> None:
        expected = (
            f"a number {'above' if above else 'from'} {minimum:.12g} {'and up ' if above else ''}to {maximum:.12g}"
        )
        limits = validate.Range(minimum, maximum, min_inclusive=not above, error=expected)
        super().__init__(expected, description, about, validate=limits)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.make_error("invalid")
        return self._validated(value)


class Flag(Setting, fields.Boolean):
    def __init__(self, description: str, **about: Unpack[About]) -> None:
        super().__init__("true or false", description, about)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Text(Setting, fields.String):
    """Text without control characters; ``pattern`` or ``accepts`` narrow it."""

    def __init__(
        self,
        description: str,
        expected: str = "text",
        *,
        pattern: str | None = None,
        accepts: Callable[[str], bool] | None = None,
        is_multiline: bool = False,
        **about: Unpack[About],
    ) -> None:
        self._accepts = accepts
        self._is_multiline = is_multiline
        rules = [] if pattern is None else [validate.Regexp(pattern, error=expected)]
        super().__init__(expected, description, about, validate=rules)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        plain = value.replace("\n", "").replace("\r", "") if self._is_multiline else value
        if CONTROL_CHARACTERS.search(plain):
            raise ValidationError(f"{self.expected}, without control characters")
        if self._accepts is not None and not self._accepts(value):
            raise self.make_error("invalid")
        return value


class URLPath(Text):
    """The path of an address, as it stands in it: nothing has to be percent-encoded."""

    def __init__(self, description: str, **about: Unpack[About]) -> None:
        super().__init__(description, 'a path that begins with "/"', pattern=r"^/[A-Za-z0-9._~/-]*$", **about)


class Choice(Setting, fields.String):
    """One of a few words; with an enum class, its member is what the configuration holds."""

    def __init__(self, description: str, choices: type[enum.Enum] | tuple[str, ...], **about: Unpack[About]) -> None:
        self._enum = choices if isinstance(choices, type) else None
        self.choices = [str(member.value) for member in choices] if isinstance(choices, type) else list(choices)
        expected = "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        super().__init__(expected, description, about, metadata={"enum": self.choices})

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, str) or value not in self.choices:
            raise self.make_error("invalid")
        return value if self._enum is None else self._enum(value)


class ListOf(Setting, fields.List[Any]):
    """A list of one kind of settings, or of objects; the configuration holds a tuple."""

    def __init__(self, description: str, expected: str, item: fields.Field[Any], **about: Unpack[About]) -> None:
        self.item = item
        super().__init__(expected, description, about, cls_or_instance=item)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        return tuple(super()._deserialize(value, attr, data, **kwargs))


class Group(fields.Nested):
    """A section."""

    def __init__(self, schema: type[Schema], description: str, *, data_key: str | None = None) -> None:
        self.description = description
        super().__init__(schema, data_key=data_key, metadata={"description": description})


class Section(Schema):
    """Loads into :attr:`settings`. A key that is left out has the default of that class, and of nothing else."""

    settings: ClassVar[type]

    class Meta:
        unknown = RAISE

    def conflicts(self, settings: Any) -> Iterator[Conflict]:
        """What is wrong between settings that are right by themselves."""
        yield from ()

    @post_load
    def build(self, data: Mapping[str, Any], **_: Any) -> Any:
        data = {name: value for name, value in data.items() if name != "schema_url"}
        settings = self.settings(**data)
        messages = {key: [phrase, hint] for key, phrase, hint in self.conflicts(settings)}
        if messages:
            raise ValidationError(messages)
        return settings


def as_json(value: Any) -> JSON:
    """A setting's value as it is written in config.json."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [as_json(item) for item in value] if isinstance(value, tuple) else value


def camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def section(settings: type) -> Callable[[S], S]:
    """Bind a schema to the dataclass that it loads into: keys are its names in camelCase, defaults are its own."""
    defaults = {
        field.name: field.default if field.default_factory is MISSING else field.default_factory()
        for field in dataclass_fields(settings)
    }

    def bind(schema: S) -> S:
        schema.settings = settings
        for name, field in schema._declared_fields.items():
            field.data_key = field.data_key or camel_case(name)
            default = defaults.get(name, MISSING)
            if isinstance(field, Setting) and default is not MISSING and not is_dataclass(default):
                field.metadata = {**field.metadata, "default": as_json(default)}
        return schema

    return bind
