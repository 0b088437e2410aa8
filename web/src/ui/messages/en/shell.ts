// The frame around every page.
export const shell = {
  product: "OpenNode Management Server",
  short: "OMS",
  skip: "Skip to the page",
  navigation: "Pages",
  toggleNavigation: "Show or hide the list of pages",
  breadcrumb: "Where this page is",
  nav: {
    overview: "Overview",
    hosts: "Hosts",
    guests: "Guests",
    jobs: "Jobs",
    people: "People",
    audit: "Audit log",
  },
  search: {
    label: "Search hosts and guests",
    nothing: (sought: string) => `Nothing is called “${sought}”.`,
    hosts: (count: number) => `Hosts (${count})`,
    guests: (count: number) => `Guests (${count})`,
    all: "Show all …",
  },
  jobs: "Jobs",
  jobsOpen: (count: number) => (count === 0 ? "Jobs: none under way" : `Jobs: ${count} under way`),
  user: {
    menu: (name: string) => `${name}: account and look`,
    role: { viewer: "Viewer", operator: "Operator", admin: "Administrator", nobody: "Nobody" },
    account: "Own account",
    logout: "Log out",
    theme: "Look",
    themes: { system: "As the system", light: "Light", dark: "Dark" },
  },
  connection: {
    lost: "The connection to OMS is lost. What is shown may be old; trying again …",
  },
  notFound: {
    title: "There is no such page",
    text: (path: string) => `Nothing is at ${path}. The address may be mistyped, or what it led to is gone.`,
    home: "To the overview",
  },
  notAllowed: {
    title: (page: string) => `${page}: for administrators`,
    text: (name: string, role: string) => `${name} has the role ${role}. An administrator can give another one.`,
  },
  broken: {
    title: "This page broke",
    text: "That is a fault in the GUI, not in your fleet: nothing was changed by it. Loading the page anew may help.",
    again: "Load it anew",
    details: "What the browser says",
  },
  loading: "Loading",
};
