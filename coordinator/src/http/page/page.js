// The page of a coordinator: asks for the fleet once a second and draws it. No library, nothing from elsewhere.
// Whatever comes from a job (labels, reasons, names) is set as text, never as markup.
"use strict";

const EVERY = 1000;
const MAX_TASKS = 500;
const byId = (id) => document.getElementById(id);
let fleet = null;
let chosen = null;

const bytes = (n) => {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${unit ? n.toFixed(1) : n} ${units[unit]}`;
};
const span = (millis) => {
  const s = Math.max(0, millis) / 1000;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  const two = (large, of, small, rest) => (rest ? `${large} ${of} ${rest} ${small}` : `${large} ${of}`);
  if (s < 3600) return two(Math.floor(s / 60), "min", "s", Math.floor(s % 60));
  return s < 86400 ? two(Math.floor(s / 3600), "h", "min", Math.floor(s % 3600 / 60)) : `${Math.floor(s / 86400)} d`;
};
const ended = (job) => ["done", "failed", "cancelled"].includes(job.state);
// Colours far apart for jobs that follow each other.
const color = (job) => `hsl(${(job * 137.5) % 360} 55% 52%)`;

function cell(row, content, kind) {
  const td = row.insertCell();
  if (content instanceof Node) td.append(content); else td.textContent = content;
  if (kind) td.className = kind;
  return td;
}

function bar(done, total) {
  const box = document.createElement("span");
  if (!total) return box;
  const bar = document.createElement("progress");
  bar.max = total;
  bar.value = Math.min(done, total);
  box.append(bar, ` ${Math.floor(100 * Math.min(1, done / total))}%`);
  return box;
}

function rows(table, items, fill) {
  const body = document.createElement("tbody");
  for (const item of items) fill(body.insertRow(), item);
  table.tBodies[0].replaceWith(body);
}

function drawJobs() {
  const jobs = fleet.jobs.filter((job) => byId("all").checked || !ended(job));
  jobs.sort((a, b) => ended(a) - ended(b) || b.id - a.id);
  const focused = document.activeElement?.dataset?.job;
  rows(byId("jobs"), jobs, (row, job) => {
    row.tabIndex = 0;
    row.dataset.job = job.id;
    row.classList.toggle("chosen", job.id === chosen);
    const choose = () => { chosen = chosen === job.id ? null : job.id; draw(); look(); };
    row.onclick = choose;
    row.onkeydown = (event) => { if (event.key === "Enter") choose(); };
    cell(row, job.id);
    cell(row, job.kind);
    cell(row, job.state, job.state);
    const count = job.tasks_done + job.tasks_running + job.tasks_waiting;
    cell(row, `${job.tasks_done}/${count}`);
    // Programs have no bytes: their tasks are what there is to count.
    const size = Math.max(job.bytes_total, job.bytes_done) + job.bytes_reused;
    cell(row, size ? bar(job.bytes_done + job.bytes_reused, size) : bar(job.tasks_done, count));
    cell(row, span((job.finished ?? fleet.now) - job.submitted));
    const label = cell(row, job.label);
    for (const [text, kind] of [[job.reason, "reason"], [job.failure, "failure"]]) {
      if (!text) continue;
      const line = document.createElement("div");
      line.className = kind;
      line.textContent = text;
      label.append(line);
    }
  });
  if (focused) document.querySelector(`tr[data-job="${focused}"]`)?.focus({ preventScroll: true });
}

// Of the disks that can be written the one with the smallest part free: where it gets tight first.
function fullest(disks) {
  const part = (disk) => disk.free / disk.total;
  return disks.filter((disk) => disk.free > 0).sort((a, b) => part(a) - part(b))[0] ?? disks[0];
}

function drawNodes() {
  rows(byId("nodes"), fleet.nodes, (row, node) => {
    cell(row, node.name).title = node.details.join("\n");
    cell(row, node.state, node.state);
    cell(row, node.tasks);
    cell(row, node.threads);
    cell(row, bytes(node.memory));
    cell(row, node.gpus || "-");
    cell(row, node.rate ? `${bytes(node.rate)}/s` : "-");
    const free = fullest(node.disks);
    cell(row, free ? `${bytes(free.free)} of ${bytes(free.total)}` : "-").title = node.disks
      .map((disk) => `${disk.mount}: ${bytes(disk.free)} of ${bytes(disk.total)} free (${disk.kind}, ${disk.device})`)
      .join("\n");
    cell(row, node.address);
  });
}

function drawTasks() {
  const tasks = fleet.tasks;
  byId("tasks-section").hidden = chosen === null || !tasks;
  if (chosen === null || !tasks) return;
  byId("tasks-of").textContent = chosen;
  const order = { running: 0, lost: 1, failed: 2, waiting: 3 };
  tasks.sort((a, b) => (order[a.state] ?? 4) - (order[b.state] ?? 4) || a.index - b.index);
  rows(byId("tasks"), tasks.slice(0, MAX_TASKS), (row, task) => {
    cell(row, `${chosen}.${task.index}`);
    cell(row, task.state, task.state);
    cell(row, task.attempt);
    cell(row, task.node ?? "-");
    cell(row, bar(task.bytes_done, task.bytes));
    cell(row, task.failure ? `${task.label}: ${task.failure}` : task.label);
  });
  const more = fleet.tasks_total - Math.min(tasks.length, MAX_TASKS);
  byId("tasks-more").textContent = more > 0 ? `and ${more} more: braid job show ${chosen} --tasks` : "";
}

// Spans of one node go below each other where they overlap.
function lanes(spans, now) {
  const ends = [];
  for (const s of spans) {
    let lane = ends.findIndex((end) => end <= s.start);
    if (lane < 0) lane = ends.push(0) - 1;
    ends[lane] = s.end ?? now;
    s.lane = lane;
  }
  return Math.max(1, ends.length);
}

function shape(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawChart() {
  const chart = byId("chart");
  const width = Math.max(640, chart.parentElement.clientWidth);
  const left = 140, top = 22, tall = 14, gap = 8;
  const now = fleet.now, from = now - 1000 * Number(byId("window").value);
  const x = (at) => left + (width - left - 10) * (Math.max(at, from) - from) / (now - from);
  const names = [...new Set([...fleet.nodes.map((node) => node.name), ...fleet.spans.map((s) => s.node)])].sort();
  const parts = [];
  let y = top;
  for (const name of names) {
    const spans = fleet.spans.filter((s) => s.node === name && (s.end ?? now) >= from).sort((a, b) => a.start - b.start);
    const count = lanes(spans, now);
    parts.push(shape("text", { x: 0, y: y + tall - 3 }, name.length > 20 ? `${name.slice(0, 19)}…` : name));
    for (const s of spans) {
      const rect = shape("rect", {
        x: x(s.start), y: y + s.lane * tall, width: Math.max(1.5, x(s.end ?? now) - x(s.start)), height: tall - 2, rx: 2,
        fill: color(s.job), class: s.outcome,
      });
      const took = span((s.end ?? now) - s.start);
      const text = `task ${s.job}.${s.index}, try ${s.attempt}, on ${s.node}: ${s.outcome} ${s.end ? "after" : "for"} ${took}`;
      rect.append(shape("title", {}, text));
      rect.onpointerenter = () => { byId("pointed").textContent = text; };
      parts.push(rect);
    }
    y += count * tall + gap;
    parts.push(shape("line", { x1: 0, x2: width, y1: y - gap / 2, y2: y - gap / 2, class: "lane" }));
  }
  for (let i = 0; i <= 4; i += 1) {
    const at = from + (now - from) * i / 4;
    const anchor = i === 0 ? "start" : i === 4 ? "end" : "middle";
    parts.push(shape("text", { x: x(at), y: 12, "text-anchor": anchor }, i === 4 ? "now" : `${span(now - at)} ago`));
  }
  chart.setAttribute("viewBox", `0 0 ${width} ${y}`);
  chart.style.height = `${y}px`;
  chart.replaceChildren(...parts);
}

function headline(text, bad) {
  byId("headline").textContent = text;
  byId("headline").classList.toggle("bad", Boolean(bad));
}

function draw() {
  const ready = fleet.nodes.filter((node) => node.state !== "silent").length;
  const sum = (key) => fleet.jobs.reduce((all, job) => all + job[key], 0);
  headline(`nodes here: ${ready} of ${fleet.nodes.length}; tasks running: ${sum("tasks_running")}, waiting: ${sum("tasks_waiting")}`);
  drawJobs();
  drawChart();
  drawNodes();
  drawTasks();
}

async function look() {
  try {
    const answer = await fetch(chosen === null ? "fleet.json" : `fleet.json?job=${chosen}`, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
    fleet = await answer.json();
    draw();
  } catch (error) {
    // What was known stays on the page.
    headline(`not current: ${error.message}`, true);
  }
}

byId("all").onchange = () => fleet && draw();
byId("window").onchange = () => fleet && draw();
window.onresize = () => fleet && drawChart();
(async () => {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((wake) => setTimeout(wake, EVERY));
  }
})();
