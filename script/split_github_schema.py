#!/usr/bin/env python3
"""Cuts the JSON Schema of all GitHub webhooks into one draft-07 schema per event.

Usage: split_github_schema.py GITHUB_SCHEMA OUTPUT_FOLDER [EVENT...]

Each file holds one event with only the definitions it needs, in GitHub's own words, except that
the fields in RELAXED are no longer required: GitHub added them over the years, and older
deliveries, recorded examples and GitHub Enterprise Server do not have them.

Source: npm @octokit/webhooks-schemas, MIT licence, (c) octokit.
"""

import json
import pathlib
import sys

EVENTS = ["push", "pull_request", "issues", "ping"]

RELAXED = [
    "active_lock_reason",
    "auto_merge",
    "custom_properties",
    "deliveries_url",
    "is_template",
    "reactions",
    "topics",
    "visibility",
    "web_commit_signoff_required",
]

RELAXED_IN = {"label": ["description"]}

COMMENT = (
    "From @octokit/webhooks-schemas 7.6.1, MIT licence, copyright (c) octokit; "
    "cut out by split_github_schema.py. Relaxed: not required any more are {}."
)


def references(schema):
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix("#/definitions/")
        for member in schema.values():
            yield from references(member)
    elif isinstance(schema, list):
        for item in schema:
            yield from references(item)


def relax(schema, names, relaxed):
    """A copy that does not require `names`; `relaxed` gathers those that were required."""
    if isinstance(schema, list):
        return [relax(item, names, relaxed) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: relax(member, names, relaxed) for key, member in schema.items()}
    if isinstance(copy.get("required"), list):
        relaxed.update(set(copy["required"]) & set(names))
        copy["required"] = [name for name in copy["required"] if name not in names]
    return copy


def cut_out(event, definitions):
    if f"{event}_event" in definitions:
        root = definitions[f"{event}_event"]
    else:
        root = definitions[f"{event}$event"]
    needed, waiting = set(), list(references(root))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(references(definitions[name]))
    relaxed = set()
    body = relax(root, RELAXED, relaxed)
    kept = {
        name: relax(definitions[name], RELAXED + RELAXED_IN.get(name, []), relaxed)
        for name in sorted(needed)
    }
    comment = COMMENT.format(", ".join(sorted(relaxed)) or "none")
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "$comment": comment}
    return head | {key: value for key, value in body.items() if key != "$schema"} | {"definitions": kept}


def main(source, folder, *events):
    definitions = json.loads(pathlib.Path(source).read_text(encoding="utf-8"))["definitions"]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for event in events or EVENTS:
        text = json.dumps(cut_out(event, definitions), indent=1, ensure_ascii=False)
        (folder / f"{event}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
