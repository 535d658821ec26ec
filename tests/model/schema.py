"""The keys that a document may have, from its schema."""

import json
from collections.abc import Iterator

from pydantic import BaseModel


def schema_lines(model: type[BaseModel]) -> Iterator[str]:
    """A line for each key of a table and of those within it: its kind, bounds and default."""
    schema = model.model_json_schema()
    for name, table in {model.__name__: schema, **schema.get("$defs", {})}.items():
        for key, about in table["properties"].items():
            needed = "" if key not in table.get("required", ()) else " required"
            said = {k: v for k, v in about.items() if k not in ("title", "description")}
            yield f"{name}.{key}{needed} {json.dumps(said, ensure_ascii=False)}"
        assert table["additionalProperties"] is False
