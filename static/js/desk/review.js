// The review desk: ratings, a correction, a comment. What it shares with the pairwise desk stands in page.js; each
// further part is a module of its own, which gets the desk and may have changed(), filled(answers), leave(),
// pressed(event, typing) and actions {name: act}.
import { Changes } from "./changes.js";
import { Grounding } from "./grounding.js";
import { plain } from "./keys.js";
import { Marks } from "./marks.js";
import { Overall } from "./overall.js";
import { DeskPage } from "./page.js";
import { Rating } from "./rating.js";
import { Recent } from "./recent.js";
import { Trial } from "./trial.js";

class ReviewDesk extends DeskPage {
  static selector = "form[data-desk]";
  words = {
    nothing: "No changes",
    answer: "review",
    lost: "Your time with this item ran out and somebody else has it now. " +
      "What you type is still kept; submit it, and it counts as an extra review.",
  };

  constructor(form) {
    super(form);
    this.summary = document.getElementById("summary").dataset.summary;
    this.edit = form.elements.edited_text;
    this.comment = form.elements.comment;
    this.rating = new Rating(this);
    this.changes = new Changes(this);
    this.grounding = new Grounding(this);
    this.parts = [
      this.changes,
      new Overall(this),
      this.grounding,
      new Marks(this),
      new Recent(this),
      new Trial(this),
    ];
    this.actions = {
      edit: () => this.edit.focus(),
      line_up: () => this.rating.step(-1),
      line_down: () => this.rating.step(1),
      retrain: () => this.toggle("wants_retrain"),
      refine: () => this.toggle("wants_refine"),
    };
    this.on(this.find("[data-undo]"), "click", () => {
      this.edit.focus();
      this.edit.select();
      // as if typed, so that the browser's own undo brings it back
      if (!document.execCommand("insertText", false, this.summary)) {
        this.edit.value = this.summary;
        this.changed();
      }
    });
    this.showDifference();
  }

  values() {
    const names = [
      "stars",
      "verdict",
      "overall_from_ratings",
      "edited_text",
      "comment",
      "wants_retrain",
      "wants_refine",
      "marks",
      "support",
      "rubric",
    ];
    const all = new FormData(this.form);
    const values = {};
    for (const name of names) values[name] = all.get(name) ?? "";
    for (const [name, value] of all) if (name.startsWith("rating-")) values[name] = value;
    return values;
  }

  answersChanged() {
    for (const part of this.parts) part.changed?.();
    this.showDifference();
    for (const row of this.rating.rows) if (this.rating.answered(row)) this.showError(this.rating.keyOf(row), "");
    if (this.edit.value.trim()) this.showError("edited_text", "");
  }

  fill(answers) {
    for (const row of this.rating.rows) {
      const name = row.dataset.scale;
      for (const input of row.querySelectorAll("input")) input.checked = String(answers[name] ?? "") === input.value;
    }
    for (const name of ["wants_retrain", "wants_refine"]) this.form.elements[name].checked = Boolean(answers[name]);
    for (const name of ["marks", "support"]) this.form.elements[name].value = answers[name] || "[]";
    this.edit.value = answers.edited_text ?? "";
    this.comment.value = answers.comment ?? "";
    for (const part of this.parts) part.filled?.(answers);
    this.showDifference();
  }

  /** The server's JSON of a review in the form's own names. */
  named(current) {
    const values = {
      stars: current.stars ?? "",
      verdict: current.verdict,
      overall_from_ratings: current.overall_from_ratings ? "1" : "",
      edited_text: current.edited_text,
      comment: current.comment,
      wants_retrain: current.wants_retrain ? "1" : "",
      wants_refine: current.wants_refine ? "1" : "",
      marks: JSON.stringify(current.marks),
      support: JSON.stringify(current.support),
      rubric: this.form.elements.rubric.value,
    };
    for (const [name, value] of Object.entries(current.ratings)) values[`rating-${name}`] = String(value);
    values.stars = String(values.stars);
    return values;
  }

  inWords(answers) {
    const said = this.rating.rows
      .map((
        row,
      ) => [row.querySelector("input").name === "stars" ? "stars" : this.rating.keyOf(row), answers[row.dataset.scale]])
      .filter(([, value]) => value)
      .map(([name, value]) => `${name} ${value}`);
    const marks = JSON.parse(answers.marks || "[]").length;
    if (marks) said.push(marks === 1 ? "1 error marked" : `${marks} errors marked`);
    if (answers.comment) said.push(`“${answers.comment}”`);
    return said.join(" · ");
  }

  toggle(name) {
    const box = this.form.elements[name];
    box.checked = !box.checked;
    box.dispatchEvent(new Event("change", { bubbles: true }));
    this.say(`${box.closest("label").textContent.trim()}: ${box.checked ? "yes" : "no"}`);
  }

  showDifference() {
    this.changes.show();
    this.find("[data-undo]").hidden = this.edit.value === this.summary;
  }

  textOf(answers) {
    return answers.edited_text;
  }

  alike(one, other) {
    const names = new Set([...Object.keys(one), ...Object.keys(other)]);
    const plain = (value) => String(value ?? "").replace(/\r\n/g, "\n").trim();
    // the server writes the same marks in its own order of fields and places
    const lists = {
      marks: ["side", "start", "end", "error_type", "severity", "note", "suggested"],
      support: [0, 1, 2],
    };
    const sorted = (name, value) =>
      JSON.stringify(
        JSON.parse(value || "[]").map((row) => lists[name].map((field) => row[field] ?? "").join()).sort(),
      );
    return [...names].every((
      name,
    ) => (name in lists
      ? sorted(name, one[name]) === sorted(name, other[name])
      : plain(one[name]) === plain(other[name]))
    );
  }

  place(name) {
    if (name === "edited_text") return this.form.querySelector("[data-field=edited_text]");
    if (/^(marks|support)\b/.test(name)) return this.form.querySelector("[data-field=marks]");
    if (name === "verdict" || name === "stars") return this.form.querySelector(".overall");
    return this.rating.rows.find((row) => row.dataset.scale === `rating-${name}`) || null;
  }

  goToError(fields) {
    const row = this.rating.rows.find((one) => this.rating.keyOf(one) in fields);
    if (row) {
      this.rating.mark(row);
      row.scrollIntoView({ block: "nearest" });
      this.rating.focusRow(row);
    } else if ("edited_text" in fields) this.edit.focus();
    else if ("comment" in fields) this.comment.focus();
  }

  plainKey(event) {
    const key = plain(event);
    if (/^[1-5]$/.test(key)) {
      event.preventDefault();
      this.rating.answer(Number(key));
      return;
    }
    const inPane = !event.altKey && event.target.closest?.(".pane-body"); // panes scroll by arrows
    if ((key === "arrowup" || key === "arrowdown") && !event.shiftKey && !inPane) {
      event.preventDefault();
      this.rating.step(key === "arrowup" ? -1 : 1);
    }
  }
}

ReviewDesk.opens();
