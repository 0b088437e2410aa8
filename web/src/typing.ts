// Keys for a machine: chords that the browser keeps for itself, and texts typed key by key, which a machine without
// any helper of its own takes too.

/** So much of a screen as takes keys. */
export interface Keyboard {
  sendKey(keysym: number, code: string | null, down?: boolean): void;
}

const SHIFT = 0xffe1;
const RETURN = 0xff0d;
const TAB = 0xff09;
const BEYOND_LATIN_1 = 0x0100_0000;
/** What a keyboard of the United States, which is how machines are told of one, has with Shift alone. */
const SHIFTED = /[A-Z~!@#$%^&*()_+{}|:"<>?]/;

const KEYS: Record<string, [number, string]> = {
  Ctrl: [0xffe3, "ControlLeft"],
  Alt: [0xffe9, "AltLeft"],
  Windows: [0xffeb, "MetaLeft"],
  Tab: [TAB, "Tab"],
  Esc: [0xff1b, "Escape"],
  Backspace: [0xff08, "Backspace"],
  "Print screen": [0xff61, "PrintScreen"],
  F1: [0xffbe, "F1"],
  F2: [0xffbf, "F2"],
  F3: [0xffc0, "F3"],
  F4: [0xffc1, "F4"],
  F7: [0xffc4, "F7"],
  F12: [0xffc9, "F12"],
};
export const CHORDS = [
  "Ctrl-Alt-F1",
  "Ctrl-Alt-F2",
  "Ctrl-Alt-F3",
  "Ctrl-Alt-F7",
  "Ctrl-Alt-Backspace",
  "Alt-Tab",
  "Alt-F4",
  "Windows",
  "Print screen",
  "Esc",
  "F12",
];

/** All keys of it down, one after the other, and up again. */
export function strike(on: Keyboard, chord: string): void {
  const keys = chord.split("-").flatMap((name) => (KEYS[name] ? [KEYS[name]] : []));
  for (const [keysym, code] of keys) {
    on.sendKey(keysym, code, true);
  }
  for (const [keysym, code] of keys.reverse()) {
    on.sendKey(keysym, code, false);
  }
}

/** Type a text. */
export function type(on: Keyboard, text: string): void {
  for (const letter of text.replaceAll("\r\n", "\n")) {
    const shifted = SHIFTED.test(letter);
    if (shifted) {
      on.sendKey(SHIFT, null, true);
    }
    on.sendKey(keysym(letter), null);
    if (shifted) {
      on.sendKey(SHIFT, null, false);
    }
  }
}

function keysym(letter: string): number {
  const point = letter.codePointAt(0) ?? 0;
  if (letter === "\n") {
    return RETURN;
  }
  if (letter === "\t") {
    return TAB;
  }
  return point < 0x100 ? point : BEYOND_LATIN_1 + point;
}
