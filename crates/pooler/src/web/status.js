// The status page: asks for the numbers each second, remembers two minutes of them, and shows rates
// and quantiles of the difference. Names come from strangers: they are only ever set as text.
"use strict";

const SECOND = 1000;
const KEPT = 120;        // readings: two minutes
const WINDOW = 10;       // readings that a quantile is of
const SHOWN_MAX = 100;   // pools

const past = [];         // readings, the newest last
const byId = (id) => document.getElementById(id);

function node(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const nameOf = (pool) => JSON.stringify([pool.database, pool.user]);

// The time that this share of what came between two counts did not exceed; null if nothing came.
function quantile(share, before, now, bounds) {
  const came = now.map((n, i) => Math.max(0, n - (before ? before[i] : 0)));
  const rank = came.reduce((sum, n) => sum + n, 0) * share;
  if (rank === 0) return null;
  let seen = 0;
  for (let i = 0; i < came.length; i++) {
    if (seen + came[i] >= rank) {
      const low = i === 0 ? 0 : bounds[i - 1];
      const high = i < bounds.length ? bounds[i] : low;
      return low + (high - low) * ((rank - seen) / came[i]);
    }
    seen += came[i];
  }
  return bounds[bounds.length - 1];
}

function sum(pools, of) {
  return pools.reduce((all, pool) => all + of(pool), 0);
}

function added(pools, key) {
  const lists = pools.map((pool) => pool[key]);
  return lists.length === 0 ? [] : lists[0].map((_, i) => sum(lists, (list) => list[i]));
}

function time(us) {
  if (us === null) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${(us / 1000).toPrecision(3)} ms`;
  return `${(us / 1e6).toPrecision(3)} s`;
}

function count(n) {
  if (n < 10 && n % 1 !== 0) return n.toFixed(1);
  if (n < 10000) return String(Math.round(n));
  return n < 1e6 ? `${(n / 1e3).toPrecision(3)} k` : `${(n / 1e6).toPrecision(3)} M`;
}

function bytes(n) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(n) : n.toPrecision(3)} ${units[unit]}`;
}

function age(s) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"]];
  for (const [size, unit] of parts) {
    if (s >= size * 2) return `${Math.floor(s / size)} ${unit}`;
  }
  return `${Math.floor(s)} s`;
}

