// Word differences, the same as models_app/texts/differences.py finds, so that what a page shows while one types
// is what the server shows later.
// Python's \w is letters, numbers and the underscore; marks stand alone in both.
const TOKEN = /\s+|[\p{L}\p{N}_]+(?:[.,'’][\p{L}\p{N}_]+)*|[^\p{L}\p{N}_\s]/gu;
const MOST_CELLS = 6e6; // longer texts that have little in common are shown as one change

const tokens = (text) => text.match(TOKEN) || [];

/** Longest common subsequence, ties broken from the end as rapidfuzz breaks them. Parts in reading order. */
function align(old, fresh) {
  let start = 0;
  while (start < old.length && start < fresh.length && old[start] === fresh[start]) start += 1;
  let endOld = old.length, endFresh = fresh.length;
  while (endOld > start && endFresh > start && old[endOld - 1] === fresh[endFresh - 1]) {
    endOld -= 1;
    endFresh -= 1;
  }
  const a = old.slice(start, endOld), b = fresh.slice(start, endFresh);
  const parts = [];
  const add = (kind, words) => {
    if (words.length) parts.push({ kind, text: words.join("") });
  };
  add("same", old.slice(0, start));
  if (a.length * b.length > MOST_CELLS) {
    add("deleted", a);
    add("inserted", b);
  } else {
    parts.push(...trace(a, b));
  }
  add("same", old.slice(endOld));
  return parts;
}

function trace(a, b) {
  const width = a.length + 1;
  const length = new Uint16Array((b.length + 1) * width); // [row of b][column of a]
  for (let row = 1; row <= b.length; row += 1) {
    for (let column = 1; column <= a.length; column += 1) {
      const at = row * width + column;
      length[at] = b[row - 1] === a[column - 1]
        ? length[at - width - 1] + 1
        : Math.max(length[at - 1], length[at - width]);
    }
  }
  const parts = [];
  const stepsRight = (row, column) => length[row * width + column] > length[row * width + column - 1];
  let row = b.length, column = a.length;
  while (row && column) {
    if (!stepsRight(row, column)) {
      column -= 1;
      parts.push({ kind: "deleted", text: a[column] });
      continue;
    }
    row -= 1;
    if (row && stepsRight(row, column)) parts.push({ kind: "inserted", text: b[row] });
    else {
      column -= 1;
      parts.push({ kind: "same", text: a[column] });
    }
  }
  while (column) {
    column -= 1;
    parts.push({ kind: "deleted", text: a[column] });
  }
  while (row) {
    row -= 1;
    parts.push({ kind: "inserted", text: b[row] });
  }
  return joined(parts.reverse());
}

/** Neighbours of a kind as one. */
function joined(parts) {
  const whole = [];
  for (const part of parts) {
    const last = whole[whole.length - 1];
    if (last && last.kind === part.kind) last.text += part.text;
    else whole.push({ ...part });
  }
  return whole;
}

/** Deletions before insertions; a lone space between two changes belongs to them. */
function tidy(parts) {
  const result = [];
  let deleted = "", inserted = "";
  const flush = () => {
    if (deleted) result.push({ kind: "deleted", text: deleted });
    if (inserted) result.push({ kind: "inserted", text: inserted });
    deleted = inserted = "";
  };
  parts.forEach((part, index) => {
    if (part.kind === "deleted") deleted += part.text;
    else if (part.kind === "inserted") inserted += part.text;
    else if (/^\s+$/.test(part.text) && (deleted || inserted) && index + 1 < parts.length) {
      deleted += part.text;
      inserted += part.text;
    } else {
      flush();
      result.push(part);
    }
  });
  flush();
  return result;
}

/** The same parts, with what is far from every change left out. */
export function aroundChanges(parts, words) {
  if (parts.every((part) => part.kind === "same")) return [];
  return parts.map((part, index) => {
    if (part.kind !== "same") return part;
    const pieces = part.text.match(/\s+|\S+/g) || [];
    const after = index === 0 ? 0 : 2 * words;
    const before = index === parts.length - 1 ? 0 : 2 * words;
    if (pieces.length <= after + before + 3) return part;
    const head = pieces.slice(0, after).join("").trimEnd();
    const tail = pieces.slice(pieces.length - before).join("").trimStart();
    return { kind: "same", text: `${head} … ${tail}` };
  });
}

/** [{kind, text}], deletions before insertions. */
export function wordDifference(before, after) {
  return tidy(joined(align(tokens(before), tokens(after))));
}
