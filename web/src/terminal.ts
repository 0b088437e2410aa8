// A terminal: what is typed goes out as bytes, the size of the window as a line of JSON.
//
// What a program writes is shown and does nothing else: it sets no title of the window and reaches no clipboard.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import "./console.css";
import { keepOpen } from "./session";
import { fullScreen, onlyLooks, toolbar } from "./toolbar";

const SMALLEST = 8;
const LARGEST = 32;
const KEPT_SIZE = "console font size";
const terminal = new Terminal({
  cursorBlink: true,
  fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
  fontSize: within(Number(localStorage.getItem(KEPT_SIZE) ?? 14)),
  scrollback: 10_000,
  theme: { background: "#101214" },
});
const MOST_TIMES = 10_000;
const fit = new FitAddon();
const encoder = new TextEncoder();
let line: WebSocket | undefined;

terminal.loadAddon(fit);
terminal.open(document.getElementById("view") as HTMLElement);
terminal.onData((text) => send(encoder.encode(text)));
terminal.onBinary((text) => send(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
terminal.onResize(() => size());
new ResizeObserver(() => fit.fit()).observe(document.body);

// Whoever asks for a thing to be done two thousand million times wants this page to stand still.
for (const final of "@LMPSTXZIb") {
  terminal.parser.registerCsiHandler({ final }, (numbers) => numbers.flat().some((number) => number > MOST_TIMES));
}

// Ctrl-Shift-V pastes in every browser by itself; Ctrl-Shift-C opens another thing in most.
terminal.attachCustomKeyEventHandler((key) => {
  if (key.ctrlKey && key.shiftKey && key.code === "KeyC") {
    key.preventDefault();
    if (key.type === "keydown") {
      copy();
    }
    return false;
  }
  return true;
});

keepOpen((socket, given) => {
  line = socket;
  terminal.options.disableStdin = given.view_only;
  onlyLooks(given.view_only);
  socket.addEventListener("open", () => {
    terminal.reset(); // what was said before comes again
    fit.fit();
    size();
    terminal.focus();
  });
  socket.addEventListener("message", (message: MessageEvent<ArrayBuffer>) => {
    terminal.write(new Uint8Array(message.data));
  });
});

toolbar([
  { label: "Copy", title: "Copies what is selected (Ctrl-Shift-C)", harmless: true, run: copy },
  { label: "Paste", title: "Ctrl-Shift-V", run: paste },
  { label: "A−", title: "Smaller letters", harmless: true, run: () => letters(-1) },
  { label: "A+", title: "Larger letters", harmless: true, run: () => letters(1) },
  { label: "Full screen", harmless: true, run: fullScreen },
]);

function copy(): void {
  if (terminal.hasSelection()) {
    void navigator.clipboard.writeText(terminal.getSelection());
  }
  terminal.focus();
}

function paste(): void {
  terminal.focus();
  navigator.clipboard.readText().then(
    (text) => terminal.paste(text),
    () => undefined, // the browser asked, and somebody said no
  );
}

function letters(by: number): void {
  const wanted = within((terminal.options.fontSize ?? 14) + by);
  terminal.options.fontSize = wanted;
  localStorage.setItem(KEPT_SIZE, String(wanted));
  fit.fit();
  terminal.focus();
}

function within(points: number): number {
  return Math.min(LARGEST, Math.max(SMALLEST, points || 14));
}

function size(): void {
  send(JSON.stringify({ columns: terminal.cols, rows: terminal.rows }));
}

function send(data: string | Uint8Array<ArrayBuffer>): void {
  if (line?.readyState === WebSocket.OPEN) {
    line.send(data);
  }
}
