/* Buttons that show and copy a table as Markdown or LaTeX (with the package booktabs). */
(() => {
  const words = (cell) => cell.textContent.replace(/\u00ad/g, "").replace(/\s*±\s*/g, " ± ").replace(/\s+/g, " ").trim();
  const isBold = (cell) => cell.classList.contains("best");
  const isText = (cell, column) => column === 0 || cell.matches(".text, .views, .setting");
  const headOf = (table) => [...(table.tHead?.rows ?? [])];
  const bodyOf = (table) => [...table.tBodies].flatMap((body) => [...body.rows]);

  function toMarkdown(table) {
    const escape = (text) => text.replace(/[\\|*_`<]/g, "\\$&");
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const body = bodyOf(table).map((row) => [...row.cells].map((cell) => (isBold(cell) ? `**${escape(words(cell))}**` : escape(words(cell)))));
    // Markdown has one row of headings: a heading above several columns goes in front of each of theirs.
    const rows = headOf(table).map((row) => [...row.cells].flatMap((cell) => Array(cell.colSpan).fill(escape(words(cell)))));
    const heads = Array.from(body[0] ?? rows[0], (_, column) => rows.map((row) => row[column]).filter(Boolean).join(" "));
    const rule = [...(bodyOf(table)[0]?.cells ?? [])].map((cell, column) => (isText(cell, column) ? "---" : "---:"));
    return [line(heads), line(rule), ...body.map(line)].join("\n");
  }

  function toLatex(table) {
    const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "−": "$-$", "–": "--", "²": "$^2$", "≥": "$\\ge$", "→": "$\\to$" };
    const escape = (text) => text.replace(/[\\&%$#_{}~^±−–²≥→]/g, (sign) => special[sign] ?? `\\${sign}`);
    const write = (cell) => (isBold(cell) ? `\\textbf{${escape(words(cell))}}` : escape(words(cell)));
    const wide = (cell) => (cell.colSpan > 1 ? `\\multicolumn{${cell.colSpan}}{c}{${write(cell)}}` : write(cell));
    const line = (cells, of) => `${cells.map(of).join(" & ")} \\\\`;
    const body = bodyOf(table);
    const columns = [...(body[0]?.cells ?? [])].map((cell, column) => (isText(cell, column) ? "l" : "r")).join("");
    const heads = headOf(table).flatMap((row, number, rows) => [line([...row.cells], wide), ...(number < rows.length - 1 ? rules(row) : [])]);
    const caption = table.caption ? [`\\caption{${escape(words(table.caption))}}`] : [];
    return [
      "\\begin{table}", "\\centering", ...caption, `\\begin{tabular}{${columns}}`, "\\toprule",
      ...(heads.length ? [...heads, "\\midrule"] : []),
      ...body.map((row) => line([...row.cells], write)),
      "\\bottomrule", "\\end{tabular}", "\\end{table}",
    ].join("\n");
  }

  /* The lines below headings that stand above several columns. */
  function rules(row) {
    let start = 1;
    return [...row.cells].flatMap((cell) => {
      const first = start;
      start += cell.colSpan;
      return cell.colSpan > 1 && words(cell) ? [`\\cmidrule(lr){${first}-${start - 1}}`] : [];
    });
  }

  const dialog = document.createElement("dialog");
  dialog.innerHTML = '<form method="dialog"><label></label><textarea readonly rows="16" spellcheck="false"></textarea><p role="status"></p><button>close</button></form>';
  dialog.className = "copy";
  document.body.append(dialog);
  const [label, area, status] = ["label", "textarea", "p"].map((name) => dialog.querySelector(name));
  area.id = "copied";
  label.htmlFor = area.id;

  async function show(title, text) {
    label.textContent = title;
    area.value = text;
    status.textContent = "";
    dialog.showModal();
    area.focus();
    area.select();
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = "Copied.";
    } catch {
      status.textContent = "Press Ctrl+C to copy."; // a browser may refuse the clipboard to local files
    }
  }

  for (const table of document.querySelectorAll("main table")) {
    const name = words(table.caption);
    const tools = document.createElement("p");
    tools.className = "tools";
    for (const [format, convert] of [["Markdown", toMarkdown], ["LaTeX", toLatex]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `copy as ${format}`;
      button.setAttribute("aria-label", `copy as ${format}: ${name}`);
      button.addEventListener("click", () => show(`${name} as ${format}`, convert(table)));
      tools.append(button, " ");
    }
    table.closest(".scroll").after(tools);
  }
})();
