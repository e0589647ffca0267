// The hits of a search as cards. Arrow keys move, A accepts, R rejects, Enter opens the journey.

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const grid = parentElement.querySelector(".grid");
  const cards = [];
  const parts = [];
  for (const section of data.sections) {
    if (section.title) parts.push(text("h4", section.title));
    for (const hit of section.hits) {
      const card = build(hit, section.weak, data.judge, setTriggerValue);
      cards.push(card);
      parts.push(card);
    }
  }
  grid.replaceChildren(...parts);
  grid.onkeydown = (event) => move(event, grid, cards);
}

function build(hit, weak, judge, setTriggerValue) {
  const card = document.createElement("article");
  card.className = weak ? "hit weak" : "hit";
  card.tabIndex = 0;
  card.setAttribute("aria-label", `${hit.who}, ${hit.camera}, ${hit.when}, ${hit.chance}`);
  const picture = document.createElement("div");
  picture.className = "picture";
  if (hit.picture) {
    const image = new Image();
    image.loading = "lazy";
    image.alt = "";
    image.src = hit.picture;
    picture.append(image);
  } else picture.textContent = "picture gone";
  const words = document.createElement("div");
  words.className = "text";
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.title = hit.words;
  const fill = document.createElement("i");
  fill.style.width = `${hit.percent}%`;
  bar.append(fill);
  words.append(text("b", hit.who), document.createElement("br"), hit.camera, document.createElement("br"),
    text("small", hit.when), bar, text("small", hit.chance));
  card.append(picture, words);
  const say = (verdict) => setTriggerValue("judged", { key: hit.key, verdict });
  if (judge) {
    const actions = document.createElement("div");
    actions.className = "actions";
    actions.append(button("Accept", "This is the person (A)", () => say("accept")),
      button("Reject", "This is somebody else (R)", () => say("reject")));
    card.append(actions);
  }
  card.onkeydown = (event) => {
    if (event.target !== card) return;
    const verdict = { a: "accept", r: "reject", Enter: "open" }[event.key];
    if (verdict && (judge || verdict === "open")) say(verdict);
  };
  picture.ondblclick = () => say("open");
  return card;
}

function move(event, grid, cards) {
  const place = cards.indexOf(event.target);
  if (place < 0) return;
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  cards[Math.min(Math.max(place + step, 0), cards.length - 1)].focus();
}

function text(kind, words) {
  const made = document.createElement(kind);
  made.textContent = words;
  return made;
}

function button(label, title, act) {
  const made = text("button", label);
  made.type = "button";
  made.title = title;
  made.onclick = act;
  return made;
}
