// Bytes of a file brought to an upload, piece by piece; where it broke off, it is gone on with.

import { OutOfReach } from "../api/errors";
import { session } from "../api/session";

const PIECE_BYTES = 8 * 1024 * 1024;
const TRIES = 5;

/** Bring the file to the address that OMS gave for it. `told` hears how far it is, 0 to 100. Throws OutOfReach. */
export async function bring(
  file: Blob,
  address: string,
  told: (percent: number) => void,
  stopped: AbortSignal,
): Promise<void> {
  let tried = 0;
  for (let first = 0; first < file.size; ) {
    const last = Math.min(first + PIECE_BYTES, file.size);
    const answer = await put(file.slice(first, last), address, `bytes ${first}-${last - 1}/${file.size}`, stopped);
    if (answer.ok) {
      first = last;
      tried = 0;
      told(Math.floor((100 * first) / file.size));
      continue;
    }
    tried += 1;
    if (answer.status < 500 || tried >= TRIES) throw new OutOfReach(answer.text);
    await new Promise((go) => setTimeout(go, 1000 * tried));
  }
}

async function put(
  piece: Blob,
  address: string,
  range: string,
  stopped: AbortSignal,
): Promise<{ ok: boolean; status: number; text: string }> {
  try {
    const response = await fetch(address, {
      method: "PUT",
      headers: { Authorization: `Bearer ${session.get().sessid}`, "Content-Range": range },
      body: piece,
      credentials: "omit",
      signal: stopped,
    });
    return { ok: response.ok, status: response.status, text: response.ok ? "" : await said(response) };
  } catch (failure) {
    if (stopped.aborted) throw failure;
    return { ok: false, status: 599, text: String(failure) };
  }
}

/** Why the bytes were not taken, in OMS's words. */
async function said(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error, message } = JSON.parse(text) as { error?: string | { message?: string }; message?: string };
    return (typeof error === "string" ? error : error?.message) ?? message ?? text;
  } catch {
    return text;
  }
}
