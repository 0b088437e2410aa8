import { QueryClientProvider } from "@tanstack/react-query";
import { useEffect } from "react";
import { RouterProvider } from "react-router/dom";
import { queryClient } from "../api/queries";
import { session } from "../api/session";
import { router } from "./router";

const client = queryClient();
const ways = router();

/** All of it. What one user was shown is forgotten before the next one is there. */
export function App(): React.ReactNode {
  useEffect(
    () =>
      session.subscribe(() => {
        if (!session.get().isIn) client.clear();
      }),
    [],
  );
  return (
    <QueryClientProvider client={client}>
      <RouterProvider router={ways} />
    </QueryClientProvider>
  );
}
