"use strict";
for (const tools of document.querySelectorAll("[data-tools]")) {
  const list = document.getElementById(tools.dataset.tools);
  const boxes = [...tools.querySelectorAll("input[type=checkbox]")];
  const search = tools.querySelector("input[type=search]");
  const count = tools.querySelector("[data-count]");
  const apply = () => {
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const words = search.value.toLowerCase();
    let shown = 0;
    for (const row of list.querySelectorAll("[data-status]")) {
      row.hidden = !(wanted.has(row.dataset.status) && row.textContent.toLowerCase().includes(words));
      if (!row.hidden) shown += 1;
    }
    for (const group of list.querySelectorAll(".group")) {
      group.hidden = !group.querySelector("[data-status]:not([hidden])");
      if (words && !group.hidden) group.open = true;
    }
    count.textContent = shown + " shown";
  };
  tools.hidden = false;
  tools.addEventListener("input", apply);
  tools.addEventListener("only", (event) => {
    for (const box of boxes) box.checked = box.value === event.detail;
    for (const group of list.querySelectorAll(".group")) group.open = true;
    apply();
  });
  apply();
}
for (const link of document.querySelectorAll("a[data-only]")) {
  link.addEventListener("click", () => {
    const tools = document.querySelector("[data-tools=findings-list]");
    if (tools) tools.dispatchEvent(new CustomEvent("only", { detail: link.dataset.only }));
  });
}
const copied = document.getElementById("copied");
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
    copied.textContent = "Copied.";
    button.textContent = "Copied";
  });
}
const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const node of document.querySelectorAll("details.group, details.more")) node.open = true;
});
