// A line above every long table: what is typed there is looked for in its rows, and the others are hidden.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    const rows = [...table.querySelectorAll("tbody tr")];
    if (rows.length < 12) continue;
    const box = document.createElement("input");
    const count = document.createElement("span");
    box.type = "search";
    box.placeholder = "Filter these rows";
    box.setAttribute("aria-label", box.placeholder);
    box.className = count.className = "table-filter";
    const show = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        left += !row.hidden;
      }
      count.textContent = ` ${left} of ${rows.length}`;
    };
    box.addEventListener("input", show);
    const place = table.closest(".pst-scrollable-table-container") ?? table;
    place.before(box, count);
    show();
  }
});
