// A few orders at the upper edge, out of the way until the pointer or the keyboard comes there.

export interface Order {
  label: string;
  run: () => void;
}

/** Put them there. */
export function toolbar(orders: Order[]): void {
  const bar = document.createElement("nav");
  bar.id = "toolbar";
  bar.setAttribute("aria-label", "Console");
  for (const order of orders) {
    const button = document.createElement("button");
    button.textContent = order.label;
    button.addEventListener("click", () => {
      order.run();
      button.blur();
    });
    bar.append(button);
  }
  document.body.append(bar);
}
