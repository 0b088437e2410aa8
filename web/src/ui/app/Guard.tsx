import { lazy, Suspense } from "react";
import { Navigate, useLocation } from "react-router";
import { session } from "../api/session";
import { Loading } from "../parts/Loading";
import { useStore } from "../parts/store";
import { Shell } from "../shell/Shell";

const FirstPassword = lazy(() => import("../pages/password"));

/** Lets nobody in who is not logged in, and remembers where he wanted to go. */
export function Guard(): React.ReactNode {
  const now = useStore(session);
  const from = useLocation();
  if (!now.isIn) {
    return <Navigate to="/login" replace state={now.why === "left" ? null : { from }} />;
  }
  if (now.must_change_password) {
    return (
      <Suspense fallback={<Loading />}>
        <FirstPassword />
      </Suspense>
    );
  }
  return <Shell />;
}
