"""The path of Chromium, and scripts for tests of pages."""

from __future__ import annotations

import shutil
from typing import Final

__all__ = ["CHROMIUM", "CONTRAST_SCRIPT"]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
"""Path of the program; None if it is not installed."""

CONTRAST_SCRIPT: Final = """
() => {
  const parse = text => { const v = text.match(/[\\d.]+/g).map(Number);
    return v.length < 4 ? [...v, 1] : v; };
  const light = rgb => { const c = rgb.slice(0, 3).map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; };
  const back = node => { for (let n = node; n; n = n.parentElement) {
    const c = parse(getComputedStyle(n).backgroundColor);
    if (c[3] > 0) return c; } return [255, 255, 255, 1]; };
  const faint = []; let seen = 0;
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || node.closest('.visually-hidden') || node.localName === 'title') continue;
    const style = getComputedStyle(node);
    const color = parse(node.ownerSVGElement ? style.fill : style.color);
    const [a, b] = [light(color), light(back(node))].sort((x, y) => y - x);
    seen += 1;
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(node.outerHTML.slice(0, 80));
  }
  return [seen, faint];
}
"""
"""Returns the number of checked elements, and those whose text has a contrast below 4.5 to 1."""
