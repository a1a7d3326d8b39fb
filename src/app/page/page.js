"use strict";
/* The page of `pipar report --html`: tables and timeline from the two JSON texts in it. */
(function () {
  const byId = (id) => document.getElementById(id);
  const report = JSON.parse(byId("report-data").textContent);
  const timelines = JSON.parse(byId("timeline-data").textContent);
  const runs = report.runs;

  // ---- Tables ----

  function element(parent, name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    parent.appendChild(made);
    return made;
  }

  /* More settings than these go into a table of their own, turned round. */
  const MOST_SETTINGS = 4;
  const named = report.varying.length <= MOST_SETTINGS ? report.varying : [];

  const minus = (text) => text.replace("-", "\u2212");
  function decimals(largest) {
    return largest >= 1000 ? 1 : largest >= 1 ? 3 : 6;
  }

  /* Columns: {head, unit, text: left-aligned, pin: stays where the others move away, of(row): what is shown, value(row): the
   * number behind it}. */
  function fillTable(table, columns, rows) {
    const head = element(element(table, "thead"), "tr");
    for (const column of columns) {
      const cell = element(head, "th", column.head, column.text ? "text" : "");
      if (column.unit) element(cell, "small", column.unit);
    }
    const body = element(table, "tbody");
    for (const row of rows) {
      const line = element(body, "tr");
      for (const column of columns) {
        const cell = element(line, "td", column.of(row), column.text ? "text" : "");
        const value = column.value ? column.value(row) : null;
        if (column.key) cell.dataset.key = column.key;
        if (value !== null && value !== undefined) cell.dataset.value = value;
        if (value === 0) cell.className = "zero";
        if (column.text) cell.title = cell.textContent;
      }
    }
    pinColumns(table, columns);
  }

  /* Side by side at the left edge, the first at 0. */
  function pinColumns(table, columns) {
    let left = 0;
    columns.forEach((column, place) => {
      if (!column.pin) return;
      for (const row of table.rows) {
        row.cells[place].classList.add("pin");
        row.cells[place].style.left = `${left}px`;
      }
      left += table.rows[0].cells[place].offsetWidth;
    });
  }

  const baseName = (path) => path.replace(/^.*\//, "").replace(/\.part$/, "").replace(/\.h5$/, "");
  const range = (pair) => (pair[1] === 0 ? "\u2013" : pair[0] === pair[1] ? String(pair[0]) : `${pair[0]}\u2013${pair[1]}`);
  const first = (group) => runs[group.runs[0]];
  const files = new Set(runs.map((run) => run.file));
  const shortKey = (key) => key.replace(/^devices\.0\./, "").replace(/\.name$/, "").replace(/^(training|pipeline|privacy)\./, "")
    .replace(/[._]/g, " ");

  /* Of more settings than have columns of their own: those that tell a run from the others of its file. */
  const differing = new Map();
  for (const file of named.length < report.varying.length ? files : []) {
    const own = runs.filter((run) => run.file === file);
    const keys = report.varying.filter((key) => own.some((run) => run.settings[key] !== own[0].settings[key]));
    /* A preset's name says what its numbers say. */
    const told = keys.filter((key) => key.endsWith(".name")).map((key) => key.slice(0, -"name".length));
    differing.set(file, keys.filter((key) => key.endsWith(".name") || !told.some((start) => key.startsWith(start))));
  }
  const settingsOf = (run) => (differing.get(run.file) ?? named).filter((key) => run.settings[key] !== undefined)
    .map((key) => String(run.settings[key])).join(", ");

  function nameColumns(of) {
    const columns = [];
    if (files.size > 1) columns.push({ head: "file", text: true, of: (row) => baseName(of(row).file) });
    columns.push({ head: "run", pin: true, of: (row) => String(of(row).run) });
    columns.push({ head: "method", text: true, pin: true, of: (row) => of(row).method });
    for (const key of named)
      columns.push({ head: shortKey(key), text: true, of: (row) => String(of(row).settings[key] ?? "\u2013") });
    if (runs.some((run) => differing.has(run.file) && settingsOf(run) !== ""))
      columns.push({ head: "settings", text: true, of: (row) => settingsOf(of(row)) });
    return columns;
  }

  function figureColumn(key, head, unit, scale, digits, suffix) {
    const values = report.groups.map((group) => group[key]).filter((figure) => figure.mean !== null);
    if (values.length === 0) return [];
    const places = digits ?? decimals(Math.max(...values.map((figure) => Math.abs(figure.mean) * scale)));
    return [{
      head, unit, key, value: (group) => group[key].mean,
      of(group) {
        const figure = group[key];
        if (figure.mean === null) return "\u2013";
        const spread = figure.half_width_95 === null ? "" : ` \u00b1 ${(figure.half_width_95 * scale).toFixed(places)}`;
        return minus((figure.mean * scale).toFixed(places)) + spread + suffix;
      },
    }];
  }

  /* Seeds change nothing in it. Without noise what is clipped has no finite one. */
  function epsilonColumn() {
    if (runs.every((run) => run.epsilon === null)) return [];
    const isPrivate = (run) => (run.settings["privacy.mechanism"] ?? "none") !== "none";
    return [{
      head: "epsilon", key: "epsilon", value: (group) => first(group).epsilon,
      of(group) {
        const { epsilon } = first(group);
        return epsilon !== null ? String(Number(epsilon.toPrecision(4))) : isPrivate(first(group)) ? "\u221e" : "\u2013";
      },
    }];
  }

  function showRuns() {
    const columns = nameColumns(first);
    if (report.groups.some((group) => group.runs.length > 1))
      columns.push({ head: "seeds", of: (group) => String(group.runs.length) });
    if (runs.some((run) => run.status !== "complete"))
      columns.push({ head: "state", text: true, of: (group) => first(group).status });
    columns.push({ head: "split", of: (group) => range(first(group).split) });
    columns.push({ head: "N", of: (group) => range(first(group).micro_batches) });
    columns.push(
      ...figureColumn("makespan_s", "time", "s", 1, undefined, ""),
      ...figureColumn("speedup", "speed\u2011up", "over fl", 1, 2, "\u00d7"),
      ...figureColumn("server_idle_s", "server idle", "s", 1, undefined, ""),
      ...figureColumn("server_idle_reduction", "reduced", "against fl", 1, 2, "\u00d7"),
      ...figureColumn("device_idle_s", "device idle", "s", 1, undefined, ""),
      ...figureColumn("device_idle_reduction", "reduced", "against fl", 1, 2, "\u00d7"),
      ...figureColumn("test_accuracy", "accuracy", "%", 100, 2, ""),
      ...epsilonColumn(),
      ...figureColumn("bytes_up", "up", "MB", 1e-6, undefined, ""),
      ...figureColumn("bytes_down", "down", "MB", 1e-6, undefined, ""));
    fillTable(byId("figures"), columns, report.groups);
    byId("legend").textContent =
      "Split: blocks of the network on the device. N: micro-batches of a mini-batch. Time: emulated, from the start to " +
      "the last event. Idle: not computing, mean over the server's slots or over the devices." +
      (runs.some((run) => run.reference !== null) ? " Speed-up: time of fl with the same settings, divided by this one; reduced: its idle time." : "") +
      (report.groups.some((group) => group.runs.length > 1) ? " \u00b1: 95 % interval of the mean over seeds." : "");
  }

  function showSettings() {
    if (named.length === report.varying.length) {
      byId("settings").hidden = true;
      return;
    }
    const columns = [{ head: "setting", text: true, pin: true, of: (key) => key.replace(/\.name$/, "") }];
    runs.forEach((run) => columns.push({ head: `${files.size > 1 ? baseName(run.file) + " " : ""}${run.run}`, text: true,
      of: (key) => String(run.settings[key] ?? "\u2013") }));
    fillTable(byId("differing"), columns, report.varying);
  }

  function showCauses() {
    const rows = [];
    for (const group of report.groups)
      for (const side of ["server", "device"]) {
        const members = group.runs.map((run) => runs[run]).filter((run) => run.status === "complete");
        if (members.length === 0) continue;
        const mean = (of) => members.reduce((sum, run) => sum + of(run), 0) / members.length;
        const causes = {};
        for (const cause of Object.keys(members[0][side + "_idle_by_cause_s"]))
          causes[cause] = mean((run) => run[side + "_idle_by_cause_s"][cause]);
        rows.push({ run: members[0], side, idle: mean((run) => run[side + "_idle_s"]), causes });
      }
    if (rows.length === 0) {
      byId("causes").hidden = true;
      return;
    }
    const places = decimals(Math.max(...rows.map((row) => row.idle)));
    const number = (value) => (value === 0 ? "0" : value.toFixed(places));
    const columns = nameColumns((row) => row.run);
    columns.push({ head: "waiting", text: true, of: (row) => (row.side === "server" ? "server" : "devices") });
    columns.push({ head: "idle", key: "idle", value: (row) => row.idle, of: (row) => number(row.idle) });
    for (const cause of Object.keys(rows[0].causes))
      if (rows.some((row) => row.causes[cause] > 0))
        columns.push({ head: cause.replace("_", " "), key: cause, value: (row) => row.causes[cause],
                       of: (row) => number(row.causes[cause]) });
    fillTable(byId("waiting"), columns, rows);
  }

  /* Only where a run has several groups of devices: else it says what the other tables say. */
  function showGroups() {
    const rows = [];
    for (const run of runs)
      if (run.device_groups && run.device_groups.length > 1)
        for (const group of run.device_groups) rows.push({ run, group });
    if (rows.length === 0) {
      byId("groups").hidden = true;
      return;
    }
    const places = decimals(Math.max(...rows.map((row) => row.group.idle_s)));
    const number = (value) => (value === null ? "\u2013" : value === 0 ? "0" : value.toFixed(places));
    const columns = nameColumns((row) => row.run);
    columns.push({ head: "group", of: (row) => String(row.group.group) });
    columns.push({ head: "devices", of: (row) => String(row.group.devices) });
    columns.push({ head: "split", of: (row) => range(row.group.split) });
    columns.push({ head: "N", of: (row) => range(row.group.micro_batches) });
    columns.push({ head: "busy", key: "busy_s", value: (row) => row.group.busy_s, of: (row) => number(row.group.busy_s) });
    columns.push({ head: "idle", key: "idle_s", value: (row) => row.group.idle_s, of: (row) => number(row.group.idle_s) });
    const ratio = (row) => row.group.idle_reduction;
    if (rows.some((row) => ratio(row) !== null))
      columns.push({ head: "reduced", unit: "against fl", value: ratio,
                     of: (row) => (ratio(row) === null ? "\u2013" : ratio(row).toFixed(2) + "\u00d7") });
    for (const cause of Object.keys(rows[0].group.idle_by_cause_s))
      if (rows.some((row) => row.group.idle_by_cause_s[cause] > 0))
        columns.push({ head: cause.replace("_", " "), key: cause, value: (row) => row.group.idle_by_cause_s[cause],
                       of: (row) => number(row.group.idle_by_cause_s[cause]) });
    fillTable(byId("bygroup"), columns, rows);
  }

  function showFacts() {
    const facts = [["model", ""], ["dataset.name", ""], ["training.epochs", "epochs "], ["training.batch_size", "batch size "],
                   ["seed", "seed "]];
    /* A table of costs knows neither network nor data. */
    const isTable = runs.every((run) => run.settings.compute === "none" && run.settings["cost.kind"] === "table");
    const told = facts.filter(([key]) => !(isTable && /^(model|dataset|training\.batch)/.test(key)) && runs.every((run) => run.settings[key] === runs[0].settings[key] &&
      runs[0].settings[key] !== undefined)).map(([key, label]) => label + runs[0].settings[key]);
    const same = (key) => runs.every((run) => run.settings[key] === runs[0].settings[key]) ? runs[0].settings[key] : undefined;
    if (same("compute") === "none") told.push("time only");
    if (same("clock") === "wall") told.push("wall clock");
    const devices = runs[0].devices;
    if (devices > 0 && runs.every((run) => run.devices === devices)) told.push(`${devices} device${devices > 1 ? "s" : ""}`);
    byId("facts").textContent = told.join(" \u00b7 ");
  }

  // ---- Timeline ----

  /* The palette of Okabe and Ito; the same kinds and colours as in the figures. */
  const KINDS = [
    { name: "forward", colour: [0, 158, 115], ink: "#fff" },
    { name: "backward", colour: [0, 114, 178], ink: "#fff" },
    { name: "upload", colour: [240, 228, 66], ink: "#000" },
    { name: "download", colour: [213, 94, 0], ink: "#fff" },
    { name: "update", colour: [0, 0, 0], ink: "#fff" },
    { name: "model upload", colour: [230, 159, 0], ink: "#000" },
    { name: "model download", colour: [204, 121, 167], ink: "#000" },
    { name: "aggregate", colour: [86, 180, 233], ink: "#000" },
  ];
  const css = (colour) => `rgb(${colour.join(",")})`;
  const kindOf = timelines.stages.map((name) =>
    name === "model_upload" ? 5 : name === "model_download" ? 6 : name === "aggregate" ? 7 : /update$/.test(name) ? 4
      : /upload$/.test(name) ? 2 : /download$/.test(name) ? 3 : /backward/.test(name) ? 1 : 0);

  const LEFT = 132, TOP = 30, LANE = 17, GAP = 9, TALLEST = 620;
  const canvas = document.querySelector("#chart canvas"), context = canvas.getContext("2d"), tip = byId("tip");
  const state = { run: null, rows: null, lanes: [], height: 0, scroll: 0, hovered: -1, x: null, transform: d3.zoomIdentity,
                  frame: 0, drawn_ms: 0 };

  /* Columns become typed arrays, once a run. Starts are differences to the one before. */
  function decode(run) {
    if (run.rows) return run.rows;
    const count = run.device.length, rows = { count };
    for (const key of ["device", "slot", "round", "iteration", "micro_batch", "stage"]) rows[key] = Int32Array.from(run[key]);
    rows.bytes = Float64Array.from(run.bytes);
    rows.start = new Float64Array(count);
    rows.end = new Float64Array(count);
    for (let row = 0, time = 0; row < count; row++) {
      time += run.start_ns[row];
      rows.start[row] = time;
      rows.end[row] = time + run.length_ns[row];
    }
    rows.last = rows.end.reduce((most, end) => Math.max(most, end), 1);
    run.rows = rows;
    return rows;
  }

  const PARTS = ["compute", "uplink", "downlink"];
  function partOf(name) {
    return /upload$/.test(name) ? 1 : /download$/.test(name) ? 2 : 0;
  }

  /* "0,4-7"; null: all; undefined: not a list. */
  function parseDevices(text) {
    if (text.trim() === "" || text.trim() === "all") return null;
    const ranges = text.split(",").map((part) => /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part));
    if (ranges.some((match) => match === null)) return undefined;
    return ranges.map((match) => [Number(match[1]), Number(match[2] ?? match[1])]);
  }

  /* The server's slots, then the devices; each lane has its rows in order of time. */
  function buildLanes(wanted) {
    const rows = state.rows, lanes = new Map();
    const isWanted = (device) => wanted === null || device < 0 || wanted.some(([from, to]) => device >= from && device <= to);
    for (let row = 0; row < rows.count; row++) {
      const name = timelines.stages[rows.stage[row]], device = rows.device[row];
      if (!isWanted(device)) continue;
      const onServer = name.startsWith("server_") || name === "aggregate";
      const order = onServer ? Math.max(rows.slot[row], 0) : 1e6 + 3 * device + partOf(name);
      let lane = lanes.get(order);
      if (lane === undefined) {
        lane = { order, group: onServer ? "server" : `device ${device}`,
                 name: onServer ? `slot ${Math.max(rows.slot[row], 0)}` : PARTS[partOf(name)], list: [] };
        lanes.set(order, lane);
      }
      lane.list.push(row);
    }
    state.lanes = [...lanes.values()].sort((a, b) => a.order - b.order);
    let y = 6, group = "";
    for (const lane of state.lanes) {
      lane.rows = Int32Array.from(lane.list);
      lane.starts = Float64Array.from(lane.list, (row) => rows.start[row]);
      delete lane.list;
      if (group !== "" && lane.group !== group) y += GAP;
      lane.first = lane.group !== group;
      group = lane.group;
      lane.y = y;
      y += LANE;
    }
    state.height = y + 6;
    state.scroll = 0;
  }

  function size() {
    const width = byId("chart").clientWidth, height = Math.min(TOP + state.height, TALLEST), ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    state.width = width;
    state.view = height - TOP;
    state.base = d3.scaleLinear().domain([0, state.rows.last]).range([LEFT, width - 16]);
    zoom.extent([[LEFT, 0], [width - 16, height]]).translateExtent([[LEFT, -Infinity], [width - 16, Infinity]])
      .scaleExtent([1, Math.max(1, state.rows.last / 100)]);
  }

  function ask() {
    if (state.frame === 0) state.frame = requestAnimationFrame(draw);
  }

  const secondsFormat = (span) => {
    const step = span / 8e9, places = Math.min(9, Math.max(0, Math.ceil(-Math.log10(step))));
    return (ns) => (ns / 1e9).toFixed(places);
  };

  function drawAxis(scale) {
    const domain = scale.domain(), seconds = scale.copy().domain(domain.map((ns) => ns / 1e9));
    const ticks = seconds.ticks(Math.max(2, Math.floor(state.width / 120)));
    const format = secondsFormat((ticks.length > 1 ? ticks[1] - ticks[0] : domain[1] / 1e9) * 8e9);
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    for (const tick of ticks) {
      const x = Math.round(seconds(tick)) + 0.5;
      context.strokeStyle = "#e6eaee";
      context.beginPath();
      context.moveTo(x, TOP - 4);
      context.lineTo(x, TOP + state.view);
      context.stroke();
      context.fillStyle = "#5b6570";
      const label = `${format(tick * 1e9)} s`, half = context.measureText(label).width / 2;
      context.textAlign = "center";
      context.fillText(label, Math.min(Math.max(x, LEFT + half - 6), state.width - half - 4), 14);
    }
  }

  /* More stages than pixels: each pixel gets the mixture of what lies in it, idle time white. */
  function drawDense(lane, y, scale, from, to) {
    const rows = state.rows, width = Math.max(1, Math.ceil(state.width - 16 - LEFT)), sums = new Float32Array(width * 4);
    for (let at = from; at < to; at++) {
      const row = lane.rows[at], colour = KINDS[kindOf[rows.stage[row]]].colour;
      const x0 = Math.max(0, scale(rows.start[row]) - LEFT), x1 = Math.min(width, scale(rows.end[row]) - LEFT);
      for (let x = Math.floor(x0); x < x1; x++) {
        const share = Math.min(x1, x + 1) - Math.max(x0, x);
        sums[4 * x] += share * colour[0];
        sums[4 * x + 1] += share * colour[1];
        sums[4 * x + 2] += share * colour[2];
        sums[4 * x + 3] += share;
      }
    }
    const image = context.createImageData(width, 1);
    for (let x = 0; x < width; x++) {
      const covered = sums[4 * x + 3];
      if (covered === 0) continue;
      for (let part = 0; part < 3; part++) image.data[4 * x + part] = sums[4 * x + part] / covered;
      image.data[4 * x + 3] = 255 * Math.min(1, covered);
    }
    strip.width = width;
    strip.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(strip, LEFT, y + 1, width, LANE - 2);
  }
  const strip = document.createElement("canvas");
  strip.height = 1;

  function drawBoxes(lane, y, scale, from, to) {
    const rows = state.rows, begin = scale.domain()[0];
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "center";
    for (let at = from; at < to; at++) {
      const row = lane.rows[at], kind = KINDS[kindOf[rows.stage[row]]];
      if (rows.end[row] <= begin) continue;
      const x0 = Math.max(LEFT, scale(rows.start[row])), x1 = Math.min(state.width - 16, scale(rows.end[row]));
      const width = Math.max(1, x1 - x0 - (x1 - x0 > 4 ? 1 : 0));
      context.fillStyle = css(kind.colour);
      context.fillRect(x0, y + 1, width, LANE - 2);
      if (width > 26 && rows.micro_batch[row] >= 0) {
        context.fillStyle = kind.ink;
        context.fillText(rows.micro_batch[row], x0 + width / 2, y + LANE / 2 + 0.5);
      }
    }
  }

  function drawOutline(scale) {
    const rows = state.rows, hovered = state.hovered;
    if (hovered < 0) return;
    const same = (row) => row === hovered || (rows.micro_batch[hovered] >= 0 && rows.device[row] === rows.device[hovered] &&
      rows.iteration[row] === rows.iteration[hovered] && rows.micro_batch[row] === rows.micro_batch[hovered]);
    context.strokeStyle = "#1d232a";
    context.lineWidth = 2;
    for (const lane of state.lanes) {
      const y = TOP + lane.y - state.scroll;
      if (y + LANE < TOP || y > TOP + state.view) continue;
      const [from, to] = visible(lane, scale);
      for (let at = from; at < to; at++)
        if (same(lane.rows[at])) {
          const x0 = Math.max(LEFT, scale(rows.start[lane.rows[at]])), x1 = Math.min(state.width - 16, scale(rows.end[lane.rows[at]]));
          context.strokeRect(x0, y + 1, Math.max(2, x1 - x0), LANE - 2);
        }
    }
    context.lineWidth = 1;
  }

  /* Rows of the lane from the one before the window to its end. */
  function visible(lane, scale) {
    const [begin, end] = scale.domain();
    return [Math.max(0, d3.bisectLeft(lane.starts, begin) - 1), d3.bisectLeft(lane.starts, end)];
  }

  function draw() {
    const began = performance.now(), scale = state.transform.rescaleX(state.base);
    state.frame = 0;
    state.x = scale;
    context.clearRect(0, 0, state.width, TOP + state.view);
    drawAxis(scale);
    context.save();
    context.beginPath();
    context.rect(0, TOP, state.width, state.view);
    context.clip();
    for (const lane of state.lanes) {
      const y = TOP + lane.y - state.scroll;
      if (y + LANE < TOP || y > TOP + state.view) continue;
      const [from, to] = visible(lane, scale);
      context.fillStyle = "rgba(20, 40, 60, 0.045)";
      context.fillRect(LEFT, y + 1, state.width - 16 - LEFT, LANE - 2);
      (to - from > (state.width - LEFT) / 2 ? drawDense : drawBoxes)(lane, y, scale, from, to);
      context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
      context.textAlign = "left";
      context.textBaseline = "middle";
      if (lane.first) {
        context.fillStyle = "#1d232a";
        context.fillText(lane.group, 10, y + LANE / 2 + 0.5);
      }
      context.textAlign = "right";
      context.fillStyle = "#5b6570";
      context.fillText(lane.name, LEFT - 8, y + LANE / 2 + 0.5);
    }
    drawOutline(scale);
    context.restore();
    if (state.height > state.view) {
      const length = Math.max(24, (state.view * state.view) / state.height);
      context.fillStyle = "rgba(20, 40, 60, 0.3)";
      context.fillRect(state.width - 8, TOP + (state.scroll / (state.height - state.view)) * (state.view - length), 4, length);
    }
    state.drawn_ms = performance.now() - began;
  }

  function scrollBy(pixels) {
    state.scroll = Math.max(0, Math.min(state.height - state.view, state.scroll + pixels));
    ask();
  }

  const zoom = d3.zoom()
    .filter(function (given) {
      const event = d3.event || given;
      return !(event.type === "wheel" && event.shiftKey) && !event.button;
    })
    .on("zoom", function (given) {
      const event = d3.event || given, source = event.sourceEvent;
      state.transform = event.transform;
      if (source && source.type === "mousemove") scrollBy(-source.movementY);
      hide();
      ask();
    });

  function duration(ns) {
    return ns >= 1e9 ? `${(ns / 1e9).toFixed(6)} s` : ns >= 1e6 ? `${(ns / 1e6).toFixed(3)} ms` : ns >= 1e3
      ? `${(ns / 1e3).toFixed(3)} \u00b5s` : `${ns} ns`;
  }

  function find(x, y) {
    const inside = y - TOP + state.scroll;
    if (y < TOP || x < LEFT || x > state.width - 16 || state.x === null) return -1;
    const lane = state.lanes.find((one) => inside >= one.y && inside < one.y + LANE);
    if (lane === undefined) return -1;
    const time = state.x.invert(x), reach = (state.x.invert(x + 2) - time), rows = state.rows;
    const next = d3.bisectRight(lane.starts, time);
    let best = -1, nearest = reach;
    for (const at of [next - 1, next])
      if (at >= 0 && at < lane.rows.length) {
        const row = lane.rows[at], away = Math.max(rows.start[row] - time, time - rows.end[row], 0);
        if (away <= nearest && (best < 0 || away < nearest)) {
          best = row;
          nearest = away;
        }
      }
    return best;
  }

  function hide() {
    tip.hidden = true;
    state.hovered = -1;
  }

  function point(event) {
    const box = canvas.getBoundingClientRect(), row = find(event.clientX - box.left, event.clientY - box.top), rows = state.rows;
    if (row !== state.hovered) ask();
    if (row < 0) {
      hide();
      return;
    }
    state.hovered = row;
    tip.textContent = "";
    element(tip, "b", timelines.stages[rows.stage[row]].replace(/_/g, " "));
    const table = element(tip, "table"), length = rows.end[row] - rows.start[row];
    const line = (key, value) => {
      const at = element(table, "tr");
      element(at, "td", key);
      element(at, "td", value);
    };
    if (rows.device[row] >= 0) line("device", rows.device[row]);
    line("round", rows.round[row]);
    if (rows.iteration[row] >= 0) line("iteration", rows.iteration[row]);
    if (rows.micro_batch[row] >= 0) line("micro-batch", rows.micro_batch[row]);
    line("start", `${(rows.start[row] / 1e9).toFixed(9)} s`);
    line("end", `${(rows.end[row] / 1e9).toFixed(9)} s`);
    line("length", duration(length));
    if (rows.bytes[row] > 0) {
      line("bytes", rows.bytes[row].toLocaleString("en"));
      line("rate", `${((rows.bytes[row] * 8e3) / length).toFixed(3)} Mbit/s`);
    }
    tip.hidden = false;
    const about = tip.getBoundingClientRect(), right = event.clientX + 18 + about.width < window.innerWidth;
    const below = event.clientY + 18 + about.height < window.innerHeight;
    tip.style.left = `${right ? event.clientX + 16 : event.clientX - about.width - 16}px`;
    tip.style.top = `${Math.max(4, below ? event.clientY + 16 : event.clientY - about.height - 16)}px`;
  }

  function filterDevices() {
    const wanted = parseDevices(byId("devices").value);
    byId("devices").className = wanted === undefined ? "wrong" : "";
    if (wanted === undefined) return;
    buildLanes(wanted);
    size();
    hide();
    ask();
  }

  const count = (number) => number.toLocaleString("en");
  function chooseRun() {
    state.run = timelines.runs[Number(byId("run").value)];
    state.rows = decode(state.run);
    filterDevices();
    const { shown, total } = state.run;
    byId("cut").textContent = shown < total ? `This page has the first ${count(shown)} of the run's ${count(total)} stages.` : "";
    d3.select(canvas).call(zoom.transform, d3.zoomIdentity);
  }

  function runLabel(index) {
    const run = runs[index], parts = [];
    if (files.size > 1) parts.push(baseName(run.file));
    parts.push(`${run.run}: ${run.method}`);
    return [...parts, settingsOf(run)].filter((part) => part !== "").join(", ");
  }

  function startTimeline() {
    if (timelines.runs.length === 0) {
      byId("timeline").hidden = true;
      return;
    }
    timelines.runs.forEach((run, index) => {
      element(byId("run"), "option", runLabel(run.index)).value = index;
    });
    for (const kind of KINDS) {
      const entry = element(byId("kinds"), "span");
      element(entry, "i").style.background = css(kind.colour);
      entry.appendChild(document.createTextNode(kind.name));
    }
    d3.select(canvas).call(zoom).on("dblclick.zoom", null);
    canvas.addEventListener("mousemove", point);
    canvas.addEventListener("mouseleave", () => { hide(); ask(); });
    canvas.addEventListener("wheel", (event) => {
      if (event.shiftKey) {
        event.preventDefault();
        scrollBy(event.deltaY || event.deltaX);
      }
    }, { passive: false });
    const scaleBy = (factor) => d3.select(canvas).call(zoom.scaleBy, factor);
    byId("in").addEventListener("click", () => scaleBy(2));
    byId("out").addEventListener("click", () => scaleBy(0.5));
    byId("all").addEventListener("click", () => d3.select(canvas).call(zoom.transform, d3.zoomIdentity));
    byId("run").addEventListener("change", chooseRun);
    byId("devices").addEventListener("input", filterDevices);
    window.addEventListener("resize", () => { size(); ask(); });
    chooseRun();
  }

  showFacts();
  showRuns();
  showSettings();
  showCauses();
  showGroups();
  startTimeline();
  /* For whoever looks from outside: what is on the screen. */
  window.pipar = { state, runs: timelines.runs };
})();
