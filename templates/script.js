
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

// The claims: three lists narrow the table, and what is left is counted aloud.
const claims = [...document.querySelectorAll(".claims tbody tr")], filters = document.querySelector(".filters");
const narrow = () => {
  const chosen = [...filters.querySelectorAll("select")].filter(list => list.value);
  claims.forEach(row => { row.hidden = chosen.some(list => row.dataset[list.dataset.filter] !== list.value); });
  filters.querySelector("[role=status]").textContent = `${claims.filter(row => !row.hidden).length} of ${claims.length} claims`;
};
const widen = () => { filters.querySelectorAll("select").forEach(list => { list.value = ""; }); narrow(); };
filters.addEventListener("change", narrow);
filters.querySelector("button").addEventListener("click", widen);
filters.hidden = false;
widen();
// A link to a claim finds it whatever is chosen, with its rule unfolded.
const arrive = () => {
  const row = claims.find(one => "#" + one.id === location.hash);
  if (!row) return;
  if (row.hidden) widen();
  row.querySelector("details").open = true;
  row.scrollIntoView();
};
addEventListener("hashchange", arrive);
arrive();

// Only what scrolls sideways is a stop of the keyboard, and has a name then.
const stops = new ResizeObserver(entries => {
  for (const { target: box } of entries) {
    if (box.scrollWidth <= box.clientWidth) { ["tabindex", "role", "aria-label"].forEach(name => box.removeAttribute(name)); continue; }
    const name = box.querySelector("caption, svg > title")?.textContent ?? "Code";
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", `${name} (scrolls sideways)`);
  }
});
document.querySelectorAll(".scroll").forEach(box => stops.observe(box));

// The contents list marks the section that is being read, and starts open on a wide screen.
const contents = document.querySelector("nav.contents details");
contents.open = matchMedia("(min-width: 1100px)").matches;
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
  folded = [...document.querySelectorAll(":is(main, .banner) details:not([open])")];
  folded.forEach(part => { part.open = true; });
});
addEventListener("afterprint", () => folded.forEach(part => { part.open = false; }));
