"""How pages look (CSS) and what the table of results does (JavaScript); both stand in the page itself."""

# Of every page.
BASE_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1d2128; --quiet: #5b6470; --line: #d9dde3; --band: #f4f6f8; --link: #0b5cad;
  --warn-ink: #8a1c12; --warn-band: #fdf0ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e4e7eb; --quiet: #9aa4b0; --line: #333a43; --band: #1d2228; --link: #7cb7f5;
    --warn-ink: #ffb4a8; --warn-band: #2c1d1b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 0 clamp(1rem, 4vw, 3rem) 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-text-size-adjust: 100%; overflow-wrap: break-word;
}
main, header { max-width: 84rem; margin: 0 auto; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 3rem 0 .6rem; }
p, li { max-width: 70ch; }
a { color: var(--link); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.wide:focus-visible { outline-offset: 0; }
.notes { color: var(--quiet); font-size: .9rem; margin: .8rem 0 0; padding-left: 1.1rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1.4rem; margin: .8rem 0 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .6rem; }
}
"""

STYLE = (
    BASE_STYLE
    + """
h1 {
  font-size: clamp(1.5rem, 1.2rem + 1.6vw, 2.2rem); line-height: 1.2;
  margin: 2.2rem 0 .6rem; text-wrap: balance;
}
section:first-child h2 { margin-top: 1.8rem; }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; }
nav a { padding: .25rem 0; }
table {
  border-collapse: separate; border-spacing: 0; font-size: .875rem; line-height: 1.35; min-width: 100%;
}
th, td {
  padding: .5rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  unicode-bidi: isolate;
}
tbody tr:last-child > * { border-bottom: 0; }
td.number, th.number { text-align: right; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.blank { color: var(--quiet); }
thead th { vertical-align: bottom; font-weight: 600; background: var(--band); min-width: 5rem; }
thead th.group {
  color: var(--quiet); border-bottom-color: transparent; padding-bottom: 0; white-space: nowrap;
}
.starts { border-left: 1px solid var(--line); }
tbody th { font-weight: 600; }
tr > .name {
  position: sticky; left: 0; z-index: 1; background: var(--paper); box-shadow: 1px 0 0 var(--line);
}
.name div { width: max-content; max-width: min(18rem, 32vw); overflow-wrap: anywhere; }
thead tr > .name { background: var(--band); min-width: 0; }
tbody tr:hover > * { background: var(--band); }
tbody tr.failed > * { background: var(--warn-band); }
.reason {
  position: sticky; left: calc(var(--first, 8rem) + .7rem); width: max-content;
  max-width: min(60ch, 52vw); color: var(--warn-ink);
}
th button {
  font: inherit; color: inherit; background: none; border: 0; padding: .3rem 0; margin: -.3rem 0;
  cursor: pointer; text-align: inherit;
}
th button::after { content: "\\a0\\2195"; color: var(--quiet); opacity: .55; }
th[aria-sort=ascending] button::after { content: "\\a0\\2191"; color: var(--link); opacity: 1; }
th[aria-sort=descending] button::after { content: "\\a0\\2193"; color: var(--link); opacity: 1; }
.choice { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 .7rem; align-items: center; }
.choice span { color: var(--quiet); font-size: .875rem; margin-right: .2rem; }
.choice button {
  font: inherit; font-size: .875rem; color: var(--ink);
  background: var(--band); border: 1px solid var(--line); border-radius: 1rem;
  padding: .3rem .85rem; cursor: pointer;
}
.choice button[aria-pressed=true] { background: var(--ink); border-color: var(--ink); color: var(--paper); }
.pictures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), max-content));
  gap: 1.6rem; margin-top: 1rem;
}
figure { margin: 0; min-width: 0; }
figure.broad { grid-column: 1 / -1; }
figure .wide { background: #fff; }
figure img { display: block; width: var(--width); max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: var(--quiet); font-size: .9rem; margin-top: .4rem; max-width: 70ch; }
@media (max-width: 40rem) {
  figure img { max-width: none; width: min(var(--width), 44rem); }
  th, td { padding: .45rem .55rem; }
}
@media print {
  @page { size: A4 landscape; margin: 10mm; }
  :root {
    --paper: #fff; --ink: #000; --quiet: #444; --line: #bbb; --band: #fff; --link: #000;
    --warn-ink: #8a1c12; --warn-band: #fff;
  }
  body { padding: 0; font-size: 9pt; }
  nav, .choice, th button::after { display: none; }
  .wide { overflow: visible; border: 0; }
  table { font-size: 6.2pt; min-width: 0; }
  th, td { padding: .8mm .7mm; }
  thead th { min-width: 0; hyphens: auto; }
  tr > .name { position: static; box-shadow: none; }
  .reason { position: static; width: auto; max-width: none; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
)

SCRIPT = """
"use strict";
(() => {
  const valueOf = (row, column) => {
    const cell = row.querySelector(`[data-column="${column}"]`);
    if (!cell || cell.classList.contains("blank")) return null;
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });

  function sort(table, heading) {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map(row => [valueOf(row, heading.dataset.column), row]);
    const known = rows.filter(([value]) => value !== null);
    const blank = rows.filter(([value]) => value === null);
    known.sort(([a], [b]) => (descending ? compare(b, a) : compare(a, b)));
    table.tBodies[0].append(...[...known, ...blank].map(([, row]) => row));
  }

  function show(table, group) {
    for (const cell of table.querySelectorAll("[data-group]"))
      cell.hidden = group !== null && cell.dataset.group !== group;
    const columns = table.querySelectorAll("thead [data-column]:not([hidden])").length;
    for (const cell of table.querySelectorAll("td.across")) cell.colSpan = columns - cell.cellIndex;
  }

  function offerGroups(table) {
    const groups = [...table.querySelectorAll("th.group")].map(th => [th.textContent, th.dataset.group]);
    if (groups.length < 2 || table.querySelectorAll("thead [data-column]").length < 11) return;
    const choice = document.createElement("div");
    choice.className = "choice";
    choice.append(Object.assign(document.createElement("span"), { textContent: "Show" }));
    for (const [name, group] of [["All", null], ...groups]) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      button.setAttribute("aria-pressed", String(group === null));
      button.addEventListener("click", () => {
        for (const other of choice.querySelectorAll("button"))
          other.setAttribute("aria-pressed", String(other === button));
        show(table, group);
      });
      choice.append(button);
    }
    table.parentElement.before(choice);
  }

  for (const table of document.querySelectorAll("table")) {
    const first = table.querySelector("th.name"); // the reason of a failed row stays beside it
    new ResizeObserver(() => table.style.setProperty("--first", `${first.offsetWidth}px`)).observe(first);
    for (const heading of table.querySelectorAll("thead th[data-column]")) {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, heading));
      heading.append(button);
    }
    offerGroups(table);
  }
})();
"""
