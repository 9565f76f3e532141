/** The top of the widget: who the cluster is, how it is, and its numbers. */
import { Bar, make, mark, safeLink, write } from "./dom.js";
import { bytes, count, elapsed } from "./format.js";

export class Header {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.title = make("h3", { class: "hw-name" });
    this.id = make("p", { class: "hw-id" });
    this.link = make("a", {
      class: "hw-link", target: "_blank", rel: "noopener noreferrer", hidden: true, title: "Open the dashboard in another tab",
      // A link opens the dashboard once: the kernel is to push another one.
      onclick: () => store.send({ type: "visit" }),
    }, "Dashboard");
    this.pill = make("span", { class: "hw-pill" });
    this.workers = new Tile("Workers");
    this.threads = new Tile("Threads");
    this.memory = new Tile("Results in memory", new Bar("hw-store", "hw-spilled"));
    this.tasks = new TaskTile();
    this.uptime = new Tile("Uptime");
    this.tiles = make("dl", { class: "hw-tiles" }, this.workers.el, this.threads.el, this.memory.el, this.tasks.el, this.uptime.el);
    this.el = make(
      "header",
      {},
      make("div", { class: "hw-head" }, make("span", { class: "hw-moon", "aria-hidden": "true" }),
        make("div", { class: "hw-title" }, this.title, this.id), this.link, this.pill),
      this.tiles,
    );
    this.update();
  }

  update() {
    const header = this.store.header;
    write(this.title, header.title ?? "Cluster");
    write(this.id, [header.name, header.address].filter(Boolean).join("  ·  "));
    const link = safeLink(header.dashboard ?? "");
    this.link.hidden = !link;
    mark(this.link, "href", link || null);
    this.updatePill();
    const missing = (header.expected ?? 0) > header.workers && header.state === "running";
    this.workers.show(missing ? `${count(header.workers)} of ${count(header.expected)}` : number(header.workers));
    this.threads.show(number(header.threads));
    this.showMemory(header);
    this.tasks.show(header);
    this.uptime.show(header.started ? elapsed(Math.max(1, (header.ended || this.store.now) - header.started)) : "–");
  }

  /**
   * Results only: the workers' own memory has limits of its own, one for each, and the table shows them.
   * @param {Record<string, any>} header
   */
  showMemory({ store, store_limit: limit, spilled, own_memory: own, held, holders }) {
    if (store === undefined) return this.memory.show("–");
    const all = Math.max(limit, store + spilled, 1);
    const names = (holders ?? []).map((/** @type {[string, number]} */ [name, size]) => `${bytes(size)} held by ${name}`);
    const mapped = names.length ? ` ${names.join(", ")}: mapped there, so that it can't move to disk.` : "";
    // In the small line: beside the value it would take the room of the tasks.
    const more = [spilled ? `${bytes(spilled)} on disk` : "", held ? `${bytes(held)} held` : ""].filter(Boolean).join(", ");
    this.memory.rename(more ? `Results; ${more}` : "Results in memory");
    this.memory.show(
      `${bytes(store)} of ${bytes(limit)}`,
      [store / all, spilled / all],
      `Results take ${bytes(store)} of memory, of the ${bytes(limit)} that they may take, and ${bytes(spilled)} on disk. Worker processes take ${bytes(own)} more.${mapped}`);
  }

  updatePill() {
    const silence = this.store.silence;
    const state = silence ? "stale" : this.store.header.state ?? "connecting";
    mark(this.pill, "data-state", state);
    write(this.pill, silence ? `no news for ${elapsed(silence)}` : state);
    mark(this.pill, "title", silence
      ? "These numbers are old: the kernel was restarted or can't be reached. Run the cell again."
      : this.store.header.reason || "State of the cluster");
  }
}

/** @param {number|undefined} value */
function number(value) {
  return value === undefined ? "–" : count(value);
}

/** A named value, perhaps with a bar. */
class Tile {
  /**
   * @param {string} name
   * @param {Bar} [bar]
   */
  constructor(name, bar) {
    this.name = make("dt", {}, name);
    this.value = make("dd", {});
    this.bar = bar;
    this.el = make("div", { "data-tile": name.toLowerCase() }, this.name, this.value, ...(bar ? [bar.el] : []));
  }

  /** @param {string} name */
  rename(name) {
    write(this.name, name);
  }

  /**
   * @param {string} text
   * @param {number[]} [parts]
   * @param {string} [title]
   */
  show(text, parts, title) {
    write(this.value, text);
    this.bar?.show(...(parts ?? []));
    if (title !== undefined) mark(this.el, "title", title);
  }
}

/** Tasks by state, with a bar of their shares. */
class TaskTile {
  constructor() {
    this.bar = new Bar("hw-done", "hw-failed", "hw-running", "hw-waiting", "hw-cancelled");
    /** @type {Record<string, HTMLElement>} */
    this.values = {};
    const line = ["running", "waiting", "done", "failed", "cancelled"].map((name) => {
      this.values[name] = make("b", { "data-count": name });
      return make("span", { class: `hw-count hw-${name}` }, this.values[name], ` ${name}`);
    });
    this.el = make("div", { class: "hw-tasks", "data-tile": "tasks" }, make("dt", {}, "Tasks"), make("dd", {}, ...line), this.bar.el);
  }

  /** @param {Record<string, any>} header */
  show(header) {
    for (const [name, node] of Object.entries(this.values)) {
      write(node, number(header[name]));
      node.parentElement?.classList.toggle("hw-none", !header[name]);
      if (name === "cancelled" && node.parentElement) node.parentElement.hidden = !header[name];
    }
    const all = header.running + header.waiting + header.done + header.failed + (header.cancelled ?? 0) || 1;
    this.bar.show(header.done / all, header.failed / all, header.running / all, header.waiting / all, (header.cancelled ?? 0) / all);
  }
}
