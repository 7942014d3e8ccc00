"use strict";
// The page's two moving parts: figures drawn when they come into view, and the browser of
// predictions. Text from studies only ever becomes text nodes.

(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const BELOW = { orientation: "h", x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom" };
  const drawn = [];

  function colours(layout) {
    const found = {
      "paper_bgcolor": "rgba(0,0,0,0)",
      "plot_bgcolor": "rgba(0,0,0,0)",
      "font.color": colour("--ink"),
      "font.family": colour("--plain"),
      "hoverlabel.bgcolor": colour("--raised"),
      "hoverlabel.bordercolor": colour("--soft"),
      "hoverlabel.font.color": colour("--ink"),
      "legend.bgcolor": "rgba(0,0,0,0)",
    };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) {
        found[key + ".gridcolor"] = colour("--rule");
        found[key + ".linecolor"] = colour("--soft");
        found[key + ".zerolinecolor"] = colour("--soft");
        found[key + ".tickcolor"] = colour("--soft");
      }
    }
    return found;
  }

  async function draw(figure) {
    const source = JSON.parse(document.getElementById(figure.dataset.figure).textContent);
    const place = document.createElement("div");
    place.className = "drawn";
    place.setAttribute("aria-hidden", "true"); // the picture beside it has the words
    figure.prepend(place);
    if (source.layout.height) place.style.height = source.layout.height + "px";
    const layout = { ...source.layout, autosize: true };
    delete layout.width;
    delete layout.title; // the heading above says it
    if (place.clientWidth < 600) layout.legend = { ...layout.legend, ...BELOW };
    await Plotly.newPlot(place, source.data, layout, {
      displayModeBar: false,
      responsive: true,
      showTips: false,
    });
    await Plotly.relayout(place, colours(place._fullLayout));
    figure.classList.add("live");
    drawn.push(place);
  }

  const figures = document.querySelectorAll("figure[data-figure]");
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "300px" },
  );
  figures.forEach((figure) => watcher.observe(figure));
  dark.addEventListener("change", () => {
    for (const place of drawn) Plotly.relayout(place, colours(place._fullLayout));
  });
})();

(() => {
  const source = document.getElementById("prediction-data");
  if (!source) return;
  const { runs, rows, items } = JSON.parse(source.textContent);
  const PAGE = 60; // predictions shown at once; a row is never split
  const form = document.getElementById("filters");
  const count = document.getElementById("count");
  const results = document.getElementById("results");
  const more = document.getElementById("more");
  let found = [];
  let shown = 0;

  function element(tag, values = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(values)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  const predictions = items.map(([run, row, label, share, rationale, givenGold]) => {
    const gold = rows[row].gold;
    return { run: runs[run], row, label, share, rationale, givenGold, right: label === gold };
  });
  const dataSets = new Set(rows.map((row) => row.dataset));
  const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
  const shownLabel = (label) => (label === null || label === "" ? "none of the labels" : label);

  const filters = [
    ["verdict", "Right or wrong", (p) => (p.right ? "right" : "wrong")],
    ["gold", "Gold label", (p) => shownLabel(rows[p.row].gold)],
    ["label", "Predicted label", (p) => shownLabel(p.label)],
    ["method", "Method", (p) => p.run.method],
    ["seed", "Seed", (p) => (p.run.seed === null ? "none" : String(p.run.seed))],
    ["study", "Study", (p) => p.run.study],
  ];

  const choices = new Map();
  for (const [name, , value] of filters) {
    const names = [...new Set(predictions.map(value))];
    choices.set(name, names.sort((a, b) => a.localeCompare(b, "en", { numeric: true })));
  }

  function build() {
    for (const [name, title] of filters) {
      const names = choices.get(name);
      if (names.length < 2) continue;
      const select = element("select", { id: "filter-" + name, name });
      select.append(element("option", { value: "" }, "all"));
      names.forEach((text, place) => {
        const option = element("option", { value: String(place) }, text);
        select.append(option);
      });
      form.append(element("label", { for: select.id }, title, select));
    }
    const search = element("input", { id: "filter-text", name: "text", type: "search", autocomplete: "off" });
    form.append(element("label", { for: search.id }, "Words in id or text", search));
    form.append(element("button", { type: "reset" }, "Show all"));
    form.hidden = false;
  }

  function wanted() {
    const tests = [];
    for (const [name, , value] of filters) {
      const select = form.elements.namedItem(name);
      if (!select || select.value === "") continue;
      const text = choices.get(name)[Number(select.value)];
      tests.push((p) => value(p) === text);
    }
    const words = form.elements.namedItem("text").value.trim().toLowerCase();
    if (words) {
      tests.push((p) => {
        const row = rows[p.row];
        const texts = [row.id, row.reference, row.note, p.rationale];
        return texts.some((text) => text && text.toLowerCase().includes(words));
      });
    }
    return predictions.filter((p) => tests.every((test) => test(p)));
  }

  function textBlock(name, text) {
    return element("p", {}, element("span", { class: "name" }, name), element("span", { class: "text" }, text));
  }

  function answer(prediction) {
    const verdict = prediction.right ? "right" : "wrong";
    const share = prediction.share === null ? "" : ` (${(100 * prediction.share).toFixed(0)} %)`;
    const head = element(
      "div",
      {},
      element("span", { class: "name" }, prediction.run.name),
      element("span", { class: "verdict " + verdict }, verdict),
      `: ${shownLabel(prediction.label)}${share}`,
    );
    const node = element("li", {}, head);
    if (prediction.rationale) node.append(element("p", { class: "text" }, prediction.rationale));
    if (prediction.givenGold && prediction.givenGold !== prediction.rationale) {
      node.append(textBlock("its rationale when given the gold label", prediction.givenGold));
    }
    return node;
  }

  function card(group) {
    const row = rows[group[0].row];
    const sourceSide = element("div", { class: "source" });
    if (row.note) sourceSide.append(textBlock("note", row.note));
    sourceSide.append(textBlock("gold label", shownLabel(row.gold)));
    sourceSide.append(textBlock("reference rationale", row.reference || "none"));
    const answers = element("ul", { class: "answers", "aria-label": "Predictions of " + row.id });
    answers.append(...group.map(answer));
    return element(
      "li",
      {},
      element("h3", {}, dataSets.size > 1 ? `${row.id} of ${row.dataset}` : row.id),
      element("div", { class: "sides" }, sourceSide, answers),
    );
  }

  function grow() {
    for (let taken = 0; shown < found.length && taken < PAGE; shown += 1) {
      results.append(card(found[shown]));
      taken += found[shown].length;
    }
    more.hidden = shown >= found.length;
  }

  function update() {
    const matching = wanted();
    const groups = new Map();
    for (const prediction of matching) {
      if (!groups.has(prediction.row)) groups.set(prediction.row, []);
      groups.get(prediction.row).push(prediction);
    }
    found = [...groups.values()];
    shown = 0;
    results.replaceChildren();
    count.textContent = `${counted(matching.length, "prediction")} of ${counted(found.length, "row")}`;
    grow();
  }

  form.addEventListener("change", update);
  form.addEventListener("input", (event) => event.target.type === "search" && update());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  more.addEventListener("click", () => {
    const next = results.children.length;
    grow();
    const heading = results.children[next].querySelector("h3");
    heading.tabIndex = -1;
    heading.focus();
  });
  build();
  update();
})();
