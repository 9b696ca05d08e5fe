"""Whether answers in JSON keep to the schema of their case. Validation is jsonschema's."""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from typing import Any

from tuneval.errors import MetricError
from tuneval.metrics.additive import MeanOfTexts
from tuneval.metrics.json_answer import parse, read_json
from tuneval.types import Case, StatisticKind, Unit

KEY = "schema"
"""Input of a case: its schema, as JSON text."""


class JsonSchemaValid(MeanOfTexts):
    """Share of answers whose JSON is valid by the schema of the case.

    References
    ----------
    JSON Schema drafts 4 to 2020-12 as jsonschema (Python) validates them; the draft is that of "$schema",
    else 2020-12. Formats are annotations, as the specification has them.
    """

    name = "json_schema_valid"
    unit: Unit = "share"
    higher_is_better = True
    statistic: StatisticKind = "proportion"
    reference = "JSON Schema Test Suite, by jsonschema"

    def check(self) -> None:
        """Is jsonschema here? Raises MetricError."""
        if importlib.util.find_spec("jsonschema") is None:
            raise MetricError(
                f'metric "{self.name}" needs jsonschema: pip install "tuneval[extract]".'
            )

    def value(self, case: Case, text: str | None) -> float:
        """1 or 0.

        Raises
        ------
        MetricError
            The case has no schema, or one that is no schema.
        """
        schema = case.inputs.get(KEY)
        if not isinstance(schema, str):
            raise MetricError(
                f'metric "{self.name}": case "{case.id}" has no schema. '
                f'Give it a column "{KEY}", or leave the metric out.'
            )
        found = None if text is None else read_json(text)
        return float(found is not None and is_valid(found.value, schema, case.id))

    def signature(self) -> str:
        """Whose verdict it is."""
        self.check()
        from importlib.metadata import version

        return f"jsonschema:{version('jsonschema')}|formats:annotations"


def is_valid(value: Any, schema: str, case_id: str = "") -> bool:
    """Does a value keep to a schema (JSON text)? No other document is fetched.

    Raises
    ------
    MetricError
        The schema is none, or it refers to a document that is not here.
    """
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        return bool(_validator(schema).is_valid(value))
    except SchemaError as error:
        raise MetricError(f'case "{case_id}": its schema is none: {error.message}.') from error
    except Unresolvable as error:
        raise MetricError(
            f'case "{case_id}": its schema refers to "{error.ref}", which is not in it.'
        ) from error
    except RecursionError:
        return False


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from jsonschema_specifications import REGISTRY as SPECIFICATIONS
    from referencing import Registry
    from referencing.exceptions import NoSuchResource
    from referencing.jsonschema import SchemaResource

    def nowhere(uri: str) -> SchemaResource:
        raise NoSuchResource(uri)  # a schema must not make this program open an address

    found = parse(schema)
    if found is None or not isinstance(found.value, dict | bool):
        raise MetricError(f"a schema is no JSON object: {json.dumps(schema[:60])}.")
    kind = validator_for(found.value, default=Draft202012Validator)
    kind.check_schema(found.value)
    known = SPECIFICATIONS.combine(Registry(retrieve=nowhere))
    return kind(found.value, registry=known)
