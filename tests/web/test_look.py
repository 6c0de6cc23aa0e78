"""Style sheets and templates keep what they promise: contrast, nothing inline, nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSS = sorted((ROOT / "static/css").glob("*.css"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
GROUNDS = ("paper", "sheet", "raised", "sunk")
TINTED = ("accent", "red", "green", "amber")


def test_no_template_types_how_much_may_be_typed() -> None:
    """A box takes as much as is kept: from where it is declared. Names of keys have no such place."""
    typed = {
        f"{path.relative_to(ROOT / 'templates')}: {found}"
        for path in TEMPLATES
        for found in re.findall(r'maxlength="\d+"', path.read_text())
    }
    assert typed == {'reviews/desk/keys.html: maxlength="30"'}


def tokens() -> dict[str, tuple[str, str]]:
    """Each colour token's light and dark value."""
    text = (ROOT / "static/css/galley.css").read_text()
    found = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", text)
    return {name: (light, dark) for name, light, dark in found}


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


TEXT_ON = [
    *((text, ground) for text in ("ink", "soft", "faint", *TINTED) for ground in GROUNDS),
    *((tone, f"{tone}-soft") for tone in TINTED),
    *(("ink", f"{tone}-soft") for tone in TINTED),
    *(("soft", f"{tone}-soft") for tone in ("accent",)),
    ("ink", "mark"),
    ("on-accent", "accent"),
    ("on-accent", "accent-deep"),
    ("on-red", "red"),
    ("paper", "ink"),
    ("sheet", "green"),
    ("sheet", "amber"),
    ("sheet", "red"),
]
LONG, LONG_SHARE = 120, 0.02
EDGE_ON = [(edge, ground) for edge in ("edge", "focus", "star") for ground in GROUNDS]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [(front, back, 4.5) for front, back in TEXT_ON] + [(front, back, 3.0) for front, back in EDGE_ON],
)
def test_colours_hold_the_contrast_of_wcag_aa(front: str, back: str, least: float, theme: int) -> None:
    colours = tokens()
    assert contrast(colours[front][theme], colours[back][theme]) >= least


def test_every_token_that_a_style_sheet_uses_is_declared() -> None:
    declared = set(re.findall(r"(--[\w-]+):", (ROOT / "static/css/galley.css").read_text()))
    used = {name for sheet in CSS for name in re.findall(r"var\((--[\w-]+)", sheet.read_text())}
    assert used <= declared


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_templates_carry_nothing_that_the_content_security_policy_refuses(template: Path) -> None:
    text = re.sub(r"{% comment %}.*?{% endcomment %}", "", template.read_text(), flags=re.S)
    assert not re.search(r"<[^>]*\sstyle\s*=", text), "style attribute"
    assert not re.search(r"<[^>]*\son[a-z]+\s*=\s*[\"']", text), "inline handler"
    assert "<style" not in text
    assert not re.search(r"hx-on|hx-vals=[\"']js:", text), "needs eval"
    for script in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script, "inline script"


@pytest.mark.parametrize("path", [*CSS, *TEMPLATES], ids=lambda path: path.name)
def test_pages_load_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(?:src|href)=[\"'](?:https?:)?//[^\"']+\.(?:js|css|woff2?|png|svg)", text)
    assert not re.search(r"url\([\"']?(?:https?:)?//", text)


def test_every_font_that_the_style_sheet_names_is_served_with_its_licence() -> None:
    for file in re.findall(r"url\(\.\./fonts/([^)]+)\)", (ROOT / "static/css/galley.css").read_text()):
        assert (ROOT / "static/fonts" / file).read_bytes()[:4] == b"wOF2"
    for family in ("Inter", "Literata"):
        assert "SIL OPEN FONT LICENSE" in (ROOT / f"static/fonts/{family}-OFL.txt").read_text().upper()


def test_every_icon_that_a_template_names_exists() -> None:
    icons = set(re.findall(r'<symbol id="(\w+)"', (ROOT / "static/icons.svg").read_text()))
    for template in TEMPLATES:
        for name in re.findall(r'_icon\.html" with name="(\w+)"', template.read_text()):
            assert name in icons, f"{template.name} names {name}"


def test_hardly_a_line_of_a_template_is_long() -> None:
    """djangofmt folds text and attributes; a tag of Django's stays on its line, however long."""
    lines = [
        (f"{template.relative_to(ROOT)}:{number}", line)
        for template in TEMPLATES
        for number, line in enumerate(template.read_text().splitlines(), 1)
    ]
    long = [place for place, line in lines if len(line) > LONG]
    assert len(long) <= LONG_SHARE * len(lines), "\n".join(long)
