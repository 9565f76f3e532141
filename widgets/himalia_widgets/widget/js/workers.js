/** The tab with a row per worker: sorted, searched, and only the rows in sight drawn. */
import { Bar, make, mark, write } from "./dom.js";
import { ago, bytes, clock, count, natural, percent, plural } from "./format.js";
import { StatusLine } from "./status.js";
import { Windowed } from "./windowed.js";

const ROW_HEIGHT = 34;
/** ms between two sortings by a number that changes: rows that jump can't be read. */
const SORT_EVERY = 2000;

/** @type {{id: string, label: string, title?: string, isNumber?: boolean}[]} */
const COLUMNS = [
  { id: "name", label: "Worker" },
  { id: "host", label: "Host" },
  { id: "nanny", label: "Nanny" },
  { id: "cpu", label: "CPU", isNumber: true },
  { id: "memory", label: "Memory", title: "Memory of the process, of its limit", isNumber: true },
  { id: "store", label: "Results at host", title: "Results that its host holds for all of its workers, in memory and on disk (spilled)", isNumber: true },
  { id: "running", label: "Running", title: "Calls that run", isNumber: true },
  { id: "threads", label: "Threads", isNumber: true },
  { id: "seen", label: "Seen", title: "When its nanny last reported", isNumber: true },
];

export class Workers {
  /**
   * @param {import("./store.js").Store} store
   * @param {(process: string) => void} openLogs
   */
  constructor(store, openLogs) {
    Object.assign(this, { store, openLogs, sort: "name", isDown: false, sortedAt: 0, confirming: "", tellsHost: new Set() });
    /** @type {any[]} */
    this.order = [];
    this.status = new StatusLine();
    this.search = make("input", {
      type: "search", placeholder: "Search workers", "aria-label": "Search workers by name, host or nanny", oninput: () => this.update(true),
    });
    this.total = make("span", { class: "hw-note" });
    this.heads = COLUMNS.map((column) => this.makeHead(column));
    this.table = make("table", { "aria-label": "Workers" });
    const body = make("tbody", {});
    this.table.append(make("thead", {}, make("tr", {}, ...this.heads.map((head) => head.el), make("th", { scope: "col" }, make("span", { class: "hw-unseen" }, "Actions")))), body);
    this.scroller = make("div", { class: "hw-scroll hw-table", tabindex: "0", role: "region", "aria-label": "Workers" }, this.table);
    this.empty = make("p", { class: "hw-empty" });
    this.list = new Windowed(this.scroller, body, {
      height: ROW_HEIGHT, tag: "tr", make: () => new WorkerRow(this), fill: (row, index) => row.show(this.order[index], index),
    });
    this.el = make("div", {}, make("div", { class: "hw-tools" }, this.search, this.total), this.scroller, this.empty, this.status.el);
    this.update(true);
  }

  /** @param {{id: string, label: string, title?: string, isNumber?: boolean}} column */
  makeHead(column) {
    const button = make("button", { type: "button", title: column.title, onclick: () => this.sortBy(column.id) }, column.label);
    return { id: column.id, el: make("th", { scope: "col", "data-column": column.id, class: column.isNumber ? "hw-number" : null }, button) };
  }

  /** @param {string} id */
  sortBy(id) {
    const isNumber = COLUMNS.find((column) => column.id === id)?.isNumber;
    this.isDown = this.sort === id ? !this.isDown : Boolean(isNumber);
    this.sort = id;
    this.update(true);
  }

  /** @param {boolean} [again] Whether to sort at once. */
  update(again = false) {
    // Rows don't move away under a pointer or a focus.
    const isHeld = this.scroller.matches(":hover") || this.scroller.contains(this.scroller.ownerDocument.activeElement);
    const now = performance.now();
    const changed = this.store.workers.size !== this.known;
    if (again || changed || (!isHeld && now - this.sortedAt > SORT_EVERY)) {
      this.known = this.store.workers.size;
      this.sortedAt = now;
      this.arrange();
    }
    this.list.show(this.order.length);
  }

