import { Outlet } from "react-router";
import { Toasts } from "../shell/Toasts";

/** Around everything: what is said at the corner stays while pages come and go. */
export function Root(): React.ReactNode {
  return (
    <>
      <Outlet />
      <Toasts />
    </>
  );
}
