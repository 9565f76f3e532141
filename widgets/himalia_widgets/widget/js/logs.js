/**
 * The tab with the output of all processes.  The kernel fetches it only while this tab is open.
 *
 * All rows are equally high, so a line that is too long for the widget is several rows.
 */
import { make, mark, onceAFrame, write } from "./dom.js";
import { clock, count, natural, plural } from "./format.js";
import { Windowed } from "./windowed.js";

const LINE_HEIGHT = 20;
/** How grave a line is, by where it comes from. */
const RANKS = { DEBUG: 10, stdout: 20, INFO: 20, stderr: 30, WARNING: 30, ERROR: 40, CRITICAL: 50 };

/** Letters of a worker's name, and of a level, at most. */
const LONGEST = 22;
/** Letters of a row at least, however narrow the widget is. */
const NARROWEST = 24;

/**
 * Cut a line into rows, after a blank where there is one in their last third.
 * @param {string} text
 * @param {number} width Letters of a row.
 * @returns {string[]}
 */
export function fold(text, width) {
  const rows = [];
  let rest = text.replaceAll("\t", "    ");
  while (rest.length > width) {
    const blank = rest.lastIndexOf(" ", width - 1);
    // Never between the two halves of a letter that takes two places.
    const whole = /[\ud800-\udbff]/.test(rest[width - 1]) ? width - 1 : width;
    const end = blank > (width * 2) / 3 ? blank + 1 : whole;
    rows.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  return [...rows, rest];
}

export class Logs {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    /** @type {{line: any, text: string, isFirst: boolean}[]} */
    this.rows = [];
    const change = () => this.update();
    this.process = make("select", { "aria-label": "Process", onchange: change }, make("option", { value: "" }, "All processes"));
    this.level = make("select", { "aria-label": "Level", onchange: change },
      ...[[0, "All levels"], [20, "Info and print"], [30, "Warnings"], [40, "Errors"]].map(([rank, name]) => make("option", { value: rank }, String(name))));
    this.search = make("input", { type: "search", placeholder: "Search lines", "aria-label": "Search lines", oninput: change });
    this.follow = make("input", { type: "checkbox", onchange: change });
    this.follow.checked = true;
    this.total = make("span", { class: "hw-note" });
    this.scroller = make("div", { class: "hw-scroll hw-lines", tabindex: "0", role: "log", "aria-label": "Output", "aria-live": "off" });
    const body = make("div", {});
    this.scroller.append(body);
    this.empty = make("p", { class: "hw-empty" });
    this.list = new Windowed(this.scroller, body, {
      height: LINE_HEIGHT, tag: "div", make: () => new LineRow(), fill: (row, index) => row.show(this.rows[index]),
    });
    this.letter = make("span", { class: "hw-letter", "aria-hidden": "true" }, "0".repeat(100));
    this.scroller.append(this.letter);
    // What fits into a row is counted anew when the widget gets another width, and when its tab is opened.
    new ResizeObserver(onceAFrame(() => this.scroller.clientWidth && this.update())).observe(this.scroller);
    // somebody who scrolls up wants to read
    this.scroller.addEventListener("wheel", (/** @type {WheelEvent} */ event) => event.deltaY < 0 && (this.follow.checked = false), { passive: true });
    this.el = make("div", {},
      make("div", { class: "hw-tools" }, this.process, this.level, this.search, make("label", { class: "hw-check" }, this.follow, "Follow"), this.total),
      this.scroller, this.empty);
    this.update();
  }

  /** The tab was opened: the kernel begins to fetch, unless a cell keeps it. */
  open() {
    // Opening the tab asks, and nothing acknowledges it: that no lines come is the only sign of a busy kernel.
    const asked = this.store.answered;
    this.waiting = false;
    setTimeout(() => {
      this.waiting = asked === this.store.answered;
      this.update();
    }, 1500);
    this.update();
  }

  /** @param {string} process Show only this one. */
  filter(process) {
    this.wanted = process;
    this.listProcesses();
    this.process.value = process;
    this.update();
  }

  update() {
    this.listProcesses();
    const { value: process } = this.process;
    const rank = Number(this.level.value);
    const text = this.search.value.toLowerCase();
    const shown = this.store.lines.filter((line) =>
      (!process || line.process === process) && (RANKS[line.level] ?? 20) >= rank && (!text || line.text.toLowerCase().includes(text)));
    const all = this.store.lines.length;
    write(this.total, shown.length === all ? plural(all, "line") : `${count(shown.length)} of ${plural(all, "line")}`);
    this.empty.hidden = shown.length > 0;
    this.scroller.hidden = shown.length === 0;
    write(this.empty, this.store.note || (all ? "No line matches." : this.waiting ? "Waits for the running cell." : "No output yet."));
    const width = this.measure(shown);
    this.rows = shown.flatMap((line) => fold(line.text, width).map((part, index) => ({ line, text: part, isFirst: index === 0 })));
    this.list.show(this.rows.length, this.follow.checked);
  }

  /**
   * Give names and levels the room that they need, and return how many letters that leaves for the text.
   * @param {any[]} lines
   */
  measure(lines) {
    const longest = (/** @type {(line: any) => string} */ of) => Math.min(LONGEST, lines.reduce((most, line) => Math.max(most, of(line).length), 0));
    const name = longest((line) => line.process);
    const level = longest(levelOf);
    this.scroller.style.setProperty("--hw-name", `${name}ch`);
    this.scroller.style.setProperty("--hw-level", `${level}ch`);
    const letter = this.letter.getBoundingClientRect().width / 100;
    // Of a tab that isn't shown nothing can be measured, and nothing need be folded.
    if (!letter) return Infinity;
    const gaps = level ? 3 : 2;
    return Math.max(NARROWEST, Math.floor(this.scroller.clientWidth / letter - 8 - name - level - 2 * gaps - 4));
  }

  listProcesses() {
    const names = new Set(this.store.lines.map((line) => line.process));
    for (const worker of this.store.workers.values()) names.add(worker.name);
    if (this.wanted) names.add(this.wanted);
    const sorted = [...names].sort(natural);
    // Made anew only if it differs: somebody may have the list open.
    if (this.process.options.length === sorted.length + 1 && sorted.every((name, index) => this.process.options[index + 1].value === name)) return;
    const chosen = this.process.value;
    while (this.process.options.length > 1) this.process.options[1].remove();
    this.process.append(...sorted.map((name) => make("option", { value: name }, name)));
    this.process.value = names.has(chosen) ? chosen : "";
  }
}

/** @param {any} line What is told of its level: of what was merely printed, nothing. */
function levelOf(line) {
  return line.level === "stdout" ? "" : line.level;
}

/** The elements of one row in sight. */
class LineRow {
  constructor() {
    this.time = make("span", { class: "hw-dim" });
    this.process = make("span", { class: "hw-process-name" });
    this.level = make("span", { class: "hw-level" });
    this.text = make("span", { class: "hw-text" });
    this.el = make("div", { class: "hw-line" }, this.time, this.process, this.level, this.text);
  }

  /** @param {{line: any, text: string, isFirst: boolean}} row */
  show({ line, text, isFirst }) {
    this.el.classList.toggle("hw-more", !isFirst);
    write(this.time, line.time ? clock(line.time) : "");
    write(this.process, line.process);
    write(this.level, levelOf(line));
    write(this.text, text);
    mark(this.el, "data-rank", String(RANKS[line.level] ?? 20));
    mark(this.el, "title", line.key ? `${line.text}\n${line.key}` : line.text);
  }
}