  arrange() {
    const wanted = this.search.value.trim().toLowerCase();
    const found = [...this.store.workers.values()].filter(
      // what is found is in sight: the columns, and nothing of an address
      (worker) => !wanted || [worker.name, worker.host, worker.nanny].some((text) => text.toLowerCase().includes(wanted)),
    );
    const hosts = new Set([...this.store.workers.values()].map((worker) => worker.host_id));
    this.table.classList.toggle("hw-one-host", hosts.size < 2);
    const value = (/** @type {any} */ worker) => (this.sort === "store" ? (worker.store ?? 0) + (worker.spilled ?? 0) : worker[this.sort] ?? 0);
    const isNumber = COLUMNS.find((column) => column.id === this.sort)?.isNumber;
    const sign = this.isDown ? -1 : 1;
    const compare = isNumber ? (a, b) => value(a) - value(b) : (a, b) => natural(value(a), value(b));
    this.order = found.sort((a, b) => sign * compare(a, b) || (this.sort === "store" && natural(a.host_id, b.host_id)) || natural(a.name, b.name));
    // Once for each host, in its first row: the same number in each row reads as a sum.
    /** @type {Set<string>} */
    const told = new Set();
    /** @type {Set<number>} */
    this.tellsHost = new Set();
    for (const worker of this.order) {
      if (!told.has(worker.host_id)) this.tellsHost.add(worker.number);
      told.add(worker.host_id);
    }
    for (const head of this.heads) mark(head.el, "aria-sort", head.id === this.sort ? (this.isDown ? "descending" : "ascending") : "none");
    mark(this.table, "aria-rowcount", String(this.order.length + 1));
    const all = this.store.workers.size;
    write(this.total, wanted ? `${count(found.length)} of ${plural(all, "worker")}` : plural(all, "worker"));
    this.empty.hidden = found.length > 0;
    this.scroller.hidden = found.length === 0;
    write(this.empty, all ? "No worker matches." : this.store.header.workers === undefined ? "Waiting for news of the cluster …"
      : "No workers are here. The Scale tab says why, and starts some.");
  }

  /** @param {string} name */
  restart(name) {
    this.confirming = "";
    this.store.ask("restart", { worker: name }, this.status.follow(`Restarting ${name}`, () => `${name} was restarted.`));
    this.list.draw();
  }
}

/**
 * When a worker was heard of: how long ago, or of a cluster that has ended, at what time.
 * @param {number|undefined} time Epoch seconds.
 * @param {number} now
 * @param {boolean} isOver
 */
export function lastSeen(time, now, isOver) {
  if (!time) return "–";
  return isOver ? clock(time) : ago(now - time);
}

/** The elements of one row in sight; which worker they show changes. */
class WorkerRow {
  /** @param {Workers} table */
  constructor(table) {
    this.table = table;
    this.name = make("td", { class: "hw-strong" });
    this.host = make("td", { "data-column": "host" });
    this.nanny = make("td", { class: "hw-code", "data-column": "nanny" });
    this.cpu = new BarCell("hw-cpu");
    mark(this.cpu.el, "data-column", "cpu");
    this.memory = new BarCell("hw-process");
    this.store = new BarCell("hw-store", "hw-spilled");
    mark(this.store.el, "data-column", "store");
    this.running = make("td", { class: "hw-number" });
    this.threads = make("td", { class: "hw-number", "data-column": "threads" });
    this.seen = make("td", { class: "hw-number hw-dim", "data-column": "seen" });
    this.logs = this.makeButton("Logs", () => table.openLogs(this.worker.name));
    this.ask = this.makeButton("Restart", () => this.confirm(this.worker.name));
    this.yes = this.makeButton("Restart now", () => table.restart(this.worker.name), "hw-danger");
    this.no = this.makeButton("Keep", () => this.confirm(""));
    const actions = make("td", { class: "hw-actions", onkeydown: (/** @type {any} */ event) => event.key === "Escape" && this.confirm("") }, this.logs, this.ask, this.yes, this.no);
    this.el = make("tr", {}, this.name, this.host, this.nanny, this.cpu.el, this.memory.el, this.store.el, this.running, this.threads, this.seen, actions);
  }

