// The lines that are answered by digits: the rubric's criteria, the verdict, the stars. One of them is marked.
export class Rating {
  constructor(desk) {
    this.desk = desk;
    this.rows = [...desk.form.querySelectorAll("[data-scale]")];
    desk.on(desk.form, "focusin", (event) => {
      const row = event.target.closest("[data-scale]");
      if (row) this.mark(row);
    });
    this.mark(this.rows.find((row) => !this.answered(row)) || this.rows[0]);
  }

  criteria() {
    return this.rows.filter((row) => row.dataset.scale.startsWith("rating-"));
  }
  keyOf(row) {
    return row.dataset.scale.replace(/^rating-/, "");
  }

  answered(row) {
    return Boolean(row.querySelector("input:checked"));
  }

  mark(row) {
    if (!row) return;
    this.here = row;
    for (const other of this.rows) other.classList.toggle("here", other === row);
  }

  focusRow(row) {
    (row.querySelector("input:checked") || row.querySelector("input")).focus({ preventScroll: true });
  }

  step(by) {
    const at = this.rows.indexOf(this.here);
    const row = this.rows[Math.max(0, Math.min(this.rows.length - 1, at + by))];
    const follow = this.desk.form.contains(document.activeElement) && document.activeElement.closest("[data-scale]");
    this.mark(row);
    if (follow) this.focusRow(row);
  }

  answer(digit) {
    const inputs = [...this.here.querySelectorAll("input")];
    const input = inputs[digit - 1];
    if (!input) return;
    const rated = this.criteria().every((row) => this.answered(row));
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    const last = !rated && this.criteria().every((row) => this.answered(row));
    this.desk.say(`${this.nameOf(this.here)}: ${input.closest("label").textContent.trim()}`);
    const at = this.rows.indexOf(this.here);
    const later = this.rows.slice(at + 1).find((row) => !this.answered(row));
    const open = later || this.rows.find((row) => !this.answered(row));
    const next = open || (last ? this.rows.find((row) => row.dataset.scale === "verdict") : this.rows[at]);
    const follow = document.activeElement?.closest?.("[data-scale]");
    this.mark(next);
    // the next thing to do is to correct
    if (last && document.activeElement !== this.desk.comment) this.desk.edit.focus();
    else if (follow) this.focusRow(next);
  }

  nameOf(row) {
    return row.getAttribute("aria-label") ||
      document.getElementById(row.getAttribute("aria-labelledby"))?.textContent || "";
  }
}
