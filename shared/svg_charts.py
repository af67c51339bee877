"""Draw charts as SVG with pygal: in the colours of the page, and without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pygal.etree import etree
from pygal.graph.graph import Graph
from pygal.style import Style

LOOK: Final[dict[str, Any]] = {
    "background": "transparent",
    "plot_background": "transparent",
    "foreground": "var(--muted)",
    "foreground_strong": "var(--ink)",
    "foreground_subtle": "var(--rule)",
    "opacity_hover": "1",
    "transition": "0s",
    "font_family": "inherit",
    "guide_stroke_color": "var(--rule)",
    "major_guide_stroke_color": "var(--rule)",
    "guide_stroke_dasharray": "0",
    "major_guide_stroke_dasharray": "0",
}
PLAIN: Final[dict[str, Any]] = {"js": (), "disable_xml_declaration": True, "explicit_size": False}
"""Options of every chart."""


def style(colours: tuple[str, ...], *, label_size: int, **more: Any) -> Style:
    """Return the style of a chart.

    Args:
        colours: of its series, in CSS.
        label_size: of the labels at the axes, in pixels.
        more: pygal's options that differ from the common style.
    """
    sizes = {"label_font_size": label_size, "major_label_font_size": label_size}
    return Style(**{**LOOK, **sizes, "colors": colours, **more})


def embed(chart: Graph, title: str, add: Callable[[Any], None] = lambda _tree: None) -> str:
    """Return the SVG element of a chart for a page, with the value of each point as its tooltip.

    pygal's scripts are removed: our pages allow no inline scripts.

    Args:
        chart: what to draw.
        title: of the chart, for screen readers.
        add: adds to the tree of the drawing what pygal can't draw.
    """
    tree = chart.render_tree()
    add(tree)
    for parent in list(tree.iter("defs")):
        for script in parent.findall("script"):
            parent.remove(script)
    for found in tree.findall("title"):
        tree.remove(found)
    for group in tree.iter("g"):
        said = {part.get("class"): part.text for part in group.findall("desc") if part.text}
        if words := said.get("label") or said.get("value"):
            etree.SubElement(group, "title").text = words
    tree.set("role", "img")
    tree.set("aria-label", title)
    return str(etree.tostring(tree, encoding="unicode"))
