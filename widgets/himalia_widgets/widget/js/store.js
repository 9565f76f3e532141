/**
 * What the page knows of one cluster: everything the kernel has pushed.  One store for all views of a model in a page.
 *
 * The kernel pushes what changed and is never waited for, because a running cell keeps it from answering: all that a
 * tab needs is here before it is opened.  What is asked of the kernel (scale, restart, logs, a task) may have to wait,
 * and then says so.
 */
import { append, unpack } from "./columns.js";

/** ms without a push after which what is shown is marked as old: pushes come at least once a second. */
const STALE = 3000;
/** ms after which a question without an acknowledgement is said to wait for the running cell. */
const PATIENCE = 500;
/** Lines of output kept. */
const LINES = 5000;

export class Store extends EventTarget {
  /** @param {any} model */
  constructor(model) {
    super();
    this.model = model;
    this.page = randomId();
    /** @type {Record<string, any>} */
    this.header = JSON.parse(model.get("about"));
    /** @type {Record<string, any>} */
    this.scale = {};
    /** @type {Map<number, any>} workers by the number that the kernel gave each */
    this.workers = new Map();
    /** @type {Record<string, Record<string, any>>} columns by source */
    this.sources = {};
    /** @type {any[]} */
    this.lines = [];
    /** Times that lines were fetched. */
    this.answered = 0;
    this.note = "";
    this.skew = 0;
    this.pushed = performance.now();
    this.heard = false;
    this.sequence = -1;
    this.asked = 0;
    /** @type {Map<number, Question>} */
    this.questions = new Map();
    /** @type {Map<string, string>} the open tab of each view */
    this.views = new Map();
    this.onMessage = (/** @type {any} */ message, /** @type {DataView[]} */ buffers) => this.take(message, buffers || []);
    model.on("msg:custom", this.onMessage);
    this.onLeave = () => [...this.views.keys()].forEach((view) => this.send({ type: "bye", view }));
    addEventListener("pagehide", this.onLeave);
    this.timer = setInterval(() => this.look(), 1000);
    this.greet(1000);
  }

  /** Epoch seconds of the kernel's clock. */
  get now() {
    return Date.now() / 1000 + this.skew;
  }

  /** Seconds since the last push, if that is too long. */
  get silence() {
    const silent = performance.now() - this.pushed;
    return silent > STALE && !this.isOver ? silent / 1000 : 0;
  }

  /** Whether nothing will change any more. */
  get isOver() {
    return this.header.final === true;
  }

  /**
   * Ask for everything, until it comes; ever more rarely, since the questions wait in the kernel's queue.
   * @param {number} wait ms
   */
  greet(wait) {
    clearTimeout(this.greeting);
    this.send({ type: "hello", views: [...this.views] });
    this.greeting = setTimeout(() => this.heard || this.greet(Math.min(2 * wait, 30000)), wait);
  }

  /** @param {any} message */
  send(message) {
    try {
      this.model.send(message);
    } catch (error) {
      console.warn("himalia: the kernel can't be reached", error); // it was restarted; the silence is shown
    }
  }

  /**
   * @param {any} message
   * @param {DataView[]} buffers
   */
  take(message, buffers) {
    if (message.page !== undefined && message.page !== this.page) return; // another page of the same kernel asked
    if (message.type === "push") this.takePush(message, buffers);
    else if (message.type === "lines") this.takeLines(message);
    else if (message.type === "ack") this.questions.get(message.id)?.acknowledge();
    else if (message.type === "answer") this.questions.get(message.id)?.settle(message);
  }

  /**
   * @param {any} push
   * @param {DataView[]} buffers
   */
  takePush(push, buffers) {
    const missed = !push.full && push.sequence !== this.sequence + 1;
    this.sequence = push.sequence;
    this.pushed = performance.now();
    // Each push tells what changed since the one before: with a gap only all of it helps.
    if (missed && this.heard) {
      this.heard = false;
      this.greet(1000);
    }
    if (push.full) {
      this.heard = true;
      this.workers.clear();
      this.sources = {};
    }
    // Times are the kernel's, whose clock may be another one than the page's.
    this.skew = push.time - Date.now() / 1000;
    if (push.header) this.header = push.header;
    if (push.scale) this.scale = push.scale;
    if (push.workers) this.takeWorkers(push.workers, buffers);
    for (const [name, source] of Object.entries(push.sources ?? {})) this.takeSource(name, source, buffers);
    // Every view answers: only silence tells the kernel of a page that is gone.
    if (push.roll !== undefined) for (const [view, tab] of this.views) this.send({ type: "here", view, tab, roll: push.roll });
    this.emit("change");
  }

