"use strict";
// A box without anything to scroll needs no stop for the keyboard, and shows no shade.
const boxes = document.querySelectorAll(".scroll");
const fit = () => boxes.forEach(box => {
  const wide = box.scrollWidth > box.clientWidth + 1;
  box.classList.toggle("wide", wide);
  wide ? box.setAttribute("tabindex", "0") : box.removeAttribute("tabindex");
});
addEventListener("resize", fit);
fit();
// On a phone the contents are folded away at first.
const contents = document.querySelector("nav details");
if (matchMedia("(max-width: 1099px)").matches) contents.open = false;
// A link into a folded table opens it.
const arrive = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const folded = target && target.closest("details");
  if (folded && !folded.open) { folded.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", arrive);
arrive();
addEventListener("beforeprint", () => document.querySelectorAll("main details").forEach(part => { part.open = true; }));
