/** Numbers as a person reads them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** @param {number} nbytes */
export function bytes(nbytes) {
  let unit = 0;
  // From 1000 on, not 1024: no number has four digits.
  while (nbytes >= 1000 && unit < UNITS.length - 1) {
    nbytes /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || nbytes >= 100 ? 0 : nbytes >= 10 ? 1 : 2;
  return `${nbytes.toFixed(digits)} ${UNITS[unit]}`;
}

/**
 * Never "-0": + 0 makes 0 of it.
 * @param {number} n
 */
export function count(n) {
  return (Math.round(n) + 0).toLocaleString("en");
}

/**
 * @param {number} n
 * @param {string} noun
 */
export function plural(n, noun) {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** @param {number} fraction */
export function percent(fraction) {
  return `${Math.round(fraction * 100) + 0} %`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toPrecision(3)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * A time that goes on while it is shown: whole seconds.
 * @param {number} seconds
 */
export function elapsed(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : duration(whole);
}

/** @param {number} seconds */
export function ago(seconds) {
  return seconds < 3 ? "now" : `${elapsed(seconds)} ago`;
}

/** @param {number} time Epoch seconds. */
export function clock(time) {
  return new Date(time * 1000).toLocaleTimeString("en-GB", { hour12: false });
}

/**
 * Order `w-2` before `w-10`.
 * @type {(a: string, b: string) => number}
 */
export const natural = new Intl.Collator("en", { numeric: true }).compare;