  /**
   * @param {any} part
   * @param {DataView[]} buffers
   */
  takeWorkers(part, buffers) {
    for (const number of part.gone) this.workers.delete(number);
    // A row that changed keeps its numbers: they come only when they change.
    for (const row of part.rows) this.workers.set(row.number, { ...this.workers.get(row.number), ...row });
    const columns = unpack(part.columns, buffers);
    const names = Object.keys(columns).filter((name) => name !== "number");
    columns.number?.forEach((/** @type {number} */ number, /** @type {number} */ index) => {
      const worker = this.workers.get(number);
      if (worker) for (const name of names) worker[name] = columns[name][index];
    });
  }

  /**
   * @param {string} name
   * @param {any} part
   * @param {DataView[]} buffers
   */
  takeSource(name, part, buffers) {
    const fresh = unpack(part.columns, buffers);
    const isMore = part.rollover > 0;
    this.sources[name] = isMore ? append(this.sources[name] ?? {}, fresh, part.rollover) : fresh;
    // After a gap plots take all that the store has, as they weren't told of each piece.
    this.emit("source", { name, fresh, rollover: isMore && this.heard ? part.rollover : 0 });
  }

  /** @param {any} message */
  takeLines(message) {
    const known = message.full ? [] : this.lines;
    this.lines = [...known, ...message.lines.map(([time, process, level, text, key]) => ({ time, process, level, text, key }))];
    this.lines = this.lines.slice(-LINES);
    this.note = message.note ?? "";
    this.answered += 1;
    this.emit("lines");
  }

  /**
   * Ask the kernel to do something; `show` hears of each stage.
   * @param {string} action
   * @param {Record<string, any>} details
   * @param {(stage: "waiting"|"asked"|"done"|"failed", value: any) => void} show
   */
  ask(action, details, show) {
    const id = ++this.asked;
    this.questions.set(id, new Question(show, () => this.questions.delete(id)));
    this.send({ type: "ask", id, page: this.page, action, ...details });
  }

  /**
   * Note that a view is open, and which tab it shows.
   * @param {string} view
   * @param {string} tab
   */
  open(view, tab) {
    this.views.set(view, tab);
    this.send({ type: "look", view, tab });
  }

  /** @param {string} view */
  close(view) {
    this.views.delete(view);
    this.send({ type: "bye", view });
  }

  /** Let views say how old their numbers are; a kernel that forgot this page is told of it again. */
  look() {
    if (this.silence && this.heard && this.views.size) {
      this.heard = false;
      this.greet(2000);
    }
    this.emit("clock");
  }

  /**
   * @param {string} name
   * @param {any} [detail]
   */
  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  dispose() {
    clearInterval(this.timer);
    clearTimeout(this.greeting);
    removeEventListener("pagehide", this.onLeave);
    this.model.off("msg:custom", this.onMessage);
  }
}

/** One question to the kernel, from being sent to being answered. */
class Question {
  /**
   * @param {(stage: any, value: any) => void} show
   * @param {() => void} forget
   */
  constructor(show, forget) {
    this.show = show;
    this.forget = forget;
    this.patience = setTimeout(() => show("waiting", null), PATIENCE);
    show("asked", null);
  }

  acknowledge() {
    clearTimeout(this.patience);
    this.show("asked", null);
  }

  /** @param {{value?: any, error?: string}} answer */
  settle(answer) {
    clearTimeout(this.patience);
    this.forget();
    if (answer.error) this.show("failed", answer.error);
    else this.show("done", answer.value);
  }
}

export function randomId() {
  return Math.random().toString(36).slice(2, 12);
}
