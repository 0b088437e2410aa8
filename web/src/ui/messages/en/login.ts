// Logging in, and the first password of one's own.
export const login = {
  title: "Log in",
  user: "User",
  password: "Password",
  submit: "Log in",
  ended: "Your session has ended. Log in, and go on where you were.",
  left: "You are logged out.",
  firstTime: "The first user and password are on the screen where OMS was started for the first time.",
  missing: "Give a user and a password.",
};

export const password = {
  title: "Choose a password",
  why: "Somebody else knows your password, so it opens nothing but this form. Choose one of your own.",
  old: "Password so far",
  new: "New password",
  again: "New password, again",
  help: "12 characters or more, none that is known or easily guessed. Several words in a row are easy to keep.",
  differ: "These two are not the same.",
  short: "It has fewer than 12 characters.",
  submit: "Change the password",
  done: "Your password is changed",
  logout: "Log out",
};
