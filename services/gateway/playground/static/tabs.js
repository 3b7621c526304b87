/**
 * Tabs: one stop of the Tab key, arrows between them. Source: the tabs pattern of https://www.w3.org/WAI/ARIA/apg/
 * @module
 */

/**
 * Makes the buttons of a tab list work.
 * @param {HTMLElement} list With `role="tablist"`; its tabs are there already.
 * @param {(tab: HTMLElement) => void} onSelect Called with a tab that was selected, also the first time.
 */
export function tabs(list, onSelect) {
  const all = /** @type {HTMLElement[]} */ ([...list.querySelectorAll('[role="tab"]')]);

  /** @param {HTMLElement} chosen */
  function select(chosen) {
    for (const tab of all) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    onSelect(chosen);
  }

  /** @type {Record<string, (at: number) => number>} */
  const moves = {
    ArrowRight: (at) => (at + 1) % all.length,
    ArrowLeft: (at) => (at + all.length - 1) % all.length,
    Home: () => 0,
    End: () => all.length - 1,
  };
  list.addEventListener("click", (event) => {
    const tab = event.target instanceof Element && event.target.closest('[role="tab"]');
    if (tab) select(/** @type {HTMLElement} */ (tab));
  });
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0 || !(event.key in moves)) return;
    event.preventDefault();
    const next = all[moves[event.key](at)];
    next.focus();
    select(next);
  });
  select(all.find((tab) => tab.getAttribute("aria-selected") === "true") ?? all[0]);
}
