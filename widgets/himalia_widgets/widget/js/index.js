/** The cluster widget: header and tabs over one store.  This is the module that anywidget loads. */
import { make, onceAFrame } from "./dom.js";
import { Header } from "./header.js";
import { Logs } from "./logs.js";
import { Plot } from "./plot.js";
import { Scale } from "./scale.js";
import { Store, randomId } from "./store.js";
import { Tabs } from "./tabs.js";
import { Workers } from "./workers.js";

/** Keys that a notebook in command mode would take as its own. */
const KEPT = new Set(["Enter", " ", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Escape", "Home", "End"]);

/**
 * Draw one view; return what takes it away again.
 * @param {any} model
 * @param {HTMLElement} el
 * @param {Store} store
 */
function draw(model, el, store) {
  const id = `hw-${randomId()}`;
  const header = new Header(store);
  const logs = new Logs(store);
  const workers = new Workers(store, (process) => {
    logs.filter(process);
    tabs.open("logs");
  });
  const stream = new Plot(store, model, "task_stream");
  const progress = new Plot(store, model, "progress");
  const scale = new Scale(store);
  const plots = { stream, progress };
  // It runs with the next frame, when `tabs` and `root` below exist.
  const update = onceAFrame(() => {
    header.update();
    if (tabs.current === "workers") workers.update();
    if (tabs.current === "scale") scale.update();
    root.classList.toggle("hw-stale", store.silence > 0);
  });
  const tabs = new Tabs(id, [
    { id: "workers", label: "Workers", el: workers.el },
    { id: "stream", label: "Task stream", el: stream.el },
    { id: "progress", label: "Progress", el: progress.el },
    { id: "scale", label: "Scale", el: scale.el },
    { id: "logs", label: "Logs", el: logs.el },
  ], (tab) => {
    store.open(id, tab);
    for (const [name, plot] of Object.entries(plots)) name === tab ? plot.show() : plot.hide();
    if (tab === "logs") logs.open();
    update();
  });
  const root = make("div", { class: "himalia-widget", role: "region", "aria-label": "Cluster",
    onkeydown: (/** @type {KeyboardEvent} */ event) => KEPT.has(event.key) || isTyping(event.target) ? event.stopPropagation() : undefined }, header.el, tabs.el);
  el.append(root);
  tabs.open("workers");
  const showLines = onceAFrame(() => tabs.current === "logs" && logs.update());
  store.addEventListener("change", update);
  store.addEventListener("clock", update);
  store.addEventListener("lines", showLines);
  return () => {
    store.removeEventListener("change", update);
    store.removeEventListener("clock", update);
    store.removeEventListener("lines", showLines);
    stream.dispose();
    progress.dispose();
    store.close(id);
    root.remove();
  };
}

/** @param {EventTarget|null} target */
function isTyping(target) {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}

export default () => {
  /** @type {Store} */
  let store;
  return {
    /** @param {{model: any}} context */
    initialize({ model }) {
      store = new Store(model);
      return () => store.dispose();
    },
    /** @param {{model: any, el: HTMLElement}} context */
    render({ model, el }) {
      return draw(model, el, store);
    },
  };
};
