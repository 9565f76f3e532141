/** A tab with a live Bokeh plot.  It is made when the tab is first opened, and fed only while it is seen. */
import { loadBokeh } from "./bokeh.js";
import { Detail } from "./detail.js";
import { make, write } from "./dom.js";
import { dress, isDark, watchTheme } from "./theme.js";

export class Plot {
  /**
   * @param {import("./store.js").Store} store
   * @param {any} model
   * @param {string} name
   */
  constructor(store, model, name) {
    Object.assign(this, { store, model, name, isSeen: false });
    /** @type {Record<string, any>} */
    this.sources = {};
    this.target = make("div", { class: "hw-plot" });
    this.note = make("p", { class: "hw-empty" }, "Drawing …");
    this.detail = new Detail(store);
    this.el = make("div", {}, this.note, this.target, this.detail.el);
    this.onSource = (/** @type {any} */ event) => this.feed(event.detail);
    store.addEventListener("source", this.onSource);
  }

  /** The tab was opened. */
  show() {
    this.isSeen = true;
    // What came while it was out of sight is in the store only.
    if (this.doc) this.fill();
    else this.draw();
  }

  /** Another tab was opened. */
  hide() {
    this.isSeen = false;
  }

  draw() {
    // The tab may be opened again while it is still drawn.
    this.drawing ??= this.embed().catch((error) => {
      this.drawing = undefined;
      this.note.hidden = false;
      write(this.note, `The plot can't be drawn: ${error.message ?? error}`);
    });
  }

  async embed() {
    const Bokeh = await loadBokeh(this.model);
    const plot = JSON.parse(this.model.get("plots"))[this.name];
    // The view may be gone by the time that the library is here.
    if (this.isDisposed) return;
    this.theme = isDark(this.el) ? "dark" : "light";
    const item = JSON.parse(dress(JSON.stringify(plot.item), plot.light, plot[this.theme]));
    const views = await Bokeh.embed.embed_item({ ...item, target_id: null }, this.target);
    const view = Array.isArray(views) ? views[0] : [...views.roots][0];
    // Or while it was drawn: dispose() had no document to clear yet.
    if (this.isDisposed) return view.model.document.clear();
    this.doc = view.model.document;
    for (const name of plot.sources) this.sources[name] = this.doc.get_model_by_name(name);
    this.note.hidden = true;
    // Once: a plot that is drawn anew comes through here again.
    this.unwatch ??= watchTheme(() => this.redraw());
    this.fill();
    for (const source of Object.values(this.sources)) this.listen(source);
  }

  /** Draw anew, if the page has other colours now. */
  redraw() {
    if (!this.doc || this.theme === (isDark(this.el) ? "dark" : "light")) return;
    this.doc.clear();
    this.doc = this.drawing = undefined;
    this.target.replaceChildren();
    if (this.isSeen) this.draw();
  }

  /** Take all that the store has. */
  fill() {
    for (const [name, source] of Object.entries(this.sources)) {
      // A copy: Bokeh puts streamed columns into the object that it was given, and the store has its own.
      if (this.store.sources[name]) source.data = { ...this.store.sources[name] };
    }
  }

  /** @param {{name: string, fresh: Record<string, any>, rollover: number}} news */
  feed({ name, fresh, rollover }) {
    const source = this.sources[name];
    if (!source || !this.isSeen) return;
    const isFirst = source.get_length() === 0;
    if (rollover && !isFirst) source.stream(fresh, rollover);
    else source.data = { ...this.store.sources[name] };
  }

  /** @param {any} source Tell what is clicked in it. */
  listen(source) {
    source.selected.properties.indices.change.connect(() => {
      const [index] = source.selected.indices;
      if (index === undefined) return;
      const row = (/** @type {string} */ column) => String(source.data[column]?.[index] ?? "");
      // So that a second click on the same bar is news.
      source.selected.indices = [];
      const what = { key: row("key"), group: row("name") };
      if (what.key || what.group) this.detail.open(what);
    });
  }

  dispose() {
    this.isDisposed = true;
    this.store.removeEventListener("source", this.onSource);
    this.unwatch?.();
    this.doc?.clear();
  }
}
