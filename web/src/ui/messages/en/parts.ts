// What the parts say that all pages share.
export const toasts = {
  goesOn: "Still under way",
  goesOnText: "It takes longer than the page waits. Its job tells how it ends.",
  noAnswer: "No answer",
  notKnown: "Whether it was done is not known: look before you do it again.",
  notDone: "That was not done",
  close: "Close",
  toJob: "Look at the job",
};

export const parts = {
  copy: "Copy",
  copied: "Copied",
  cancel: "Cancel",
  close: "Close",
  retry: "Try again",
  failed: "This could not be loaded",
  showPassword: "Show the password",
  hidePassword: "Hide the password",
  never: "never",
  now: "just now",
  none: "–",
  search: "Search",
  clearFilters: "Clear search and filters",
  nothingFits: "Nothing fits",
  nothingFitsText: "Nothing that is listed fits the search and the filters.",
  actions: "Actions",
  of: "of",
  items: "items",
  perPage: "per page",
  pages: "Pages of the list",
  fingerprint: "Fingerprint (SHA-256)",
};
