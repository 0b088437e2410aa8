// Bytes of a file brought to an upload, piece by piece; where it broke off, it is gone on with.

import { OutOfReach } from "../api/errors";
import { session } from "../api/session";

const PIECE_BYTES = 8 * 1024 * 1024;
const TRIES = 5;
const NOT_TAKEN = "OMS did not take the bytes, as if the host did not want them.";

/** What became of a piece. `offset`: from where on the host wants bytes; -1 where it does not say. */
interface Outcome {
  ok: boolean;
  status: number;
  offset: number;
  text: string;
}

/** Bring the file to the address that OMS gave for it. `told` hears how far it is, 0 to 100. Throws OutOfReach. */
export async function bring(
  file: Blob,
  address: string,
  told: (percent: number) => void,
  stopped: AbortSignal,
): Promise<void> {
  let tried = 0;
  let sent = 0;
  for (let first = 0; first < file.size; ) {
    const last = Math.min(first + PIECE_BYTES, file.size);
    const answer = await put(file.slice(first, last), address, `bytes ${first}-${last - 1}/${file.size}`, stopped);
    if (answer.ok) {
      first = last;
      tried = 0;
    } else {
      tried += 1;
      if (tried >= TRIES) throw new OutOfReach(answer.text);
      first = goOn(answer, { first, last, sent });
      await new Promise((go) => setTimeout(go, 1000 * tried));
    }
    sent = Math.max(sent, last);
    told(Math.floor((100 * first) / file.size));
  }
}

/** From where on, after a piece that was not taken whole. Throws OutOfReach. */
function goOn(
  { status, offset, text }: Outcome,
  { first, last, sent }: Record<"first" | "last" | "sent", number>,
): number {
  // A host that has more than was sent from here has it of another file. Of a piece that did not follow on what it had
  // (409) it has taken nothing.
  if (offset >= 0 && offset <= (status === 409 ? sent : Math.max(sent, last))) return offset;
  if (status < 500) throw new OutOfReach(text);
  return first;
}

async function put(piece: Blob, address: string, range: string, stopped: AbortSignal): Promise<Outcome> {
  try {
    const response = await fetch(address, {
      method: "PUT",
      headers: { Authorization: `Bearer ${session.get().sessid}`, "Content-Range": range },
      body: piece,
      credentials: "omit",
      signal: stopped,
    });
    const offset = Number(response.headers.get("Upload-Offset") ?? -1);
    return { ok: response.ok, status: response.status, offset, text: response.ok ? "" : await said(response) };
  } catch (failure) {
    if (stopped.aborted) throw failure;
    return { ok: false, status: 599, offset: -1, text: String(failure) };
  }
}

/** Why the bytes were not taken, in OMS's words. */
async function said(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } };
    return error?.message ?? NOT_TAKEN;
  } catch {
    return text;
  }
}
