/** The table of workers. */
import { poll } from "./poll.js";
import { Table, bytesOf, link, meter } from "./table.js";
import { make } from "./widget/dom.js";
import { ago, bytes, count, percent } from "./widget/format.js";

const of = (used, limit) => meter(limit ? used / limit : 0, bytesOf(used, limit));
/** Rows that tell of their host: the first of each, since the same number in every row reads as a sum. */
const tellsHost = new Set();
const once = (cell) => (row) => (tellsHost.has(row.address) ? cell(row) : "");
const table = new Table(
  [
    { title: "Name", value: (row) => row.name, cell: (row) => link("worker", { name: row.name }, row.name) },
    { title: "Host", value: (row) => row.host },
    { title: "CPU", value: (row) => row.cpu, cell: (row) => meter(row.cpu / row.nthreads, percent(row.cpu)), number: true },
    { title: "Process memory", value: (row) => row.memory, cell: (row) => of(row.memory, row.memory_limit), number: true },
    { title: "Results at host", value: (row) => row.store, cell: once((row) => of(row.store, row.store_limit)), number: true },
    { title: "Spilled at host", value: (row) => row.spilled, cell: once((row) => bytes(row.spilled)), number: true },
    { title: "Running", value: (row) => row.running, cell: (row) => `${count(row.running)} / ${count(row.nthreads)}`, number: true },
    { title: "Process id", value: (row) => row.pid, number: true },
    { title: "Last seen", value: (row) => row.last_seen, cell: (row) => (row.paused ? "paused: memory is nearly full" : ago(row.last_seen)) },
  ],
  "No workers.",
);
table.onOrder = (rows) => {
  const told = new Set();
  tellsHost.clear();
  for (const row of rows) {
    if (!told.has(row.host_id)) tellsHost.add(row.address);
    told.add(row.host_id);
  }
};
const search = make("input", { type: "search", placeholder: "Search name or host", "aria-label": "Search workers" });
const note = make("span", { class: "note" });
document.getElementById("content").append(make("div", { class: "tools" }, search, note), table.el);

let rows = [];
const show = () => {
  const words = search.value.toLowerCase();
  const found = rows.filter((row) => `${row.name} ${row.host}`.toLowerCase().includes(words));
  note.textContent = `${count(found.length)} of ${count(rows.length)}`;
  table.show(found);
};
search.addEventListener("input", show);
poll("workers.json", 1000, (found) => {
  rows = found.workers;
  show();
});
