"""How the page of one video looks (CSS); it stands in the page itself."""

from slowfast_ext.report.page_look import BASE_STYLE

EVIDENCE_STYLE = (
    BASE_STYLE
    + """
:root {
  --card: #ffffff; --paper: #f6f7f9; --line: #e1e5ea; --quiet: #56606c;
  --look: #4053d6; --look-soft: #4053d62b; --for: #0b7a6b; --against: #b4531a; --here: #e9edf3;
  --marker: #1d2128; --edge: #8a94a0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --card: #1b1f25; --paper: #121519; --line: #2c333c; --quiet: #a3adb9;
    --look: #93a4ff; --look-soft: #93a4ff30; --for: #4fc9b4; --against: #f0a35e; --here: #2a313a;
    --marker: #f3f5f7; --edge: #7d8793;
  }
}
body { padding-bottom: 3rem; }
main, header { max-width: 68rem; }
header { padding: 2.4rem 0 1.4rem; }
.over { margin: 0; color: var(--quiet); font-size: .9rem; }
h1 {
  margin: .1rem 0 .2rem; font-size: clamp(1.5rem, 1.2rem + 1.6vw, 2.2rem); line-height: 1.2;
  letter-spacing: -.01em; overflow-wrap: anywhere;
}
.summary { margin: 0; color: var(--quiet); max-width: none; }
.summary strong { color: var(--ink); }
h2 { margin: 0 0 .7rem; font-size: 1.05rem; }
section { margin: 0 0 1.4rem; }
.viewer {
  display: grid; grid-template-columns: minmax(0, 3fr) minmax(15rem, 2fr); gap: 1.4rem 1.8rem;
  grid-template-areas: "frame scores" "frame moment" "time time"; grid-template-rows: auto 1fr auto;
  background: var(--card); border: 1px solid var(--line); border-radius: .9rem; padding: 1.3rem;
  margin-bottom: 2rem;
}
.viewer section { margin: 0; min-width: 0; }
.viewer.pair { grid-template-areas: "frame moment" "scores scores" "time time"; }
.all-scores { grid-area: scores; }
.pair .all-scores { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.8rem; }
.pair .all-scores h2 { grid-column: 1 / -1; }
.pair .all-scores .model { margin-top: 0; }
.moment { grid-area: moment; }
#timeline { grid-area: time; border-top: 1px solid var(--line); padding-top: 1.2rem; }
.notice {
  max-width: none; margin: 0 0 1.4rem; padding: .7rem 1rem; border-radius: .6rem;
  background: var(--warn-band); color: var(--warn-ink);
}
.frame { grid-area: frame; margin: 0; align-self: start; }
.frame img {
  display: block; width: 100%; max-height: 27rem; object-fit: contain; border-radius: .6rem;
  background: var(--paper);
}
.model { margin: 1rem 0 .5rem; font-size: .9rem; font-weight: 600; color: var(--quiet); }
.model b {
  display: inline-block; min-width: 1.4rem; text-align: center; border-radius: .3rem; margin-right: .3rem;
  background: var(--ink); color: var(--card);
}
#timeline .model { margin: 1.5rem 0 0; padding-top: 1.1rem; border-top: 1px solid var(--line); }
.scores { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem; font-size: .95rem; }
.scores li { display: grid; grid-template-columns: minmax(0, 1fr) auto; column-gap: 1rem; max-width: none; }
.scores .label { overflow-wrap: anywhere; unicode-bidi: isolate; }
.scores li:first-child .label { font-weight: 650; }
.value, .now dd { font-variant-numeric: tabular-nums; }
.bar { grid-column: 1 / -1; height: .3rem; margin-top: .15rem; border-radius: 1rem; background: var(--line); }
.bar::before {
  content: ""; display: block; height: 100%; width: var(--part); min-width: 2px; border-radius: 1rem;
  background: var(--look);
}
.now { grid-template-columns: minmax(0, 1fr); gap: .25rem; margin: 0; font-size: .95rem; }
.now div { display: flex; justify-content: space-between; gap: 1rem; }
.now dd { margin: 0; white-space: nowrap; }
.hint {
  display: flex; flex-wrap: wrap; gap: .4rem 1rem; justify-content: space-between; align-items: center;
  margin: -.4rem 0 .8rem; color: var(--quiet); font-size: .9rem;
}
.hint p { margin: 0; flex: 1 1 14rem; max-width: none; }
#play {
  font: inherit; color: var(--card); background: var(--look); border: 0; border-radius: 1rem;
  min-width: 5.5rem; min-height: 2rem; padding: .2rem 1rem; cursor: pointer;
}
html:not(.scripted) .live { display: none; }
.plot { position: relative; touch-action: pan-y; }
.scripted .plot { cursor: ew-resize; }
.scripted .plot:not(.rail)::after {
  content: ""; position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px;
  background: var(--marker); box-shadow: 0 0 0 1px var(--card); pointer-events: none;
}
.strip { display: flex; overflow: hidden; border-radius: .5rem; }
.strip img { flex: 1 1 0; min-width: 0; aspect-ratio: 1; object-fit: cover; display: block; }
.rail { height: 1.9rem; }
.rail::before {
  content: ""; position: absolute; left: 0; right: 0; top: 50%; height: 2px; margin-top: -1px;
  background: var(--line); border-radius: 1rem;
}
#marker {
  position: absolute; top: 50%; left: var(--at); width: 1.5rem; height: 1.5rem; margin: -.75rem 0 0 -.75rem;
  border-radius: 50%; background: var(--marker); border: .3rem solid var(--card);
  box-shadow: 0 0 0 2px var(--marker);
}
#marker:focus-visible { outline: 3px solid var(--link); outline-offset: 4px; }
.lane { margin-top: 1rem; }
.head { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: end; justify-content: space-between; }
.head p { margin: 0 0 .4rem; font-size: .9rem; color: var(--quiet); flex: 1 1 20rem; max-width: none; }
.head strong { color: var(--ink); }
.choices {
  display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin-bottom: .4rem; font-size: .9rem; min-width: 0;
}
.choices label { color: var(--quiet); display: flex; align-items: center; gap: .4rem; min-width: 0; }
select {
  font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--edge);
  border-radius: .4rem; padding: .2rem .4rem; min-height: 2rem; max-width: 14rem; min-width: 0;
  text-overflow: ellipsis;
}
.lane > .plot { background: var(--paper); border-radius: .4rem; overflow: hidden; }
.lane > .plot:not(.segments) { padding-top: 1.2rem; }
svg { display: block; position: relative; width: 100%; height: 6.5rem; }
svg path { vector-effect: non-scaling-stroke; }
.area { fill: var(--look-soft); }
.line { fill: none; stroke: var(--look); stroke-width: 2; stroke-linejoin: round; }
.even { fill: none; stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 4 4; }
.for { fill: var(--for); stroke: var(--paper); stroke-width: 1; }
.against { fill: var(--against); stroke: var(--paper); stroke-width: 1; }
.zero { fill: none; stroke: var(--edge); stroke-width: 1; }
.lane > .plot:has(.low) { padding-bottom: 1rem; }
.low { top: auto; bottom: .1rem; }
.top, .low {
  position: absolute; left: .5rem; font-size: .75rem; line-height: 1.1rem; color: var(--quiet);
  font-variant-numeric: tabular-nums; pointer-events: none;
}
.top { top: .15rem; }
.here { position: absolute; top: 0; bottom: 0; background: var(--here); }
.unread {
  position: absolute; top: 0; bottom: 0; min-width: 3px;
  background: repeating-linear-gradient(135deg, var(--warn-ink) 0 1px, transparent 1px 7px), var(--warn-band);
}
.segments { list-style: none; margin: 0; padding: 0; height: calc(var(--rows) * 1.9rem); }
.segments li {
  position: absolute; top: calc(var(--row) * 1.9rem + .15rem); height: 1.6rem; max-width: none;
  min-width: 3px; padding: 0 .4rem; overflow: hidden; white-space: nowrap; text-overflow: ellipsis;
  line-height: 1.6rem; font-size: .8rem; border-radius: .3rem; background: var(--look-soft);
  border-left: 3px solid var(--look);
}
.heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.axis { position: relative; height: 1.4rem; margin-top: .3rem; font-size: .75rem; color: var(--quiet); }
.axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.axis span:first-child { transform: none; }
.remark { color: var(--quiet); margin: 1rem 0 0; }
details { margin: 0 0 1.4rem; }
summary { cursor: pointer; font-weight: 600; font-size: 1.05rem; padding: .3rem 0; }
details .wide { max-height: 24rem; overflow: auto; background: var(--card); margin-top: .5rem; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .6rem .8rem; color: var(--quiet); }
th, td { padding: .25rem .8rem; text-align: right; border-top: 1px solid var(--line); font-weight: 400; }
thead th { font-weight: 600; }
.about { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem 2.4rem; }
.about .notes { margin-top: 0; display: grid; gap: .4rem; }
.about dl { font-size: .9rem; margin: 0; grid-template-columns: max-content minmax(0, 1fr); }
@media (max-width: 44rem) {
  header { padding: 1.4rem 0 1rem; }
  .viewer {
    grid-template-columns: minmax(0, 1fr); gap: 1.1rem; padding: .9rem; border-radius: .7rem;
    grid-template-rows: none;
  }
  .viewer, .viewer.pair { grid-template-areas: "frame" "moment" "time" "scores"; }
  .pair .all-scores { grid-template-columns: minmax(0, 1fr); gap: 1rem; }
  .scripted .frame { position: sticky; top: 0; z-index: 2; background: var(--card); padding-top: .4rem; }
  .frame img { max-height: 38vh; }
  .moment h2 { display: none; }
  .now { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .3rem 1.4rem; font-size: .85rem; }
  .now div { flex-wrap: wrap; gap: 0 .5rem; }
  .strip img:nth-child(even) { display: none; }
  .all-scores { border-top: 1px solid var(--line); padding-top: 1.1rem; }
  svg { height: 5.2rem; }
  .about { grid-template-columns: minmax(0, 1fr); }
  .about dl { grid-template-columns: minmax(0, 1fr); }
}
@media (prefers-reduced-motion: no-preference) {
  .here { transition: left .12s, right .12s; }
}
@media print {
  .live, .scripted .plot::after { display: none; }
  .viewer { break-inside: avoid; }
}
"""
)
