// Every address of the GUI, and which page is there. Pages are loaded when they are first gone to.
import { createBrowserRouter, type Params, type RouteObject } from "react-router";
import { words } from "../messages";
import { Loading } from "../parts/Loading";
import { Broken } from "../shell/Broken";
import { NotFound } from "../shell/NotFound";
import { Guard } from "./Guard";
import { Root } from "./Root";

const { nav } = words.shell;

/** Pages for whoever is logged in, inside of the frame. */
const inside: RouteObject[] = [
  { index: true, lazy: () => import("../pages/overview") },
  {
    path: "hosts",
    handle: { crumb: () => nav.hosts },
    children: [
      { index: true, lazy: () => import("../pages/hosts") },
      {
        path: ":host/:tab?",
        handle: { crumb: ({ host = "" }: Params) => host },
        lazy: () => import("../pages/hosts/host"),
      },
    ],
  },
  {
    path: "guests",
    handle: { crumb: () => nav.guests },
    children: [
      { index: true, lazy: () => import("../pages/guests") },
      {
        path: "create",
        handle: { crumb: () => words.guests.creation.title },
        lazy: () => import("../pages/guests/create"),
      },
      {
        path: ":host/:kind/:id/:tab?",
        handle: { crumb: ({ id }: { id?: string }) => id ?? "" },
        lazy: () => import("../pages/guests/guest"),
      },
    ],
  },
  {
    path: "jobs",
    handle: { crumb: () => nav.jobs },
    children: [
      { index: true, lazy: () => import("../pages/jobs") },
      {
        path: ":job",
        handle: { crumb: ({ job = "" }: Params) => job.slice(0, 8) },
        lazy: () => import("../pages/jobs/one"),
      },
    ],
  },
  { path: "people", handle: { crumb: () => nav.people }, lazy: () => import("../pages/people") },
  { path: "audit", handle: { crumb: () => nav.audit }, lazy: () => import("../pages/audit") },
  { path: "account", lazy: () => import("../pages/account") },
  { path: "*", element: <NotFound /> },
];

export const routes: RouteObject[] = [
  {
    element: <Root />,
    errorElement: <Broken />,
    hydrateFallbackElement: <Loading />,
    children: [
      { path: "/login", lazy: () => import("../pages/login") },
      // What breaks in a page leaves the frame around it standing.
      { element: <Guard />, children: [{ errorElement: <Broken />, children: inside }] },
    ],
  },
];

export function router(): ReturnType<typeof createBrowserRouter> {
  return createBrowserRouter(routes, { basename: "/ui" });
}