  /**
   * @param {string} label
   * @param {() => void} onclick
   * @param {string} [kind]
   */
  makeButton(label, onclick, kind = "") {
    return make("button", { type: "button", class: `hw-small ${kind}`, onclick }, label);
  }

  /** @param {string} name */
  confirm(name) {
    this.table.confirming = name;
    this.show(this.worker, this.index);
    // The button that was pressed is hidden now, and the focus would be lost with it.
    (name ? this.yes : this.ask).focus();
  }

  /**
   * @param {any} worker
   * @param {number} index
   */
  show(worker, index) {
    this.worker = worker;
    this.index = index;
    const { limit, store_limit: room } = worker;
    const [cpu, memory, store, spilled] = [worker.cpu ?? 0, worker.memory ?? 0, worker.store ?? 0, worker.spilled ?? 0];
    mark(this.el, "aria-rowindex", String(index + 2));
    mark(this.el, "data-worker", worker.name);
    write(this.name, worker.name);
    mark(this.name, "title", `${worker.address}\n${plural(worker.threads, "thread")}, pid ${worker.pid}\nhost ${worker.host}, nanny ${worker.nanny}\n${worker.directory}`);
    write(this.host, worker.host);
    write(this.nanny, worker.nanny);
    mark(this.nanny, "title", worker.nanny);
    const { isOver, header } = this.table.store;
    if (isOver) this.cpu.clear("It has ended.", "–");
    else this.cpu.show(percent(cpu), `${percent(cpu)} of one CPU`, cpu / Math.max(1, worker.threads));
    this.memory.show(
      limit ? `${bytes(memory)} of ${bytes(limit)}` : bytes(memory),
      limit ? `${percent(memory / limit)} of its limit` : "It has no limit.", limit ? memory / limit : 0);
    if (this.table.tellsHost.has(worker.number)) this.store.show(
      spilled ? `${bytes(store)} + ${bytes(spilled)} spilled` : bytes(store),
      `Its host holds ${bytes(store)} of results in memory (of ${bytes(room)}) and ${bytes(spilled)} on disk.`,
      store / Math.max(room, store + spilled, 1), spilled / Math.max(room, store + spilled, 1));
    else this.store.clear("Its host is told in the row of another worker.");
    write(this.running, count(worker.running ?? 0));
    write(this.threads, count(worker.threads));
    write(this.seen, lastSeen(worker.seen, this.table.store.now, isOver));
    const isAsking = this.table.confirming === worker.name;
    this.logs.hidden = this.ask.hidden = isAsking;
    this.yes.hidden = this.no.hidden = !isAsking;
    mark(this.logs, "aria-label", `Logs of ${worker.name}`);
    mark(this.ask, "aria-label", `Restart ${worker.name}`);
    this.ask.disabled = isOver || Boolean(header.no_restart);
    mark(this.ask, "title", header.no_restart || null);
  }
}

/** A cell with a bar and a number. */
class BarCell {
  /** @param {string[]} kinds */
  constructor(...kinds) {
    this.bar = new Bar(...kinds);
    this.text = make("span", {});
    this.el = make("td", { class: "hw-number hw-with-bar" }, this.text, this.bar.el);
  }

  /**
   * @param {string} text
   * @param {string} title
   * @param {number[]} parts
   */
  show(text, title, ...parts) {
    this.bar.el.hidden = false;
    write(this.text, text);
    mark(this.el, "title", title);
    this.bar.show(...parts);
  }

  /**
   * Show no number, and why.
   * @param {string} title
   * @param {string} [text]
   */
  clear(title, text = "") {
    this.bar.el.hidden = true;
    write(this.text, text);
    mark(this.el, "title", title);
  }
}
