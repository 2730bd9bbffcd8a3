"""What the page of one video does (JavaScript); it stands in the page itself."""

EVIDENCE_SCRIPT = """
"use strict";
(() => {
  const WIDTH = 1000, HEIGHT = 100, ROOM = .92;
  const by = id => document.getElementById(id);
  const data = JSON.parse(by("numbers").textContent);
  const last = data.frames.length - 1;
  const timeline = by("timeline"), marker = by("marker"), picture = by("picture");
  const lanes = kind => data.sides.map((_, i) => timeline.querySelector(`svg.${kind}[data-side="${i}"]`));
  const drawings = { attention: lanes("attention"), evidence: lanes("evidence") };
  // Of each side what is chosen: a weight for each moment, a value for each stretch.
  const lines = [], bars = [];
  let step = data.start;
  document.documentElement.classList.add("scripted");

  // The same words as in evidence_parts.py.
  function words(value, digits, fewest) {
    const size = value ? Math.floor(Math.log10(Math.abs(value))) : 0;
    return value.toFixed(Math.min(Math.max(digits - 1 - size, fewest), 7));
  }
  const percent = part => `${words(100 * part, 3, 1)} %`;
  const signed = value => (value > 0 ? "+" : value < 0 ? "\\u2212" : "") + words(Math.abs(value), 2, 3);
  function clock(seconds) {
    if (seconds < 60) return `${seconds.toFixed(2)} s`;
    const hundredths = Math.round(seconds * 100), minutes = Math.floor(hundredths / 6000);
    const rest = ((hundredths % 6000) / 100).toFixed(2).padStart(5, "0");
    if (minutes < 60) return `${minutes}:${rest}`;
    return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
  }

  const x = time => (WIDTH * Math.min(time / data.seconds, 1)).toFixed(2);
  const path = (drawing, kind, d) => drawing.querySelector(`.${kind}`).setAttribute("d", d);
  function lineOf(values, top) {
    const y = value => (HEIGHT - HEIGHT * ROOM * value / top).toFixed(2);
    const points = values.map((value, i) => `${x(data.times[i])} ${y(value)}`);
    return `M${points.join("L")}${values.length > 1 ? "" : `H${WIDTH}`}`;
  }
  function drawLines() {
    const top = Math.max(...data.shares, ...lines.filter(Boolean).flat());
    drawings.attention.forEach((drawing, side) => {
      if (!drawing) return;
      const line = lineOf(lines[side], top);
      const end = last ? x(data.times[last]) : WIDTH;
      path(drawing, "line", line);
      path(drawing, "area", `${line}L${end} ${HEIGHT}L${x(data.times[0])} ${HEIGHT}Z`);
      path(drawing, "even", lineOf(data.shares, top));
      const best = lines[side].indexOf(Math.max(...lines[side]));
      drawing.setAttribute("aria-label", `Attention over time, highest at frame ${data.frames[best]} at ` +
        `${clock(data.times[best])}: ${percent(lines[side][best])}`);
      by(`top-${side}`).textContent = percent(top);
    });
  }
  function drawBars(side) {
    const values = bars[side], drawing = drawings.evidence[side];
    const high = Math.max(0, ...values), low = Math.min(0, ...values);
    const unit = high > low ? HEIGHT * ROOM / (high - low) : 1, zero = HEIGHT * (1 + ROOM) / 2 + low * unit;
    const kinds = { for: "", against: "" };
    values.forEach((value, i) => {
      const [left, right] = data.stretches[i].map(x);
      kinds[value > 0 ? "for" : "against"] += `M${left} ${zero.toFixed(2)}H${right}` +
        `V${(zero - value * unit).toFixed(2)}H${left}Z`;
    });
    for (const kind in kinds) path(drawing, kind, kinds[kind]);
    path(drawing, "zero", `M0 ${zero.toFixed(2)}H${WIDTH}`);
    const best = values.indexOf(Math.max(...values));
    const name = data.sides[side].classes[by(`class-${side}`).value];
    const [begin, end] = data.stretches[best].map(time => clock(time));
    drawing.setAttribute("aria-label",
      `Evidence for ${name} over time, most from ${begin} to ${end}: ${signed(values[best])}`);
    by(`class-name-${side}`).textContent = name;
    by(`most-${side}`).textContent = signed(high);
    by(`least-${side}`).textContent = low < 0 ? signed(low) : "";
  }

  function show(next) {
    step = Math.min(Math.max(next, 0), last);
    const time = clock(data.times[step]), frame = data.frames[step], told = [`Frame ${frame}`, time];
    timeline.style.setProperty("--at", `${100 * Math.min(data.times[step] / data.seconds, 1)}%`);
    picture.src = `data:image/jpeg;base64,${data.pictures[step]}`;
    picture.alt = `Frame ${frame} of the video, at ${time}`;
    by("frame").textContent = frame;
    by("time").textContent = time;
    data.sides.forEach((_, side) => {
      if (lines[side]) {
        by(`weight-${side}`).textContent = percent(lines[side][step]);
        told.push(`attention ${percent(lines[side][step])}`);
      }
      if (bars[side]) {
        const group = data.groups[step], [begin, end] = data.stretches[group], here = by(`here-${side}`);
        by(`value-${side}`).textContent = signed(bars[side][group]);
        told.push(`evidence ${signed(bars[side][group])}`);
        here.style.left = `${100 * begin / data.seconds}%`;
        here.style.right = `${Math.max(0, 100 - 100 * end / data.seconds)}%`;
      }
    });
    marker.setAttribute("aria-valuenow", step);
    marker.setAttribute("aria-valuetext", told.join(", "));
  }

  data.sides.forEach((side, i) => {
    if (side.attention) {
      const layer = by(`layer-${i}`), head = by(`head-${i}`);
      const choose = () => {
        const heads = side.attention[layer.value];
        const mean = m => heads.reduce((sum, weights) => sum + weights[m], 0) / heads.length;
        lines[i] = head.value === "0" ? data.frames.map((_, m) => mean(m)) : heads[head.value - 1];
      };
      for (const list of [layer, head])
        list.addEventListener("change", () => { choose(); drawLines(); show(step); });
      choose();
    }
    if (side.evidence) {
      const list = by(`class-${i}`);
      const choose = () => { bars[i] = side.evidence[list.value]; };
      list.addEventListener("change", () => { choose(); drawBars(i); show(step); });
      choose();
    }
  });

  const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
  function press(event) {
    const move = KEYS[event.key], end = { Home: 0, End: last }[event.key];
    if ((move ?? end) === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    stop();
    show(end ?? step + move);
  }
  marker.addEventListener("keydown", press);
  // Left and right also where nothing else wants them; the other keys scroll the page there.
  document.addEventListener("keydown", event => {
    if (event.target === document.body && /^Arrow(Left|Right)$/.test(event.key)) press(event);
  });

  // As fast as the video, but no longer than half a minute.
  const play = by("play"), speed = Math.max(1, data.seconds / 30);
  let began = null, frame = 0;
  function stop() {
    cancelAnimationFrame(frame);
    began = null;
    play.textContent = speed > 1 ? `Play, \u00d7${speed.toFixed(speed < 10 ? 1 : 0)}` : "Play";
  }
  function go(now) {
    began ??= now - 1000 * data.times[step] / speed;
    const time = (now - began) / 1000 * speed;
    const next = data.times.findLastIndex(other => other <= time + 1e-6);
    if (next > step) show(next);
    if (step === last) stop();
    else frame = requestAnimationFrame(go);
  }
  play.addEventListener("click", () => {
    if (play.textContent === "Stop") return stop();
    if (step === last) show(0);
    play.textContent = "Stop";
    frame = requestAnimationFrame(go);
  });

  function follow(event) {
    const box = marker.parentElement.getBoundingClientRect();
    const time = (event.clientX - box.left) / box.width * data.seconds;
    const gaps = data.times.map(other => Math.abs(other - time)), near = gaps.indexOf(Math.min(...gaps));
    stop();
    if (near !== step) show(near);
  }
  for (const plot of timeline.querySelectorAll(".plot")) {
    plot.addEventListener("pointermove", event => {
      if (event.pointerType === "mouse" || event.buttons) follow(event);
    });
    plot.addEventListener("pointerdown", event => {
      follow(event);
      marker.focus({ preventScroll: true });
      event.preventDefault();
    });
  }
  stop();
  show(step);
})();
"""
