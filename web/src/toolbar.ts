// Orders at the upper edge, out of the way until the pointer or the keyboard comes to the handle there.

export interface Order {
  label: string;
  title?: string;
  /** Whether it does nothing to what is shown: who looks on has it too. */
  harmless?: boolean;
  run: () => void;
}

/** A list to choose from: `label` stands where nothing is chosen. */
export interface Choice {
  label: string;
  of: Record<string, () => void>;
}

const bar = document.createElement("nav");
bar.id = "toolbar";
bar.setAttribute("aria-label", "Console");
const looks = document.createElement("span");
looks.className = "looks";
looks.textContent = "You look on: what you type goes nowhere.";
looks.hidden = true;
bar.append(looks);

/** Put them there. */
export function toolbar(orders: (Order | Choice)[]): void {
  for (const order of orders) {
    bar.append("of" in order ? list(order) : button(order));
  }
  document.body.append(bar);
}

/** Who may only look is told so, and has no orders that would go nowhere. */
export function onlyLooks(does: boolean): void {
  looks.hidden = !does;
  bar.classList.toggle("only-looks", does);
}

/** The whole window, or as before. */
export function fullScreen(): void {
  void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
}

function button(order: Order): HTMLButtonElement {
  const made = document.createElement("button");
  made.textContent = order.label;
  made.title = order.title ?? "";
  made.classList.toggle("harmless", order.harmless ?? false);
  made.addEventListener("click", () => {
    made.blur();
    order.run();
  });
  return made;
}

function list(choice: Choice): HTMLSelectElement {
  const made = document.createElement("select");
  made.setAttribute("aria-label", choice.label);
  made.append(new Option(choice.label, ""), ...Object.keys(choice.of).map((label) => new Option(label, label)));
  made.addEventListener("change", () => {
    const run = choice.of[made.value];
    made.value = "";
    made.blur();
    run?.();
  });
  return made;
}
