"""marshmallow schemas as JSON Schema 2020-12. The only importer of apispec, which is an extra of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from marshmallow import RAISE, Schema, fields, validate

from users_server.core.messages import JSON
from users_server.definitions.files import prose
from users_server.definitions.patterns import portable
from users_server.schemas.fields import Input, Output

try:
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin
    from apispec.ext.marshmallow.common import resolve_schema_cls
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"The definitions need {error.name}: pip install 'users-server[definitions]'", name=error.name
    ) from error

DIALECT = "https://json-schema.org/draft/2020-12/schema"

JsonSchema: TypeAlias = dict[str, Any]
SchemaClass: TypeAlias = type[Schema]
AttributeFunction: TypeAlias = Callable[..., dict[str, JSON]]

_ORDER = (
    "$schema",
    "$ref",
    "title",
    "description",
    "type",
    "format",
    "const",
    "enum",
    "default",
    "examples",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "additionalProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "$defs",
)
_PLACES = {keyword: place for place, keyword in enumerate(_ORDER)}


class Shapes:
    """
    Makes JSON Schemas, and collects those that others refer to.

    Args:
        prefix: What every reference begins with, for instance ``#/$defs/``.
        name_of: The name of a schema that is referred to; by default the name of its class.
        attributes: What to add to the schema of a field, as apispec's attribute functions.
    """

    def __init__(
        self,
        prefix: str,
        *,
        name_of: Callable[[SchemaClass], str] = lambda schema: schema.__name__,
        attributes: tuple[AttributeFunction, ...] = (),
    ) -> None:
        self._prefix = prefix
        self._name_of = name_of
        self._classes: dict[str, SchemaClass] = {}
        plugin = MarshmallowPlugin(schema_name_resolver=self._resolve_name)
        self._spec = APISpec("", "", "3.1.0", plugins=[plugin])
        self._converter = cast("Any", plugin.converter)  # there is none before the plugin belongs to a spec
        for function in (_exclusive_bounds, *attributes):
            self._converter.add_attribute_function(function)

    def inline(self, schema: SchemaClass) -> JsonSchema:
        """The shape of ``schema`` itself; the schemas nested in it are referred to."""
        return self._finish(self._converter.schema2jsonschema(schema), schema)

    def reference(self, schema: SchemaClass) -> JsonSchema:
        """A reference to ``schema``, which is collected."""
        reference: JsonSchema = self._tidy(self._converter.resolve_nested_schema(schema))
        return reference

    def parameters(self, schema: SchemaClass) -> list[dict[str, JSON]]:
        """The fields of a query's schema as parameters of OpenAPI."""
        parameters = self._converter.schema2parameters(schema, location="query")
        return [
            {key: self._tidy(parameter[key]) for key in ("name", "in", "description", "schema") if key in parameter}
            for parameter in parameters
        ]

    @property
    def collected(self) -> dict[str, JsonSchema]:
        """All that was referred to so far, in the order in which that happened."""
        schemas = self._spec.to_dict().get("components", {}).get("schemas", {})
        return {name: self._finish(schema, self._classes[name]) for name, schema in schemas.items()}

    def _resolve_name(self, schema: SchemaClass | Schema) -> str:
        schema_class: Any = resolve_schema_cls(schema)
        name = self._name_of(schema_class)
        if self._classes.setdefault(name, schema_class) is not schema_class:
            raise ValueError(f"Two schemas would be called {name}: {schema_class} and {self._classes[name]}")
        return name

    def _finish(self, shape: JsonSchema, schema: SchemaClass) -> JsonSchema:
        shape = dict(shape)
        if issubclass(schema, Output) and schema().unknown == RAISE:
            # nothing is loaded through it, so that says nothing; a later version may send more
            shape.pop("additionalProperties", None)
        if issubclass(schema, Input) and schema.exactly_one:
            shape["oneOf"] = [{"required": [name]} for name in schema.exactly_one]
        if text := prose(schema):
            shape.setdefault("description", text)
        tidied: JsonSchema = self._tidy(shape)
        return tidied

    def _tidy(self, schema: Any) -> Any:
        """``schema`` with its keywords in one order, references to where we keep definitions, portable patterns."""
        if not isinstance(schema, Mapping):
            return schema
        keywords = sorted(schema, key=lambda keyword: (_PLACES.get(keyword, len(_PLACES)), keyword))
        return {keyword: self._tidy_value(keyword, schema[keyword]) for keyword in keywords}

    def _tidy_value(self, keyword: str, value: Any) -> Any:
        if keyword == "properties":
            return {name: self._tidy(inner) for name, inner in value.items()}
        if keyword in ("items", "additionalProperties"):
            return self._tidy(value)
        if keyword in ("allOf", "anyOf", "oneOf"):
            return [self._tidy(inner) for inner in value]
        if keyword == "$ref":
            return self._prefix + value.rpartition("/")[2]
        if keyword == "pattern":
            return portable(value)
        return int(value) if isinstance(value, float) and value.is_integer() else value


def _exclusive_bounds(_converter: Any, field: fields.Field[Any], ret: JsonSchema, **_: Any) -> dict[str, JSON]:
    """apispec takes every bound of a range for an inclusive one."""
    bounds: dict[str, JSON] = {}
    for validator in field.validators:
        if isinstance(validator, validate.Range):
            if not validator.min_inclusive and ret.pop("minimum", None) is not None:
                bounds["exclusiveMinimum"] = validator.min
            if not validator.max_inclusive and ret.pop("maximum", None) is not None:
                bounds["exclusiveMaximum"] = validator.max
    return bounds