// A line over two minutes, the newest at the right; where nothing is known there is no line.
function spark(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${KEPT} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  const known = values.filter((value) => value !== null);
  const top = Math.max(...known, 1e-9);
  let path = "";
  let drawing = false;
  values.forEach((value, i) => {
    if (value === null) {
      drawing = false;
      return;
    }
    const x = KEPT - values.length + i + 1;
    const y = 19 - (value / top) * 18;
    path += drawing ? `L${x} ${y.toFixed(2)}` : `M${x - 1} ${y.toFixed(2)}L${x} ${y.toFixed(2)}`;
    drawing = true;
  });
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

// What happened a second between a reading and the one before.
function rate(now, before, of) {
  if (!before) return null;
  const seconds = now.at - before.at;
  return seconds > 0 ? Math.max(0, of(now) - of(before)) / seconds : null;
}

const earlier = (i) => past[Math.max(0, i - WINDOW)];
const ofAll = (key) => (reading) => sum(reading.pools, (pool) => pool[key]);

function history(of) {
  return past.map((reading, i) => of(reading, past[i - 1], i));
}

function quantileOfAll(share, key) {
  return (reading, before, i) => {
    if (!before) return null;
    const then = added(earlier(i).pools, key);
    return quantile(share, then, added(reading.pools, key), reading.bounds_us);
  };
}

// Turns are counted by octaves of microseconds.
function lag(reading, before, i) {
  if (!before) return null;
  const bounds = reading.turns.slice(0, -1).map((_, octave) => 2 ** octave);
  return quantile(0.99, earlier(i).turns, reading.turns, bounds);
}

function tile(label, values, show, warns) {
  const now = values[values.length - 1];
  const made = node("div", warns && warns(now) ? "tile warn" : "tile");
  made.append(node("span", "dim", label), node("b", "", now === null ? "–" : show(now)));
  made.append(spark(values));
  return made;
}

function tiles() {
  const clients = past[past.length - 1].client_max;
  const of = (label) => (clients === null ? label : `${label} of ${clients}`);
  return [
    tile(of("clients"), history((it) => it.clients), count),
    tile("waiting clients", history(ofAll("waiting")), count, (n) => n > 0),
    tile("servers", history((it) => sum(it.pools, servers)), count),
    tile("queries/s", history((a, b) => rate(a, b, ofAll("queries"))), count),
    tile("errors/s", history((a, b) => rate(a, b, ofAll("errors"))), count, (n) => n > 0),
    tile("query p99", history(quantileOfAll(0.99, "query")), time),
    tile("wait p99", history(quantileOfAll(0.99, "wait")), time, (us) => us > 1e5),
    tile("loop turn p99", history(lag), time, (us) => us > 1e5),
    tile("memory", history((it) => it.resident_bytes), bytes),
  ];
}

const servers = (pool) => Object.values(pool.servers).reduce((all, n) => all + n, 0);

function meter(pool) {
  const cell = node("td", "bar");
  const { active, idle, login, reset } = pool.servers;
  const all = Math.max(pool.capacity, servers(pool), 1);
  const bar = node("div", "meter");
  for (const [kind, n] of [["used", active], ["busy", login + reset], ["free", idle]]) {
    const part = node("span", kind);
    part.style.width = `${(n / all) * 100}%`;
    bar.append(part);
  }
  const busy = login + reset > 0 ? `, ${login + reset} busy` : "";
  cell.append(bar, node("small", "", `${active} used, ${idle} idle${busy} of ${pool.capacity}`));
  return cell;
}

function poolsByName(reading) {
  if (!reading.byName) {
    reading.byName = new Map(reading.pools.map((pool) => [nameOf(pool), pool]));
  }
  return reading.byName;
}

function row(pool, now, before, then) {
  const name = nameOf(pool);
  const of = (reading) => reading && poolsByName(reading).get(name);
  const was = of(before);
  const perSecond = (key) => {
    if (!was) return null;
    return Math.max(0, pool[key] - was[key]) / Math.max(now.at - before.at, 1e-3);
  };
  const within = (share, key) => {
    const old = of(then);
    return old && then !== now ? quantile(share, old[key], pool[key], now.bounds_us) : null;
  };
  const line = past.map((reading, i) => {
    const [here, there] = [of(reading), of(earlier(i))];
    if (i === 0 || !here || !there) return null;
    return quantile(0.99, there.query, here.query, now.bounds_us);
  });
  const waits = pool.waiting > 0;
  const made = node("tr", waits ? "waits" : "");
  const cell = (text, kind) => made.append(node("td", kind || "", text));
  const shown = (n, show) => (n === null ? "–" : show(n));
  const title = node("td", "name");
  title.append(pool.database, node("i", "", ` · ${pool.user}${pool.mode ? `, ${pool.mode}` : ""}`));
  title.title = `${pool.database} · ${pool.user}`;
  made.append(title);
  cell(count(pool.active));
  cell(waits ? `${pool.waiting}, ${time(pool.longest_wait_s * 1e6)}` : "0", "waiting");
  cell(count(pool.idle));
  made.append(meter(pool));
  cell(shown(perSecond("queries"), count));
  const errors = perSecond("errors");
  cell(shown(errors, count), errors > 0 ? "failing" : "");
  cell(time(within(0.5, "query")));
  cell(time(within(0.99, "query")));
  const sparks = node("td", "spark");
  sparks.append(spark(line));
  made.append(sparks);
  cell(time(within(0.99, "wait")));
  cell(shown(perSecond("received"), (n) => `${bytes(n)}/s`));
  cell(shown(perSecond("sent"), (n) => `${bytes(n)}/s`));
  return made;
}

function show() {
  const now = past[past.length - 1];
  const [before, then] = [past[past.length - 2], earlier(past.length - 1)];
  byId("version").textContent = now.version;
  byId("uptime").textContent = `up ${age(now.uptime_s)}`;
  const trouble = now.unready !== null ? `not ready: ${now.unready}` : now.paused ? "paused" : "";
  state(trouble || "ready", trouble === "");
  byId("tiles").replaceChildren(...tiles());
  const busiest = (a, b) => b.waiting - a.waiting || b.active - a.active || b.queries - a.queries;
  const pools = [...now.pools].sort(busiest);
  const rows = pools.slice(0, SHOWN_MAX).map((pool) => row(pool, now, before, then));
  byId("pools").replaceChildren(...rows);
  const hidden = pools.length - rows.length;
  const none = pools.length === 0 ? "No client has come yet." : "";
  byId("note").textContent = hidden > 0 ? `${hidden} more pools are not shown.` : none;
}

function state(text, good) {
  byId("state").textContent = text;
  byId("state").className = good ? "badge good" : "badge bad";
}

async function look() {
  try {
    const answer = await fetch("status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const reading = await answer.json();
    reading.at = reading.uptime_s;
    const last = past[past.length - 1];
    if (last && reading.uptime_s < last.uptime_s) past.length = 0; // it was started anew
    past.push(reading);
    if (past.length > KEPT) past.shift();
    show();
  } catch (error) {
    state(`no answer: ${error.message}`, false);
  }
  setTimeout(look, SECOND);
}

look();
