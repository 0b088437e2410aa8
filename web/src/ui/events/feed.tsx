// Events and pages brought together: what an event makes old is asked for again, many events in one go.
import { type QueryClient, type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
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
const MOST_WAITING = 1000;
export const streamState: Store<StreamState> = store<StreamState>("off");

type Heard = (event: Event) => void;
const hearers = new Set<Heard>();

/** Keeps the pages up to date while somebody is logged in. */
export function Feed(): null {
  const client = useQueryClient();
  const { sessid } = useSession();
  useEffect(() => {
    const unwatch = watch();
    const { told, close } = collector(client);
    const stop = listen(sessid, {
      state: (now) => streamState.set(now),
      event: (event) => {
        told(event);
        for (const heard of [...hearers]) heard(event);
      },
      gap: () => told("all"),
      // The answer tells whether the session is over; then that is dealt with as ever.
      refused: () => void call("userservices.whoami", {}, { isByItself: true }).catch(() => undefined),
    });
    return () => {
      stop();
      close();
      unwatch();
    };
  }, [client, sessid]);
  return null;
}

/** Hear of each event itself, as what shows progress does. `heard` must stay the same function. */
export function useEvents(heard: Heard): void {
  useEffect(() => {
    hearers.add(heard);
    return () => {
      hearers.delete(heard);
    };
  }, [heard]);
}

/** How often something is to be asked for that events tell of, in milliseconds: not at all while they come. */
export function usePace(withoutEvents = 10_000): number | undefined {
  const isOpen = useStore(streamState) === "open";
  const isAwake = useStore(awake);
  return isOpen || !isAwake ? undefined : withoutEvents;
}

function collector(client: QueryClient): { told: (event: Event | "all") => void; close: () => void } {
  let waiting: Event[] = [];
  let all = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = (): void => {
    if (!awake.get()) {
      timer = undefined; // when somebody comes back
      return;
    }
    const [events, whole] = [waiting, all];
    [waiting, all, timer] = [[], false, undefined];
    const old = {
      predicate: ({ queryKey: [method, params] }: { queryKey: QueryKey }) =>
        whole || events.some((event) => touches(event, method as Method, params as Record<string, unknown>)),
    };
    void client.invalidateQueries(old, BY_ITSELF);
  };
  const back = awake.subscribe(() => {
    if (awake.get() && (all || waiting.length > 0)) timer ??= setTimeout(flush, TOGETHER_MS);
  });
  return {
    told: (event) => {
      // Of many that wait for somebody to come back, none is needed by itself.
      if (event === "all" || waiting.length >= MOST_WAITING) [all, waiting] = [true, []];
      else if (!all) waiting.push(event);
      timer ??= setTimeout(flush, TOGETHER_MS);
    },
    close: () => {
      back();
      clearTimeout(timer);
    },
  };
}
