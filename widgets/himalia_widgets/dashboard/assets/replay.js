/** The bar with which a person moves through a recording. What is chosen goes to the server; what is shown is its answer. */
import { ask, poll } from "./poll.js";
import { make } from "./widget/dom.js";
import { clock } from "./widget/format.js";

const play = document.getElementById("replay-play");
const time = document.getElementById("replay-time");
const now = document.getElementById("replay-now");
const speed = document.getElementById("replay-speed");
const compare = document.getElementById("replay-compare");

let playing = false;
let wanted = null; // where the slider was put, of which the server hasn't been told yet
let isAsking = false;

function show(found) {
  playing = found.playing;
  play.textContent = playing ? "❚❚ Pause" : "▶ Play";
  play.setAttribute("aria-pressed", String(playing));
  time.max = String(found.length);
  // The slider isn't moved under the hand that moves it.
  if (wanted === null) time.value = String(found.time);
  const [at, length] = found.texts;
  time.setAttribute("aria-valuetext", at);
  now.replaceChildren(make("b", {}, at), ` of ${length} · ${clock(found.started + found.time)}`);
  const known = [...speed.options].find((option) => Number(option.value) === found.speed);
  if (known && document.activeElement !== speed) known.selected = true;
  compare.hidden = found.runs !== 2;
}

/** Ask for the newest place only: the ones before it on the way are of no interest any more. */
async function move() {
  if (isAsking) return;
  isAsking = true;
  try {
    while (wanted !== null) {
      const place = wanted;
      const found = await ask(`replay.json?time=${place}`);
      if (wanted === place) wanted = null;
      show(found);
    }
  } catch {
    wanted = null; // the header says that the server is gone
  }
  isAsking = false;
}

time.addEventListener("input", () => {
  wanted = time.value;
  move();
});
play.addEventListener("click", () => ask(`replay.json?play=${playing ? 0 : 1}`).then(show, () => {}));
speed.addEventListener("change", () => ask(`replay.json?speed=${speed.value}`).then(show, () => {}));
compare.href = `compare?theme=${document.documentElement.dataset.theme}`;
poll("replay.json", 300, show);
