// Stars and verdict from the single ratings (reviews/queues/overall.py), until somebody chooses them by hand.
const verdictOf = (stars) => (stars <= 2 ? "poor" : stars === 3 ? "fair" : "good");

export class Overall {
  constructor(desk) {
    this.desk = desk;
    this.form = desk.form;
    this.field = this.form.elements.overall_from_ratings;
    this.derived = desk.data.overall === "ratings";
    desk.on(this.form, "change", (event) => {
      if (["stars", "verdict"].includes(event.target.name)) this.derived = false;
      this.show();
    });
    desk.on(this.form.querySelector("[data-derive]"), "click", () => {
      this.derived = true;
      this.show();
      desk.changed();
      this.form.querySelector("[name=verdict]:checked")?.focus({ preventScroll: true });
    });
    this.show();
  }

  ratings() {
    return this.desk.rating.criteria().map((row) => Number(row.querySelector("input:checked")?.value || 0));
  }
  complete() {
    return this.ratings().every(Boolean);
  }

  choose(name, value) {
    for (const input of this.form.querySelectorAll(`[name=${name}]`)) input.checked = input.value === String(value);
  }

  show() {
    const ratings = this.ratings(), complete = ratings.length > 0 && ratings.every(Boolean);
    const sum = ratings.reduce((one, other) => one + other, 0);
    const stars = complete ? Math.floor((2 * sum + ratings.length) / (2 * ratings.length)) : 0; // half up
    const chosen = (name) => this.form.querySelector(`[name=${name}]:checked`)?.value || "";
    if (this.derived) {
      this.choose("stars", complete ? stars : "");
      this.choose("verdict", complete ? verdictOf(stars) : "");
    } else if (complete) { // one chosen by hand, the other still open
      if (!chosen("stars")) this.choose("stars", stars);
      if (!chosen("verdict")) this.choose("verdict", verdictOf(Number(chosen("stars"))));
    }
    this.field.value = this.derived ? "1" : "";
    this.form.querySelector("[data-derived]").hidden = !(this.derived && complete);
    this.form.querySelector("[data-derive]").hidden = this.derived || !complete;
  }

  filled(answers) {
    this.derived = Boolean(answers.overall_from_ratings);
    this.show();
  }
}
