
"use strict";
// Sortable tables: each heading becomes a button; numbers sort as numbers, all else as a person would.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], given = [...body.rows];
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const value = (row, column) => row.cells[column].textContent.trim();
  const number = text => parseFloat(text.replace("\u2212", "-").replace(/,/g, ""));
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const state = head.getAttribute("aria-sort");
      const next = state === null ? (head.classList.contains("right") ? "descending" : "ascending")
        : state === (head.classList.contains("right") ? "descending" : "ascending")
          ? (state === "ascending" ? "descending" : "ascending") : null;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      if (next === null) { body.append(...given); return; }
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1, numeric = head.classList.contains("right");
      body.append(...[...given].sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        if (!numeric) return sign * compare(x, y);
        const p = number(x), q = number(y);  // what is no number goes last, either way
        return isNaN(p) || isNaN(q) ? isNaN(p) - isNaN(q) : sign * (p - q);
      }));
    });
  });
}

// The contents list marks the section that is being read, and starts shut on a narrow screen.
const contents = document.querySelector("nav.contents details");
if (matchMedia("(max-width: 1099px)").matches) contents.removeAttribute("open");
const links = new Map([...contents.querySelectorAll("ol a")].map(link => [link.hash.slice(1), link]));
const seen = new Set();
const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id);
  const current = [...links.keys()].find(id => seen.has(id));
  for (const [id, link] of links) id === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
}, { rootMargin: "0px 0px -70% 0px" });
for (const id of links.keys()) watcher.observe(document.getElementById(id));

// What is folded away is printed too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details.folded:not([open])")];
  folded.forEach(part => { part.open = true; });
});
addEventListener("afterprint", () => folded.forEach(part => { part.open = false; }));
