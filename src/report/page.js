/*<![CDATA[*/
// Draws the charts (uPlot) from the JSON in #data, and searches the failed entries. The page reads
// without it.
(function () {
  "use strict";

  function search() {
    const table = document.getElementById("problems");
    if (!table) {
      return;
    }
    const words = document.getElementById("words");
    const matches = document.getElementById("matches");
    const rows = Array.from(table.tBodies[0].rows);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    function show() {
      const wanted = words.value.toLowerCase().trim();
      let shown = 0;
      rows.forEach((row, at) => {
        row.hidden = !texts[at].includes(wanted);
        shown += row.hidden ? 0 : 1;
      });
      matches.textContent = wanted ? shown + " of " + rows.length + " rows" : "";
    }
    words.addEventListener("input", show);
    document.getElementById("search").hidden = false;
    show();
  }

  const color = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A number with the prefix of its unit.
  function scaled(value, base, prefixes) {
    let power = 0;
    while (Math.abs(value) >= base * 0.99995 && power < prefixes.length - 1) {
      value /= base;
      power += 1;
    }
    const digits = power === 0 && Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : 1;
    return value.toFixed(digits).replace(/\.0$/, "") + prefixes[power];
  }
  const numberText = (value) => (value === 0 || Math.abs(value) >= 0.05 ? scaled(value, 1000, ["", " k", " M", " G", " T"]) : value.toPrecision(2));
  const byteText = (value) => scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"]);

  const INTEGERS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
  // Powers of two, up to 512 TiB.
  const BYTES = Array.from({ length: 50 }, (none, power) => 2 ** power);
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000, 2592000];
  function timeText(seconds, step) {
    const [unit, name] = UNITS.find(([unit]) => unit <= step) || UNITS[3];
    return seconds === 0 ? "0" : Math.round(seconds / unit * 10) / 10 + " " + name;
  }
  const cursorTime = (seconds) => seconds === null || seconds === undefined ? "–" : timeText(seconds, Math.max(1, seconds));

  // A figure with a place for the chart, named by its title and caption.
  function figure(title, caption) {
    const place = document.createElement("div");
    place.className = "plot";
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", title + ". " + caption);
    const parts = [["h3", title], ["figcaption", caption]].map(([name, text]) => {
      const part = document.createElement(name);
      part.textContent = text;
      return part;
    });
    const all = document.createElement("figure");
    all.append(parts[0], place, parts[1]);
    document.getElementById("charts").append(all);
    return place;
  }

  // `series`: label and values. `kinds`: the names of the values, if these are not quantities.
  function chart(data, { title, caption, text = numberText, integers, kinds, series }) {
    const place = figure(title, caption);
    // A value belongs to the time since the one before it.
    const stepped = uPlot.paths.stepped({ align: -1 });
    const grid = { stroke: color("--grid"), width: 1 };
    const axis = { stroke: color("--ink"), font: "13px system-ui, sans-serif", grid: grid, ticks: grid };
    const width = () => Math.max(240, place.clientWidth);
    const longest = kinds ? Math.max(...kinds.map((kind) => kind.length)) * 7 + 16 : text === byteText ? 80 : 64;
    const plot = new uPlot({
      width: width(),
      height: kinds ? 66 + 26 * kinds.length : 220,
      scales: {
        x: { time: false, range: (u, min, max) => [0, max > 0 ? max : 1] },
        y: { range: (u, min, max) => kinds ? [-0.5, kinds.length - 0.5] : [0, max > 0 ? max * 1.05 : 1] },
      },
      legend: { live: true },
      cursor: { y: false, sync: { key: "time" }, drag: { x: true, y: false } },
      axes: [
        { ...axis, incrs: TIME_STEPS, space: 56, values: (u, splits, at, space, step) => splits.map((split) => timeText(split, step)) },
        {
          ...axis,
          size: longest,
          splits: kinds ? () => kinds.map((kind, at) => at) : undefined,
          incrs: integers ? INTEGERS : text === byteText ? BYTES : undefined,
          values: (u, splits) => splits.map(text),
        },
      ],
      series: [
        { label: "working time", value: (u, value) => cursorTime(value) },
        ...series.map(([label], at) => ({
          label: label,
          stroke: color("--s" + at),
          fill: at === 0 && !kinds ? color("--area") : undefined,
          dash: at === 0 ? undefined : [5, 3],
          width: kinds ? 3 : 1.6,
          paths: stepped,
          points: { show: false },
          value: (u, value) => value === null || value === undefined ? "–" : text(value),
        })),
      ],
      hooks: {
        // A dashed line where the next run begins.
        draw: [(u) => {
          const context = u.ctx;
          context.save();
          context.strokeStyle = color("--faint")();
          context.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
          data.runs.forEach((start) => {
            const x = Math.round(u.valToPos(start, "x", true));
            if (x > u.bbox.left && x < u.bbox.left + u.bbox.width) {
              context.beginPath();
              context.moveTo(x, u.bbox.top);
              context.lineTo(x, u.bbox.top + u.bbox.height);
              context.stroke();
            }
          });
          context.restore();
        }],
      },
    }, [[0, ...data.time], ...series.map(([, values]) => [values[0], ...values])], place);
    new ResizeObserver(() => requestAnimationFrame(() => {
      if (plot.width !== width()) {
        plot.setSize({ width: width(), height: plot.height });
      }
    })).observe(place);
    return plot;
  }

  // Seconds of each step.
  const lengths = (time) => time.map((end, at) => end - (at ? time[at - 1] : 0));
  const most = (values) => values.reduce((one, other) => Math.max(one, other), 0);

  function rateChart(data, title, label, column, text) {
    const seconds = lengths(data.time);
    const values = data[column];
    const total = values.reduce((sum, value, at) => sum + value * seconds[at], 0);
    const average = total / (most(data.time) || 1);
    return { title, text, series: [[label, values]], caption: "Average " + text(average) + ", max " + text(most(values)) + "." };
  }

  // A chart of names: only those that occur, with the share of time of each.
  function kindChart(data, title, column) {
    const seconds = lengths(data.time);
    const shares = new Map();
    data[column].forEach((name, at) => shares.set(name, (shares.get(name) || 0) + seconds[at]));
    const kinds = Array.from(shares.keys());
    const caption = kinds.map((name) => name + " " + Math.round(shares.get(name) * 100 / (most(data.time) || 1)) + " %").join(", ");
    return { title, kinds, text: (value) => kinds[value], caption: caption + ".", series: [[column, data[column].map((name) => kinds.indexOf(name))]] };
  }

  function charts() {
    const data = JSON.parse(document.getElementById("data").textContent);
    if (!data.time.length) {
      return;
    }
    const all = [
      rateChart(data, "Entries per second", "entries/s", "entries", numberText),
      rateChart(data, "Bytes uploaded per second", "per second", "bytes", byteText),
      {
        title: "Concurrent requests",
        integers: true,
        series: [["limit", data.limit], ["in flight", data.in_flight]],
        caption: "Max limit " + numberText(most(data.limit)) + ", max in flight " + numberText(most(data.in_flight)) + ".",
      },
      kindChart(data, "Bottleneck", "bottleneck"),
      kindChart(data, "Phase", "phase"),
    ];
    if (most(data.failed) > 0) {
      const failed = rateChart(data, "Failed requests per second", "failed/s", "failed", numberText);
      all.push({ ...failed, series: [["failed/s", data.failed], ["throttled/s", data.throttled]] });
    }
    const plots = all.map((one) => chart(data, one));
    const redraw = () => plots.forEach((plot) => plot.redraw(false));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    // Canvases keep their colors on paper.
    ["beforeprint", "afterprint"].forEach((event) => addEventListener(event, () => {
      document.documentElement.classList.toggle("printing", event === "beforeprint");
      redraw();
    }));
  }

  search();
  charts();
})();
/*]]>*/
