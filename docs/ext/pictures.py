"""Puts pictures and tables that the build makes into the manual.

```{drawing} lock_states        a module of docs/drawings, which has draw()
What is seen.
```
```{results} ratios             a table of bench/results.md: docs/drawings/results.py
```
"""

import importlib

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList


class Drawing(Directive):
    """A drawing by the module that is named, with the text below it."""

    required_arguments = 1
    has_content = True

    def run(self):
        """Return the figure."""
        self.assert_has_content()
        picture = importlib.import_module(f"drawings.{self.arguments[0]}").draw()
        figure = nodes.figure(classes=["drawn"])
        html = f'<div class="drawn-in">{picture.svg()}</div>'
        figure += nodes.raw("", html, format="html")
        caption = nodes.caption()
        told = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, told)
        caption += told[0].children
        figure += caption
        return [figure]


class Results(Directive):
    """A table of what was measured."""

    required_arguments = 1

    def run(self):
        """Return it, from Markdown."""
        from drawings import results

        lines = getattr(results, self.arguments[0])().split("\n")
        told = nodes.Element()
        self.state.nested_parse(StringList(lines, "bench/results.md"), 0, told)
        return told.children


def setup(app):
    """Make the directives known."""
    app.add_directive("drawing", Drawing)
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
