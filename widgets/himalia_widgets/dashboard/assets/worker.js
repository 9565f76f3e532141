/** What is known of one worker. */
import { poll } from "./poll.js";
import { Table, bytesOf, facts, link } from "./table.js";
import { make } from "./widget/dom.js";
import { ago, clock, count, duration } from "./widget/format.js";

const name = new URLSearchParams(location.search).get("name") ?? "";
document.querySelector("h1").textContent = name ? `Worker ${name}` : "Worker";
const box = make("div");
const calls = new Table(
  [
    { title: "Running call", value: (row) => row.key, cell: (row) => link("info", { key: row.key }, row.key) },
    { title: "Function", value: (row) => row.function },
    { title: "For", value: (row) => row.seconds, cell: (row) => duration(row.seconds), number: true },
  ],
  "No call has been running for longer than a moment.",
);
const events = new Table(
  [
    { title: "Time", value: (row) => row.time, cell: (row) => clock(row.time) },
    { title: "Event", value: (row) => row.kind },
    { title: "What happened", value: (row) => row.text },
  ],
  "Nothing out of the ordinary.",
);
document.getElementById("content").append(box, make("div", { class: "pair" }, calls.el, events.el));

poll(() => `worker.json?${new URLSearchParams({ name })}`, 1000, (found) => {
  const worker = found.worker;
  box.replaceChildren(
    worker
      ? facts([
          ["Address", worker.address],
          ["Host", worker.host],
          ["Process id", String(worker.pid)],
          ["Threads", count(worker.nthreads)],
          ["Memory", bytesOf(worker.memory, worker.memory_limit)],
          ["Last seen", ago(worker.last_seen)],
        ])
      : make("p", { class: "card empty" }, name ? "There is no such worker (any more)." : "Choose a worker on the page Workers."),
  );
  calls.show(found.running);
  events.show(found.events);
});
