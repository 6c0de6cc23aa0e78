// Places in a text that stands in a page: code points, as the server counts (reviews/texts/spans.py), from and to the
// page's own nodes.
const PAIRS = /[\uD800-\uDBFF][\uDC00-\uDFFF]/g;

const points = (text) => text.length - (text.match(PAIRS)?.length || 0);

/** The UTF-16 unit of a code point. */
function unit(text, point) {
  if (points(text) === text.length) return Math.min(point, text.length);
  let at = 0;
  for (const character of text) {
    if (point <= 0) break;
    point -= 1;
    at += character.length;
  }
  return at;
}

/** Grown to whole characters as a reader sees them. */
function whole(text, start, end) {
  if (!Intl.Segmenter) return [start, end];
  let [first, last] = [start, end];
  for (const { index, segment } of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text)) {
    const after = index + segment.length;
    if (index <= start && start < after) first = index;
    if (index < end && end <= after) {
      last = after;
      break;
    }
  }
  return [first, last];
}

/** `root` holds paragraphs [data-at] of one text node each; data-at is where one begins. */
export class Places {
  constructor(root) {
    this.root = root;
    this.paragraphs = [...root.querySelectorAll("[data-at]")];
    this.starts = this.paragraphs.map((node) => Number(node.dataset.at));
  }

  /** The paragraph in which a place lies, by halves: an article may have thousands. */
  number(point) {
    let low = 0, high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle] <= point) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Code points of a node's place; null outside. */
  point(node, offset) {
    const paragraph = (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest?.("[data-at]");
    if (!paragraph || !this.root.contains(paragraph)) return null;
    const text = paragraph.textContent;
    const place = node.nodeType === Node.TEXT_NODE ? offset : offset ? text.length : 0;
    return Number(paragraph.dataset.at) + points(text.slice(0, place));
  }

  range(start, end) {
    const range = document.createRange();
    for (const [name, point] of [["setStart", start], ["setEnd", end]]) {
      const paragraph = this.paragraphs[this.number(name === "setEnd" ? Math.max(start, point - 1) : point)];
      const node = paragraph?.firstChild;
      if (!node) return null;
      range[name](node, Math.max(0, unit(node.data, point - Number(paragraph.dataset.at))));
    }
    return range;
  }

  /** What is selected, within one paragraph, as {start, end, quote}; null where nothing of this text is. */
  selected() {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    if (!range.intersectsNode(this.root)) return null;
    for (const paragraph of this.paragraphs) {
      if (!range.intersectsNode(paragraph)) continue;
      const { length } = paragraph.textContent;
      const place = (
        node,
        offset,
        outside,
      ) => (node === paragraph.firstChild ? offset : node === paragraph ? (offset ? length : 0) : outside);
      const found = this.trimmed(
        paragraph,
        place(range.startContainer, range.startOffset, 0),
        place(range.endContainer, range.endOffset, length),
      );
      if (found) return found;
    }
    return null;
  }

  trimmed(paragraph, from, to) {
    const text = paragraph.textContent;
    while (from < to && /\s/.test(text[from])) from += 1;
    while (to > from && /\s/.test(text[to - 1])) to -= 1;
    if (from >= to) return null;
    [from, to] = whole(text, from, to);
    const start = Number(paragraph.dataset.at) + points(text.slice(0, from));
    const quote = text.slice(from, to);
    return { start, end: start + points(quote), quote };
  }

  quote(start, end) {
    const paragraph = this.paragraphs[this.number(start)];
    const at = Number(paragraph.dataset.at), text = paragraph.textContent;
    return text.slice(unit(text, start - at), unit(text, end - at));
  }

  /** The place under a pointer; null outside of the text. */
  under(x, y) {
    if (document.caretPositionFromPoint) {
      const found = document.caretPositionFromPoint(x, y);
      return found ? this.point(found.offsetNode, found.offset) : null;
    }
    const range = document.caretRangeFromPoint?.(x, y);
    return range ? this.point(range.startContainer, range.startOffset) : null;
  }

  /** Words of one paragraph, as places. */
  words(number) {
    const paragraph = this.paragraphs[number], at = Number(paragraph.dataset.at), text = paragraph.textContent;
    if (!Intl.Segmenter) {
      return [...text.matchAll(/\S+/g)].map((
        found,
      ) => [at + points(text.slice(0, found.index)), at + points(text.slice(0, found.index + found[0].length))]);
    }
    const found = [];
    let point = at;
    for (const { segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
      const length = points(segment);
      if (isWordLike) found.push([point, point + length]);
      point += length;
    }
    return found;
  }

  /** Choose the word after or before what is chosen; `more` keeps what was chosen as well. */
  step(forward, more) {
    const chosen = this.selected();
    const place = chosen ? (forward ? chosen.end : chosen.start) : forward ? -1 : Infinity;
    let number = this.number(chosen ? (forward ? chosen.end - 1 : chosen.start) : this.starts[0]);
    for (;;) {
      const words = this.words(number);
      const word = forward ? words.find(([start]) => start >= place) : words.findLast(([, end]) => end <= place);
      if (word) {
        const together = more && chosen && this.number(chosen.start) === number;
        this.choose(
          together ? Math.min(chosen.start, word[0]) : word[0],
          together ? Math.max(chosen.end, word[1]) : word[1],
        );
        return;
      }
      number += forward ? 1 : -1;
      if (number < 0 || number >= this.paragraphs.length || more) return;
    }
  }

  choose(start, end) {
    const range = this.range(start, end);
    if (!range) return;
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }
}

/** Highlights without a change to the page's nodes; a browser that knows none still has every list in words. */
export function highlight(name, ranges) {
  if (!window.CSS?.highlights) return;
  const real = ranges.filter(Boolean);
  if (real.length) CSS.highlights.set(name, new Highlight(...real));
  else CSS.highlights.delete(name);
}
