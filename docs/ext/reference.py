"""The reference: docstrings as Sphinx wants them, and whether anything is missing.

lowthread's docstrings are plain text, so that `help()` reads well: `name: what it is` for each
argument, sentences that begin with "Raises", and single backticks around code. Here they become
lists of arguments, and so on. What is said nowhere in a docstring is where the rule comes from:
that is the field `Rule` beside the `auto...` directives in reference/*.md.
"""

import inspect
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

import lowthread

logger = logging.getLogger(__name__)

_ENTRY = re.compile(r"(\w+): +(.*)")
_LISTED = re.compile(r"(\w+)\(\) -- (.*)")
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_SENTENCE = re.compile(r"(?:(?<=^)|(?<=\. ))(Raises|Returns) ")


def _parameters(thing):
    """Return the names of the arguments that a caller of `thing` can give."""
    try:
        names = list(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return []
    return names[1:] if names[:1] == ["self"] else names


def _paragraphs(lines):
    text = "\n".join(lines).strip()
    return [block.split("\n") for block in re.split(r"\n\s*\n", text) if block.strip()]


def _entries(block, names):
    """Return [(name, text)] if this is a paragraph about arguments, else None."""
    entries = []
    for line in block:
        match = _ENTRY.match(line)
        if match and (match[1] in names or not names):
            entries.append([match[1], match[2]])
        elif entries:
            entries[-1][1] += " " + line.strip()
        else:
            return None
    return entries


def _link(within):
    def replace(match):
        text = match[1]
        name = re.sub(r"\(.*\)$", "", text)
        for candidate in (name, f"{within}.{name}"):
            owner, _, member = candidate.rpartition(".")
            place = getattr(lowthread, owner, None) if owner else lowthread
            known = member in vars(place) if owner and place else candidate in lowthread.__all__
            if known:
                return f":py:obj:`{text} <lowthread.{candidate}>`"
        return f"``{text}``"

    return replace


def _as_fields(text):
    """Return (text before, [(label, text)]) for a paragraph with what is raised or returned."""
    before, *rest = _SENTENCE.split(text)
    fields = []
    for label, told in zip(rest[::2], map(str.strip, rest[1::2])):
        if told.startswith("an auditing event "):
            fields.append(("Audit event", told.removeprefix("an auditing event ")))
        else:
            fields.append((label, told))
    return before.strip(), fields


def process_docstring(app, what, name, thing, options, lines):
    """Rewrite a docstring, which is `lines`, as reStructuredText."""
    names = _parameters(thing) if what in ("function", "method") else []
    text, arguments, raised = [], [], []
    for block in _paragraphs(lines):
        entries = _entries(block, names) if names or what == "class" else None
        if entries and what == "class":  # what an object has, which its properties tell better
            continue
        if entries:
            arguments += [f":param {entry}: {told}" for entry, told in entries]
        elif all(_LISTED.match(line) for line in block):
            text += [f"- `{m[1]}()`: {m[2]}" for m in map(_LISTED.match, block)] + [""]
        else:
            before, fields = _as_fields(" ".join(line.strip() for line in block))
            text += [before, ""] if before else []
            raised += [f":{label}: {told}" for label, told in fields]
    within = name.removeprefix("lowthread.").rpartition(".")[0]
    if what == "class":
        within = name.removeprefix("lowthread.")
    lines[:] = [_CODE.sub(_link(within), line) for line in [*text, *arguments, *raised, ""]]


def process_signature(app, what, name, thing, options, signature, returned):
    """Leave out what types are called with: nothing, or what they ignore."""
    return ("", None) if what == "class" else None


# ---- what must not be missing ----


def check_description(app, domain, kind, content):
    """Warn about a name of which the reference does not tell all that it should."""
    if domain != "py":
        return
    signature = content.parent.next_node(addnodes.desc_signature)
    name = f"{signature['module']}.{signature['fullname']}"
    # Not those of members that are described inside this one.
    lists = [part for part in content.children if isinstance(part, nodes.field_list)]
    labels = {field[0].astext() for part in lists for field in part}
    if "Rule" not in labels:
        logger.warning("%s: it is not said where the rule comes from", name, location=signature)
    thing = lowthread
    for part in name.split(".")[1:]:
        thing = getattr(thing, part, None)
    if kind not in ("function", "method"):
        return
    for parameter in _parameters(thing):
        if f"param {parameter}" not in labels:
            logger.warning("%s: nothing about %s", name, parameter, location=signature)


def _own(cls):
    """Return the names of what a type has of its own and a program may use."""
    return [
        name
        for name, value in vars(cls).items()
        if (callable(value) and not name.startswith("__"))
        or name in ("__enter__", "__exit__")
        or (inspect.isdatadescriptor(value) and not name.startswith("_"))
    ]


def check_coverage(app, env):
    """Warn about names that are not in the reference."""
    wanted = [f"lowthread.{name}" for name in lowthread.__all__]
    for name in ("lock", "RLock", "ThreadHandle", "_ThreadHandle"):
        cls = getattr(lowthread, name)
        wanted += [f"lowthread.{name}.{member}" for member in _own(cls)]
    described = env.get_domain("py").objects
    for name in wanted:
        if name not in described:
            logger.warning("%s is not in the reference", name)


def setup(app):
    """Connect these to Sphinx."""
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("object-description-transform", check_description)
    app.connect("env-check-consistency", check_coverage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
