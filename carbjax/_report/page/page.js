"use strict";
(() => {
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };

  // Rows without a number stay last, whichever way the others go.
  const sort = (table, head, down) => {
    const column = head.cellIndex, body = table.tBodies[0];
    const order = row => row.cells[column].dataset.order ?? "";
    const known = [...body.rows].filter(row => order(row) !== "");
    const unknown = [...body.rows].filter(row => order(row) === "");
    known.sort((a, b) => (down ? -1 : 1) * compare(order(a), order(b)));
    body.append(...known, ...unknown);
    for (const other of table.querySelectorAll("th[aria-sort]")) {
      other.removeAttribute("aria-sort");
    }
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  const headsOf = table => [...table.querySelectorAll("th[data-key]")];

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of headsOf(table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        sort(table, head, head.getAttribute("aria-sort") === "ascending");
      });
    }
  }

  // page.html#sort=relative or #sort=-relative sorts the summary.
  const follow = () => {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("sort") ?? "";
    const table = document.getElementById("summary-table");
    const key = wanted.replace(/^-/, "");
    const head = headsOf(table).find(each => each.dataset.key === key);
    if (head) sort(table, head, wanted !== key);
  };
  addEventListener("hashchange", follow);
  follow();

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });
})();
