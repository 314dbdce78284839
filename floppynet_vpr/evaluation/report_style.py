# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The style sheet of the report: one set of colours for light and one for dark pages."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --card: #ffffff; --ink: #1b2026; --soft: #5c6672; --line: #e3e4e0;
  --right: #16874a; --wrong: #c8312b; --accent: #2a5ea8; --warn: #fff3d6;
  --s0: #2a5ea8; --s1: #c2571a; --s2: #16874a; --s3: #8a3fa0; --s4: #8a6d00; --s5: #b02a5b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1c2026; --ink: #e9ebee; --soft: #a0aab6; --line: #2f353d;
    --right: #4cc483; --wrong: #ff7a70; --accent: #82b1ff; --warn: #463814;
    --s0: #82b1ff; --s1: #ffa66b; --s2: #4cc483; --s3: #d09be8; --s4: #e0c14a; --s5: #ff8fb3;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1000px; margin: 0 auto; padding: 48px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.01em; margin: 0 0 8px; }
h2 { font-size: 19px; margin: 44px 0 12px; }
.lead { margin: 0 0 28px; color: var(--soft); max-width: 68ch; }
.lead b { color: var(--ink); font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px; }
.tile {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px;
}
.tile.first { border-color: var(--accent); box-shadow: inset 0 3px 0 var(--accent); }
.name { font-size: 13px; font-weight: 600; color: var(--soft); }
.value {
  font-size: 34px; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums;
  letter-spacing: -0.02em;
}
.value small { font-size: 16px; font-weight: 500; color: var(--soft); letter-spacing: 0; }
.note { font-size: 13px; line-height: 1.4; color: var(--soft); }
.warning { background: var(--warn); border-radius: 8px; padding: 10px 14px; margin: 20px 0 0; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 8px; background: #fff; }
figcaption { font-size: 13px; color: var(--soft); margin-top: 8px; max-width: 80ch; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 24px; }
.plots figure {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px;
}
svg { display: block; width: 100%; height: auto; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 4px 6px; overflow-x: auto; }
.card th, .card td { font-size: 13px; padding: 5px 8px; }
.card tr:last-child td { border-bottom: 0; }
.card .group td { font-weight: 600; padding-top: 14px; border-bottom: 0; white-space: normal; }
.card .group small { font-weight: 400; color: var(--soft); }
.best { font-weight: 700; }
.soft { color: var(--soft); }
h3 { font-size: 15px; margin: 22px 0 8px; }
.wide { max-width: 1180px; }
details {
  margin-top: 36px; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
}
summary { cursor: pointer; padding: 12px 16px; font-weight: 600; }
.scroll { overflow-x: auto; padding: 0 16px 16px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--right); }
.bad { color: var(--wrong); font-weight: 600; }
dl {
  display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0; font-size: 14px;
}
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 560px) {
  main { padding: 28px 16px 40px; }
  dl { grid-template-columns: 1fr; }
  dt { margin-top: 8px; }
}
@media print { details { border: 0; } }
"""
