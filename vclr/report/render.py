"""Fill a template of a page: one HTML file with its styles, scripts and pictures, which opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from vclr.report.gallery import data_uri

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, *folders: Path, **content: Any) -> str:
    """Return the page.

    Args:
        template: the name of its file in this room's templates, or in `folders`.
        folders: more folders of templates.
        content: what the template names.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, *folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["source"] = lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8"))
    environment.filters |= {"data_uri": data_uri}
    return environment.get_template(template).render(content)
