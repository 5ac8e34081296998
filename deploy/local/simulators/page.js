// Lists what arrived. Everything shown was written by a stranger: it goes into the page as text, never as markup.
"use strict";

const SHOWN = 200;
const CHANNELS = { fcm: "Android (FCM)", apns: "iPhone (APNs)", smtp: "Mail (SMTP)" };
const byId = (id) => document.getElementById(id);
const view = { channel: "", outcome: "all", items: [], newest: 0, chosen: 0, isBusy: false, isStale: false };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

const timeOf = (item, options = {}) => new Date(item.received_at).toLocaleTimeString("en-GB", options);
const titleOf = (item) => item.title || item.text || (item.outcome === "refused" ? "(refused)" : "(silent push)");

async function ask(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function refresh() {
  if (view.isBusy) { view.isStale = true; return; }
  view.isBusy = true;
  try {
    do {
      view.isStale = false;
      const query = new URLSearchParams({ outcome: view.outcome, limit: String(SHOWN), after: String(view.newest) });
      if (view.channel) query.set("channel", view.channel);
      const asked = view.channel + view.outcome;
      const [stats, page] = await Promise.all([ask("/api/stats"), ask(`/api/messages?${query}`)]);
      if (asked !== view.channel + view.outcome) { view.isStale = true; continue; }
      if (stats.kept === 0) clear();
      const isFirst = view.newest === 0;
      if (page.items.length) view.newest = page.items[0].id;
      view.items = [...page.items, ...view.items].slice(0, SHOWN);
      showCounts(stats);
      showRows(page.items, isFirst);
    } while (view.isStale);
  } catch (error) {
    byId("live").title = String(error);
  } finally {
    view.isBusy = false;
  }
}

function clear() {
  view.items = [];
  view.newest = 0;
  byId("list").replaceChildren();
}

function showCounts(stats) {
  const counts = { "": 0, refused: 0 };
  for (const [channel, outcomes] of Object.entries(stats.channels)) {
    counts[channel] = outcomes.accepted + outcomes.refused;
    counts[""] += counts[channel];
    counts.refused += outcomes.refused;
  }
  for (const button of byId("filters").children) {
    const count = counts[button.dataset.outcome ?? button.dataset.channel] || 0;
    button.querySelector("b").textContent = count ? count.toLocaleString("en") : "";
  }
  const repeated = byId("repeated");
  repeated.hidden = stats.repeated.length === 0;
  if (stats.repeated.length) {
    const first = stats.repeated[0];
    const others = stats.repeated_count > 1 ? ` and ${stats.repeated_count - 1} more` : "";
    repeated.textContent = `Arrived more than once: ${first.key} to ${short(first.to)} (${first.count} times)${others}.`;
  }
  byId("empty").hidden = view.items.length > 0;
  byId("more").hidden = view.items.length < SHOWN;
  byId("more").textContent = `The newest ${SHOWN} are shown; all that is kept is at /api/messages.`;
}

const short = (text) => (text.length > 44 ? `${text.slice(0, 24)}…${text.slice(-12)}` : text);

function row(item) {
  const refusal = item.outcome === "refused" ? make("span", { class: "badge" }, item.reason) : null;
  return make("li", { "data-id": item.id },
    make("button", { class: `row ${item.channel}`, onclick: () => { location.hash = String(item.id); } },
      make("span", { class: "icon" }, icon(item.channel)),
      make("span", { class: "title" }, titleOf(item)),
      make("time", { datetime: item.received_at }, timeOf(item)),
      make("span", { class: "text" }, refusal ?? (item.title ? item.text.split("\n")[0] : CHANNELS[item.channel])),
      make("span", { class: "to" }, short(item.to) || "no recipient")));
}

function showRows(fresh, isFirst) {
  const list = byId("list");
  const rows = fresh.map(row);
  if (!isFirst) rows.forEach((element) => element.firstChild.classList.add("fresh"));
  list.prepend(...rows);
  while (list.children.length > SHOWN) list.lastChild.remove();
  byId("empty").hidden = view.items.length > 0;
  markChosen();
  const isWide = matchMedia("(min-width: 861px)").matches;
  if (isWide && !view.chosen && view.items.length) showDetail(view.items[0]);
}

function markChosen() {
  for (const element of byId("list").children) {
    element.firstChild.setAttribute("aria-current", String(element.dataset.id === String(view.chosen)));
  }
}

async function choose() {
  const id = Number(location.hash.slice(1));
  if (!id) { view.chosen = 0; byId("detail").replaceChildren(); markChosen(); return; }
  const item = view.items.find((known) => known.id === id) ?? await ask(`/api/messages/${id}`).catch(() => null);
  if (item) showDetail(item); else location.hash = "";
}

function showDetail(item) {
  view.chosen = item.id;
  const isMail = item.channel === "smtp";
  const back = make("button", { class: "back", "aria-label": "Back to the list", onclick: () => { location.hash = ""; } }, icon("back"));
  const summary = `${CHANNELS[item.channel]}, ${timeOf(item, { timeStyle: "medium" })}`;
  byId("detail").replaceChildren(
    make("div", { class: "head" }, back,
      make("span", { class: `icon ${item.channel}` }, icon(item.channel)),
      make("div", {}, make("h2", {}, titleOf(item)), make("p", {}, isMail && item.mail ? `${item.mail.from} to ${item.to}` : summary))),
    make("div", { class: "content" },
      ...item.warnings.map((text) => make("p", { class: "note warning" }, text)),
      item.outcome === "refused" ? make("p", {}, make("span", { class: "badge" }, `Refused: ${item.status || "no answer"} ${item.reason}`)) : null,
      ...(isMail ? mail(item) : [phone(item)]),
      facts(item), raw(item)));
  byId("detail").scrollTop = 0;
  markChosen();
}

function phone(item) {
  if (item.outcome === "refused") return "";
  const data = item.body?.message?.data;
  const silent = make("p", { class: "quiet" }, data ? "Data message: the app decides what to show" : "Background push: nothing is shown");
  return make("div", { class: `phone ${item.channel}` },
    make("b", {}, timeOf(item, { hour: "2-digit", minute: "2-digit" })),
    make("i", {}, new Date(item.received_at).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" })),
    make("div", { class: "bubble" },
      make("span", { class: "app", "aria-hidden": "true" }, "G"),
      make("span", { class: "meta" }, make("span", {}, item.headers["apns-topic"] || "Gatehouse"), make("span", {}, "now")),
      item.title ? make("strong", {}, item.title) : null,
      item.text ? make("p", {}, item.text) : (item.title ? null : silent)));
}

function mail(item) {
  if (!item.mail) return [];
  const parts = [];
  if (item.mail.html) parts.push(make("iframe", { sandbox: "", src: `/messages/${item.id}/html`, title: "The mail as HTML", referrerpolicy: "no-referrer" }));
  if (item.mail.text) parts.push(make("div", {}, make("h3", {}, "Plain text"), make("div", { class: "plain" }, ...linked(item.mail.text.trim()))));
  return parts;
}

function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"']+)/).map((part, index) =>
    index % 2 ? make("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part);
}

function facts(item) {
  const rows = [["To", item.to || "no recipient"], ["Provider id", item.provider_id], ["Counted as", item.key]];
  if (item.mail?.attachments.length) rows.push(["Attachments", item.mail.attachments.map((file) => `${file.name} (${file.content_type})`).join(", ")]);
  return make("dl", {}, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", { class: "code" }, value)]));
}

function raw(item) {
  const headers = Object.entries(item.headers).flatMap(([name, value]) => [make("dt", {}, name), make("dd", { class: "code" }, String(value))]);
  const body = typeof item.body === "string" ? item.body : JSON.stringify(item.body, null, 2);
  return make("details", {}, make("summary", {}, "Headers and body as received"), make("dl", {}, ...headers), make("pre", {}, body));
}

byId("filters").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  view.channel = button.dataset.channel ?? "";
  view.outcome = button.dataset.outcome ?? "all";
  for (const other of byId("filters").children) other.setAttribute("aria-pressed", String(other === button));
  clear();
  if (view.isBusy) view.isStale = true; else refresh();
});
addEventListener("hashchange", choose);

const stream = new EventSource("/api/stream");
const live = byId("live");
stream.addEventListener("open", () => { live.className = "live on"; live.textContent = "live"; });
stream.addEventListener("error", () => { live.className = "live off"; live.textContent = "simulators not reachable"; });
stream.addEventListener("changed", refresh);
refresh().then(choose);
