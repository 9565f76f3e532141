/** What every page has: the numbers of the header, links that keep the theme, and the switch for it. */
import { ask, poll } from "./poll.js";
import { bytesOf } from "./table.js";
import { make } from "./widget/dom.js";
import { count, elapsed, plural } from "./widget/format.js";

const root = document.documentElement;
const theme = root.dataset.theme;

for (const link of document.querySelectorAll("nav a")) {
  const url = new URL(link.href);
  url.searchParams.set("theme", theme);
  link.href = url.href;
}

document.getElementById("theme")?.addEventListener("click", () => {
  const other = theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("himalia-theme", other);
  } catch {
    return;
  }
  const url = new URL(location.href);
  url.searchParams.set("theme", other);
  // Not a step of its own: Back leads to the page before, not to the other theme.
  location.replace(url);
});

/** The page was given up, or its dashboard ended: loads it again once somebody looks and the dashboard answers. */
function comeBack() {
  setTimeout(async () => {
    try {
      // It can wait, and costs the dashboard nothing meanwhile.
      if (document.hidden) throw new Error("nobody looks");
      await ask("summary.json");
    } catch {
      comeBack();
      return;
    }
    location.reload();
  }, 1000);
}

addEventListener("himalia-lost", comeBack, { once: true });

const numbers = document.getElementById("numbers");
const state = document.getElementById("state");

if (numbers && state) {
  const usual = state.dataset.state;
  poll("summary.json", 1000, (found) => {
    state.dataset.state = usual;
    state.textContent = usual;
    const shown = [
      [count(found.workers), found.workers === 1 ? "worker" : "workers"],
      [count(found.threads), found.threads === 1 ? "thread" : "threads"],
      [bytesOf(found.store, found.store_limit), "results"],
      [bytesOf(found.own_memory, found.memory_limit), "worker memory"],
      [count(found.running), "running"],
      [count(found.waiting), "waiting"],
      [count(found.done), "done"],
      [count(found.failed), "failed"],
      ...(found.cancelled ? [[count(found.cancelled), "cancelled"]] : []),
      [elapsed(found.uptime), "up"],
    ];
    const items = shown.map(([value, name]) =>
      make("span", { class: name === "failed" && found.failed ? "bad" : null, "data-number": name }, make("b", {}, value), ` ${name}`),
    );
    numbers.replaceChildren(...items);
    numbers.title = plural(found.hosts, "host");
  }, () => {
    state.dataset.state = "gone";
    state.textContent = "not reachable";
  });
}
