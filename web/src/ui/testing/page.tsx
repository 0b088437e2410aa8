import { QueryClientProvider } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import userEvent, { type UserEvent } from "@testing-library/user-event";
import { createMemoryRouter } from "react-router";
import { RouterProvider } from "react-router/dom";
import { queryClient } from "../api/queries";
import { routes } from "../app/router";

export interface Shown {
  user: UserEvent;
  /** Where the page is now. */
  path: () => string;
  /** Everything is asked for anew, as when OMS has told of changes. */
  changed: () => Promise<void>;
}

/** The whole GUI at an address, as a person has it. */
export function at(path: string): Shown {
  const router = createMemoryRouter(routes, { initialEntries: [path] });
  const client = queryClient();
  render(
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
  return {
    user: userEvent.setup(),
    path: () => router.state.location.pathname + router.state.location.search,
    changed: () => client.invalidateQueries(),
  };
}
