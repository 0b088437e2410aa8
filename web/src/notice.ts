// What the page has to say, over the console.

const element = document.getElementById("notice") as HTMLElement;
const text = document.createElement("span");
const button = document.createElement("button");
let run: () => void = () => undefined;

element.append(text, button);
button.addEventListener("click", () => run());

/** Say something; with `action`, a button that does it. */
export function say(words: string, action?: { label: string; run: () => void }): void {
  text.textContent = words;
  button.hidden = action === undefined;
  if (action) {
    run = action.run;
    button.textContent = action.label;
    if (element.hidden) {
      element.hidden = false;
      button.focus();
    }
  }
  element.hidden = false;
}

/** Say nothing more. */
export function hush(): void {
  element.hidden = true;
}
