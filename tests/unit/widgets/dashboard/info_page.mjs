/** Run the page Info on a page that is made of plain objects; print the text of each of its elements as JSON. */
const answer = process.argv[2];
const make = (tag) => ({
  tag, children: [], dataset: {}, style: {},
  append(...more) { this.children.push(...more); },
  replaceChildren(...more) { this.children = more; },
  setAttribute() {}, addEventListener() {},
});
const content = make("div");
globalThis.document = { hidden: false, documentElement: make("html"), createElement: make, getElementById: () => content };
globalThis.location = { search: "?key=inc-1" };
globalThis.fetch = async () => ({ ok: true, json: async () => JSON.parse(answer) });
globalThis.setTimeout = () => 0; // it asks once
await import("./info.js");
await new Promise((resolve) => setImmediate(resolve));
const text = (node) => (typeof node === "string" ? node : node.children.map(text).join(""));
const elements = (node) => (typeof node === "string" ? [] : [node, ...node.children.flatMap(elements)]);
const found = elements(content.children[1]).filter((node) => ["h2", "p", "dt", "dd", "li", "pre", "td"].includes(node.tag));
console.log(JSON.stringify(found.map(text)));
