/** All that is known of one task, chosen by its key; without a key, what happened lately. */
import { poll } from "./poll.js";
import { Table, facts, link } from "./table.js";
import { make } from "./widget/dom.js";
import { ago, bytes, clock, count, duration } from "./widget/format.js";

const key = new URLSearchParams(location.search).get("key") ?? "";
const theme = document.documentElement.dataset.theme;
const input = make("input", { type: "search", name: "key", value: key, placeholder: "Key of a task", "aria-label": "Key of a task", size: "48" });
const form = make("form", { class: "tools", role: "search" }, input, make("input", { type: "hidden", name: "theme", value: theme }), make("button", {}, "Show"));
const box = make("div");
document.getElementById("content").append(form, box);

const neighbours = (title, rows, total) =>
  make("section", { class: "card" }, make("h2", {}, `${title} (${count(total)})`),
    rows.length
      ? make("ul", { class: "keys" }, ...rows.map(([name, status]) => make("li", {}, link("info", { key: name }, name), " ", make("span", { class: `pill status-${status}` }, status))))
      : make("p", { class: "note" }, "none"));

let shown = "";

function show(task) {
  // Without the events' ages, which always change: drawing anew would lose what is selected in the page.
  const steady = JSON.stringify({ ...task, events: task.events?.map((event) => event.slice(1)) });
  if (steady === shown) return;
  shown = steady;
  const head = make("section", { class: "card task" },
    make("h2", {}, task.key, " ", make("span", { class: `pill status-${task.status}` }, task.status)),
    make("p", {}, task.why ?? ""));
  if (task.status === "unknown") {
    box.replaceChildren(head, ...computed(task.calls));
    return;
  }
  const failed = task.error ? [make("section", { class: "card error" }, make("h2", {}, "Error"), make("pre", {}, task.error.text), make("p", {}, "in ", link("info", { key: task.error.key }, task.error.key)))] : [];
  const around = task.dependencies ? [make("div", { class: "pair" }, neighbours("Inputs", task.dependencies, task.ndependencies), neighbours("Dependents", task.dependents, task.ndependents))] : [];
  const events = task.events.length
    ? [make("section", { class: "card" }, make("h2", {}, "Events"), make("ul", { class: "keys" }, ...task.events.map(([age, kind, text]) => make("li", {}, make("b", {}, kind), ` ${text} `, make("span", { class: "note" }, ago(age))))))]
    : [];
  box.replaceChildren(head, facts(known(task)), ...failed, ...computed(task.calls), ...around, ...events);
}

/** When and where the task was computed, and how long each part took. */
function computed(calls) {
  if (!calls?.length) return [];
  const part = (/** @type {string} */ name) => ({ title: name[0].toUpperCase() + name.slice(1), number: true, value: (row) => row[name], cell: (row) => (row[name] ? duration(row[name]) : "–") });
  const table = new Table(
    [
      { title: "Started", value: (row) => row.start, cell: (row) => clock(row.start) },
      { title: "Worker", value: (row) => row.worker, cell: (row) => link("worker", { name: row.worker }, row.worker) },
      { title: "Thread", number: true, value: (row) => row.thread },
      part("transfer"), part("deserialize"), part("compute"), part("serialize"),
      { title: "Outcome", value: (row) => (row.failed ? "failed" : "finished"), cell: (row) => (row.failed ? "failed" : `finished, ${bytes(row.nbytes)}`) },
    ],
    "",
  );
  table.show(calls);
  return [table.el];
}

/** Names and values of what was told of a task: a recording knows less than a scheduler. */
function known(task) {
  const resources = Object.entries(task.resources ?? {}).map(([name, amount]) => `${name}: ${amount}`);
  const pairs = [
    ["Function", link("tasks", { function: task.group }, task.group)],
    ["Submitted by", task.span],
    ["Priority", task.priority?.join(", ")],
    ["Attempts", task.retries === undefined ? String(task.tries) : `${task.tries} (${task.retries} retries left)`],
    ["Type", task.type === "" ? "–" : task.type],
    ["Size", task.nbytes >= 0 ? bytes(task.nbytes) : "–"],
    ["Worker", task.worker ? link("worker", { name: task.worker }, task.worker) : task.host || undefined],
    ["Held by", task.holders && (task.holders.join(", ") || "–")],
    ["Only at", task.workers?.join(", ") || undefined],
    ["Resources", resources.join(", ") || undefined],
  ];
  return pairs.filter(([, value]) => value !== undefined);
}

if (key) {
  poll(() => `task.json?${new URLSearchParams({ key })}`, 1000, show, (error) => box.replaceChildren(make("p", { class: "card empty" }, error.message)));
} else {
  const table = new Table(
    [
      { title: "Time", value: (row) => row.time, cell: (row) => clock(row.time) },
      { title: "Event", value: (row) => row.kind },
      { title: "Of", value: (row) => row.subject, cell: (row) => (row.kind.startsWith("worker") ? link("worker", { name: row.subject }, row.subject) : row.subject) },
      { title: "What happened", value: (row) => row.text },
    ],
    "Nothing out of the ordinary.",
  );
  box.append(table.el);
  poll("events.json", 2000, (found) => table.show(found.events));
}
