// Answers and changes in pages: asked once for all who show the same, kept, and asked again when an event says so.
import {
  hashKey,
  keepPreviousData,
  QueryClient,
  type QueryKey,
  type UseMutationResult,
  type UseQueryResult,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import { useCallback, useEffect } from "react";
import { awake } from "../events/awake";
import { useHere } from "../parts/here";
import { sayWrong } from "../parts/toasts";
import { type Answer, call, type Params } from "./client";
import { METHODS, type Method, type Task } from "./contract";
import { OmsError, OutOfReach } from "./errors";
import { suffices, useSession } from "./session";

/** For what is asked again by an event or a clock: OMS is told so, and no session is kept from its end by it. */
export const BY_ITSELF = { cancelRefetch: true, meta: {} };

/** Every answer is kept under its method and parameters. */
export type Key<M extends Method = Method> = readonly [method: M, params: Params<M>];

export function keyOf<M extends Method>(method: M, params: Params<M>): Key<M> {
  return [method, params];
}

export function queryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        networkMode: "always",
        staleTime: 5_000,
        // What OMS has said no to it says no to again; where it cannot be reached it may be soon.
        retry: (tried, failure) => failure instanceof OutOfReach && tried < 3,
        retryDelay: (tried) => Math.min(1000 * 2 ** tried, 8000),
      },
      mutations: { networkMode: "always", retry: false },
    },
  });
}

export interface AskOptions<M extends Method> {
  /** Ask only while this is so. */
  enabled?: boolean;
  /** Ask again so often, in milliseconds, where no event tells of changes. */
  every?: number | undefined;
  /** While other parameters are asked for, show the answer to those before: for lists that are leafed through. */
  keepBefore?: boolean;
  /** What is known of it from elsewhere, to be shown until it is answered. */
  known?: () => Answer<M> | undefined;
  /** How old a recorded answer of a host may be, in seconds. */
  cache?: number;
}

/** What OMS answers, and answers again when it changes. */
export function useAnswer<M extends Method>(
  method: M,
  params: Params<M>,
  { enabled = true, every, keepBefore = false, known, cache = 0 }: AskOptions<M> = {},
): UseQueryResult<Answer<M>> {
  const queryKey = keyOf(method, params) as QueryKey;
  useEvery(queryKey, enabled ? every : undefined);
  return useQuery<Answer<M>>({
    queryKey,
    queryFn: ({ signal, client }) => {
      const isByItself = client.getQueryState(queryKey)?.fetchMeta === BY_ITSELF.meta;
      return call(method, params, { signal, cache, isByItself });
    },
    enabled,
    ...(keepBefore && { placeholderData: keepPreviousData as never }),
    ...(known && { placeholderData: known as never }),
  });
}

const AT_REST_MS = 1000;

/**
 * Asks for what may be wanted next, once nothing else has happened for a moment; at once where somebody is about to want it.
 * Not where it is undefined.
 */
export function useAhead<M extends Method>(
  method: M,
  params: Params<M> | undefined,
  { isNear = false }: { isNear?: boolean } = {},
): void {
  const client = useQueryClient();
  const hash = params && hashKey(keyOf(method, params));
  // biome-ignore lint/correctness/useExhaustiveDependencies: the hash is the same where the parameters say the same
  useEffect(() => {
    if (params === undefined) return;
    const timer = setTimeout(
      () => {
        const queryFn = ({ signal }: { signal: AbortSignal }) =>
          call(method, params, { signal, isByItself: true });
        void client.prefetchQuery({ queryKey: keyOf(method, params), queryFn });
      },
      isNear ? 0 : AT_REST_MS,
    );
    return () => clearTimeout(timer);
  }, [client, method, hash, isNear]);
}

/** Asks again so often, in milliseconds, as long as somebody is there to look. */
function useEvery(queryKey: QueryKey, every: number | undefined): void {
  const client = useQueryClient();
  const hash = hashKey(queryKey);
  useEffect(() => {
    if (every === undefined) return;
    const timer = setInterval(() => {
      if (!awake.get()) return;
      const filters = {
        type: "active",
        predicate: (query: { queryHash: string }) => query.queryHash === hash,
      } as const;
      void client.refetchQueries(filters, { ...BY_ITSELF, cancelRefetch: false });
    }, every);
    return () => clearInterval(timer);
  }, [client, hash, every]);
}

export interface ChangeOptions<M extends Method> {
  /** What is done when it has been made. */
  done?: (answer: Answer<M>, params: Params<M>) => void;
  /**
   * Whether who uses this shows failures where they belong, as in a form, as long as that is there; otherwise they are
   * said at the corner.
   */
  quiet?: boolean;
}

/** A change: `mutate(params)` makes it. What is shown is asked for anew then, without waiting for events. */
export function useChange<M extends Method>(
  method: M,
  { done, quiet = false }: ChangeOptions<M> = {},
): UseMutationResult<Answer<M>, Error, Params<M>> {
  const client = useQueryClient();
  const here = useHere();
  return useMutation<Answer<M>, Error, Params<M>>({
    mutationFn: (params) => call(method, params),
    onSuccess: (answer, params) => done?.(answer, params),
    onError: (failure) => {
      if (!quiet || !here.current || (failure instanceof OmsError && failure.job)) sayWrong(failure);
    },
    onSettled: () => client.invalidateQueries({ refetchType: "active" }),
  });
}

/** Whether who is logged in may call that. */
export function useMay(method: Method): boolean {
  return suffices(useSession().role, METHODS[method].may);
}

/** Which jobs who is logged in may cancel: those that he might have begun. */
export function useMayCancel(): (job: Task) => boolean {
  const { role } = useSession();
  const mayAny = useMay("taskservices.cancel_task");
  return useCallback(
    ({ method }) => mayAny && (!(method in METHODS) || suffices(role, METHODS[method as Method].may)),
    [mayAny, role],
  );
}
