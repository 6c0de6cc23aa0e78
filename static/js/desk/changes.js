// The differences between summary and correction, live; each single change can be taken back, in the text as well.
import { aroundChanges, wordDifference } from "./word-diff.js";

const CONTEXT = 6; // words around a change
const TAGS = { deleted: "del", inserted: "ins" };

/** What stands together becomes one change; start and end are places in the corrected text. */
function grouped(parts) {
  const groups = [];
  let at = 0, change = null;
  parts.forEach((part, index) => {
    if (part.kind === "same") {
      groups.push({ index });
      at += part.text.length;
      change = null;
      return;
    }
    if (!change) {
      change = { indexes: [], start: at, end: at, old: "", fresh: "" };
      groups.push(change);
    }
    change.indexes.push(index);
    if (part.kind === "deleted") change.old += part.text;
    else {
      change.fresh += part.text;
      at += part.text.length;
      change.end = at;
    }
  });
  return groups;
}

export class Changes {
  constructor(desk) {
    this.desk = desk;
    this.edit = desk.edit;
    this.box = desk.find("[data-diff]");
    this.changes = [];
    this.here = -1;
    desk.on(this.box, "click", (event) => {
      const button = event.target.closest("[data-change]");
      if (button) this.revert(Number(button.dataset.change));
    });
    desk.on(this.box, "keydown", (event) => {
      if (
        !["Enter", " "].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey ||
        !event.target.matches("[data-change]")
      ) return;
      event.preventDefault();
      this.revert(Number(event.target.dataset.change));
    });
    this.actions = { next_change: () => this.next(), revert_change: () => this.revert(this.current()) };
  }

  show() {
    const { summary } = this.desk, text = this.edit.value;
    if (this.shown === text) return;
    this.shown = text;
    const whole = wordDifference(summary, text);
    const around = aroundChanges(whole, CONTEXT);
    const groups = around.length ? grouped(whole) : [];
    this.changes = groups.filter((group) => group.indexes);
    this.here = -1;
    let number = 0;
    this.box.replaceChildren(
      ...groups.map((
        group,
      ) => (group.indexes ? this.button(group, number++, around) : document.createTextNode(around[group.index].text))),
    );
  }

  button(change, number, parts) {
    const button = document.createElement("span"); // a real button would break no line inside of a long change
    button.tabIndex = 0;
    button.setAttribute("role", "button");
    button.className = "change";
    button.dataset.change = number;
    const [old, fresh] = [change.old.trim(), change.fresh.trim()];
    button.title = old ? `Put “${old}” back${fresh ? ` for “${fresh}”` : ""}` : `Take “${fresh}” out again`;
    button.append(...change.indexes.map((index) => {
      const node = document.createElement(TAGS[parts[index].kind]);
      node.textContent = parts[index].text;
      return node;
    }));
    return button;
  }

  /** The change that was gone to, else the one where the caret is, else the only one. */
  current() {
    if (this.here >= 0) return this.here;
    if (document.activeElement === this.edit) {
      const at = this.edit.selectionStart;
      const found = this.changes.findIndex((change) => change.start <= at && at <= change.end);
      if (found >= 0) return found;
    }
    return this.changes.length === 1 ? 0 : -1;
  }

  next() {
    if (!this.changes.length) {
      this.desk.say("Nothing is changed.");
      return;
    }
    const number = (this.here + 1) % this.changes.length, change = this.changes[number];
    this.edit.focus();
    this.edit.setSelectionRange(change.start, change.end);
    this.mark(number);
    this.desk.say(
      `Change ${number + 1} of ${this.changes.length}: ${this.box.querySelectorAll(".change")[number].title}`,
    );
  }

  mark(number) {
    this.here = number;
    this.box.querySelectorAll(".change").forEach((button, index) => button.classList.toggle("here", index === number));
    this.box.querySelector(".change.here")?.scrollIntoView({ block: "nearest" });
  }

  revert(number) {
    const change = this.changes[number];
    if (!change) {
      this.desk.say("Choose a change first.");
      return;
    }
    this.edit.focus();
    this.edit.setSelectionRange(change.start, change.end);
    // as if typed, so that the browser's own undo brings it back
    const done = change.old ? document.execCommand("insertText", false, change.old) : document.execCommand("delete");
    if (!done) {
      this.edit.setRangeText(change.old, change.start, change.end, "end");
      this.desk.changed();
    }
    this.desk.say(`Put back. ${this.changes.length} left.`);
  }
}
