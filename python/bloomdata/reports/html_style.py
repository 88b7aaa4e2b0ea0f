"""The style of the web page of a report: light and dark, wide and narrow screens, print; no external files."""

from __future__ import annotations

# Contrast to the background is at least 4.5 (text) and 3 (bars); adjacent colours differ in more than hue.
_LIGHT = """
  --page: #ffffff; --card: #f3f5f8; --line: #d5d9e0; --text: #16181d; --muted: #565d6b;
  --kept: #1f6fb5; --padding: #858c99; --prompt: #1b8577; --lost: #c23a22;
  --dropped: #b86800; --dropped-2: #8a4e00; --dropped-3: #cc7d1c; --bad: #9b3f8f; --bad-2: #6f2a66; --bad-3: #bd63b1;
"""
_DARK = """
  --page: #14161a; --card: #1f2329; --line: #3a3f48; --text: #e9ebef; --muted: #a7aebb;
  --kept: #5aa9e6; --padding: #7d8594; --prompt: #4fc1ae; --lost: #f07a5f;
  --dropped: #e69f2e; --dropped-2: #bd7d1c; --dropped-3: #f3c57a; --bad: #d58bc9; --bad-2: #ad69a2; --bad-3: #ebbbe3;
"""

STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }}
main {{ max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }}
h3 {{ font-size: 1rem; margin: 1.5rem 0 .25rem; }}
p {{ margin: .25rem 0 .75rem; }}
code, .code th, .code td {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .875rem; overflow-wrap: anywhere; }}
.muted, small {{ color: var(--muted); }}
small {{ display: block; font-size: .8rem; font-weight: normal; overflow-wrap: anywhere; }}
figure {{ margin: .5rem 0 1.5rem; }}
ul {{ margin: .5rem 0; padding-left: 1.25rem; }}
.facts {{ display: grid; grid-template-columns: max-content 1fr; gap: .125rem 1rem; margin: 0; }}
.facts dt {{ color: var(--muted); }}
.facts dd {{ margin: 0; min-width: 0; overflow-wrap: anywhere; }}
.figures {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 13.5rem), 1fr)); gap: .5rem;
  margin: 0; }}
.figures div {{ background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .75rem; }}
.figures dt {{ color: var(--muted); font-size: .875rem; }}
.figures dd {{ margin: 0; font-size: 1.2rem; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; }}
.match {{ border-top: 1px solid var(--line); padding: .5rem 0; }}
.sides {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }}
blockquote {{ margin: .25rem 0; padding: .5rem .75rem; background: var(--card); overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
caption {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
th, td {{ padding: .3rem .5rem; text-align: right; vertical-align: top; white-space: nowrap;
  font-variant-numeric: tabular-nums; border-bottom: 1px solid var(--line); }}
thead th {{ color: var(--muted); font-size: .875rem; font-weight: normal; vertical-align: bottom; }}
tbody th {{ font-weight: normal; }}
th:first-child {{ text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; padding-left: 0; }}
td:last-child, th:last-child {{ padding-right: 0; }}
th:not(:first-child), td {{ width: 1%; }}
.histogram th:first-child {{ min-width: 0; white-space: nowrap; }}
.histogram .bar {{ width: 60%; min-width: 4rem; vertical-align: middle; }}
.settings td {{ text-align: left; white-space: normal; width: 65%; }}
svg {{ display: block; }}
.balance {{ border-radius: .25rem; margin-bottom: .5rem; }}
.balance rect {{ stroke: var(--page); stroke-width: 1px; }}
.curve {{ width: 100%; max-width: 26rem; margin-bottom: .5rem; }}
.curve * {{ fill: none; stroke: var(--line); vector-effect: non-scaling-stroke; }}
.curve polyline {{ stroke: var(--kept); stroke-width: 2px; }}
.curve .mark {{ stroke: var(--dropped); stroke-dasharray: 4 3; }}
summary {{ color: var(--muted); cursor: pointer; }}
.swatch {{ display: inline-block; margin-right: .5rem; }}
.part {{ margin-top: .25rem; border-radius: 2px; }}
.bar .part {{ margin-top: 0; height: .8rem; }}
.kept {{ fill: var(--kept); }} .padding {{ fill: var(--padding); }}
.prompt {{ fill: var(--prompt); }} .lost {{ fill: var(--lost); }}
.dropped {{ fill: var(--dropped); }} .dropped-2 {{ fill: var(--dropped-2); }} .dropped-3 {{ fill: var(--dropped-3); }}
.bad {{ fill: var(--bad); }} .bad-2 {{ fill: var(--bad-2); }} .bad-3 {{ fill: var(--bad-3); }}
@media (max-width: 40rem) {{
  main {{ padding: 1rem .75rem 3rem; }}
  h1 {{ font-size: 1.3rem; }}
  .figures {{ grid-template-columns: 1fr; gap: 0; }}
  .figures div {{ display: flex; justify-content: space-between; gap: .5rem; padding: .25rem .5rem;
    border-width: 0 0 1px; border-radius: 0; }}
  .figures dd {{ font-size: 1rem; text-align: right; }}
  table {{ font-size: .9rem; }}
  th:first-child {{ min-width: 6rem; }}
  .stack thead {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
  .stack, .stack tbody {{ display: block; }}
  .stack tr {{ display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .35rem 0; border-bottom: 1px solid var(--line); }}
  .stack th, .stack td {{ width: auto; padding: 0; border: 0; }}
  .stack tbody th {{ flex: 1 0 100%; min-width: 0; }}
  .stack td:empty {{ display: none; }}
  .stack:not(.settings) td::before {{ content: attr(data-column) " "; color: var(--muted); }}
  .facts {{ grid-template-columns: 1fr; gap: 0; }}
  .facts dd {{ margin-bottom: .375rem; }}
}}
@media print {{
  :root {{ color-scheme: light; {_LIGHT} }}
  main {{ max-width: none; padding: 0; }}
  body {{ font-size: 10pt; }}
  .scroll {{ overflow: visible; }}
  h2, h3 {{ break-after: avoid; }}
  tr, .figures div, .balance, .curve {{ break-inside: avoid; }}
}}
"""
