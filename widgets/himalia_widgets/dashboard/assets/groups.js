/** The table of functions. */
import { poll } from "./poll.js";
import { Table, link } from "./table.js";
import { make } from "./widget/dom.js";
import { bytes, count, duration } from "./widget/format.js";

const time = (name) => ({ value: (row) => row[name], cell: (row) => (row[name] ? duration(row[name]) : "–"), number: true });
const size = (name) => ({ value: (row) => row[name], cell: (row) => bytes(row[name]), number: true });
const amount = (name) => ({ value: (row) => row[name], cell: (row) => count(row[name]), number: true });
const name = (row) => {
  const dot = make("span", { class: "dot", "aria-hidden": "true" });
  dot.style.background = row.color;
  return make("span", {}, dot, link("tasks", { function: row.name }, row.name));
};
const table = new Table(
  [
    { title: "Function", value: (row) => row.name, cell: name },
    { title: "Calls ended", ...amount("calls") },
    { title: "Failed", ...amount("failed") },
    { title: "Cancelled", ...amount("cancelled") },
    { title: "To come", ...amount("left") },
    { title: "Mean time", ...time("seconds") },
    { title: "Compute", ...time("compute") },
    { title: "Transfer", ...time("transfer") },
    { title: "Deserialize", ...time("deserialize") },
    { title: "Serialize", ...time("serialize") },
    { title: "Mean result", ...size("nbytes") },
    { title: "Held now", ...size("memory") },
    { title: "Peak", ...size("peak") },
    { title: "Moved", ...size("moved") },
  ],
  "Nothing was submitted yet.",
);
document.getElementById("content").append(table.el);
poll("groups.json", 1000, (found) => table.show(found.groups));
