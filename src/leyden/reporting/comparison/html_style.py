"""The report page's CSS, light or dark by the browser's setting, without external fonts or images; text in the page."""

import html
from collections.abc import Iterable

from leyden.utils.text import printable


def escape(text: str) -> str:
    """Return text that a browser shows as it is: no markup, no end of an attribute, no control characters."""
    return html.escape(printable(text))


def document(title: str, body: Iterable[str], css: str, policy: str = "") -> str:
    """Return a whole page as HTML.

    Args:
        title: of the browser's window.
        body: pieces of HTML.
        css: of the page.
        policy: what the browser may load and run (Content-Security-Policy); "": whatever stands in the page.
    """
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{meta}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head><body>\n"
    )
    return "".join((head, *body, "</body></html>\n"))


CSS = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1b1f24; --dim: #5b6570; --line: #d9dee3; --soft: #f4f6f8;
  --link: #0b5cad; --good: #11703c; --warn: #9a5b00; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0609a;
  --c4: #b98500; --c5: #3a9bd1; --c6: #5b6570; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171a; --fg: #e4e8ec; --dim: #9aa5b0; --line: #353c44;
  --soft: #1d2227; --link: #79b8ff; --good: #56d38a; --warn: #f0b354; --c0: #58b4ea; --c1: #ff8a4a; --c2: #3fd3a6;
  --c3: #e39bcd; --c4: #f0c04a; --c5: #9bd6f5; --c6: #9aa5b0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1.5rem 1.5rem 4rem; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); } h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
h4 { font-size: .95rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
p, ul { margin: .4rem 0; max-width: 76ch; } .dim, figcaption, .notes { color: var(--dim); }
.notes { padding-left: 1.1rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  white-space: nowrap; } th { font-weight: 600; color: var(--dim); font-size: .85rem; vertical-align: bottom; }
td.n, th.n { text-align: right; } td.w { white-space: normal; min-width: 9rem; } th { white-space: normal; }
tbody tr:hover { background: var(--soft); }
td.n a { color: inherit; } td.n a:hover { color: var(--link); }
.good { font-weight: 600; color: var(--good); } .warn { color: var(--warn); }
.mark { display: inline-block; padding: 0 .45em; margin-right: .3em; border: 1px solid var(--line); border-radius: 1em;
  font-size: .8rem; } .mark.warn { border-color: var(--warn); } .mark.good { border-color: var(--good); }
svg { display: block; width: 100%; max-width: 40rem; height: auto; font: 12px system-ui, sans-serif; fill: var(--fg); }
svg.bar { width: 150px; height: 18px; } .grid { stroke: var(--line); } .tick { fill: var(--dim); font-size: 11px; }
.whisker { stroke: var(--dim); stroke-width: 1.5; } .dot { fill: var(--c0); } .dot.off { fill: var(--dim); }
.front { fill: none; stroke: var(--c0); stroke-width: 1.5; stroke-dasharray: 5 3; }
.curve { fill: none; stroke: currentColor; stroke-width: 2; } .band { fill: currentColor; opacity: .15; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); }
figure { margin: .5rem 0; } .pair { display: flex; flex-wrap: wrap; gap: 1.5rem; } .pair svg { flex: 1 1 24rem; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; max-width: 40rem; }
.key { display: inline-block; width: 1.1em; height: .25em; margin-right: .4em; vertical-align: middle;
  background: currentColor; } .legend a { color: var(--fg); }
article { padding: .7rem .9rem; margin: .6rem 0; border: 1px solid var(--line); border-radius: 6px; }
:target { border-color: var(--link); box-shadow: 0 0 0 2px var(--link); border-radius: 6px; }
h3:target, tr:target { box-shadow: none; background: var(--soft); }
pre { margin: .4rem 0; padding: .5rem .7rem; background: var(--soft); border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; }
nav a { margin-right: 1rem; }
.more svg { max-width: 62rem; margin: .5rem 0; background: #fff; fill: #000; }
@media print { body { max-width: none; } a { color: inherit; } }
"""
