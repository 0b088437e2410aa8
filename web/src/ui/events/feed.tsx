// Events and pages brought together: what an event makes old is asked for again, many events in one go.
import { type QueryClient, type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { call } from "../api/client";
import type { Method } from "../api/contract";
import { BY_ITSELF } from "../api/queries";
import { useSession } from "../api/session";
import { type Store, store, useStore } from "../parts/store";
import { awake, watch } from "./awake";
import type { Event } from "./event";
import { listen, type StreamState } from "./stream";
import { touches } from "./touched";

const TOGETHER_MS = 200;
/** In a large fleet a host is notably busier, or less, every moment. */
const MEASURED_TOGETHER_MS = 5000;
const PATIENCE_MS = 500;
const MOST_WAITING = 1000;
export const streamState: Store<StreamState> = store<StreamState>("off");

/** Keeps the pages up to date while somebody is logged in. */
export function Feed(): null {
  const client = useQueryClient();
  const { sessid } = useSession();
  useEffect(() => {
    const unwatch = watch();
    const soon = collector(client, TOGETHER_MS);
    const later = collector(client, MEASURED_TOGETHER_MS);
    const stop = listen(sessid, {
      state: (now) => streamState.set(now),
      event: (event) => (event.kind === "host.measured" ? later : soon).told(event),
      gap: soon.missed,
      // The answer tells whether the session is over; then that is dealt with as ever.
      refused: () => void call("userservices.whoami", {}, { isByItself: true }).catch(() => undefined),
    });
    return () => {
      stop();
      soon.close();
      later.close();
      unwatch();
    };
  }, [client, sessid]);
  return null;
}

/**
 * Whether pages may begin to ask: once events come, so that nothing is missed and nothing asked twice; where they do not
 * come, all the same after a moment.
 */
export function useListening(): boolean {
  const state = useStore(streamState);
  const [isListening, setListening] = useState(false);
  useEffect(() => {
    if (isListening) return;
    if (state === "open" || state === "lost") {
      setListening(true);
      return;
    }
    const timer = setTimeout(() => setListening(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isListening, state]);
  return isListening;
}

/** How often something is to be asked for that events tell of, in milliseconds: not at all while they come. */
export function usePace(withoutEvents = 10_000): number | undefined {
  const isOpen = useStore(streamState) === "open";
  const isAwake = useStore(awake);
  return isOpen || !isAwake ? undefined : withoutEvents;
}

interface Collector {
  told(event: Event): void;
  /** Events were missed: all that has been asked for is old. */
  missed(): void;
  close(): void;
}

/** Has what events make old asked for anew, once for all those that come within so many milliseconds. */
function collector(client: QueryClient, together: number): Collector {
  let waiting: Event[] = [];
  let all = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (!awake.get()) return; // when somebody comes back
    const [events, whole] = [waiting, all];
    [waiting, all] = [[], false];
    const old = {
      predicate: ({ queryKey: [method, params] }: { queryKey: QueryKey }) =>
        whole || events.some((event) => touches(event, method as Method, params as Record<string, unknown>)),
    };
    void client.invalidateQueries(old, BY_ITSELF);
  };
  const back = awake.subscribe(() => {
    if (awake.get() && (all || waiting.length > 0)) timer ??= setTimeout(flush, together);
  });
  return {
    told: (event) => {
      // Of many that wait for somebody to come back, none is needed by itself.
      if (waiting.length >= MOST_WAITING) [all, waiting] = [true, []];
      else if (!all) waiting.push(event);
      timer ??= setTimeout(flush, together);
    },
    missed: () => {
      [all, waiting] = [true, []];
      flush();
    },
    close: () => {
      back();
      clearTimeout(timer);
    },
  };
}
