// What the page has to say, over the console.

const element = document.getElementById("notice") as HTMLElement;

/** Say something; with `action`, a button that does it. */
export function say(text: string, action?: { label: string; run: () => void }): void {
  element.replaceChildren(document.createTextNode(text));
  if (action) {
    const button = document.createElement("button");
    button.textContent = action.label;
    button.addEventListener("click", action.run);
    element.append(button);
    button.focus();
  }
  element.hidden = false;
}

/** Say nothing more. */
export function hush(): void {
  element.hidden = true;
}
