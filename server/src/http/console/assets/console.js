// Keeps live pages up to date, and copies texts. Everything else works without scripts.
"use strict";

const EVERY_MS = 1000;
let seen = null;

// The sections that a reader has opened, by their place on the page.
function opened(main) {
  return [...main.querySelectorAll("details")].map((one) => one.open);
}

function isBusy(main) {
  const focused = document.activeElement;
  return (main.contains(focused) && focused.matches("input, select, textarea")) || !getSelection().isCollapsed;
}

function show(fresh) {
  const main = document.getElementById("main");
  const focused = main.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const open = opened(main);
  main.replaceWith(fresh);
  fresh.querySelectorAll("details").forEach((one, at) => { one.open = open[at] ?? one.open; });
  if (focused) {
    [...fresh.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  }
  prepare(fresh);
}

async function refresh() {
  const main = document.getElementById("main");
  if (!main || !("live" in main.dataset)) return;
  if (!document.hidden && !isBusy(main)) {
    try {
      const headers = seen ? { "If-None-Match": seen } : {};
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      if (answer.status === 200 && !answer.redirected) {
        seen = answer.headers.get("etag");
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById("main");
        if (fresh && fresh.innerHTML !== main.dataset.shown) {
          const shown = fresh.innerHTML;
          show(document.adoptNode(fresh));
          document.getElementById("main").dataset.shown = shown;
        }
      }
    } catch {
      // The server is restarting; the next attempt follows.
    }
  }
  setTimeout(refresh, EVERY_MS);
}

function prepare(root) {
  root.querySelectorAll("button[data-copy]").forEach((button) => { button.hidden = false; });
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = button.closest("details, .body").querySelector("pre").textContent;
  await navigator.clipboard.writeText(text);
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, 1500);
});

prepare(document);
setTimeout(refresh, EVERY_MS);
