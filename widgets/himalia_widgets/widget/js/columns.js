/**
 * Columns of a message: how they were packed (pack.py), and the history that a plot's source keeps of them.
 */

const TYPES = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array };

/**
 * A buffer of a message as numbers.
 * @param {DataView} view
 * @param {string} kind
 */
function numbers(view, kind) {
  // a copy, because the view may begin at an address that its type can't
  return new TYPES[kind](view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/**
 * Unpack columns: numbers become Float64Array, texts an Array.
 * @param {{name: string, kind: string, buffer?: number, base?: number, values?: any[]}[]} specs
 * @param {DataView[]} buffers
 * @returns {Record<string, any>}
 */
export function unpack(specs, buffers) {
  /** @type {Record<string, any>} */
  const columns = {};
  for (const spec of specs) {
    if (spec.buffer === undefined) {
      columns[spec.name] = spec.values ?? [];
      continue;
    }
    const raw = numbers(buffers[spec.buffer], spec.kind);
    if (spec.values) columns[spec.name] = Array.from(raw, (code) => spec.values[code]);
    // Doubles in any case: times are whole only once their base is added.
    else columns[spec.name] = Float64Array.from(raw, (value) => value + (spec.base ?? 0));
  }
  return columns;
}

/**
 * @param {any} a
 * @param {any} b
 * @param {number} limit Newest rows kept.
 */
function join(a, b, limit) {
  if (!a || a.length === 0) return b.slice(-limit);
  const skip = Math.max(0, a.length + b.length - limit);
  if (Array.isArray(a) || Array.isArray(b)) return [...a, ...b].slice(skip);
  const kept = a.subarray(Math.min(skip, a.length));
  const joined = new Float64Array(kept.length + b.length);
  joined.set(kept);
  joined.set(b, kept.length);
  return joined.slice(-limit);
}

/**
 * The older columns with newer rows after them.
 * @param {Record<string, any>} older
 * @param {Record<string, any>} newer
 * @param {number} limit
 */
export function append(older, newer, limit) {
  return Object.fromEntries(Object.keys(newer).map((name) => [name, join(older[name], newer[name], limit)]));
}
