// Seconds at work on one item: without a key, a pointer or a scroll, time stands still.
const AWAY_AFTER_MS = 60000;

export class ActiveTime {
  constructor(desk) {
    this.desk = desk;
    this.active = Number(desk.form.elements.active_seconds.value);
    this.lastSign = performance.now();
    for (const type of ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchmove"]) {
      desk.on(document, type, () => {
        this.lastSign = performance.now();
      }, { passive: true, capture: true });
    }
    desk.every(1000, () => this.tick());
  }

  get seconds() {
    return Math.round(this.active);
  }

  tick() {
    const away = performance.now() - this.lastSign > AWAY_AFTER_MS;
    if (!document.hidden && !away && !this.desk.gone) this.active += 1;
    this.desk.form.elements.active_seconds.value = Math.round(this.active);
    const node = this.desk.find("[data-active]");
    const minutes = Math.floor(this.active / 60), hours = Math.floor(minutes / 60);
    const two = (number) => String(Math.floor(number)).padStart(2, "0");
    node.textContent = hours
      ? `${hours}:${two(minutes % 60)}:${two(this.active % 60)}`
      : `${minutes}:${two(this.active % 60)}`;
  }
}
