
"use strict";
// Draws the charts of the page with ECharts, in SVG. All text in them was made harmless by
// chart_data.py; tooltips are built as text nodes. Without this script, tables show the same figures.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const charts = new Map();

  const three = (n) => n.toFixed(Math.abs(n) >= 99.95 ? 0 : Math.abs(n) >= 9.995 ? 1 : 2);
  const commas = (n) => Math.round(n).toLocaleString("en-US");
  const usd = (n) => (n < 0 ? "-$" : "$") + (Math.abs(n) >= 99.995 || n === 0 ? commas(Math.abs(n)) : Math.abs(n).toFixed(2));
  const share = (n) => (100 * n).toFixed(0) + " %";
  const UNITS = ["bytes", "KB", "MB", "GB", "TB", "PB"];
  const unitOf = (most) => { let at = 0; while (most >= 1024 && at < UNITS.length - 1) { most /= 1024; at++; } return at; };
  const volume = (n) => { const at = unitOf(n); return (at ? three(n / 1024 ** at) : commas(n)) + " " + UNITS[at]; };

  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const theme = () => ({
    backgroundColor: "transparent", animation: false,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12, color: colour("quiet") },
    tooltip: {
      confine: true, className: "tip", backgroundColor: colour("paper"), borderColor: colour("line"), borderWidth: 1,
      transitionDuration: 0, textStyle: { color: colour("ink"), fontSize: 13 }, extraCssText: "box-shadow: 0 2px 8px #0002",
    },
  });
  const axis = (more) => ({
    axisLine: { lineStyle: { color: colour("line") } }, axisTick: { show: false }, splitLine: { lineStyle: { color: colour("grid") } },
    axisLabel: { color: colour("quiet"), fontSize: 12, hideOverlap: true }, ...more,
  });
  const tip = (title, rows) => {
    const box = document.createElement("div"), head = document.createElement("b");
    head.textContent = title;
    box.append(head);
    for (const cells of rows) {
      const row = document.createElement("span");
      for (const cell of cells) { const part = document.createElement("i"); part.style.fontStyle = "normal"; part.textContent = cell; row.append(part); }
      box.append(row);
    }
    return box;
  };

  function bill(steps, width) {
    const narrow = width < 560, last = steps.length - 1;
    const kind = (step, at) => (at === 0 || at === last ? "bill" : step.usd <= 0 ? "good" : "cost");
    const wide = steps.map((step, at) => ({
      value: (at === 0 || at === last ? Math.max(step.usd - step.costs, 0) : Math.abs(step.usd)), itemStyle: { color: colour(kind(step, at)) },
    }));
    const text = (at) => (at === 0 || at === last ? usd(steps[at].usd) : (steps[at].usd > 0 ? "+" : "") + usd(steps[at].usd));
    return {
      grid: { left: 8, right: 72, top: 4, bottom: 4, containLabel: true },
      tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour("line"), opacity: .35 } },
        formatter: ([one]) => {
          const step = steps[one.dataIndex], rows = [[one.dataIndex === 0 || one.dataIndex === last ? "a month" : "adds a month", text(one.dataIndex)]];
          if (step.costs) rows.push(["of it copies and S3 requests", usd(step.costs)]);
          if (one.dataIndex && one.dataIndex !== last) rows.push(["bill then", usd(step.end)]);
          return tip(step.name, rows);
        } },
      xAxis: axis({ type: "value", axisLabel: { color: colour("quiet"), fontSize: 12, hideOverlap: true, formatter: usd }, splitNumber: narrow ? 2 : 5 }),
      yAxis: axis({ type: "category", inverse: true, data: steps.map((step) => step.name), splitLine: { show: false },
        axisLabel: { color: colour("ink"), fontSize: 12, interval: 0, width: narrow ? 96 : 220, overflow: "truncate" } }),
      series: [
        { type: "bar", stack: "bill", silent: true, itemStyle: { color: "transparent" }, data: steps.map((step) => Math.min(step.start, step.end)) },
        { type: "bar", stack: "bill", barCategoryGap: "22%", data: wide },
        { type: "bar", stack: "bill", itemStyle: { color: colour("cost") }, data: steps.map((step) => step.costs),
          label: { show: true, position: "right", color: colour("ink"), fontSize: 12, formatter: (one) => text(one.dataIndex) } },
      ],
    };
  }

  function days(found) {
    const { days: dates, areas } = found;
    const most = Math.max(1, ...dates.map((_, at) => areas.reduce((sum, area) => sum + area.bytes[at], 0)));
    const unit = unitOf(most), scale = 1024 ** unit;
    return {
      grid: { left: 4, right: 8, top: 26, bottom: 4, containLabel: true },
      tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour("line"), opacity: .35 } },
        formatter: (all) => {
          const at = all[0].dataIndex, here = areas.filter((area) => area.bytes[at]);
          return tip(dates[at], [["all", volume(here.reduce((sum, area) => sum + area.bytes[at], 0))],
            ...here.map((area) => [area.name, volume(area.bytes[at])])]);
        } },
      xAxis: axis({ type: "category", data: dates, splitLine: { show: false },
        axisLabel: { color: colour("quiet"), fontSize: 12, hideOverlap: true, formatter: (day) => day.slice(5) } }),
      yAxis: axis({ type: "value", name: UNITS[unit], nameGap: 8, nameTextStyle: { color: colour("quiet"), align: "right" },
        axisLabel: { color: colour("quiet"), fontSize: 12, formatter: (n) => Number(n.toPrecision(3)).toString() } }),
      series: areas.map((area) => ({
        name: area.name, type: "bar", stack: "all", barCategoryGap: "25%", barMaxWidth: 72, data: area.bytes.map((n) => n / scale),
        itemStyle: { color: colour(area.colour) },
      })),
    };
  }

  function sizes(classes) {
    const bars = (name, strong, pale) => ({
      name, type: "bar", barGap: "5%", barCategoryGap: "28%", barMaxWidth: 36, itemStyle: { color: colour(strong) },
      data: classes.map((each) => ({ value: each[name], itemStyle: { color: colour(each.below ? pale : strong) } })),
    });
    return {
      grid: { left: 4, right: 20, top: 10, bottom: 4, containLabel: true },
      tooltip: { trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: colour("line"), opacity: .35 } },
        formatter: ([one]) => {
          const each = classes[one.dataIndex];
          return tip("from " + each.name + (each.below ? ", below the floor" : ""), [["requests", each.requests_text], ["bytes", each.bytes_text]]);
        } },
      xAxis: axis({ type: "category", data: classes.map((each) => each.name), splitLine: { show: false } }),
      yAxis: axis({ type: "value", axisLabel: { color: colour("quiet"), fontSize: 12, formatter: share } }),
      series: [bars("requests", "many", "many-soft"), bars("bytes", "accent", "accent-soft")],
    };
  }

  const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const between = (a, b, share) => parts(a).map((n, at) => Math.round(n + (parts(b)[at] - n) * share));
  const bright = ([r, g, b]) => (.299 * r + .587 * g + .114 * b) > 140;

  function folders(found) {
    const from = colour("box0"), to = colour("box1");
    const box = (each) => {
      const fill = between(from, to, each.aws);
      return { name: each.name, value: each.bytes, aws: each.aws, objects: each.objects,
        itemStyle: { color: `rgb(${fill})` }, label: { color: bright(fill) ? "#10151b" : "#ffffff" } };
    };
    const whole = (folder) => {  // its colour shows where its boxes are too small
      const sum = folder.children.reduce((all, each) => all + each.bytes, 0) || 1;
      const aws = folder.children.reduce((all, each) => all + each.aws * each.bytes, 0) / sum;
      return { name: folder.name, itemStyle: { color: `rgb(${between(from, to, aws)})` }, children: folder.children.map(box) };
    };
    return {
      tooltip: { formatter: ({ data: one, treePathInfo: path }) => {
        if (one?.aws === undefined) return tip(path?.[path.length - 1]?.name ?? "", []);
        return tip(path.slice(1).map((step) => step.name).join(" "), [["bytes", volume(one.value)],
          ["to machines in AWS", share(one.aws)], ["objects", commas(one.objects)]]);
      } },
      series: [{
        type: "treemap", left: 0, right: 0, top: 0, bottom: 0, roam: false, nodeClick: false, breadcrumb: { show: false },
        visibleMin: 30, childrenVisibleMin: 30, data: found.map(whole),
        label: { fontSize: 12, overflow: "truncate", ellipsis: "…" },
        levels: [
          { itemStyle: { gapWidth: 3, borderWidth: 0, borderColor: colour("paper") } },
          { upperLabel: { show: true, height: 20, color: colour("ink"), fontSize: 12, overflow: "truncate" },
            itemStyle: { gapWidth: 1, borderWidth: 2, borderColor: colour("paper") }, emphasis: { upperLabel: { color: colour("ink") } } },
        ],
      }],
    };
  }

  const drawn = { bill, days, sizes, folders };

  function draw(name) {
    const place = document.getElementById(name + "-chart");
    if (!place) return;
    place.hidden = false;
    if (name === "bill") place.style.height = 40 + 30 * data.bill.length + "px";
    let chart = charts.get(name);
    if (!chart) charts.set(name, chart = echarts.init(place, null, { renderer: "svg" }));
    chart.resize();
    const look = theme(), option = drawn[name](data[name], place.clientWidth);
    chart.setOption({ ...look, ...option, tooltip: { ...look.tooltip, ...option.tooltip } }, true);
  }
  const drawAll = () => Object.keys(drawn).forEach(draw);

  function copying() {
    const button = document.getElementById("copy"), text = document.getElementById("yaml"), said = document.getElementById("copied");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        said.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text);
        said.textContent = "Selected: press Ctrl-C";
      }
    });
  }

  document.querySelectorAll(".legend").forEach((each) => { each.hidden = false; });
  document.querySelectorAll("details").forEach((each) => { each.open = false; });
  copying();
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let width = document.body.clientWidth, waiting = 0;
  addEventListener("resize", () => {
    if (root.classList.contains("printing") || document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAll);
  });
  addEventListener("beforeprint", () => { root.classList.add("printing"); drawAll(); });
  addEventListener("afterprint", () => { root.classList.remove("printing"); drawAll(); });
})();
