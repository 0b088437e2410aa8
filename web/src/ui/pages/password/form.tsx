// Changing one's own password: the fields, and what is wrong with each. Used in front of the door and in the account.
import { useState } from "react";
import { OmsError } from "../../api/errors";
import { useChange } from "../../api/queries";
import { useSession } from "../../api/session";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { PasswordField } from "../../parts/form/PasswordField";

const said = words.password;
const SHORTEST = 12;

interface Typed {
  old: string;
  new: string;
  again: string;
}

const NOTHING: Typed = { old: "", new: "", again: "" };

export interface PasswordForm {
  typed: Typed;
  type: (part: Partial<Typed>) => void;
  /** What is wrong, by field; `other` is about none of them. */
  wrong: { old?: string; new?: string; again?: string; other?: Error };
  isBusy: boolean;
  submit: (event: React.FormEvent) => void;
}

export function usePasswordForm(done: () => void): PasswordForm {
  const [typed, setTyped] = useState<Typed>(NOTHING);
  const [wrong, setWrong] = useState<PasswordForm["wrong"]>({});
  const change = useChange("userservices.change_password", {
    quiet: true,
    done: () => {
      setTyped(NOTHING);
      done();
    },
  });
  return {
    typed,
    type: (part) => {
      setTyped({ ...typed, ...part });
      setWrong({});
    },
    wrong,
    isBusy: change.isPending,
    submit: (event) => {
      event.preventDefault();
      const found = refused(typed);
      setWrong(found);
      if (Object.keys(found).length > 0) return;
      change.mutate(
        { old_password: typed.old, new_password: typed.new },
        { onError: (failure) => setWrong(placed(failure)) },
      );
    },
  };
}

/** What this page sees by itself. Whether a password is any good OMS knows. */
function refused({ new: chosen, again }: Typed): PasswordForm["wrong"] {
  if (chosen.length < SHORTEST) return { new: said.short };
  if (chosen !== again) return { again: said.differ };
  return {};
}

/** OMS's own words, at the field that they are about. */
function placed(failure: Error): PasswordForm["wrong"] {
  if (failure instanceof OmsError) {
    if (failure.wireName === "AuthError") return { old: failure.message };
    if (failure.reason === "weak_password" || failure.parameter === "new_password")
      return { new: failure.message };
  }
  return { other: failure };
}

export function PasswordFields({
  form,
  autoFocus = false,
}: {
  form: PasswordForm;
  autoFocus?: boolean;
}): React.ReactNode {
  const { name } = useSession();
  const { typed, wrong, type } = form;
  return (
    <>
      <Failure of={wrong.other ?? null} title={words.toasts.notDone} />
      {/* For password stores of browsers: whose password it is. */}
      <input type="text" name="username" autoComplete="username" value={name} readOnly hidden />
      <PasswordField
        id="old"
        label={said.old}
        value={typed.old}
        onChange={(old) => type({ old })}
        autoComplete="current-password"
        wrong={wrong.old}
        autoFocus={autoFocus}
      />
      <PasswordField
        id="new"
        label={said.new}
        value={typed.new}
        onChange={(chosen) => type({ new: chosen })}
        autoComplete="new-password"
        help={said.help}
        wrong={wrong.new}
      />
      <PasswordField
        id="again"
        label={said.again}
        value={typed.again}
        onChange={(again) => type({ again })}
        autoComplete="new-password"
        wrong={wrong.again}
      />
    </>
  );
}
